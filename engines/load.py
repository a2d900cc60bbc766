"""From a bundle to the backend that executes it."""

from sam3_edge.engines.backend import Backend
from sam3_edge.engines.bundle import Bundle
from sam3_edge.errors import EngineError


def load_backend(bundle: Bundle, *, num_threads: int | None = None) -> Backend:
    """num_threads: processors for an engine on the CPU; None takes all this process may use.

    Raises EngineError, BundleError.
    """
    if bundle.manifest.backend != "onnxruntime":
        raise EngineError(
            f"{bundle.path} needs the {bundle.manifest.backend} backend: expected onnxruntime, "
            "the only one in this installation; export the checkpoint and use that bundle"
        )
    # Only now: it takes a while, and other backends do not need it.
    from sam3_edge.engines.onnxruntime_backend import OnnxRuntimeBackend

    return OnnxRuntimeBackend(bundle, num_threads=num_threads)
