"""The report of `sam3-edge bench`: everything that was measured, and what it takes to repeat it."""

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from sam3_edge.bench.board import BoardRecord
from sam3_edge.bench.engine import MemoryModes
from sam3_edge.bench.figures import Figures
from sam3_edge.bench.machine import Machine
from sam3_edge.bench.startup import Startup
from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.strict_json import from_json, parse_json, to_json_text
from sam3_edge.errors import UsageError
from sam3_edge.runtime.sinks.places import cannot_write

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFacts:
    """sha256: over the names and hashes of its graphs, the same wherever the bundle lies."""

    path: str
    name: str
    preset: str
    precision: str
    backend: str
    image_size: int
    num_parameters: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationFacts:
    """What the figures at the top of the report are of.

    live: the frames came at their own pace. width, height: of the frames; 0 where there were none.
    threads: of the engine; None for every processor.
    """

    source: str
    live: bool
    width: int
    height: int
    fps: float | None
    prompts: tuple[str, ...]
    num_prompts: int
    threads: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """varied: the one thing in which it differs from the configuration. value: how."""

    varied: str
    value: str
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Figures):
    """Its own figures are those of `configuration`.

    engine_only_fps: the engine alone with the same prompts; memory_modes: of a TensorRT engine.
    sweeps: each measured in the same process, after the configuration.
    """

    schema: int
    created_utc: str
    command: str
    configuration: ConfigurationFacts
    bundle: BundleFacts
    machine: Machine
    board: BoardRecord
    engine_only_fps: float | None
    memory_modes: MemoryModes | None
    startup: Startup | None
    sweeps: tuple[SweepRow, ...]


def describe_bundle(bundle: Bundle) -> BundleFacts:
    manifest = bundle.manifest
    graphs = "".join(f"{name} {graph.sha256}\n" for name, graph in sorted(manifest.graphs.items()))
    return BundleFacts(
        path=str(bundle.path.resolve()),
        name=manifest.name,
        preset=manifest.model.preset,
        precision=manifest.precision,
        backend=manifest.backend,
        image_size=manifest.model.image_size,
        num_parameters=manifest.model.num_parameters,
        sha256=sha256(graphs.encode()).hexdigest(),
    )


def write_report(path: Path, report: Report) -> None:
    write_whole(path, to_json_text(report).encode("utf-8"))


def write_whole(path: Path, content: bytes) -> None:
    """Replace `path` in one step. Raises SinkError, and leaves what was there.

    A device or pipe is written to: it must not be replaced by a file.
    """
    if path.exists() and not path.is_file():
        _write_straight(path, content)
        return
    writing = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        writing.write_bytes(content)
        writing.replace(path)
    except OSError as error:
        writing.unlink(missing_ok=True)
        raise cannot_write(path, error) from error


def _write_straight(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise cannot_write(path, error) from error


def read_report(path: Path) -> Report:
    """Raises UsageError for a file that is no report, or one of another schema."""
    advice = "give a file that `sam3-edge bench --json` wrote"
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: expected a report, got: {error.strerror}; {advice}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: expected a report, got {error}; {advice}") from error
    schema = value.get("schema") if isinstance(value, dict) else None
    if type(schema) is not int or schema != SCHEMA:
        raise UsageError(
            f"{path}: expected a report of schema {SCHEMA}, got {schema!r}; measure again with this "
            "version of sam3-edge"
        )
    try:
        return from_json(Report, value)
    except ValueError as error:
        raise UsageError(f"{path}: {error}; {advice}") from error
