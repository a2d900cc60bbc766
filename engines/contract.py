"""The tensors of the four graphs: the one place where their names, types and axes are written.

Export writes graphs with them, and a bundle whose graphs differ is refused.
"""

from dataclasses import dataclass

from sam3_edge.engines.manifest import Dtype, GraphSpec, Manifest, ModelSpec, TensorSpec

NUM_PROMPTS = "P"  # the only dynamic axis
REQUIRED_GRAPHS = ("vision", "text", "decoder")


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphTensors:
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def graph_tensors(model: ModelSpec, grid: int) -> dict[str, GraphTensors]:
    """The contract by graph name. grid: s, the side of `features_1x` in tokens."""
    size, width, queries = model.image_size, model.d_model, model.num_queries
    tokens, slots = model.context_length, model.num_exemplars
    vision = (
        _tensor("features_4x", "float32", 1, width, 4 * grid, 4 * grid),
        _tensor("features_2x", "float32", 1, width, 2 * grid, 2 * grid),
        _tensor("features_1x", "float32", 1, width, grid, grid),
        _tensor("image_token", "float32", 1, 1, width),
    )
    text_features = _tensor("text_features", "float32", NUM_PROMPTS, tokens, width)
    exemplar_features = _tensor("exemplar_features", "float32", NUM_PROMPTS, slots, width)
    decoder_inputs = (
        *vision,
        text_features,
        exemplar_features,
        _tensor("prompt_mask", "bool", NUM_PROMPTS, tokens + 1 + slots),
    )
    decoder_outputs = (
        _tensor("logits", "float32", NUM_PROMPTS, queries),
        _tensor("presence", "float32", NUM_PROMPTS, 1),
        _tensor("boxes", "float32", NUM_PROMPTS, queries, 4),
        _tensor("masks", "float32", NUM_PROMPTS, queries, 4 * grid, 4 * grid),
    )
    exemplar_inputs = (
        vision[2],
        _tensor("boxes", "float32", NUM_PROMPTS, slots - 1, 4),
        _tensor("labels", "int64", NUM_PROMPTS, slots - 1),
        _tensor("box_mask", "bool", NUM_PROMPTS, slots - 1),
    )
    return {
        "vision": GraphTensors(
            inputs=(_tensor("image", "uint8", 1, size, size, 3),), outputs=vision
        ),
        "text": GraphTensors(
            inputs=(_tensor("token_ids", "int64", NUM_PROMPTS, tokens),),
            outputs=(text_features, _tensor("text_mask", "bool", NUM_PROMPTS, tokens)),
        ),
        "decoder": GraphTensors(inputs=decoder_inputs, outputs=decoder_outputs),
        "exemplar": GraphTensors(inputs=exemplar_inputs, outputs=(exemplar_features,)),
    }


def check_contract(manifest: Manifest) -> None:
    """ValueError if a graph is missing, unknown, or has other tensors than the contract."""
    for name in REQUIRED_GRAPHS:
        if name not in manifest.graphs:
            raise ValueError(f"graphs.{name}: expected this graph, got nothing")
    contract = graph_tensors(manifest.model, feature_grid(manifest))
    for name, graph in manifest.graphs.items():
        if name not in contract:
            raise ValueError(f"graphs.{name}: expected one of {', '.join(contract)}")
        _check_graph(f"graphs.{name}", graph, contract[name])


def feature_grid(manifest: Manifest) -> int:
    """s: the side of `features_1x`, tokens. Read from the vision graph, as strides differ."""
    for tensor in manifest.graphs["vision"].outputs:
        if tensor.name == "features_1x" and len(tensor.shape) == 4:
            side = tensor.shape[2]
            if isinstance(side, int) and side > 0:
                return side
    raise ValueError("graphs.vision.outputs: expected features_1x of shape (1, C, s, s)")


def fixed_sizes(shape: tuple[int | str, ...]) -> tuple[int, ...]:
    """A shape without the prompt axis, as numbers."""
    sizes = tuple(size for size in shape if isinstance(size, int))
    assert len(sizes) == len(shape), f"{shape} has a dynamic axis"
    return sizes


def _check_graph(key: str, graph: GraphSpec, contract: GraphTensors) -> None:
    for side, given, expected in (
        ("inputs", graph.inputs, contract.inputs),
        ("outputs", graph.outputs, contract.outputs),
    ):
        by_name = {tensor.name: tensor for tensor in given}
        names = sorted(tensor.name for tensor in given)
        if names != sorted(tensor.name for tensor in expected):
            wanted = ", ".join(sorted(tensor.name for tensor in expected))
            raise ValueError(f"{key}.{side}: expected {wanted}, got {', '.join(names)}")
        for tensor in expected:
            _check_tensor(f"{key}.{side}.{tensor.name}", by_name[tensor.name], tensor)


def _check_tensor(key: str, given: TensorSpec, expected: TensorSpec) -> None:
    if given.shape != expected.shape:
        raise ValueError(f"{key}: expected shape {expected.shape}, got {given.shape}")
    if given.dtype != expected.dtype:
        raise ValueError(f"{key}: expected {expected.dtype}, got {given.dtype}")


def _tensor(name: str, dtype: Dtype, *shape: int | str) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)
