"""The group: help, unknown commands, missing extras, exit status."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from sam3_edge.command import main

Command = Callable[..., subprocess.CompletedProcess[str]]
COMMANDS = (
    "run",
    "info",
    "export",
    "calibrate",
    "build",
    "verify",
    "bench",
    "gstreamer",
    "train",
    "eval",
)


def test_without_arguments_it_explains_itself(sam3_edge: Command) -> None:
    ran = sam3_edge()
    assert (ran.returncode, ran.stderr) == (0, "")
    for text in (*COMMANDS, "sam3-edge run --source demo --prompt fish", "Try it"):
        assert text in ran.stdout
    assert sam3_edge("--help").stdout == ran.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples_that_fits(command: str, sam3_edge: Command) -> None:
    ran = sam3_edge(command, "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Example" in ran.stdout
    assert "--debug" in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 80


def test_version_and_help_letters() -> None:
    runner = CliRunner()
    assert runner.invoke(main, ["--version"]).output.startswith("sam3-edge, version ")
    assert runner.invoke(main, ["run", "-h"]).exit_code == 0


def test_an_unknown_command_is_wrong_use(sam3_edge: Command) -> None:
    ran = sam3_edge("dance")
    assert ran.returncode == 2
    assert ran.stderr.startswith("sam3-edge: error: No such command 'dance'")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_standard_output_is_full(stand_in: Path, debug: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "sam3_edge", "info", stand_in, *debug],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    *before, line = ran.stderr.splitlines()
    assert ran.returncode == 1
    assert line == ("sam3-edge: error: [Errno 28] No space left on device; --debug shows where")
    assert bool(before) == bool(debug)


@pytest.mark.parametrize(
    ("command", "missing"), [("export", "torch"), ("train", "hydra"), ("eval", "pycocotools")]
)
def test_a_missing_extra_says_what_to_install(
    command: str, missing: str, sam3_edge: Command
) -> None:
    script = (
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name == '{missing}': raise ModuleNotFoundError('none', name='{missing}')\n"
        "sys.meta_path.insert(0, Without())\n"
        "from sam3_edge.command import main\n"
        "main()\n"
    )
    ran = sam3_edge(command, "--help", python=("-c", script))
    assert ran.returncode == 1
    assert ran.stderr == (
        f"sam3-edge: error: `sam3-edge {command}` needs {missing}, which is not installed; "
        f"install with: pip install 'sam3-edge[{command}]'\n"
    )
    help_text = sam3_edge("--help", python=("-c", script))
    assert help_text.returncode == 0
