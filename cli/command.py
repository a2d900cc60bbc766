"""The command line: finds a command, runs it, and turns an error into one line and a status."""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from sam3_edge import __version__
from sam3_edge.errors import Sam3EdgeError

_INTERRUPTED = 130  # what shells report for Ctrl-C


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a command is. extra: what pip must install for its imports; "" for nothing."""

    module: str
    function: str
    extra: str
    summary: str


# Imported only when called: `run` must start without torch.
_COMMANDS = {
    "run": _Place(
        "sam3_edge.command_run", "run", "", "Find what you name in a camera, video or pictures."
    ),
    "info": _Place(
        "sam3_edge.command_info", "info", "", "Show what a bundle is, knows and was checked with."
    ),
    "export": _Place(
        "sam3_edge.command_export", "export", "export", "Turn a checkpoint into a bundle."
    ),
    "calibrate": _Place(
        "sam3_edge.command_calibrate",
        "calibrate",
        "build",
        "Measure on photos what INT8 must hold.",
    ),
    "build": _Place(
        "sam3_edge.export.build_engine", "build", "build", "Build a bundle for this machine."
    ),
    "verify": _Place(
        "sam3_edge.command_verify",
        "verify",
        "build",
        "Compare a bundle with what it was made from.",
    ),
    "bench": _Place(
        "sam3_edge.command_bench", "bench", "", "Measure latency, throughput, memory and power."
    ),
    "gstreamer": _Place(
        "sam3_edge.command_gstreamer", "gstreamer", "", "Put the element sam3edge into GStreamer."
    ),
    "train": _Place("sam3_edge.command_train", "train", "train", "Train a model on your data."),
    "eval": _Place(
        "sam3_edge.command_eval", "evaluate", "eval", "Measure how well a model answers."
    ),
}


class Commands(click.Group):
    """Loads commands when they are needed, gives each `--debug`, and reports errors."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        place = _COMMANDS.get(name)
        if place is None:
            return None
        command: click.Command = getattr(_import(name, place), place.function)
        if not any(parameter.name == "debug" for parameter in command.params):
            command.params.append(_debug_option())
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.summary) for name, place in _COMMANDS.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Ends the process as the console script does; click's own way for other callers."""
        given = list(sys.argv[1:] if args is None else args)
        prog_name = prog_name or "sam3-edge"  # also as `python -m sam3_edge`
        if not standalone_mode:
            return super().main(given, prog_name, complete_var, False, **extra)
        try:
            status = super().main(given, prog_name, complete_var, False, **extra)
        except (click.ClickException, Sam3EdgeError, OSError) as error:
            sys.exit(_report(error, debug="--debug" in given))
        except (click.Abort, KeyboardInterrupt):
            click.echo("sam3-edge: interrupted", err=True)
            sys.exit(_INTERRUPTED)
        sys.exit(status if isinstance(status, int) else 0)


def _import(name: str, place: _Place) -> Any:
    try:
        return importlib.import_module(place.module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if not place.extra or missing in ("", "sam3_edge"):
            raise
        raise Sam3EdgeError(
            f"`sam3-edge {name}` needs {missing}, which is not installed; "
            f"install with: pip install 'sam3-edge[{place.extra}]'"
        ) from error


def _report(error: click.ClickException | Sam3EdgeError | OSError, *, debug: bool) -> int:
    """One line on standard error; the exit status. OSError: of standard output, where it is full."""
    if debug:
        traceback.print_exception(error)
    if isinstance(error, Sam3EdgeError):
        message, status = str(error), error.exit_status
    elif isinstance(error, OSError):
        _drop_unwritten()
        message, status = f"{error}; --debug shows where", Sam3EdgeError.exit_status
    else:
        message, status = _click_message(error), error.exit_code
    click.echo(f"sam3-edge: error: {' '.join(message.split())}", err=True)
    return status


def _drop_unwritten() -> None:
    """Python would try again at the end of the process, and tell it again."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _click_message(error: click.ClickException) -> str:
    message = error.format_message().rstrip(".")
    ctx = getattr(error, "ctx", None)
    return f"{message}; see `{ctx.command_path} --help`" if ctx is not None else message


def _debug_option() -> click.Option:
    """Read from the arguments in `main`, so that it works before and after the command's name."""
    return click.Option(
        ["--debug"], is_flag=True, expose_value=False, help="On an error, show the traceback too."
    )


@click.group(
    cls=Commands,
    invoke_without_command=True,
    params=[_debug_option()],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="sam3-edge")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Find what a sentence means in live video: boxes and masks, as pictures and as data.

    \b
    Try it without a camera:
      sam3-edge run --source demo --prompt fish --save fish.mp4
    With one:
      sam3-edge run --camera 0 --prompt "fish"

    `sam3-edge COMMAND --help` explains a command.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
