"""Order is kept, nothing waits for a side that has gone, and what is lost is counted."""

from threading import Thread
from time import monotonic

import pytest

from sam3_edge.runtime.handover import Handover

PATIENCE_S = 20.0  # a hang would be for ever; a busy machine is only slow


def run(work: object) -> Thread:
    thread = Thread(target=work, daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def join(thread: Thread) -> None:
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_everything_in_order_through_a_narrow_queue() -> None:
    queue: Handover[int] = Handover(1, latest_wins=False)
    taken: list[int] = []

    def take() -> None:
        while (item := queue.get()) is not None:
            taken.append(item)

    thread = run(take)
    assert all(queue.put(number) for number in range(1, 500))
    queue.end()
    join(thread)
    assert taken == list(range(1, 500))
    assert queue.is_over
    assert queue.num_dropped == 0


def test_the_latest_wins_and_the_others_are_counted() -> None:
    queue: Handover[int] = Handover(2, latest_wins=True)
    assert all(queue.put(number) for number in range(10))
    assert queue.num_dropped == 8
    assert [queue.get(), queue.get(), queue.get(0)] == [8, 9, None]


def test_an_error_comes_once_and_after_the_last_item() -> None:
    queue: Handover[int] = Handover(3, latest_wins=False)
    queue.put(1)
    queue.end(OSError("unplugged"))
    assert queue.get() == 1
    assert queue.is_over
    with pytest.raises(OSError, match="unplugged"):
        queue.get()
    assert queue.get() is None


def test_time_passes_and_nothing_comes_or_goes() -> None:
    queue: Handover[int] = Handover(1, latest_wins=False)
    assert queue.get(0) is None
    assert queue.get(0.01) is None
    assert queue.put(1, 0.01)
    started = monotonic()
    assert not queue.put(2, 0.05)
    assert monotonic() - started >= 0.05
    assert queue.get() == 1
    assert not queue.is_over


def test_a_stop_frees_who_puts() -> None:
    queue: Handover[int] = Handover(1, latest_wins=False)
    queue.put(1)
    accepted: list[bool] = []
    thread = run(lambda: accepted.append(queue.put(2)))
    queue.stop()
    join(thread)
    assert accepted == [False]
    assert not queue.put(3)
    assert queue.get() is None


@pytest.mark.parametrize("end", ["stop", "end"])
def test_an_end_frees_who_takes(end: str) -> None:
    queue: Handover[int] = Handover(1, latest_wins=False)
    got: list[int | None] = []
    thread = run(lambda: got.append(queue.get()))
    getattr(queue, end)()
    join(thread)
    assert got == [None]


def test_who_stopped_hears_of_no_error() -> None:
    queue: Handover[int] = Handover(1, latest_wins=False)
    queue.stop()
    queue.end(OSError("too late to matter"))
    assert queue.get() is None


def test_news_take_no_room_and_are_never_dropped() -> None:
    queue: Handover[int | str] = Handover(
        1, latest_wins=True, is_news=lambda item: isinstance(item, str)
    )
    for item in (1, "lost", 2, "recovered", 3):
        assert queue.put(item)
    assert [queue.get() for _ in range(3)] == ["lost", "recovered", 3]
    assert queue.num_dropped == 2
    patient: Handover[int | str] = Handover(
        1, latest_wins=False, is_news=lambda item: isinstance(item, str)
    )
    assert patient.put(1)
    assert patient.put("lost", 0)
    assert not patient.put(2, 0.01)
    assert [patient.get(), patient.get()] == [1, "lost"]
