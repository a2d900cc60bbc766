"""The command line: finds a command, runs it, and turns an error into one line and a status."""

import importlib
import sys
import traceback
from typing import Any

import click

from sam3_edge import __version__
from sam3_edge.errors import Sam3EdgeError

_INTERRUPTED = 130  # what shells report for Ctrl-C

# name -> module, function, the extra that brings what it imports, and one line for --help.
_COMMANDS = {
    "run": ("command_run", "run", "", "Find what prompts say in a camera, video or pictures."),
    "info": ("command_info", "info", "", "Show what a bundle is, knows, and was checked with."),
    "export": ("command_export", "export", "export", "Turn a checkpoint into a bundle."),
    "build": ("build_engine", "build", "", "Build a bundle for this machine and prove it here."),
    "train": ("command_train", "train", "train", "Train a model."),
}
