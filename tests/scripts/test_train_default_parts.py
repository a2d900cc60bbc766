"""Times, curves and command lines of the long run, without a process."""

import errno
import json
import os
import signal
import subprocess
import time
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from sam3_edge.training.config.compose import compose_config
from train_default import supervise
from train_default.curve import text_curve
from train_default.curve_picture import draw_curve
from train_default.failure import Failure
from train_default.places import Home, Leg, LegFacts
from train_default.processes import Process, give_way, process_of
from train_default.progress import progress_of
from train_default.start import next_time
from train_default.state import ENDED, State, read_state, write_state
from train_default.supervise import quoted, trainer_command


def make_leg(folder: Path, **changes: object) -> Leg:
    leg = Leg(folder)
    leg.steps_log.parent.mkdir(parents=True)
    facts = {
        "number": 1, "commit": "abc", "subject": "A subject", "config": "debug", "overrides": [],
        "data": str(folder / "a 'b' = {c}, d"), "weights": None, "python": "bin/python",
        "given_python": False, "requirements": [], "made": time.time(),
    }  # fmt: skip
    leg.write_facts(LegFacts(**{**facts, **changes}))  # type: ignore[arg-type]
    return leg


def test_a_time_is_the_next_one() -> None:
    now = datetime(2026, 3, 1, 22, 30)
    assert next_time("23:00", now) == datetime(2026, 3, 1, 23, 0).timestamp()
    assert next_time("07:15", now) == datetime(2026, 3, 2, 7, 15).timestamp()
    assert next_time("22:30", now) == datetime(2026, 3, 2, 22, 30).timestamp()
    with pytest.raises(Failure):
        next_time("7 pm", now)


def test_the_trainer_understands_its_command_line(tmp_path: Path) -> None:
    leg = make_leg(tmp_path / "leg", weights="start.safetensors", overrides=["trainer.max_steps=3"])
    command = trainer_command(leg, leg.facts())
    name, overrides = command[command.index("-c") + 1], command[command.index("-c") + 2 :]
    config = compose_config(name, overrides).config
    assert config.paths.data == leg.facts().data
    assert config.paths.experiment == str(leg.experiment)
    assert config.trainer.model.weights == str(leg.folder / "start.safetensors")
    assert (config.trainer.model.partial, config.trainer.max_steps) == (True, 3)
    assert quoted("a") == "'a'"


def test_the_lowest_priority_is_below_every_other() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        give_way(child.pid, None)
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == 19
        assert os.sched_getscheduler(child.pid) in (os.SCHED_IDLE, os.SCHED_OTHER)
    finally:
        child.kill()
        child.wait()


def test_a_session_gives_way_with_its_process() -> None:
    """Among sessions the processor is shared before any process's nice counts."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as child:
        give_way(child.pid, 7)
        session = Path(f"/proc/{child.pid}/autogroup")
        told = session.read_text().split()[-1] if session.exists() else "7"
        nice = os.getpriority(os.PRIO_PROCESS, child.pid)
        child.kill()
    assert (nice, told) == (7, "7")


def test_a_process_is_not_taken_for_another_of_its_number() -> None:
    child = subprocess.Popen(["sleep", "60"])
    held = process_of(child.pid)
    assert held.is_alive()
    assert not Process(pid=child.pid, started=held.started + 1).is_alive()
    held.send(signal.SIGKILL)
    child.wait()
    assert not held.is_alive()
    assert not process_of(child.pid).is_alive()


def test_a_line_that_is_half_written_is_left_out(tmp_path: Path) -> None:
    leg = make_leg(tmp_path / "leg")
    lines = [
        {"step": 10, "elapsed_s": 1800.0, "pictures": 80, "images_per_s": 2.0, "loss": 1.0},
        {"step": 10, "elapsed_s": 1800.0, "evaluation_s": 1800.0, "a/bbox/AP": 0.5},
    ]
    leg.steps_log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 2')
    [found] = progress_of([leg])
    assert (found.steps, found.pictures, found.rate) == (10, 80, 2.0)
    assert (found.hours, found.evaluation_hours) == (1.0, 0.5)
    assert found.checkpoint_age_s is None
    assert [(one.hours, one.metrics) for one in found.evaluations] == [(0.5, {"a/bbox/AP": 0.5})]


def test_curves_show_every_point_where_it_belongs() -> None:
    lines = text_curve({"a": [(0.0, 0.0), (2.0, 0.4)], "b": []})
    rows = [line.partition("|")[2] for line in lines if "|" in line]
    assert rows[0].endswith("o")
    assert rows[-1].startswith("o")
    assert sum(row.count("o") for row in rows) == 2
    assert text_curve({"a": []}) == []


def test_the_picture_has_a_colour_for_every_series() -> None:
    empty = draw_curve({"a": [], "b": []})
    drawn = draw_curve({"a": [[0.0, 0.1], [1.0, 0.2]], "b": [[1.0, 0.05]]})
    changed = np.flatnonzero((empty != drawn).any(axis=2))
    assert drawn.shape == empty.shape
    assert len(changed) > 1000
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > len(
        np.unique(empty.reshape(-1, 3), axis=0)
    )
    assert cv2.imencode(".png", drawn)[0]


def test_an_end_is_noted_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path)
    home.make()

    def full_while_reserved(home: Home, state: State) -> None:
        if home.reserve.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        write_state(home, state)

    monkeypatch.setattr(supervise, "write_state", full_while_reserved)
    supervise._note(home, State(what=ENDED, leg=1, since=0.0, why="the disk is full"))
    found = read_state(home)
    assert found is not None
    assert (found.what, found.why) == (ENDED, "the disk is full")
