from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from sam3_edge.engines.bundle import Bundle
from sam3_edge.export.bisect_failure import bisect_failure
from sam3_edge.export.bisect_graph import bisect_graph, graph_inputs
from sam3_edge.export.evidence import Evidence
from sam3_edge.export.precision import to_fp16
from sam3_edge.export.verify import measure
from tests.export.sabotage import after_output, layers, scale_weight

pytest.importorskip("polygraphy")


@pytest.mark.parametrize(("graph", "op", "layer"), [("text", "Gemm", 3), ("vision", "Conv", 5)])
def test_it_names_the_layer_that_is_wrong(
    default_bundle: Bundle,
    one_picture: Evidence,
    changed_bundle: Callable[..., Bundle],
    graph: str,
    op: str,
    layer: int,
) -> None:
    wrong = layers(onnx.load(default_bundle.graph_path(graph)), op)[layer]
    changed = changed_bundle({graph: lambda model: scale_weight(model, layer, 1.2, op=op)})
    measured = measure(changed, default_bundle, one_picture)
    found = bisect_failure(changed, default_bundle, one_picture, measured)
    assert found is not None
    assert found.graph == graph
    assert found.first is not None
    first = found.compared[found.first]
    assert (first.node, first.op, first.tensor) == (wrong.name, op, wrong.output[0])
    assert all(not one.leaves(found.tolerance) for one in found.compared[: found.first])


def test_where_nothing_fails_nothing_is_searched(
    default_bundle: Bundle, one_picture: Evidence
) -> None:
    measured = measure(default_bundle, default_bundle, one_picture)
    assert bisect_failure(default_bundle, default_bundle, one_picture, measured) is None


def test_an_honest_fp16_graph_has_no_wrong_layer(
    default_bundle: Bundle, one_picture: Evidence, tmp_path: Path
) -> None:
    path = default_bundle.graph_path("text")
    half, _ = to_fp16(onnx.load(path))
    onnx.save(half, tmp_path / "half.onnx")
    asked = graph_inputs(default_bundle, one_picture, "text")
    found = bisect_graph("text", path, tmp_path / "half.onnx", asked, 0.02)
    assert found.first is None
    assert len(found.compared) > 50  # most names survive the conversion


def test_a_value_that_is_not_finite_leaves_every_tolerance(
    default_bundle: Bundle, one_picture: Evidence, tmp_path: Path
) -> None:
    path = default_bundle.graph_path("text")
    broken = after_output(onnx.load(path), "text_features", "Log", [])
    onnx.save(broken, tmp_path / "broken.onnx")
    asked = graph_inputs(default_bundle, one_picture, "text")
    found = bisect_graph("text", path, tmp_path / "broken.onnx", asked, 1e9)
    assert found.first is not None
    assert found.compared[found.first].tensor == "text_features"
    assert found.compared[found.first].relative_l2 is None
