"""Find what a sentence means in live video, on a small board.

import sam3_edge

with sam3_edge.load() as model:
    for result in model.stream("rtsp://camera/1", prompts=["fish"]):
        print(result.frame.index, len(result.detections))
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sam3_edge.model import Model, load
    from sam3_edge.runtime.postprocess import Suppression
    from sam3_edge.runtime.results import FrameResult
    from sam3_edge.runtime.source_event import SourceEvent

__all__ = ["FrameResult", "Model", "SourceEvent", "Suppression", "__version__", "load"]
__version__ = "0.1.0"

# From 1.29 on ONNX Runtime tells its makers which models it runs, unless it is told not to before it
# is imported. What a camera is asked to find is nobody else's business. (=0 allows it again.)
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_PLACES = {
    "FrameResult": "sam3_edge.runtime.results",
    "Model": "sam3_edge.model",
    "SourceEvent": "sam3_edge.runtime.source_event",
    "Suppression": "sam3_edge.runtime.postprocess",
    "load": "sam3_edge.model",
}

if not TYPE_CHECKING:  # to whom every name would be there

    def __getattr__(name: str) -> object:
        """Found when it is asked for (PEP 562): `sam3-edge --help` needs no numpy."""
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_PLACES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
