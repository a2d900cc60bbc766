"""One run at a time: a lock that lives as long as a process holds it, and no longer."""

import fcntl
import os
import time
from pathlib import Path

# Whoever only asks holds it for a moment too.
_PATIENCE_S = 1.0


def take_lock(path: Path) -> int | None:
    """An open file descriptor that holds the lock, and so do processes that inherit it; None where
    another process does.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except OSError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                return None
            time.sleep(0.05)


def is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
