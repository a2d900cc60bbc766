"""Work that is queued call by call at first, and replayed as one CUDA graph from then on."""

from collections.abc import Callable

from sam3_edge.engines.cuda_device import CudaGraph, log
from sam3_edge.engines.tensorrt_buffer import Lane
from sam3_edge.errors import EngineError


class CaptureSwitch:
    """Whether work is captured: off where it is not wanted, not possible, or has failed once."""

    def __init__(self, *, wanted: bool, possible: bool) -> None:
        self.on = wanted and possible
        if wanted and not possible:
            log.warning(
                "these bindings of CUDA cannot capture graphs: running without them; "
                "install cuda-python"
            )

    def fail(self, error: EngineError) -> None:
        self.on = False
        log.warning("running without CUDA graphs, capturing one failed: %s", error)


class CapturedWork:
    """One piece of work with fixed addresses and shapes.

    The first run is an ordinary one, after which TensorRT has nothing left to prepare; the second
    is captured. `forget` when an address or a shape changes.
    """

    def __init__(self, enqueue: Callable[[], None], lane: Lane, switch: CaptureSwitch) -> None:
        self._enqueue, self._stream, self._switch = enqueue, lane.stream, switch
        self._warm = False
        self._graph: CudaGraph | None = None

    def run(self) -> None:
        """Queue it."""
        if self._graph is None and self._warm and self._switch.on:
            self._capture()
        if self._graph is not None:
            self._graph.launch(self._stream)
            return
        self._enqueue()
        self._warm = True

    def forget(self) -> None:
        """Only when none of it is queued any more."""
        graph, self._graph, self._warm = self._graph, None, False
        if graph is not None:
            graph.close()

    close = forget

    def _capture(self) -> None:
        self._stream.synchronise()  # the warm-up must be over, not only queued
        try:
            self._graph = self._stream.capture(self._enqueue)
        except EngineError as error:
            self._switch.fail(error)
