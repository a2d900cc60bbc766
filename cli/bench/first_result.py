"""A process that starts, finds something in one picture, and says when it got how far.

`startup.py` runs it: nothing may be imported before its first clock.
"""

import time

_ENTERED_NS = time.monotonic_ns()

import json  # noqa: E402
import sys  # noqa: E402
from itertools import pairwise  # noqa: E402
from pathlib import Path  # noqa: E402


def main(arguments: list[str]) -> None:
    """spawned (monotonic ns), bundle, prompt, text cache, threads or ""; one JSON line out."""
    spawned, bundle_path, prompt, text_cache, threads = arguments
    import cv2
    import numpy as np
    import onnxruntime

    del onnxruntime
    libraries_ns = time.monotonic_ns()
    from contextlib import closing

    from sam3_edge.bench.request import make_request
    from sam3_edge.bench.source import SyntheticSource
    from sam3_edge.engines.load import load_backend, open_bundle
    from sam3_edge.runtime.capture import Capture
    from sam3_edge.runtime.pipeline import detect

    imported_ns = time.monotonic_ns()
    cv2.setNumThreads(1)
    bundle = open_bundle(Path(bundle_path), verified_only=False)
    num_threads = int(threads) if threads else None
    with closing(load_backend(bundle, num_threads=num_threads)) as backend:
        loaded_ns = time.monotonic_ns()
        request = make_request(
            (prompt,), 1, bundle=bundle, backend=backend, text_cache=Path(text_cache), warn=_ignore
        )
        source = SyntheticSource((np.full((720, 1280, 3), 127, dtype=np.uint8),))
        with closing(Capture(source)) as capture:
            results = detect(capture, backend, request)
            next(results)
            first_ns = time.monotonic_ns()
            del results  # which ends its thread
    moments = int(spawned), _ENTERED_NS, libraries_ns, imported_ns, loaded_ns, first_ns
    steps = [(later - sooner) / 1e6 for sooner, later in pairwise(moments)]
    print(json.dumps(steps))


def _ignore(_message: str) -> None:
    """The process that started this one has said it."""


if __name__ == "__main__":
    main(sys.argv[1:])
