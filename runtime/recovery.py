"""The first result after a loss says that its source is back, whichever frame it is of."""

from dataclasses import replace

from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.source_event import SourceEvent


class Recovery:
    """For one reader of results: the first frame itself may have given way to a newer one."""

    def __init__(self) -> None:
        self._lost: set[str] = set()

    def mark(self, item: FrameResult | SourceEvent) -> FrameResult | SourceEvent:
        """The same, or with the state "recovered"."""
        if isinstance(item, SourceEvent):
            self._lost.add(item.source)
            return item
        if item.frame.source not in self._lost:
            return item
        self._lost.remove(item.frame.source)
        return replace(item, frame=replace(item.frame, state="recovered"))
