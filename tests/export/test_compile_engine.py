"""An ONNX graph becomes an engine that appears whole, or an error that says what to do."""

import errno
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sam3_edge.engines.tensorrt_types import Kind
from sam3_edge.errors import EngineError, ExportError, Sam3EdgeError, UsageError
from sam3_edge.export.compile_engine import CompiledEngine, CompileOptions, compile_engine

WIDTH = 64
AMPERE = CompileOptions(prompts=(1, 2, 8), compute_capability="8.6")


def save_graph(
    path: Path,
    shape: Sequence[int | str],
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, NDArray[np.generic]],
) -> Path:
    """A graph from float32 `x` of `shape` to float32 `y`, as export writes them: opset 20."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


def half_graph(path: Path, shape: Sequence[int | str] = ("P", 4, WIDTH)) -> Path:
    """A product in FP16 between two casts: the inputs and outputs of a bundle stay float32."""
    weight = np.linspace(-1, 1, WIDTH * WIDTH).reshape(WIDTH, WIDTH)
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["half", "weight"], ["product"]),
        helper.make_node("Cast", ["product"], ["y"], to=TensorProto.FLOAT),
    ]
    return save_graph(path, shape, nodes, {"weight": weight.astype(np.float16)})


def int8_graph(path: Path) -> Path:
    """The same with symmetric Q/DQ over FP16: on the activation, and per channel on the weight."""
    weight = np.linspace(-127, 127, WIDTH * WIDTH).reshape(WIDTH, WIDTH).astype(np.int8)
    constants = {
        "scale": np.float16(0.02),
        "zero": np.int8(0),
        "weight": weight,
        "scales": np.full(WIDTH, 0.01, dtype=np.float16),
        "zeros": np.zeros(WIDTH, dtype=np.int8),
    }
    nodes = [
        helper.make_node("Cast", ["x"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("QuantizeLinear", ["half", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"]),
        helper.make_node("DequantizeLinear", ["weight", "scales", "zeros"], ["w"], axis=1),
        helper.make_node("MatMul", ["dq", "w"], ["product"]),
        helper.make_node("Cast", ["product"], ["y"], to=TensorProto.FLOAT),
    ]
    weights = {name: np.asarray(value) for name, value in constants.items()}
    return save_graph(path, ("P", 4, WIDTH), nodes, weights)


def compiled(
    kind: Kind, graph: Path, options: CompileOptions = AMPERE
) -> tuple[CompiledEngine, list[str]]:
    """Compile beside the graph; the result and what was said."""
    lines: list[str] = []
    engine = compile_engine(kind, graph, graph.with_suffix(".engine"), options, lines.append)
    return engine, lines


def refused(kind: Kind, graph: Path, options: CompileOptions = AMPERE) -> str:
    """The error of a compilation, which left nothing."""
    before = sorted(graph.parent.iterdir())
    with pytest.raises(Sam3EdgeError) as caught:
        compiled(kind, graph, options)
    assert sorted(graph.parent.iterdir()) == before
    assert "\n" not in str(caught.value)
    return f"{type(caught.value).__name__}: {caught.value}"


# With TensorRT-RTX, which needs no GPU


@pytest.fixture
def rtx() -> Kind:
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed")
    return "tensorrt_rtx"


@pytest.mark.parametrize("write", [half_graph, int8_graph])
def test_typed_graphs_compile(rtx: Kind, tmp_path: Path, write: Callable[[Path], Path]) -> None:
    graph = write(tmp_path / "x.onnx")
    engine, lines = compiled(rtx, graph)
    assert engine.device_memory_bytes is None
    assert engine.version.startswith("1.")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.engine", "x.onnx"]
    assert (tmp_path / "x.engine").stat().st_size > 1000
    assert lines[1] == "x.onnx: compiling it for compute capability 8.6 and 1,2,8 prompts"
    assert [line.split(":")[0] for line in lines] == ["x.onnx", "x.onnx", "x.engine"]


def test_the_default_decoder_compiles(rtx: Kind, root: Path, tmp_path: Path) -> None:
    graph = root / "engines" / "default" / "decoder.onnx"
    out = tmp_path / "decoder.engine"
    compile_engine(rtx, graph, out, AMPERE, lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["decoder.engine"]
    assert out.stat().st_size > graph.stat().st_size


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        (("N", 4, WIDTH), "axis 0 called N"),
        ((None, 4, WIDTH), "axis 0 called nothing"),
        (("P", "height", WIDTH), "axis 1 called height"),
        ((2, "P", WIDTH), "axis 1 called P"),
    ],
)
def test_only_prompts_may_be_dynamic(
    rtx: Kind, tmp_path: Path, shape: tuple[int | str, ...], axis: str
) -> None:
    message = refused(rtx, half_graph(tmp_path / "x.onnx", shape))
    assert "input x: expected fixed sizes but for a first axis called P" in message
    assert f"got a dynamic {axis};" in message


def test_a_fixed_graph_needs_no_profile(rtx: Kind, tmp_path: Path) -> None:
    compiled(rtx, half_graph(tmp_path / "x.onnx", (1, 4, WIDTH)))


def test_what_cannot_be_read_is_named(rtx: Kind, tmp_path: Path) -> None:
    missing = tmp_path / "missing.onnx"
    assert "missing.onnx: expected an ONNX file, got nothing" in refused(rtx, missing)
    (tmp_path / "junk.onnx").write_bytes(b"no graph" * 100)
    assert "junk.onnx: TensorRT-RTX 1" in refused(rtx, tmp_path / "junk.onnx")
    unknown = [helper.make_node("Levitate", ["x"], ["y"], name="lift")]
    message = refused(rtx, save_graph(tmp_path / "x.onnx", ("P", 4), unknown, {}))
    assert "cannot read it" in message
    assert "node 'lift' (Levitate): " in message


def test_a_gpu_it_does_not_know_is_refused(rtx: Kind, tmp_path: Path) -> None:
    options = CompileOptions(prompts=(1, 1, 1), compute_capability="6.1")
    message = refused(rtx, half_graph(tmp_path / "x.onnx"), options)
    assert "compute capabilities 7.5, 8.0, 8.6" in message


def test_an_older_engine_survives_a_failure(rtx: Kind, tmp_path: Path) -> None:
    (tmp_path / "x.engine").write_bytes(b"older")
    refused(rtx, half_graph(tmp_path / "x.onnx", ("N", 4, WIDTH)))
    assert (tmp_path / "x.engine").read_bytes() == b"older"


def test_an_output_that_cannot_be_written(rtx: Kind, tmp_path: Path) -> None:
    graph = half_graph(tmp_path / "x.onnx")
    (tmp_path / "x.engine").mkdir()
    assert "cannot write" in refused(rtx, graph)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": (0, 1, 2)}, r"1 <= MIN <= OPT <= MAX, got 0,1,2"),
        ({"prompts": (1, 9, 8)}, r"1 <= MIN <= OPT <= MAX, got 1,9,8"),
        ({"workspace_bytes": 512}, "at least 1 MiB, got 512 bytes"),
        ({"compute_capability": "sm_86"}, r"one like 8\.6, got 'sm_86'"),
    ],
)
def test_options_are_checked(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CompileOptions(**{"prompts": (1, 2, 8), **change})  # type: ignore[arg-type]


# With a TensorRT that is pretended


Severity = Enum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"])


class Log(Protocol):
    def log(self, severity: object, message: str) -> None: ...


class ILogger:
    Severity = Severity


class Plan(bytes):
    """What TensorRT gives: bytes that know how many they are."""

    @property
    def nbytes(self) -> int:
        return len(self)


class TimingCache:
    def __init__(self, stored: bytes) -> None:
        self.stored = stored

    def serialize(self) -> Plan:
        return Plan(b"measured")


class FakeTensorRT:
    """A module with a builder that succeeds, unless its fields are changed."""

    def __init__(self) -> None:
        self.__version__ = "10.3.0"
        self.ILogger = ILogger
        self.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
        self.MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
        names = ("FLOAT", "HALF", "INT8", "INT32", "INT64", "UINT8", "BOOL")
        self.DataType = SimpleNamespace(**{name: name for name in names})
        self.plan: Plan | None = Plan(b"engine")
        self.says: tuple[str, ...] = ()  # when it builds
        self.loads = True
        self.profile_index = 0
        self.refuses_cache = b"of another GPU"
        self.calls: list[tuple[object, ...]] = []
        self.attached: TimingCache | None = None

    def record(self, name: str) -> Callable[..., None]:
        return lambda *given: self.calls.append((name, *given))

    def Builder(self, log: Log) -> SimpleNamespace:  # noqa: N802
        self.native_log = log
        return SimpleNamespace(
            create_network=self.create_network,
            create_builder_config=self.create_builder_config,
            create_optimization_profile=lambda: SimpleNamespace(set_shape=self.record("shape")),
            build_serialized_network=self.build,
        )

    def create_network(self, flags: int) -> SimpleNamespace:
        self.calls.append(("network", flags))
        tensor = SimpleNamespace(
            name="text_features", shape=(-1, 32, 96), get_dimension_name=lambda _: "P"
        )
        return SimpleNamespace(num_inputs=1, get_input=lambda _: tensor)

    def create_builder_config(self) -> SimpleNamespace:
        return SimpleNamespace(
            set_memory_pool_limit=self.record("limit"),
            add_optimization_profile=lambda _: self.profile_index,
            create_timing_cache=TimingCache,
            set_timing_cache=self.set_timing_cache,
            get_timing_cache=lambda: self.attached,
        )

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if cache.stored == self.refuses_cache:
            self.native_log.log(Severity.ERROR, "device property mismatch")
            return False
        self.attached = cache
        return True

    def OnnxParser(self, *_: object) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(parse_from_file=lambda _: True)

    def build(self, *_: object) -> Plan | None:
        for line in self.says:
            self.native_log.log(Severity.ERROR, line)
        return self.plan

    def Runtime(self, _: Log) -> SimpleNamespace:  # noqa: N802
        engine = SimpleNamespace(
            num_io_tensors=0, get_tensor_name=None, device_memory_size_v2=4_000_000
        )
        return SimpleNamespace(
            deserialize_cuda_engine=lambda data: engine if self.loads and bytes(data) else None
        )


HERE = CompileOptions(prompts=(1, 2, 8))


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT:
    fake = FakeTensorRT()
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    return fake


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "decoder.onnx"
    path.write_bytes(b"graph")
    return path


def test_tensorrt_is_told_types_profile_and_workspace(tensorrt: FakeTensorRT, graph: Path) -> None:
    options = CompileOptions(prompts=(1, 2, 8), workspace_bytes=1 << 28)
    engine, _ = compiled("tensorrt", graph, options)
    assert tensorrt.calls == [
        ("network", 2),
        ("limit", "workspace", 1 << 28),
        ("shape", "text_features", (1, 32, 96), (2, 32, 96), (8, 32, 96)),
    ]
    assert (engine.device_memory_bytes, engine.version) == (4_000_000, "10.3.0")
    assert graph.with_suffix(".engine").read_bytes() == b"engine"


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        (("Could not find any implementation for node Conv_3",), "Conv_3; try --precision fp32"),
        (("Requested amount of GPU memory (9 bytes) could not", "no"), "a smaller --workspace"),
        (("[virtualMemoryBuffer] Error Code 1: Cuda Runtime (out of memory)",), "fewer --prompts"),
        (("OutOfMemory (no further information)",), "out of memory while compiling"),
        ((), "TensorRT gave no reason"),
    ],
)
def test_a_failed_build_says_why(
    tensorrt: FakeTensorRT, graph: Path, says: tuple[str, ...], expected: str
) -> None:
    tensorrt.plan, tensorrt.says = None, says
    message = refused("tensorrt", graph, HERE)
    assert message.startswith("ExportError: ")
    assert expected in message


def test_a_builder_without_a_gpu_is_refused(
    monkeypatch: pytest.MonkeyPatch, tensorrt: FakeTensorRT, graph: Path
) -> None:
    def null_pointer(log: Log) -> None:
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(tensorrt, "Builder", null_pointer)
    assert "must be built on the device that runs them" in refused("tensorrt", graph, HERE)


def test_an_engine_that_does_not_load_is_not_kept(tensorrt: FakeTensorRT, graph: Path) -> None:
    tensorrt.loads = False
    assert "compiled, but it cannot be loaded here" in refused("tensorrt", graph, HERE)


def test_a_disk_that_is_full_halfway(
    monkeypatch: pytest.MonkeyPatch, tensorrt: FakeTensorRT, graph: Path
) -> None:
    def fill_up(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(bytes(data)[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    graph.with_suffix(".engine").write_bytes(b"older")
    monkeypatch.setattr(Path, "write_bytes", fill_up)
    assert "No space left on device; check free space" in refused("tensorrt", graph, HERE)
    assert graph.with_suffix(".engine").read_bytes() == b"older"


def test_refused_prompts_are_named(tensorrt: FakeTensorRT, graph: Path) -> None:
    tensorrt.profile_index = -1
    assert "refuses prompts 1,2,8" in refused("tensorrt", graph, HERE)


def test_tensorrt_has_no_choice_of_gpu(tensorrt: FakeTensorRT, graph: Path) -> None:
    with pytest.raises(EngineError, match="expected no compute capability"):
        compiled("tensorrt", graph, AMPERE)


def cached(folder: Path, device: str | None = "Orin 8.7") -> CompileOptions:
    return CompileOptions(prompts=(1, 2, 8), timing_cache=folder, device=device)


def test_a_timing_cache_is_for_one_graph_device_and_version(
    tensorrt: FakeTensorRT, graph: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "made" / "caches"
    compiled("tensorrt", graph, cached(folder))
    assert tensorrt.attached is not None
    assert tensorrt.attached.stored == b""
    compiled("tensorrt", graph, cached(folder))
    assert tensorrt.attached.stored == b"measured"
    assert [path.read_bytes() for path in folder.iterdir()] == [b"measured"]
    compiled("tensorrt", graph, cached(folder, device="Thor 11.0"))
    tensorrt.__version__ = "10.16.2"
    compiled("tensorrt", graph, cached(folder))
    graph.write_bytes(b"another graph")
    compiled("tensorrt", graph, cached(folder))
    assert tensorrt.attached.stored == b""
    assert len(list(folder.iterdir())) == 4


def test_a_refused_timing_cache_is_said_and_replaced(
    tensorrt: FakeTensorRT, graph: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "caches"
    compiled("tensorrt", graph, cached(folder))
    (file,) = folder.iterdir()
    file.write_bytes(tensorrt.refuses_cache)
    tensorrt.attached = None
    _, lines = compiled("tensorrt", graph, cached(folder))
    assert f"timing cache {file}: refused (device property mismatch), starting anew" in lines
    assert tensorrt.attached is not None
    assert tensorrt.attached.stored == b""
    assert file.read_bytes() == b"measured"


def test_a_failed_build_keeps_no_timing_cache(
    tensorrt: FakeTensorRT, graph: Path, tmp_path: Path
) -> None:
    tensorrt.plan = None
    (tmp_path / "caches").mkdir()
    refused("tensorrt", graph, cached(tmp_path / "caches"))
    assert list((tmp_path / "caches").iterdir()) == []


def test_a_timing_cache_that_cannot_be_written_costs_no_engine(
    monkeypatch: pytest.MonkeyPatch, tensorrt: FakeTensorRT, graph: Path, tmp_path: Path
) -> None:
    def fail(path: Path, data: object) -> None:
        raise ExportError(f"cannot write {path}: disk full")

    monkeypatch.setattr("sam3_edge.export.timing_cache.write_file", fail)
    _, lines = compiled("tensorrt", graph, cached(tmp_path / "caches"))
    assert any(line.startswith("timing cache: cannot write") for line in lines)
    assert graph.with_suffix(".engine").read_bytes() == b"engine"


def test_a_folder_of_timing_caches_that_cannot_be(
    tensorrt: FakeTensorRT, graph: Path, tmp_path: Path
) -> None:
    message = refused("tensorrt", graph, cached(graph))
    assert "expected a folder for timing caches" in message


def test_tensorrt_rtx_keeps_no_timing_cache(rtx: Kind, tmp_path: Path) -> None:
    folder = tmp_path / "caches"
    options = CompileOptions(prompts=(1, 1, 1), compute_capability="8.6", timing_cache=folder)
    compiled(rtx, half_graph(tmp_path / "x.onnx"), options)
    assert not folder.exists()
