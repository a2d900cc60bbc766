"""Does the gate bite? Wrong graphs that claim to be right, each to be refused by name."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.manifest import Precision, Verification
from sam3_edge.export.evidence import Evidence
from sam3_edge.export.graph_runner import OnnxRuntimeGraphs
from sam3_edge.export.precision import to_fp16
from sam3_edge.export.verify import verify
from tests.export.sabotage import after_output, inside, layers, scale_weight

Model = onnx.ModelProto
Gate = Callable[..., Verification]


class RememberedGraphs(OnnxRuntimeGraphs):
    """The reference on the one picture of these tests: each graph has one question to answer."""

    answers: ClassVar[dict[str, dict[str, NDArray[Any]]]] = {}

    def run_graph(self, name: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if name not in self.answers:
            self.answers[name] = super().run_graph(name, inputs)
        return self.answers[name]


@pytest.fixture
def gate(
    changed_bundle: Callable[..., Bundle],
    default_bundle: Bundle,
    one_picture: Evidence,
    monkeypatch: pytest.MonkeyPatch,
) -> Gate:
    """gate({graph: change}, precision="fp16"): the verdict on it."""

    monkeypatch.setattr("sam3_edge.export.verify.OnnxRuntimeGraphs", RememberedGraphs)

    def judge(changes: dict[str, Any], precision: Precision = "fp16") -> Verification:
        changed = changed_bundle(changes, precision=precision)
        return verify(changed, default_bundle, one_picture, num_threads=1)

    return judge


def weight(layer: int, factor: float, op: str = "Conv") -> Callable[[Model], Model]:
    return lambda model: scale_weight(model, layer, factor, op=op)


def times(output: str, factor: float) -> Callable[[Model], Model]:
    return lambda model: after_output(model, output, "Mul", [np.array([factor], np.float32)])


def plus(output: str, amount: float) -> Callable[[Model], Model]:
    return lambda model: after_output(model, output, "Add", [np.array([amount], np.float32)])


def backwards(output: str, axis: int) -> Callable[[Model], Model]:
    """The values exchanged along one axis, the first for the last and so on."""
    ends = [np.array([end]) for end in (-1, np.iinfo(np.int64).min, axis, -1)]
    return lambda model: after_output(model, output, "Slice", ends)


def noise(output: str, shape: tuple[int, ...], deviation: float) -> Callable[[Model], Model]:
    values = np.random.default_rng(7).normal(scale=deviation, size=shape).astype(np.float32)
    return lambda model: after_output(model, output, "Add", [values])


def one_nan(output: str, shape: tuple[int, ...]) -> Callable[[Model], Model]:
    values = np.zeros(shape, np.float32)
    values.flat[-1] = np.nan
    return lambda model: after_output(model, output, "Add", [values])


def boxes_elsewhere(model: Model) -> Model:
    """Every twelfth query looks somewhere else."""
    shift = np.where(np.arange(48) % 12 == 11, 0.3, 0.0).astype(np.float32)
    return after_output(model, "boxes", "Add", [shift[None, :, None]])


def saturated(layer: int, low: float, high: float) -> Callable[[Model], Model]:
    """An activation cut at a range that was measured wrong, as INT8 does."""

    def change(model: Model) -> Model:
        tensor = layers(model, "Conv", "Gemm")[layer].output[0]
        return inside(
            model, tensor, "Clip", [np.array(low, np.float32), np.array(high, np.float32)]
        )

    return change


def not_what_it_was(model: Model) -> Model:
    """Padding called words, and words padding."""
    return after_output(model, "text_mask", "Not", [])


WRONG = {
    "a weight of the stem times 1.1": ("vision", weight(1, 1.1), "vision.features"),
    "a weight in the middle times 1.1": ("vision", weight(20, 1.1), "vision.features"),
    # The least that is caught: this layer's output is the model's, and an error of 2 % the limit.
    "the neck's weight times 1.021": ("vision", weight(-1, 1.021), "vision.features"),
    "a weight of the text encoder times 1.1": ("text", weight(-1, 1.1, "Gemm"), "text.text_features"),
    "a weight of the exemplar encoder times 1.2": (
        "exemplar", weight(-1, 1.2, "Gemm"), "exemplar.exemplar_features",
    ),
    "a weight of the mask head times 1.1": ("decoder", weight(-1, 1.1, "Gemm"), "decoder.masks"),
    "logits times 3": ("decoder", times("logits", 3.0), "decoder.logits"),
    "logits times 1.05": ("decoder", times("logits", 1.05), "decoder.logits"),
    "presence plus 1": ("decoder", plus("presence", 1.0), "decoder.presence"),
    "boxes with 2 % noise": ("decoder", noise("boxes", (1, 48, 4), 0.02), "decoder.boxes"),
    "boxes of other things": ("decoder", boxes_elsewhere, "boxes share without a twin"),
    "boxes of swapped prompts": ("decoder", backwards("boxes", 0), "boxes share without a twin"),
    "logits of swapped prompts": ("decoder", backwards("logits", 0), "decoder.logits"),
    "masks of swapped queries": ("decoder", backwards("masks", 1), "decoder.masks"),
    "channels of a map swapped": ("vision", backwards("features_2x", 1), "vision.features_2x"),
    "a picture upside down": ("vision", backwards("features_1x", 2), "vision.features_1x"),
    "an activation cut at 3": ("vision", saturated(10, -3.0, 3.0), "vision.features"),
    "a mask that is inverted": ("text", not_what_it_was, "text.text_mask"),
    "NaN in a logit": ("decoder", one_nan("logits", (1, 48)), "decoder.logits"),
    "NaN in a mask": ("decoder", one_nan("masks", (1, 48, 84, 84)), "decoder.masks"),
    "NaN in a map": ("vision", one_nan("features_4x", (1, 96, 84, 84)), "vision.features_4x"),
}  # fmt: skip


@pytest.mark.parametrize(("graph", "change", "word"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refused_by_name(
    gate: Gate, graph: str, change: Callable[[Model], Model], word: str
) -> None:
    verdict = gate({graph: change})
    assert verdict.state == "failed"
    assert word in verdict.message


WRONG_INT8 = {
    "presence minus 3": (plus("presence", -3.0), "detections matched"),
    "logits minus 0.4": (plus("logits", -0.4), "scores median difference"),
    "logits plus 2": (plus("logits", 2.0), "extra detections"),
    "boxes with 2 % noise": (noise("boxes", (1, 48, 4), 0.02), "detections matched"),
    "masks too large": (plus("masks", 6.0), "masks median IoU"),
    "NaN in a box": (one_nan("boxes", (1, 48, 4)), "decoder.boxes relative L2 error not finite"),
}


@pytest.mark.parametrize(("change", "word"), WRONG_INT8.values(), ids=WRONG_INT8)
def test_int8_is_refused_by_what_it_finds(
    gate: Gate, change: Callable[[Model], Model], word: str
) -> None:
    verdict = gate({"decoder": change}, "int8")
    assert verdict.state == "failed"
    assert word in verdict.message


def test_an_honest_fp16_copy_passes(gate: Gate) -> None:
    graphs = ("vision", "text", "decoder", "exemplar")
    verdict = gate({name: lambda model: to_fp16(model)[0] for name in graphs})
    assert verdict.state == "passed", verdict.message
    errors = [output.relative_l2 or 0.0 for output in verdict.outputs.values()]
    assert max(errors) < 0.01
    assert sum(error > 1e-6 for error in errors) >= 9


def test_fp16_is_no_fp32(gate: Gate) -> None:
    verdict = gate({"vision": lambda model: to_fp16(model)[0]}, "fp32")
    assert verdict.state == "failed"
    assert "vision.features" in verdict.message


def test_the_same_graphs_pass_at_fp32(gate: Gate) -> None:
    verdict = gate({}, "fp32")
    assert verdict.state == "passed"
    assert verdict.detections is not None
    assert verdict.detections.matched == 1.0
