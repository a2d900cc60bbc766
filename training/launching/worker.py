"""`python -m sam3_edge.training.launching.worker CONFIG_RESOLVED [CALL]`: one process of a run.

Its rank comes from the environment, as torchrun sets it. Why it failed is left in a file for the
process that started it, which ends with that line.
"""

import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from sam3_edge.errors import Sam3EdgeError
from sam3_edge.training.config.compose import read_config

RUN = "sam3_edge.training.run:run"
# Set by the process that starts workers: where to leave the cause; the command it was given.
FAILURE_FILE = "SAM3_EDGE_FAILURE_FILE"
RECIPE = "SAM3_EDGE_RECIPE"
_PARENT_CHECK_S = 1.0
_INTERRUPTED = 130


def called(name: str) -> Callable[..., object]:
    """`module:function`, which takes a RunConfig and `recipe`."""
    module, _, function = name.partition(":")
    found: Callable[..., object] = getattr(importlib.import_module(module), function)
    return found


def main(config: str, call: str = RUN) -> int:
    """The exit status."""
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        called(call)(read_config(Path(config)), recipe=os.environ.get(RECIPE))
    except Sam3EdgeError as error:
        _leave(str(error))
        return error.exit_status
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:
        traceback.print_exc()
        _leave(f"{type(error).__name__}: {error}")
        return 1
    return 0


def _leave(why: str) -> None:
    path = os.environ.get(FAILURE_FILE)
    line = " ".join(why.split())
    if path is None:
        print(f"error: {line}", file=sys.stderr)
    else:
        Path(path).write_text(line, encoding="utf-8")


def _end_with_parent(parent: int) -> None:
    """Where the starter was killed and could end nobody, as it would have done."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
