"""What `status` says, for people and as JSON."""

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from train_default.curve import text_curve
from train_default.make_leg import python_of
from train_default.places import Home, Leg
from train_default.progress import LegProgress, curve_metrics, curve_points, progress_of
from train_default.state import NONE, PAUSED, RUNNING, State, read_state

_ALIVE = (RUNNING, PAUSED)


def status_json(home: Home, metrics: Sequence[str]) -> dict[str, Any]:
    """Everything that is known."""
    state, legs = read_state(home), home.legs()
    progress = progress_of(legs)
    judged = [one for leg in progress for one in leg.evaluations]
    names = curve_metrics(judged, metrics)
    return {
        "state": NONE if state is None else state.what,
        "why": "" if state is None else state.why,
        "leg": None if state is None else state.leg,
        "since": None if state is None else state.since,
        "until": None if state is None else state.until,
        "home": str(home.folder),
        "hours": sum(leg.hours for leg in progress),
        "pictures": sum(leg.pictures for leg in progress),
        "legs": [asdict(leg) for leg in progress],
        "curve": {name: curve_points(judged, name) for name in names},
    }


def status_lines(home: Home, found: dict[str, Any]) -> list[str]:
    """found: of `status_json`."""
    state, legs = read_state(home), home.legs()
    if not legs:
        return [
            _headline(state) if state else f"no run in {home.folder}; `train-default start` begins"
        ]
    progress = progress_of(legs)
    last, leg = progress[-1], legs[-1]
    each = ", ".join(f"leg {one.number} {one.hours:.2f} h" for one in progress)
    subject, judged = leg.facts().subject, sum(one.evaluation_hours for one in progress)
    lines = [
        _headline(state) if state else "stopped: never started",
        f"leg         {last.number}: {last.config}, commit {last.commit[:10]} {subject}",
        f"trained     {found['hours']:.2f} h in all ({each}), evaluations {judged:.2f} h of it",
        f"steps       {last.steps} in this leg, {found['pictures']} pictures in all"
        + ("" if last.rate is None else f", {last.rate:.2f} images/s"),
        f"checkpoint  {_checkpoint_line(last, leg)}",
        *([_ahead(state, last)] if state and state.what in _ALIVE and state.until else []),
        *text_curve(found["curve"]),
        f"log         {leg.train_log}",
    ]
    if draw_curve(home, leg, found["curve"]):
        lines.append(f"curve       {home.curve}")
    return lines


def draw_curve(home: Home, leg: Leg, series: dict[str, Any]) -> bool:
    """curve.png by the leg's Python, which has OpenCV; whether there is one now."""
    if not any(series.values()):
        return False
    facts, script = leg.facts(), Path(__file__).with_name("curve_picture.py")
    try:
        ran = subprocess.run(
            [str(python_of(leg, facts)), str(script), str(home.curve)],
            input=json.dumps(series).encode(), capture_output=True, check=False, timeout=60.0,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ran.returncode == 0 and home.curve.exists()


def _headline(state: State) -> str:
    began = datetime.fromtimestamp(state.since).strftime("%Y-%m-%d %H:%M")
    why = f": {state.why}" if state.why else ""
    return f"{state.what} since {began}{why}"


def _checkpoint_line(last: LegProgress, leg: Leg) -> str:
    if last.checkpoint_age_s is None:
        return "none yet"
    return f"{last.checkpoint_age_s / 60.0:.1f} min old, {leg.last_checkpoint}"


def _ahead(state: State, last: LegProgress) -> str:
    """What will be done by the time given with --until."""
    assert state.until is not None
    left_s = max(state.until - time.time(), 0.0)
    at = datetime.fromtimestamp(state.until).strftime("%H:%M")
    said = f"until       {at}, in {left_s / 3600.0:.2f} h"
    if last.hours <= 0.0 or state.what == PAUSED:
        return said
    steps = round(last.steps / last.hours * left_s / 3600.0)
    return f"{said}: about {steps} steps more"
