"""`scripts/train-default COMMAND`: the command line."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from train_default.failure import Failure
from train_default.lock import is_locked
from train_default.places import Home, Leg, find_home
from train_default.start import CONFIG, start
from train_default.state import PAUSED, RUNNING, State, read_state
from train_default.status import status_json, status_lines
from train_default.supervise import GRACE_S, Terms, supervise

_POLL_S = 0.1


def main(arguments: Sequence[str]) -> int:
    """The exit status: 1 for what went wrong, 2 for a wrong command line."""
    home = find_home()
    try:
        if arguments[:1] == ["_supervise"]:
            folder, trained, terms, lock = arguments[1:]
            supervise(Home(Path(folder)), Leg(Path(trained)), Terms(**json.loads(terms)), int(lock))
            return 0
        options = _parser().parse_args(arguments)
        if not sys.platform.startswith("linux"):
            raise Failure(f"expected Linux, got {sys.platform}; `sam3-edge train` runs anywhere")
        commands = {
            "start": start,
            "status": status,
            "pause": pause,
            "resume": resume,
            "stop": stop,
        }
        commands[options.command](home, options)
        return 0
    except Failure as failure:
        print(f"train-default: error: {failure}", file=sys.stderr)
        return failure.status
    except OSError as error:
        print(f"train-default: error: {error}; free space and check permissions", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train-default: interrupted", file=sys.stderr)
        return 130


def status(home: Home, options: argparse.Namespace) -> None:
    """Say how far it is."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `status | head` is no error
    found = status_json(home, options.metric)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        print("\n".join(status_lines(home, found)))


def pause(home: Home, _options: argparse.Namespace) -> None:
    """Stop the clock of trainer and data workers."""
    state = _expect(home, RUNNING)
    assert state.trainer is not None
    state.trainer.send_to_group(signal.SIGSTOP)
    print("paused; `train-default resume` goes on")


def resume(home: Home, _options: argparse.Namespace) -> None:
    """Let it go on."""
    state = _expect(home, PAUSED)
    _continue(state)
    print("running")


def _continue(state: State) -> None:
    """The supervisor too, which somebody who stops all processes of a machine has stopped."""
    for process in state.processes():
        process.send_to_group(signal.SIGCONT)


def stop(home: Home, options: argparse.Namespace) -> None:
    """Have the checkpoint written, and end it."""
    state = _expect(home, RUNNING, PAUSED)
    assert state.trainer is not None
    if state.owner is not None:  # Where it was killed, the kernel has told the trainer to stop.
        state.owner.send(signal.SIGTERM)
    _continue(state)
    deadline = time.monotonic() + options.grace
    while is_locked(home.lock):
        if time.monotonic() > deadline:
            state.trainer.send_to_group(signal.SIGKILL)
        time.sleep(_POLL_S)
    ended = read_state(home)
    print(f"stopped: {ended.why if ended else ''}")


def _expect(home: Home, *wanted: str) -> State:
    state = read_state(home)
    if state is None or state.what not in wanted:
        got = "none" if state is None else f"one that is {state.what}"
        raise Failure(f"expected a run that is {' or '.join(wanted)}, got {got}")
    return state


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train-default",
        description="Train the default model in the background, at the lowest priority, from a "
        "clone and an environment of its own. Everything lies in the folder SAM3_EDGE_TRAIN_HOME, "
        "by default ~/.cache/sam3-edge/train-default.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_start(commands)
    shown = commands.add_parser("status", help="say how far it is, and show the curve")
    shown.add_argument("--json", action="store_true", help="print everything known as JSON")
    shown.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="SET/KIND/AP",
        help="metric to draw, may be repeated (default: box AP of both splits)",
    )
    commands.add_parser("pause", help="halt it where it is; the time does not count as training")
    commands.add_parser("resume", help="let a paused run go on")
    stopped = commands.add_parser("stop", help="write a checkpoint and end it; `start` goes on")
    stopped.add_argument(
        "--grace",
        type=float,
        default=GRACE_S,
        metavar="SECONDS",
        help=f"kill it if it has not ended after so long (default: {GRACE_S:.0f})",
    )
    return parser


def _add_start(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    new = commands.add_parser(
        "start",
        help="go on with the last leg, or begin the first",
        description="Go on from the last checkpoint, or begin the first leg. --restart and "
        "--commit begin a new leg: another commit, the best weights of the leg before.",
    )
    new.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="over the configuration")
    new.add_argument("--config", metavar="NAME", help=f"what to train (default: {CONFIG})")
    new.add_argument(
        "--data",
        metavar="FOLDER",
        help="folder of the data sets (default: $SAM3_EDGE_DATA, or ../shared/data)",
    )
    new.add_argument("--until", metavar="HH:MM", help="local time at which it stops by itself")
    new.add_argument(
        "--nice",
        type=int,
        choices=range(20),
        metavar="N",
        help="niceness, 0 to 19 (default: 19, and only what others leave of processor and disk)",
    )
    new.add_argument(
        "--restart", action="store_true", help="begin a new leg from the checkout's commit"
    )
    new.add_argument("--commit", metavar="COMMIT", help="begin a new leg from this commit")
    new.add_argument(
        "--python",
        type=Path,
        metavar="PYTHON",
        help="use this environment, which has what training needs, instead of making one",
    )
    new.add_argument(
        "--package",
        action="append",
        default=[],
        metavar="NAME==VERSION",
        help="install this package too; may be repeated (default for nano_default: its backbone's)",
    )
