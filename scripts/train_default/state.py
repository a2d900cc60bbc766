"""state.json: what goes on, as its processes last wrote it, and what is true of that now."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from train_default.lock import is_locked
from train_default.places import Home, write_whole
from train_default.processes import Process

NONE, PREPARING, RUNNING, PAUSED, ENDED = "none", "preparing", "running", "paused", "stopped"
_NO_WORD = "it ended without a word: it was killed, or the machine was restarted"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """what: preparing, running or stopped. owner: `start` while it prepares, then the supervisor.

    trainer: leads the group of processes that train. since, until: seconds since 1970. why: the
    reason of an end.
    """

    what: str
    leg: int
    since: float
    owner: Process | None = None
    trainer: Process | None = None
    until: float | None = None
    why: str = ""

    def processes(self) -> list[Process]:
        return [one for one in (self.owner, self.trainer) if one is not None]


def write_state(home: Home, state: State) -> None:
    write_whole(home.state, json.dumps(asdict(state), indent=1) + "\n")


def read_state(home: Home) -> State | None:
    """As it is now: `paused` and an end without a word are seen and not written."""
    state = _read(home)
    if state is None:
        return None
    if not is_locked(home.lock):
        if state.what == ENDED:
            return state
        return _with(state, what=ENDED, why=_NO_WORD)
    if state.what == RUNNING and any(one.is_stopped() for one in state.processes()):
        return _with(state, what=PAUSED)
    return state


def _read(home: Home) -> State | None:
    try:
        held = json.loads(home.state.read_text(encoding="utf-8"))
        for name in ("owner", "trainer"):
            held[name] = None if held[name] is None else Process(**held[name])
        return State(**held)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _with(state: State, **changes: Any) -> State:
    held = {name: getattr(state, name) for name in State.__slots__}
    return State(**{**held, **changes})
