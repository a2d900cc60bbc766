"""This machine as an engine sees it: what a bundle's `built_on` is compared with."""

from contextlib import closing

from sam3_edge.engines.cuda_device import log, open_device
from sam3_edge.engines.manifest import BuiltOn
from sam3_edge.engines.tensorrt_api import Kind, open_tensorrt
from sam3_edge.errors import EngineError


def this_device(kind: Kind) -> BuiltOn:
    """The first GPU and the TensorRT that is installed. Raises EngineError where one is missing.

    `prompt_profile` and `device_memory_bytes` are an engine's, not a device's: () and None.
    """
    tensorrt = open_tensorrt(kind)
    with closing(open_device()) as device:
        return BuiltOn(
            gpu_name=device.name,
            compute_capability=device.compute_capability,
            driver_version=device.driver_version,
            tensorrt_version=tensorrt.version,
            prompt_profile=(),
            device_memory_bytes=None,
        )


def find_device(kind: Kind) -> BuiltOn | None:
    """`this_device`, or None where something is missing; the log says what."""
    try:
        return this_device(kind)
    except EngineError as error:
        log.info("no device for %s: %s", kind, error)
        return None
