"""The long run is started, killed, paused, ended and begun anew, and loses nothing."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.scripts.conftest import STAND_IN, LongRun, commit, until
from train_default.lock import take_lock
from train_default.places import Home, Leg
from train_default.supervise import Terms, start_supervisor


def test_status_where_nothing_was_started(long_run: LongRun) -> None:
    assert long_run.status()["state"] == "none"
    assert str(long_run.home) in long_run.done("status")
    assert not long_run.home.exists()
    for command in ("pause", "resume", "stop"):
        assert "expected a run" in long_run.refused(command)


def test_it_runs_from_a_clone_of_the_commit(long_run: LongRun) -> None:
    (long_run.checkout / "new").write_text("not committed")
    said = long_run.start("trainer.max_steps=5", "--until", "23:59", "--nice", "7")
    assert "1 uncommitted" in said
    assert not (long_run.leg() / "source" / "new").exists()
    given = long_run.given()
    assert given["paths.data"] == f"'{long_run.data}'"
    assert given["trainer.max_steps"] == "5"
    until(lambda: long_run.saved() > 0)
    last = long_run.leg() / "experiment" / "checkpoints" / "last.pt"
    assert json.loads(last.read_text())["nice"] >= 7
    found = long_run.status()
    assert (found["state"], found["leg"]) == ("running", 1)
    assert found["until"] > time.time()
    assert found["hours"] == pytest.approx(0.01 * found["legs"][0]["steps"], rel=0.2)


def test_a_second_start_is_refused(long_run: LongRun) -> None:
    long_run.start()
    pid = long_run.state()["trainer"]["pid"]
    assert "running" in long_run.refused("start")
    assert "running" in long_run.refused("start", "--restart")
    assert long_run.state()["trainer"]["pid"] == pid
    assert long_run.status()["state"] == "running"


@pytest.mark.parametrize("killed", [("trainer",), ("owner", "trainer")])
def test_a_killed_run_goes_on_at_the_saved_step(long_run: LongRun, killed: tuple[str, ...]) -> None:
    long_run.start()
    until(lambda: long_run.saved() > 0)
    for name in killed:
        os.kill(long_run.state()[name]["pid"], signal.SIGKILL)
    until(lambda: long_run.status()["state"] == "stopped")
    assert "killed" in long_run.status()["why"]
    saved = long_run.saved()
    long_run.done("start", "--nice", "0")
    assert f"continuing at step {saved}\n" in (long_run.leg() / "train.log").read_text()
    assert not long_run.leg(2).exists()
    until(lambda: long_run.saved() > saved)


def test_a_trainer_without_its_supervisor_saves_and_ends(long_run: LongRun) -> None:
    long_run.start()
    os.kill(long_run.state()["owner"]["pid"], signal.SIGKILL)
    until(lambda: long_run.status()["state"] == "stopped")
    assert long_run.saved() > 0


def test_a_paused_run_stands_still(long_run: LongRun) -> None:
    long_run.start()
    long_run.done("pause")
    log = long_run.leg() / "experiment" / "logs" / "log.jsonl"
    assert long_run.status()["state"] == "paused"
    before = log.stat().st_size
    assert "paused" in long_run.refused("start")
    time.sleep(0.3)
    assert log.stat().st_size == before
    long_run.done("resume")
    until(lambda: log.stat().st_size > before)
    assert long_run.status()["state"] == "running"


@pytest.mark.parametrize("paused", [False, True])
def test_stop_waits_for_the_checkpoint(long_run: LongRun, paused: bool) -> None:
    long_run.start()
    if paused:
        long_run.done("pause")
    long_run.done("stop")
    found = long_run.status()
    assert (found["state"], found["why"]) == ("stopped", "stopped as asked")
    assert long_run.saved() == found["legs"][0]["steps"] > 0
    events = [
        json.loads(line) for line in (long_run.home / "history.jsonl").read_text().splitlines()
    ]
    assert [event["what"] for event in events] == ["running", "stopped"]


def test_a_trainer_that_does_not_end_is_killed_after_the_grace(long_run: LongRun) -> None:
    long_run.start()
    long_run.done("stop", "--grace", "0")
    assert long_run.status()["state"] == "stopped"


def test_a_supervisor_that_somebody_stopped_goes_on_too(long_run: LongRun) -> None:
    long_run.start()
    os.kill(long_run.state()["owner"]["pid"], signal.SIGSTOP)
    assert long_run.status()["state"] == "paused"
    long_run.done("resume")
    assert long_run.status()["state"] == "running"
    os.kill(long_run.state()["owner"]["pid"], signal.SIGSTOP)
    long_run.done("stop")
    assert long_run.status()["why"] == "stopped as asked"


def test_it_ends_by_itself_at_the_given_time(long_run: LongRun, root: Path) -> None:
    """Through the supervisor's own argument, as HH:MM would take up to a minute."""
    long_run.start()
    long_run.done("stop")
    home, leg = Home(long_run.home), Leg(long_run.leg())
    lock = take_lock(home.lock)
    assert lock is not None
    supervisor = start_supervisor(home, leg, Terms(until=time.time() + 1.0, nice=0), lock)
    os.close(lock)
    assert supervisor.wait() == 0
    found = long_run.status()
    assert "--until" in found["why"]
    assert long_run.saved() == found["legs"][0]["steps"]


def test_a_restart_begins_a_leg_from_the_weights_of_the_one_before(long_run: LongRun) -> None:
    long_run.start("stand_in.last_step=10")
    until(lambda: long_run.status()["state"] == "stopped")
    assert "finished" in long_run.status()["why"]
    best = long_run.leg() / "experiment" / "checkpoints" / "best.safetensors"
    best.write_bytes(b"the best")
    (long_run.checkout / "recipe").write_text("better")
    commit(long_run.checkout, "add", ".")
    commit(long_run.checkout, "commit", "--quiet", "--message", "Second")
    long_run.done("start", "--restart", "--nice", "0", "stand_in.last_step=20")
    until(lambda: long_run.saved(2) == 20)
    given = long_run.given(2)
    weights = Path(given["trainer.model.weights"].strip("'"))
    assert weights.read_bytes() == b"the best"
    assert weights.is_relative_to(long_run.leg(2))
    assert (given["trainer.model.partial"], given["trainer.model.backbone"]) == ("true", "null")
    assert (long_run.leg(2) / "source" / "recipe").exists()
    found = long_run.status()
    assert [leg["steps"] for leg in found["legs"]] == [10, 20]
    assert found["hours"] == pytest.approx(sum(leg["hours"] for leg in found["legs"]))
    hours = [point[0] for point in found["curve"]["unseen_places/bbox/AP"]]
    assert hours == sorted(hours)
    assert hours[2] > found["legs"][0]["hours"]  # the second leg's come after the first's
    assert "unseen_places/bbox/AP" in long_run.done("status")


def test_another_recipe_needs_a_new_leg(long_run: LongRun) -> None:
    long_run.start()
    long_run.done("stop")
    for other in (["--config", "debug"], ["trainer.seed_value=3"], ["--python", str(STAND_IN)]):
        assert "--restart" in long_run.refused("start", *other)
    assert not long_run.leg(2).exists()


def test_it_goes_on_when_the_checkout_is_gone(long_run: LongRun) -> None:
    long_run.start()
    shutil.rmtree(long_run.checkout)
    saved = long_run.saved()
    until(lambda: long_run.saved() > saved)
    copy = long_run.leg() / "source" / "scripts" / "train-default"
    assert long_run.call(["stop"], {}, copy).returncode == 0
    assert long_run.call(["start", "--nice", "0"], {}, copy).returncode == 0
    assert long_run.call(["stop"], {}, copy).returncode == 0


def test_what_the_trainer_says_before_it_ends_is_the_line(long_run: LongRun) -> None:
    arguments = ["--python", str(STAND_IN), "--data", str(long_run.data), "--nice", "0"]
    line = long_run.refused("start", *arguments, "stand_in.fail=no space left")
    assert "no space left" in line
    assert "no space left" in long_run.status()["why"]


def test_what_cannot_be_prepared_leaves_no_leg(long_run: LongRun) -> None:
    arguments = ["start", "--python", str(STAND_IN), "--data", str(long_run.data)]
    assert "no network" in long_run.refused(*arguments, STAND_IN_PIP_FAILS="ERROR: no network")
    assert not long_run.leg().exists()
    assert long_run.status()["state"] == "stopped"
    assert "nowhere" in long_run.refused(*arguments, "--commit", "nowhere")
    missing = ["start", "--python", str(STAND_IN), "--data", str(long_run.data / "none")]
    assert str(long_run.data / "none") in long_run.refused(*missing)
    assert re.search("HH:MM.*25:00", long_run.refused(*arguments, "--until", "25:00"))
    long_run.start()
    assert long_run.status()["leg"] == 1
