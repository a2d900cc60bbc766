"""A small checkout with the script in it, and a long run whose trainer only counts."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

STAND_IN = Path(__file__).with_name("stand_in_python.py")
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LongRun:
    """checkout: what is cloned, which may be removed. home: SAM3_EDGE_TRAIN_HOME. data: a folder.
    script: which copy of it is called.
    """

    checkout: Path
    home: Path
    data: Path
    script: Path

    def call(
        self, arguments: Sequence[str], environment: Mapping[str, str], script: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, str(script or self.script), *arguments],
            env={**os.environ, "SAM3_EDGE_TRAIN_HOME": str(self.home), **environment},
            capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip

    def done(self, *arguments: str, **environment: str) -> str:
        """What a call that must succeed prints."""
        ran = self.call(arguments, environment)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def refused(self, *arguments: str, **environment: str) -> str:
        """The one line of a call that must fail."""
        ran = self.call(arguments, environment)
        assert ran.returncode in (1, 2), ran.stdout
        assert len(ran.stderr.splitlines()) == 1, ran.stderr
        return ran.stderr

    def start(self, *more: str) -> str:
        """Not at the lowest priority: beside other tests it would hardly come to run."""
        given = ["--python", str(STAND_IN), "--data", str(self.data), "--nice", "0"]
        return self.done("start", *given, *more)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.done("status", "--json"))
        return found

    def state(self) -> dict[str, Any]:
        held: dict[str, Any] = json.loads((self.home / "state.json").read_text())
        return held

    def leg(self, number: int = 1) -> Path:
        return self.home / "legs" / f"leg-{number:03d}"

    def saved(self, number: int = 1) -> int:
        """The step of last.pt."""
        path = self.leg(number) / "experiment" / "checkpoints" / "last.pt"
        return int(json.loads(path.read_text())["step"]) if path.exists() else 0

    def given(self, number: int = 1) -> dict[str, str]:
        """key=value as the trainer got them."""
        path = self.leg(number) / "experiment" / "given.json"
        values: dict[str, str] = json.loads(path.read_text())
        return values


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.02)


@pytest.fixture
def long_run(root: Path, tmp_path: Path) -> Iterator[LongRun]:
    if shutil.which("git") is None:
        pytest.skip("expected git, found none")
    checkout, data = tmp_path / "checkout", tmp_path / "data"
    data.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / "scripts", checkout / "scripts", ignore=ignored)
    commit(checkout, "init", "--quiet")
    commit(checkout, "add", ".")
    commit(checkout, "commit", "--quiet", "--message", "First")
    script = checkout / "scripts" / "train-default"
    run = LongRun(checkout=checkout, home=tmp_path / "home", data=data, script=script)
    yield run
    # From the tree under test, since a test may have removed the other.
    run.call(["stop", "--grace", "0"], {}, root / "scripts" / "train-default")


def commit(checkout: Path, *arguments: str) -> None:
    person = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *person, *arguments], cwd=checkout, check=True)
