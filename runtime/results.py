"""What is known of one frame once it has been through the engine, and its JSON line."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sam3_edge.runtime.detections import Detections
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.source_event import SourceEvent

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Milliseconds of work one frame took, stage by stage."""

    preprocess_ms: float
    vision_ms: float
    decoder_ms: float
    postprocess_ms: float

    @property
    def total_ms(self) -> float:
        """The stages' sum: not the time since the frame was taken, which waits as well."""
        return self.preprocess_ms + self.vision_ms + self.decoder_ms + self.postprocess_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameResult:
    """prompts: P texts, which `Detections.prompt_index` points into.

    age_ms: from the frame's capture until its detections were known.
    """

    frame: Frame
    prompts: tuple[str, ...]
    detections: Detections
    timing: Timing
    age_ms: float

    def to_supervision(self) -> Any:
        """`supervision.Detections`. Raises ImportError where that package is not installed."""
        from sam3_edge.runtime.supervision_detections import to_supervision

        return to_supervision(self)


def json_line(result: FrameResult) -> str:
    """One line without its end, the schema of docs/results.md."""
    frame, found, timing = result.frame, result.detections, result.timing
    height, width = frame.size
    line = {
        "schema": SCHEMA,
        "source": frame.source,
        "state": frame.state,
        "frame": frame.index,
        "time_s": round(frame.time_s, 4),
        "utc_ns": frame.utc_ns,
        "width": width,
        "height": height,
        "age_ms": round(result.age_ms, 3),
        "dropped": frame.dropped,
        "presence": {
            text: round(float(presence), 4)
            for text, presence in zip(result.prompts, found.presence, strict=True)
        },
        "timing_ms": {
            "preprocess": round(timing.preprocess_ms, 3),
            "vision": round(timing.vision_ms, 3),
            "decoder": round(timing.decoder_ms, 3),
            "postprocess": round(timing.postprocess_ms, 3),
            "total": round(timing.total_ms, 3),
        },
        "detections": _objects(found, result.prompts),
    }
    return one_line(line)


def event_line(event: SourceEvent) -> str:
    """The same for what happened to a source."""
    line = {
        "schema": SCHEMA,
        "source": event.source,
        "state": event.state,
        "utc_ns": event.utc_ns,
        "reason": event.reason,
        "attempt": event.attempt,
        "final": event.final,
    }
    return one_line(line)


def one_line(line: dict[str, object]) -> str:
    """JSON without its end. A file's name may hold bytes that are no UTF-8: question marks then."""
    text = json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode("utf-8")


def _objects(found: Detections, prompts: Sequence[str]) -> list[dict[str, object]]:
    return [
        {
            "prompt": prompts[found.prompt_index[i]],
            "score": round(float(found.scores[i]), 4),
            "box": [round(float(edge), 2) for edge in found.boxes[i]],
            "track_id": None if found.track_ids is None else int(found.track_ids[i]),
            "mask": {"size": list(found.masks[i].size), "counts": found.masks[i].counts},
        }
        for i in range(len(found))
    ]
