"""What a build tries, in order: from the precision asked for to the safest one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sam3_edge.engines.manifest import BackendName, Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One way to write the graphs.

    keep: of an INT8 graph, by the graph's name, the layers that stay as they are, worst first.
    attention_in_fp32: of an FP16 graph, for engines whose FP16 attention is wrong.
    """

    precision: Precision
    keep: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    attention_in_fp32: bool = False

    @property
    def name(self) -> str:
        kept = sum(map(len, self.keep.values()))
        if self.precision == "int8" and kept:
            return f"int8 with the worst {kept} layers kept"
        if self.attention_in_fp32:
            return f"{self.precision} with fp32 attention"
        return self.precision


def ladder(
    precision: Precision, backend: BackendName, keeps: Sequence[Mapping[str, tuple[str, ...]]] = ()
) -> Iterator[Step]:
    """keeps: for INT8, what to keep at each attempt, growing.

    On a CPU there is no arithmetic of 16 bits to fall back to: ONNX Runtime computes FP16 graphs
    in FP32 between roundings, slower than FP32 graphs. INT8 falls to FP32 there.
    """
    if precision == "int8":
        for keep in keeps or ({},):
            yield Step(precision="int8", keep=keep)
    if precision == "fp16" or (precision == "int8" and backend != "onnxruntime"):
        yield Step(precision="fp16")
        yield Step(precision="fp16", attention_in_fp32=True)
    yield Step(precision="fp32")
