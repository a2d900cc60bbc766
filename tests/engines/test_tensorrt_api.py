"""TensorRT of every version opens alike, and what it refuses is one line that says what to do."""

import ast
import functools
import importlib
import inspect
import json
import logging
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Protocol

import pytest

from sam3_edge.engines import tensorrt_types
from sam3_edge.engines.tensorrt_api import EngineTensor, TensorRT, open_tensorrt
from sam3_edge.engines.tensorrt_types import NATIVE_CLASSES, Kind, Runtime, used_names
from sam3_edge.errors import EngineError

SOURCE = Path("decoder.engine")
NO_DRIVER = "createInferRuntime: (CUDA initialization failure with error: 35 In check)"
RUNTIME_NAMES = (
    "Runtime",
    "ICudaEngine",
    "IExecutionContext",
    "IHostMemory",
    "ILogger",
    "DataType",
)

Severity = Enum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"])
DataType = Enum("DataType", ["FLOAT", "HALF", "INT8", "INT32", "INT64", "UINT8", "BOOL", "FP4"])
TensorIOMode = Enum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"])
MemoryPoolType = Enum("MemoryPoolType", ["WORKSPACE"])


class Log(Protocol):
    def log(self, severity: object, message: str) -> None: ...


class ILogger:
    Severity = Severity


class Context:
    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.accepts = True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.calls.append((name, address))
        return self.accepts

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.calls.append((name, shape))
        return self.accepts

    def execute_async_v3(self, stream: int) -> bool:
        self.calls.append((stream,))
        return self.accepts


class Engine:
    tensors = (
        ("text", TensorIOMode.INPUT, DataType.FLOAT, (-1, 32, 96)),
        ("mask", TensorIOMode.INPUT, DataType.BOOL, (-1, 41)),
        ("image", TensorIOMode.INPUT, DataType.UINT8, (1, 8, 8, 3)),
        ("boxes", TensorIOMode.OUTPUT, DataType.HALF, (-1, 20, 4)),
    )
    num_io_tensors = len(tensors)
    device_memory_size_v2 = 4_000_000

    def __init__(self) -> None:
        self.context: Context | None = Context()

    def _row(self, name: str) -> tuple[str, TensorIOMode, DataType, tuple[int, ...]]:
        return next(row for row in self.tensors if row[0] == name)

    def get_tensor_name(self, index: int) -> str:
        return self.tensors[index][0]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return self._row(name)[1]

    def get_tensor_dtype(self, name: str) -> DataType:
        return self._row(name)[2]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._row(name)[3]

    def create_execution_context(self) -> Context | None:
        return self.context


class Builder:
    """create_network gives the flags it was called with."""

    def __init__(self, log: Log) -> None: ...

    def create_network(self, flags: int) -> int:
        return flags


def fake_module(
    version: str, strongly_typed: int, deserialise: Callable[[Log, bytes], Engine | None]
) -> ModuleType:
    class Runtime:
        def __init__(self, log: Log) -> None:
            self.log = log

        def deserialize_cuda_engine(self, data: bytes) -> Engine | None:
            return deserialise(self.log, data)

    module = ModuleType("tensorrt")
    classes = (ILogger, Builder, Runtime, DataType, TensorIOMode, MemoryPoolType)
    vars(module).update({c.__name__: c for c in classes}, __version__=version)
    flags = SimpleNamespace(STRONGLY_TYPED=strongly_typed)
    vars(module)["NetworkDefinitionCreationFlag"] = flags
    return module


def no_engine(log: Log, data: bytes) -> None: ...


def open_fake(
    monkeypatch: pytest.MonkeyPatch,
    deserialise: Callable[[Log, bytes], Engine | None],
    version: str = "10.3.0",
    strongly_typed: int = 1,
) -> TensorRT:
    module = fake_module(version, strongly_typed, deserialise)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return open_tensorrt("tensorrt")


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> TensorRT:
    return open_fake(monkeypatch, lambda *_: engine)


@pytest.fixture(scope="module")
def rtx() -> TensorRT:
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed")
    return open_tensorrt("tensorrt_rtx")


# Names


def kinds_of(wheel: str) -> tuple[Kind, ...]:
    return ("tensorrt_rtx",) if wheel.startswith("tensorrt_rtx") else ("tensorrt",)


def test_every_name_exists_in_every_version_it_is_used_of() -> None:
    table = json.loads(Path(__file__).with_name("tensorrt_names.json").read_text())
    used = used_names()
    assert set(used) == set(table), "run scripts/tensorrt_names.py"
    missing = [
        f"{name} in {wheel}"
        for name, kinds in used.items()
        for wheel, present in table[name].items()
        if not present and set(kinds) & set(kinds_of(wheel))
        # The lean runtime has no builder and no parser.
        if "lean" not in wheel or name.startswith(RUNTIME_NAMES)
    ]
    assert missing == []


def test_the_table_has_the_versions_of_the_boards() -> None:
    table = json.loads(Path(__file__).with_name("tensorrt_names.json").read_text())
    wheels = {wheel for row in table.values() for wheel in row}
    assert all(set(row) == wheels for row in table.values())
    for version in (" 10.3.0", " 10.16.", " 11."):
        assert any(version in wheel for wheel in wheels), version


def test_every_type_of_tensorrt_is_in_the_table() -> None:
    protocols = {
        value
        for value in vars(tensorrt_types).values()
        if inspect.isclass(value) and Protocol in value.__bases__
    }
    assert protocols - {native.protocol for native in NATIVE_CLASSES} == {tensorrt_types.Buffer}


def test_no_tensorrt_object_escapes_its_type(root: Path) -> None:
    """Neither an import that mypy takes for Any, nor Any itself, nor a name it cannot see."""
    files = [*(root / "engines").glob("tensorrt_*.py"), root / "export" / "compile_engine.py"]
    assert len(files) >= 5
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            assert not any(name.split(".")[0].startswith("tensorrt") for name in names), path


def test_the_installed_tensorrt_rtx_has_the_names(rtx: TensorRT) -> None:
    module = importlib.import_module("tensorrt_rtx_bindings")
    for name in (name for name, kinds in used_names().items() if "tensorrt_rtx" in kinds):
        functools.reduce(getattr, name.split("."), module)


# Opening


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("tensorrt", "expected TensorRT, got .*JetPack 6 and 7: .*--system-site-packages.* a PC"),
        ("tensorrt_rtx", "expected TensorRT-RTX, got .*tensorrt_rtx_cu13_bindings.*JetPack"),
    ],
)
def test_missing_is_one_line_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, kind: Kind, expected: str
) -> None:
    for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EngineError, match=expected) as caught:
        open_tensorrt(kind)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("raise ImportError('libcuda.so.1: cannot open shared object file')", "NVIDIA's driver"),
        ("raise ImportError('libnvinfer.so.10: cannot open\\nfile')", "cannot open file; install"),
        ("raise OSError('libnvonnxparser: wrong ELF class')", "wrong ELF class; install it again"),
        ("import module_that_is_not_there", "No module named .*; install it again"),
    ],
)
def test_broken_is_told_from_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, statement: str, expected: str
) -> None:
    (tmp_path / "tensorrt.py").write_text(statement)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(EngineError, match=f"TensorRT: module tensorrt cannot be .*{expected}"):
        open_tensorrt("tensorrt")


def test_the_version_is_the_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_fake(monkeypatch, no_engine, version="11.4.0.106").name == "TensorRT 11.4.0.106"


@pytest.mark.parametrize(("bit", "flags"), [(1, 2), (0, 1)])
def test_networks_are_strongly_typed_whatever_the_bit(
    monkeypatch: pytest.MonkeyPatch, bit: int, flags: int
) -> None:
    """TensorRT 11 gave the flag another number."""
    tensorrt = open_fake(monkeypatch, no_engine, strongly_typed=bit)
    assert tensorrt.create_network(tensorrt.create_builder()) == flags  # type: ignore[comparison-overlap]


def test_one_logger_for_all_of_a_module(rtx: TensorRT) -> None:
    assert open_tensorrt("tensorrt_rtx").log.native is rtx.log.native


# The log


def test_messages_keep_their_severity(tensorrt: TensorRT, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sam3_edge.tensorrt")
    say(tensorrt, *Severity)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("CRITICAL", "INTERNAL_ERROR said"),
        ("ERROR", "ERROR said"),
        ("WARNING", "WARNING said"),
        ("INFO", "INFO said"),
        ("DEBUG", "VERBOSE said"),
    ]
    assert tensorrt.log.error_lines == ("INTERNAL_ERROR said", "ERROR said")


def test_nobody_listening_nobody_is_told(
    tensorrt: TensorRT, capfd: pytest.CaptureFixture[str]
) -> None:
    root, handlers = logging.getLogger(), logging.getLogger().handlers[:]
    for handler in handlers:
        root.removeHandler(handler)
    try:
        say(tensorrt, *Severity)
    finally:
        for handler in handlers:
            root.addHandler(handler)
    assert capfd.readouterr() == ("", "")


def test_errors_fit_into_a_line(tensorrt: TensorRT) -> None:
    assert tensorrt.log.last_errors == "TensorRT gave no reason"
    for text in ("first", "In node 3\n  (Conv):\tno kernel", "x" * 5000):
        tensorrt.log.remember(text)
    assert tensorrt.log.last_errors.startswith("In node 3 (Conv): no kernel | xxx")
    assert len(tensorrt.log.last_errors) == 600
    tensorrt.log.forget_errors()
    assert tensorrt.log.error_lines == ()


def say(tensorrt: TensorRT, *severities: Severity) -> None:
    log: Log = tensorrt.log.native  # type: ignore[assignment]
    for severity in severities:
        log.log(severity, f"{severity.name} said")


# Engines


def test_an_engines_tensors(tensorrt: TensorRT) -> None:
    loaded = tensorrt.load_engine(b"plan", SOURCE)
    assert loaded.device_memory_bytes == 4_000_000
    assert loaded.tensors == (
        EngineTensor(name="text", dtype="float32", shape=("P", 32, 96), is_input=True),
        EngineTensor(name="mask", dtype="bool", shape=("P", 41), is_input=True),
        EngineTensor(name="image", dtype="uint8", shape=(1, 8, 8, 3), is_input=True),
        EngineTensor(name="boxes", dtype="float16", shape=("P", 20, 4), is_input=False),
    )


def test_a_tensor_of_unknown_type_is_refused(tensorrt: TensorRT, engine: Engine) -> None:
    engine.tensors = (("image", TensorIOMode.INPUT, DataType.FP4, (1,)),)  # type: ignore[assignment]
    engine.num_io_tensors = 1
    with pytest.raises(EngineError, match=r"decoder\.engine: image: expected one of float32.*FP4"):
        tensorrt.load_engine(b"plan", SOURCE)


def test_a_context_is_told_addresses_and_shapes(tensorrt: TensorRT, engine: Engine) -> None:
    loaded = tensorrt.load_engine(b"plan", SOURCE)
    context = loaded.create_context()
    context.set_address("text", 4096)
    context.set_input_shape("text", (2, 32, 96))
    context.enqueue(7)
    assert engine.context is not None
    assert engine.context.calls == [("text", 4096), ("text", (2, 32, 96)), (7,)]
    context.close()
    with pytest.raises(EngineError, match="expected an open context"):
        context.enqueue(7)
    loaded.close()
    with pytest.raises(EngineError, match="expected an open engine"):
        loaded.create_context()


def test_what_a_context_refuses_is_an_error(tensorrt: TensorRT, engine: Engine) -> None:
    context = tensorrt.load_engine(b"plan", SOURCE).create_context()
    assert engine.context is not None
    engine.context.accepts = False
    with pytest.raises(EngineError, match=r"refused text: address 0x1000: TensorRT gave no"):
        context.set_address("text", 4096)
    with pytest.raises(EngineError, match=r"refused text: shape \(9, 32\)"):
        context.set_input_shape("text", (9, 32))
    with pytest.raises(EngineError, match=r"refused execution: .*build the bundle again"):
        context.enqueue(7)


def test_no_memory_for_a_context(tensorrt: TensorRT, engine: Engine) -> None:
    loaded = tensorrt.load_engine(b"plan", SOURCE)
    engine.context = None
    with pytest.raises(EngineError, match=r"cannot make a context of 4 MB: .*fewer prompts"):
        loaded.create_context()


@pytest.mark.parametrize(
    "line",
    [
        "engine plan file is not compatible with this version, expecting 10.3.0.30 got 10.16.1",
        "The engine plan file is generated on an incompatible device, expecting compute 8.7",
        "Serialization assertion plan.header.size == blobSize failed.",
    ],
)
def test_foreign_engines_are_refused(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    def deserialise(log: Log, data: bytes) -> None:
        log.log(Severity.ERROR, line)

    tensorrt = open_fake(monkeypatch, deserialise)
    with pytest.raises(EngineError, match="build it again on this device") as caught:
        tensorrt.load_engine(b"plan", SOURCE)
    assert line in str(caught.value)
    assert str(caught.value).startswith("decoder.engine: expected an engine that TensorRT 10.3.0")


def null_pointer(log: Log) -> object:
    raise TypeError("pybind11::init(): factory function returned nullptr")


def broken_object(log: Log) -> object:
    """TensorRT 10.16 and 11.4 without a driver: any use of this object is a segmentation fault."""
    log.log(Severity.ERROR, NO_DRIVER)
    return object()


@pytest.mark.parametrize("create", [null_pointer, broken_object])
def test_no_gpu_is_an_error_and_no_crash(
    monkeypatch: pytest.MonkeyPatch, create: Callable[[Log], object]
) -> None:
    tensorrt = open_fake(monkeypatch, no_engine)
    monkeypatch.setattr(tensorrt.module, "Runtime", create)
    monkeypatch.setattr(tensorrt.module, "Builder", create)
    with pytest.raises(EngineError, match="finds no GPU to load it on"):
        tensorrt.load_engine(b"plan", SOURCE)
    with pytest.raises(EngineError, match="built on the device that runs them"):
        tensorrt.create_builder()


def test_other_complaints_are_no_refusal(
    monkeypatch: pytest.MonkeyPatch, tensorrt: TensorRT
) -> None:
    """A board may miss an accelerator that nobody asked for."""
    runtime = tensorrt.module.Runtime

    def complaining(log: object) -> Runtime:
        tensorrt.log.remember("Unable to load library: libnvcudla.so")
        return runtime(log)

    monkeypatch.setattr(tensorrt.module, "Runtime", complaining)
    assert tensorrt.load_engine(b"plan", SOURCE).tensors


@pytest.mark.parametrize("data", [b"", b"junk", b"junk" * 1000], ids=["empty", "short", "long"])
def test_tensorrt_rtx_refuses_what_is_no_engine(rtx: TensorRT, data: bytes) -> None:
    with pytest.raises(EngineError, match=r"damaged or from elsewhere: .*Error Code"):
        rtx.load_engine(data, SOURCE)


# What an engine is compiled for


def test_tensorrt_compiles_for_its_own_gpu_alone(tensorrt: TensorRT) -> None:
    with pytest.raises(EngineError, match=r"expected no compute capability, got 8\.6: TensorRT 10"):
        tensorrt.compile_for(Engine(), "8.6")  # type: ignore[arg-type]


def test_tensorrt_rtx_names_what_it_compiles_for(rtx: TensorRT) -> None:
    config = rtx.create_builder().create_builder_config()
    rtx.compile_for(config, "8.6")
    with pytest.raises(EngineError, match=r"compute capabilities 7\.5, .*12\.0.*, got 8\.7;"):
        rtx.compile_for(config, "8.7")
