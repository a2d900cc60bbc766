"""Several sources at once, each as it is to be read: live ones come back when they are lost."""

from collections.abc import Sequence
from contextlib import ExitStack

from sam3_edge.errors import UsageError
from sam3_edge.runtime.address import without_secrets
from sam3_edge.runtime.sources import ANY_CAMERA, CameraWish, Source, open_source
from sam3_edge.runtime.sources.reconnecting import ReconnectingSource


def open_sources(
    texts: Sequence[str],
    *,
    stack: ExitStack,
    wish: CameraWish = ANY_CAMERA,
    retries: int | None = None,
    deadline_ms: float | None = None,
) -> list[Source]:
    """texts, wish: as `open_source` takes them. stack: closes them. retries: attempts to open a
    lost live source again; None: for ever. deadline_ms: asked of the frames.

    Raises SourceError; UsageError for two of one name, for two that read standard input, for a
    wish without a camera, and where no frame can be late.
    """
    _check_together(texts, wish)
    sources: list[Source] = []
    for text in texts:
        source = _open_reconnecting(text, wish, retries)
        stack.callback(source.close)
        if source.name in [other.name for other in sources]:
            raise UsageError(f"expected different sources, got {source.name} twice; give it once")
        sources.append(source)
    if deadline_ms is not None and not any(source.live for source in sources):
        raise UsageError(
            f"expected a camera beside a deadline, got {sources[0].name}, whose frames are never "
            "late; leave the deadline out"
        )
    return sources


def _check_together(texts: Sequence[str], wish: CameraWish) -> None:
    if wish != ANY_CAMERA and not any(text.startswith(("camera:", "csi:")) for text in texts):
        names = ", ".join(map(without_secrets, texts))
        raise UsageError(
            f"expected a camera beside a width, height, rate or pixel format, got {names}; leave "
            "them out: other sources have a size and a rate of their own"
        )
    piped = [text for text in texts if text.startswith("raw:")]
    if len(piped) > 1:
        raise UsageError(
            f"expected one source that reads standard input, got {len(piped)}: {', '.join(piped)}; "
            "run a second process for the other"
        )


def _open_reconnecting(text: str, wish: CameraWish, retries: int | None) -> Source:
    source = open_source(text, wish)
    if not (source.live and source.may_reopen) or retries == 0:
        return source
    return ReconnectingSource(source, lambda: open_source(text, wish), retries=retries)
