"""The person may have closed the terminal, or its log may be full: the run is what counts."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from sam3_edge.run_report import RunReport, summary_lines
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.source_event import SourceEvent
from sam3_edge.runtime.tally import Tally
from tests.runtime.conftest import make_frame, make_result  # noqa: F401

_REPORT = """
import sys
from sam3_edge.command import main
from sam3_edge.errors import SinkError
from sam3_edge.run_report import RunReport, warn
from sam3_edge.runtime.source_event import SourceEvent
from sam3_edge.runtime.tally import Tally

warn("a warning")
report = RunReport(Tally(["fish"]), total=None, live=True, quiet=False, to_stderr=len(sys.argv) > 1)
report.tell(SourceEvent(source="cam", state="lost", reason="cable", attempt=0, utc_ns=1))
try:
    report.finish(["o.jsonl"], live=False, unwritten=3)
except SinkError as error:
    sys.exit(f"told: {error}")
"""


def report(*arguments: str, out: int, err: int) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", _REPORT, *arguments]
    return subprocess.run(command, stdout=out, stderr=err, check=False)


def test_what_is_told() -> None:
    ran = report(out=subprocess.PIPE, err=subprocess.PIPE)
    assert ran.returncode == 0
    assert ran.stderr.decode().splitlines() == [
        "sam3-edge: warning: a warning",
        "sam3-edge: warning: cable; trying to connect again",
    ]
    assert ran.stdout.decode().splitlines()[1:] == [
        "wrote o.jsonl",
        "3 results were not written: an output is slower than the source",
    ]


def test_a_log_that_is_full_stops_nothing() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        ran = report(out=subprocess.PIPE, err=full)
        assert (ran.returncode, b"wrote o.jsonl" in ran.stdout) == (0, True)
        assert report("aside", out=subprocess.PIPE, err=full).returncode == 0
    finally:
        os.close(full)


def test_standard_output_that_is_full_is_told() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        ran = report(out=full, err=subprocess.PIPE)
    finally:
        os.close(full)
    assert ran.returncode == 1
    last = ran.stderr.decode().splitlines()[-1]
    assert last.startswith("told: cannot write standard output: No space left on device")


def test_an_attempt_is_not_told_but_that_it_went_well(
    make_result: Callable[..., FrameResult],  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = RunReport(Tally(["fish", "crab"]), total=None, live=False, quiet=False, to_stderr=False)
    told.tell(SourceEvent(source="test", state="reconnecting", reason="r", attempt=1, utc_ns=1))
    result = make_result()
    told.add(result)
    assert capsys.readouterr() == ("", "")
    told.add(replace(result, frame=replace(result.frame, state="recovered")))
    assert capsys.readouterr() == ("", "sam3-edge: warning: test: it is back\n")


def test_a_terminal_obeys_no_prompt() -> None:
    (line,) = summary_lines(Tally(["fish", "\x1b[2J"]).summary(), [])
    assert line.endswith(r"objects found: fish 0, '\x1b[2J' 0")
