"""How far one array is from another, as a manifest keeps it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.manifest import OutputDifference

# Logits near zero are near zero for no reason: an error counts relative to at least one logit a
# value, which moves a score by a quarter.
LOGITS = ("logits", "presence", "masks")
_TINY = 1e-30


def output_difference(name: str, expected: NDArray[Any], got: NDArray[Any]) -> OutputDifference:
    """name: of the output, without its graph. Both of the same shape, any dtype."""
    wanted, came = (x.astype(np.float64).ravel() for x in (expected, got))
    if not np.isfinite(came).all() or not np.isfinite(wanted).all():
        return OutputDifference(max_abs=None, relative_l2=None, cosine=None)
    off = came - wanted
    length, came_length = float(np.linalg.norm(wanted)), float(np.linalg.norm(came))
    least = wanted.size**0.5 if name in LOGITS else _TINY
    return OutputDifference(
        max_abs=float(np.abs(off).max(initial=0.0)),
        relative_l2=float(np.linalg.norm(off)) / max(length, least, _TINY),
        cosine=_cosine(float(wanted @ came), length, came_length),
    )


def note_difference(
    noted: dict[str, OutputDifference], name: str, difference: OutputDifference
) -> None:
    """Keep the worst of each figure under `name`; what was not finite once stays so."""
    before = noted.get(name)
    if before is None:
        noted[name] = difference
        return
    noted[name] = OutputDifference(
        max_abs=_largest(before.max_abs, difference.max_abs),
        relative_l2=_largest(before.relative_l2, difference.relative_l2),
        cosine=None
        if before.cosine is None or difference.cosine is None
        else min(before.cosine, difference.cosine),
    )


def _cosine(product: float, length: float, other: float) -> float:
    if length < _TINY or other < _TINY:
        return 1.0 if length == other else 0.0
    return min(1.0, max(-1.0, product / length / other))


def _largest(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)
