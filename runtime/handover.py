"""A bounded queue from one thread to another, which either side may end."""

from collections import deque
from collections.abc import Callable
from threading import Condition
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Handover(Generic[Item]):
    """Keeps the order. One thread puts, one takes.

    capacity: items that may wait. latest_wins: a put into a full one pushes the oldest out, which
    counts as dropped; otherwise the putting thread waits. Items of which `is_news` says so take no
    room and are never dropped.
    changed: notified of every change; to be shared where one thread takes from several.
    """

    def __init__(
        self,
        capacity: int,
        *,
        latest_wins: bool,
        is_news: Callable[[Item], bool] = lambda _: False,
        changed: Condition | None = None,
    ) -> None:
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._latest_wins = latest_wins
        self._is_news = is_news
        self._changed = changed or Condition()
        self._ended = self._stopped = False
        self._error: BaseException | None = None
        self._num_dropped = 0

    @property
    def num_dropped(self) -> int:
        return self._num_dropped

    @property
    def is_over(self) -> bool:
        """Nothing waits and nothing will come; an error may still have to be taken."""
        with self._changed:
            return self._is_over()

    @property
    def is_done(self) -> bool:
        """It is over, and no error is left to be taken."""
        with self._changed:
            return self._is_over() and self._error is None

    def put(self, item: Item, timeout_s: float | None = None) -> bool:
        """Whether it was accepted: not after `stop`, nor where the time passed in a full one."""
        with self._changed:
            if not self._is_news(item) and not self._has_room(timeout_s):
                return False
            if self._stopped:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def end(self, error: BaseException | None = None) -> None:
        """By the putting side: this was the last. `error` is raised when all was taken."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def get(self, timeout_s: float | None = None) -> Item | None:
        """The oldest item; None when it is over, or where the time passed without one.

        timeout_s: 0 does not wait; None waits as long as it takes.
        """
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items) or self._is_over(), timeout_s)
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            if self._error is not None and not self._stopped:
                error, self._error = self._error, None
                raise error
            return None

    def stop(self) -> None:
        """By the taking side: it wants no more. What waits is let go."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()

    def _has_room(self, timeout_s: float | None) -> bool:
        """Made, where the latest wins; waited for, where not."""
        if self._latest_wins and self._is_full():
            oldest = next(k for k, item in enumerate(self._items) if not self._is_news(item))
            del self._items[oldest]
            self._num_dropped += 1
            return True
        return self._changed.wait_for(lambda: self._stopped or not self._is_full(), timeout_s)

    def _is_full(self) -> bool:
        return sum(not self._is_news(item) for item in self._items) >= self._capacity

    def _is_over(self) -> bool:
        return self._stopped or (self._ended and not self._items)
