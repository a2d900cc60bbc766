"""What TensorRT measured in one build of a graph, kept for the next build of the same graph."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sam3_edge.engines.bundle import file_sha256
from sam3_edge.engines.tensorrt_api import TensorRT
from sam3_edge.engines.tensorrt_types import Config
from sam3_edge.errors import ExportError
from sam3_edge.export.write_file import write_file


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingCacheFile:
    """One for each graph, device and version of TensorRT. TensorRT-RTX has no such thing."""

    path: Path
    tensorrt: TensorRT

    def attach(self, config: Config, progress: Callable[[str], None]) -> None:
        """One that TensorRT refuses (it checks version and device too) is said, and replaced."""
        stored = self._read()
        if self._attach(config, stored):
            return
        progress(
            f"timing cache {self.path}: refused ({self.tensorrt.log.last_errors}), starting anew"
        )
        self._attach(config, b"")

    def store(self, config: Config, progress: Callable[[str], None]) -> None:
        """One that cannot be written is said: the engine is worth more than the time saved."""
        cache = self.tensorrt.timed_config(config).get_timing_cache()
        if cache is None:
            return
        try:
            write_file(self.path, cache.serialize())
        except ExportError as error:
            progress(f"timing cache: {error}")

    def _attach(self, config: Config, stored: bytes) -> bool:
        timed = self.tensorrt.timed_config(config)
        self.tensorrt.log.forget_errors()
        cache = timed.create_timing_cache(stored)
        return cache is not None and timed.set_timing_cache(cache, False)

    def _read(self) -> bytes:
        """Empty where no build has been."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise ExportError(
                f"{self.path}: cannot be read: {error.strerror}; delete it, or choose another "
                "folder for timing caches"
            ) from error


def timing_cache_file(
    tensorrt: TensorRT, folder: Path, onnx_path: Path, device: str | None
) -> TimingCacheFile:
    """device: name and compute capability of the GPU. ExportError if there can be no folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(
            f"{folder}: expected a folder for timing caches: {error.strerror}; choose another"
        ) from error
    identity = repr((file_sha256(onnx_path), device or "", tensorrt.version))
    name = f"{hashlib.sha256(identity.encode()).hexdigest()}.timing"
    return TimingCacheFile(path=folder / name, tensorrt=tensorrt)
