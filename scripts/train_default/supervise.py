"""The process in the background that starts the trainer, ends it in time, and notes why it ended.

It holds the lock, and so does the trainer, which is told to stop should the supervisor die.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType

from train_default.make_leg import clean_environment, python_of
from train_default.places import Home, Leg, LegFacts
from train_default.processes import (
    end_with_parent,
    give_way,
    process_of,
    signal_group,
)
from train_default.state import ENDED, RUNNING, State, write_state

POLL_S = 0.5
# From being told to stop until the checkpoint is written; an evaluation ends at its next picture.
GRACE_S = 180.0
_FULL_BYTES = 2**20
_GOOD_ENDS = (0, 130, -signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """until: seconds since 1970, when it stops by itself. nice: 0..19, None for the lowest
    priority there is.
    """

    until: float | None
    nice: int | None


def start_supervisor(home: Home, leg: Leg, terms: Terms, lock: int) -> "subprocess.Popen[bytes]":
    """In a session of its own, with our lock; what it and the trainer print goes to the leg's log."""
    entry = Path(__file__).resolve().parents[1] / "train-default"
    command = [sys.executable, str(entry), "_supervise", str(home.folder), str(leg.folder)]
    with leg.train_log.open("ab") as log:
        return subprocess.Popen(
            [*command, json.dumps(asdict(terms)), str(lock)],
            cwd=leg.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=[lock],
        )


def trainer_command(leg: Leg, facts: LegFacts) -> list[str]:
    """The recipe, with the places it cannot know; the user's own overrides come last."""
    weights = []
    if facts.weights is not None:
        weights = [
            f"trainer.model.weights={quoted(str(leg.folder / facts.weights))}",
            "trainer.model.partial=true",
            "trainer.model.backbone=null",
        ]
    return [
        *(str(python_of(leg, facts)), "-m", "sam3_edge", "train", "-c", facts.config),
        f"paths.data={quoted(facts.data)}",
        f"paths.experiment={quoted(str(leg.experiment))}",
        *weights,
        *facts.overrides,
    ]


def quoted(value: str) -> str:
    """Any text as a value of the trainer's command line, which would read `=`, `,` and quotes."""
    return "'" + value.replace("\\'", "\\\\'").replace("'", "\\'") + "'"


def supervise(home: Home, leg: Leg, terms: Terms, lock: int) -> None:
    """Until the trainer has ended."""
    facts, told = leg.facts(), _Told()
    signal.signal(signal.SIGTERM, told.note)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    trainer = subprocess.Popen(
        trainer_command(leg, facts),
        cwd=leg.source,
        env=clean_environment(leg, facts),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=end_with_parent,
        pass_fds=[lock],
    )
    give_way(trainer.pid, terms.nice)
    state = State(
        what=RUNNING,
        leg=facts.number,
        since=time.time(),
        owner=process_of(os.getpid()),
        trainer=process_of(trainer.pid),
        until=terms.until,
    )
    _note(home, state)
    why = _watch(trainer, terms.until, told)
    signal_group(trainer.pid, signal.SIGKILL)  # Data workers of a trainer that was killed.
    _note(home, replace(state, what=ENDED, since=time.time(), why=_reason(trainer, why, leg)))


@dataclass(slots=True)
class _Told:
    """Whether `stop` has asked."""

    why: str = field(default="")

    def note(self, _number: int, _frame: FrameType | None) -> None:
        self.why = "stopped as asked"


def _watch(
    trainer: "subprocess.Popen[bytes]",
    until: float | None,
    told: _Told,
    now: Callable[[], float] = time.time,
) -> str:
    """Why it was ended; "" where it ended by itself."""
    why, deadline = "", 0.0
    while trainer.poll() is None:
        if not why:
            late = until is not None and now() >= until
            why = told.why or ("stopped at the time given with --until" if late else "")
            if why:
                deadline = now() + GRACE_S
                # A second signal would end it without a checkpoint; a paused one hears none.
                signal_group(trainer.pid, signal.SIGCONT)
                trainer.terminate()
        elif now() >= deadline:
            signal_group(trainer.pid, signal.SIGKILL)
            why = f"{why}, killed since it had not ended after {GRACE_S:.0f} s"
            deadline = float("inf")
        time.sleep(POLL_S)
    return why


def _reason(trainer: "subprocess.Popen[bytes]", why: str, leg: Leg) -> str:
    status = trainer.returncode
    if why and status in _GOOD_ENDS:
        return why
    if status == 0:
        return "finished: the configuration asks for no more steps"
    if shutil.disk_usage(leg.folder).free < _FULL_BYTES:  # what it said is lost then
        return f"the disk of {leg.folder} is full; free space, and start again"
    said = f"killed by {signal.Signals(-status).name}" if status < 0 else _last_line(leg.train_log)
    return f"{why}: {said}" if why else said


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 8192, 0))
        lines = file.read().decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def _note(home: Home, state: State) -> None:
    """On a full disk in the place that was reserved for it."""
    event = {"at": state.since, "what": state.what, "leg": state.leg, "why": state.why}
    for last in (False, True):
        try:
            write_state(home, state)
            home.remember(event)
            return
        except OSError as error:
            home.reserve.unlink(missing_ok=True)
            if last:
                print(f"train-default: cannot write {home.state}: {error}", file=sys.stderr)
