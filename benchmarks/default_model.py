"""The default bundle, loaded and warm, as the benchmarks that measure a whole run want it."""

from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from sam3_edge.bench.cpu import ThreadOwners
from sam3_edge.bench.load import Loaded, load_warm
from sam3_edge.engines.bundle import default_bundle_path
from sam3_edge.engines.load import load_backend, open_bundle


def load_default(text_cache: Path, *prompts: str) -> AbstractContextManager[Loaded]:
    """text_cache: a folder for encoded prompts."""
    bundle = open_bundle(default_bundle_path())
    return load_warm(
        bundle,
        partial(load_backend, bundle),
        prompts,
        len(prompts),
        owners=ThreadOwners(),
        text_cache=text_cache,
        warn=print,
    )
