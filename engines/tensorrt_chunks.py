"""How many prompts go into one call of an engine whose prompt axis has limits."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
    """`num_prompts` prompts in `count` calls of `rows` each; what is missing in the last is padded.

    All calls have one size: an engine that changes its shape must be captured again.
    """

    num_prompts: int
    rows: int
    count: int

    @property
    def slices(self) -> tuple[slice, ...]:
        """The prompts of each call, without the padding."""
        starts = range(0, self.count * self.rows, self.rows)
        return tuple(slice(at, min(at + self.rows, self.num_prompts)) for at in starts)


def plan_chunks(num_prompts: int, fewest: int, most: int) -> Chunks:
    """fewest, most: what the engine takes in one call, at least 1."""
    if num_prompts == 0:
        return Chunks(num_prompts=0, rows=fewest, count=0)
    rows = max(fewest, -(-num_prompts // -(-num_prompts // most)))
    return Chunks(num_prompts=num_prompts, rows=rows, count=-(-num_prompts // rows))


def fill_rows(target: NDArray[Any], rows: NDArray[Any]) -> None:
    """Write `rows` into the first rows of `target`, and the last of them into what remains.

    A repeated prompt is an ordinary prompt: one masked whole would be a softmax over nothing.
    """
    target[: len(rows)] = rows
    target[len(rows) :] = rows[-1:]
