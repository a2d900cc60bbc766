"""Connects again to a partner that has gone, beside the sink, which never waits for it."""

import socket
from collections.abc import Callable
from threading import Event, Lock, Thread

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0


class Redial:
    """Waits twice as long after every attempt, up to ten seconds, until `reset`."""

    def __init__(
        self, connect: Callable[[], socket.socket], first_wait_s: float = FIRST_WAIT_S
    ) -> None:
        """connect: raises OSError. It may take as long as looking up a name does."""
        self._connect = connect
        self._wait_s = self._first_wait_s = first_wait_s
        self._stopping = Event()
        self._lock = Lock()
        self._answer: socket.socket | None = None

    def begin(self) -> None:
        """By the sink, when the connection it had is gone."""
        Thread(target=self._run, name="sam3-edge redial", daemon=True).start()

    def take(self) -> socket.socket | None:
        """The new connection, once; None while there is none."""
        with self._lock:
            answer, self._answer = self._answer, None
            return answer

    def reset(self) -> None:
        """The connection holds: the next outage is another one."""
        self._wait_s = self._first_wait_s

    def stop(self) -> None:
        self._stopping.set()
        if (answer := self.take()) is not None:
            answer.close()

    def _run(self) -> None:
        while not self._stopping.wait(self._wait_s):
            self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
            try:
                answer = self._connect()
            except OSError:
                continue  # it was told that the partner is away; it still is
            with self._lock:
                if not self._stopping.is_set():
                    self._answer = answer
                    return
            answer.close()
