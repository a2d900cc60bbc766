"""What a search for the first wrong layer found. Apart, so that showing it needs no onnx."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorDifference:
    """One tensor of the graph. node, op: what makes it in the reference.

    relative_l2: None where a value is not finite, or the shape is another.
    """

    tensor: str
    node: str
    op: str
    relative_l2: float | None

    def leaves(self, tolerance: float) -> bool:
        return self.relative_l2 is None or self.relative_l2 > tolerance


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisection:
    """compared: tensors in the order they are computed, up to some after `first`.

    first: the index of the first that leaves the tolerance; None if none does.
    """

    graph: str
    tolerance: float
    compared: tuple[TensorDifference, ...]
    first: int | None
