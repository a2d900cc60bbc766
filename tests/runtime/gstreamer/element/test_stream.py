"""What an element does with its pictures, without a pipeline around it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from sam3_edge.runtime.gstreamer.element.layout import Picture
from sam3_edge.runtime.gstreamer.element.properties import Settings
from sam3_edge.runtime.gstreamer.element.stream import Lag, Seen, Stream

STEP_NS = 100_000_000
PICTURE = Picture(planes=(np.zeros((48, 64 * 3), np.uint8),), format="BGR", size=(48, 64))


class Watched:
    """A stream, what it tells, and a way to hold up its engine."""

    def __init__(self, settings: Settings) -> None:
        self.seen: list[Seen] = []
        self.warnings: list[str] = []
        self.prompts_when_warned: list[str] = []
        self.stream = Stream("watched", settings, self.seen.append, self._warn)
        self._count = 0

    def _warn(self, text: str) -> None:
        self.warnings.append(text)
        if hasattr(self, "stream"):  # it may warn while it is made
            self.prompts_when_warned.append(self.stream.settings.prompt)

    def look(self) -> tuple[Seen, Lag] | None:
        self._count += 1
        return self.stream.look(PICTURE, self._count * STEP_NS)

    def looked_at(self) -> list[int]:
        return [seen.result.frame.index for seen in self.seen]

    def hold_up(self) -> Callable[[], None]:
        """The engine does nothing until what is returned is called."""
        free = Event()
        self.stream._model.submit(free.wait)
        return free.set

    def set(self, **changes: object) -> None:
        """Returns when the change has been answered."""
        settings = self.stream.settings
        for name, value in changes.items():
            settings = settings.changed(name, value)
        self.stream.change(settings)
        self.stream._prompts.submit(lambda: None).result()


@pytest.fixture
def watch(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Watched]]:
    """watch(prompt="fish", ...): with the settings named; closed at the end."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    opened: list[Watched] = []

    def call(prompt: str = "fish", **settings: object) -> Watched:
        chosen = Settings(prompt=prompt, bundle=str(stand_in), threads=1)
        for name, value in settings.items():
            chosen = chosen.changed(name, value)
        opened.append(Watched(chosen))
        return opened[-1]

    yield call
    for each in opened:
        each.stream.close()


def test_another_every_begins_at_once(watch: Callable[..., Watched]) -> None:
    watched = watch(every=1000)
    for _ in range(4):
        watched.look()
    watched.set(every=2)
    for _ in range(4):
        watched.look()
    assert watched.looked_at() == [0, 4, 6]


def test_who_waits_again_gets_the_result_of_his_own_picture(
    watch: Callable[..., Watched],
) -> None:
    watched = watch(**{"async": True})
    release = watched.hold_up()
    assert watched.look() is None
    release()
    watched.set(**{"async": False})
    found = watched.look()
    assert found is not None
    assert (found[0].result.frame.index, found[1].frames) == (1, 0)
    assert watched.looked_at() == [0, 1]


def test_pictures_that_come_while_the_engine_is_busy_are_counted(
    watch: Callable[..., Watched],
) -> None:
    watched = watch(**{"async": True})
    release = watched.hold_up()
    for _ in range(4):
        watched.look()
    release()
    watched.stream.finish()
    watched.look()
    watched.stream.finish()
    frames = [seen.result.frame for seen in watched.seen]
    assert [(frame.index, frame.dropped) for frame in frames] == [(0, 0), (4, 3)]


def test_what_every_leaves_out_is_not_lost(watch: Callable[..., Watched]) -> None:
    watched = watch(every=3)
    for _ in range(7):
        watched.look()
    assert [seen.result.frame.dropped for seen in watched.seen] == [0, 0, 0]


def test_of_many_elements_with_one_model_each_gets_its_turn(
    watch: Callable[..., Watched],
) -> None:
    all_of_them = [watch(**{"async": True}) for _ in range(5)]
    release = all_of_them[0].hold_up()
    for each in all_of_them:
        each.look()
    release()
    for each in all_of_them:
        each.stream.finish()
    assert [each.looked_at() for each in all_of_them] == [[0]] * 5


def test_after_a_jump_nothing_old_is_attached(watch: Callable[..., Watched]) -> None:
    watched = watch(every=1000)
    assert watched.look() is not None
    assert watched.look() is not None
    watched.stream.forget()
    assert watched.look() is None


def test_a_prompt_that_cannot_be_is_taken_back_and_the_next_change_is_made(
    watch: Callable[..., Watched],
) -> None:
    watched = watch("fish")
    watched.set(prompt="fish; FISH", every=2)
    assert watched.stream.settings.prompt == "fish"
    assert watched.stream.settings.every == 2
    (warning,) = watched.warnings
    assert "which are the same" in warning
    watched.set(threshold=0.4)
    watched.look()
    assert watched.warnings == [warning]
    assert len(watched.seen[-1].result.detections) == 2  # 0.88 and 0.5


def test_a_fault_in_encoding_a_prompt_is_told(
    watch: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = watch("fish")

    def fail(*_arguments: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(watched.stream._model, "request", fail)
    watched.set(prompt="crab")
    assert watched.warnings == ["MemoryError: no room (the prompt and threshold before it go on)"]
    assert watched.prompts_when_warned == ["fish"]


def test_a_drawing_that_cannot_be_is_refused(watch: Callable[..., Watched]) -> None:
    watched = watch(draw="boxes")
    watched.set(draw="circles")
    assert watched.stream.settings.draw == "boxes"
    (warning,) = watched.warnings
    assert "expected none, boxes, masks, got 'circles' (what was set before goes on)" in warning


def test_a_phrase_nobody_knows_is_said_once(watch: Callable[..., Watched]) -> None:
    watched = watch("sea star")
    for threshold in (0.1, 0.2, 0.3):
        watched.set(threshold=threshold)
    (warning,) = watched.warnings
    assert "'sea star'" in warning
