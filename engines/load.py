"""From a folder to a bundle this machine may execute, and to the backend that executes it."""

from pathlib import Path

from sam3_edge.engines.backend import Backend
from sam3_edge.engines.bundle import Bundle, read_manifest
from sam3_edge.engines.manifest import BackendName, BuiltOn


def open_bundle(path: Path, *, verified_only: bool = True) -> Bundle:
    """`Bundle.open` for execution here: an engine is compared with this machine's device.

    Raises BundleError, and EngineError where TensorRT or CUDA are not installed.
    """
    device = _device(read_manifest(path).backend)
    return Bundle.open(path, verified_only=verified_only, device=device)


def load_backend(bundle: Bundle, *, num_threads: int | None = None) -> Backend:
    """num_threads: processors for an engine on the CPU; None takes all this process may use.

    Raises EngineError, BundleError.
    """
    # Imported only when needed: each takes a while, and no machine has them all.
    if bundle.manifest.backend == "onnxruntime":
        from sam3_edge.engines.onnxruntime_backend import OnnxRuntimeBackend

        return OnnxRuntimeBackend(bundle, num_threads=num_threads)
    from sam3_edge.engines.tensorrt_backend import TensorRTBackend

    return TensorRTBackend(bundle)


def _device(backend: BackendName) -> BuiltOn | None:
    if backend == "onnxruntime":
        return None
    from sam3_edge.engines.tensorrt_device import this_device

    return this_device(backend)
