"""Sources that are opened together, and what cannot be together."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from sam3_edge.errors import SourceError, UsageError
from sam3_edge.runtime.sources import CameraWish, Source, opening
from sam3_edge.runtime.sources.opening import open_sources
from sam3_edge.runtime.sources.reconnecting import ReconnectingSource
from tests.runtime.sources_to_test import ListedSource


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Opener:
    """In the place of `open_source`. wishes: with which each text was opened."""

    def __init__(self, *, live: bool = True, may_reopen: bool = True) -> None:
        self.live, self.may_reopen = live, may_reopen
        self.wishes: list[CameraWish] = []
        self.sources: list[ListedSource] = []

    def __call__(self, text: str, wish: CameraWish) -> Source:
        self.wishes.append(wish)
        source = ListedSource([], live=self.live, error=SourceError("unplugged"))
        source.name, source.may_reopen = text, self.may_reopen
        self.sources.append(source)
        return source


Use = Callable[[Opener], Opener]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    def put(opener: Opener) -> Opener:
        monkeypatch.setattr(opening, "open_source", opener)
        return opener

    return put


def test_a_camera_gets_its_wish_when_it_is_opened_and_opened_again(
    use: Use, stack: ExitStack
) -> None:
    opener = use(Opener())
    wish = CameraWish(width=640, height=480, fps=15.0, pixel_format="MJPG")
    (source,) = open_sources(["camera:0"], stack=stack, wish=wish, retries=1)
    assert isinstance(source, ReconnectingSource)
    with pytest.raises(SourceError, match="unplugged"):
        list(source.frames())
    assert opener.wishes == [wish, wish]


@pytest.mark.parametrize(
    ("live", "may_reopen", "retries"), [(True, False, 1), (False, True, 1), (True, True, 0)]
)
def test_what_must_not_be_opened_again_is_not(
    use: Use, stack: ExitStack, live: bool, may_reopen: bool, retries: int | None
) -> None:
    opener = use(Opener(live=live, may_reopen=may_reopen))
    (source,) = open_sources(["csi:0"], stack=stack, retries=retries)
    assert source is opener.sources[0]
    with pytest.raises(SourceError, match="unplugged"):
        list(source.frames())
    assert len(opener.sources) == 1


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["demo", "demo:0"], "expected different sources, got demo twice; give it once"),
        (
            ["raw:BGR:8x8", "demo", "raw:RGB:8x8"],
            "one source that reads standard input, got 2: raw",
        ),
    ],
)
def test_what_cannot_be_together(stack: ExitStack, texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_sources(texts, stack=stack)


def test_a_wish_needs_a_camera(stack: ExitStack) -> None:
    wish = CameraWish(width=640)
    with pytest.raises(
        UsageError, match=r"a camera beside a width, .* got demo, rtsp://h/a; leave"
    ):
        open_sources(["demo", "rtsp://me:word@h/a"], stack=stack, wish=wish)


def test_a_deadline_needs_a_camera(stack: ExitStack) -> None:
    with pytest.raises(UsageError, match="expected a camera beside a deadline, got demo"):
        open_sources(["demo"], stack=stack, deadline_ms=100)


def test_what_was_opened_is_closed_where_the_next_cannot_be(use: Use) -> None:
    opener = use(Opener())
    with pytest.raises(UsageError, match="camera:0 twice"), ExitStack() as stack:
        open_sources(["camera:0", "camera:0"], stack=stack)
    assert [source.closed for source in opener.sources] == [1, 1]
