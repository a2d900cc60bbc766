"""Encoded prompts, in memory and on disk, so that a run needs no text graph for known words.

Files are named by the text graph's hash and the normalised prompt, written beside their place and
moved into it: several processes may share a folder, and a reader sees a whole file or none. The
cache is never needed: what cannot be read is encoded again, what cannot be written is left.
"""

import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam3_edge.engines.backend import TextFeatures
from sam3_edge.errors import EngineError
from sam3_edge.runtime.tokenizer import normalise

_Row = tuple[NDArray[np.float32], NDArray[np.bool_]]
# RuntimeError: a bit that says "encrypted", or a method of compression that nobody has.
_DAMAGE = (
    OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def default_cache_folder() -> Path:
    """$XDG_CACHE_HOME/sam3-edge or ~/.cache/sam3-edge."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    # The specification: a relative path counts as not set.
    if Path(configured).is_absolute():
        return Path(configured) / "sam3-edge"
    try:
        return Path.home() / ".cache" / "sam3-edge"
    except RuntimeError:  # a container whose user has no home
        return Path(tempfile.gettempdir()) / "sam3-edge"


class TextCache:
    """graph_sha256: of the text graph. shape: (32, C) of one prompt's features.

    warn: takes one line for every file that is damaged, and one where none can be written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        graph_sha256: str,
        shape: tuple[int, int],
        warn: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._graph_sha256 = graph_sha256
        self._shape = shape
        self._warn = warn
        self._is_told = False
        self._rows: dict[str, _Row] = {}

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Those of `texts` that `features` would encode."""
        return [text for text in texts if not self._find(text)]

    def features(
        self, texts: Sequence[str], encode: Callable[[Sequence[str]], TextFeatures]
    ) -> TextFeatures:
        """P texts in their order; the unknown ones are encoded in one call, and kept.

        Raises EngineError if they are not finite.
        """
        unknown = self.missing(texts)
        if unknown:
            encoded = encode(unknown)
            _check_finite(encoded)
            for text, features, mask in zip(unknown, encoded.features, encoded.mask, strict=True):
                self._rows[self._key(text)] = features, mask
                self._write(text, (features, mask))
        rows = [self._rows[self._key(text)] for text in texts]
        return TextFeatures(
            features=np.stack([row[0] for row in rows]), mask=np.stack([row[1] for row in rows])
        )

    def _key(self, text: str) -> str:
        return hashlib.sha256(f"{self._graph_sha256}\n{normalise(text)}".encode()).hexdigest()

    def _path(self, text: str) -> Path:
        return self._folder / f"{self._key(text)}.npz"

    def _find(self, text: str) -> bool:
        key = self._key(text)
        if key not in self._rows:
            row = self._read(text)
            if row is None:
                return False
            self._rows[key] = row
        return True

    def _read(self, text: str) -> _Row | None:
        path = self._path(text)
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                features, mask = archive["features"], archive["mask"]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except _DAMAGE as error:
            self._warn(f"{path} is damaged ({error}): encoding {text!r} again")
            return None
        fits = features.shape == self._shape and mask.shape == self._shape[:1]
        if not fits or features.dtype != np.float32 or mask.dtype != np.bool_:
            self._warn(f"{path} is not for this model: encoding {text!r} again")
            return None
        return features, mask

    def _write(self, text: str, row: _Row) -> None:
        path = self._path(text)
        temporary = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=self._folder, prefix=".", suffix=".tmp", delete=False
            ) as stream:
                temporary = Path(stream.name)
                np.savez(stream, features=row[0], mask=row[1])
            temporary.replace(path)
        except OSError as error:
            if temporary is not None:
                with suppress(OSError):
                    temporary.unlink()
            self._warn_of_folder(error)

    def _warn_of_folder(self, error: OSError) -> None:
        if not self._is_told:
            self._is_told = True
            self._warn(
                f"cannot keep encoded prompts in {self._folder}: {error.strerror}; "
                "every run will encode them again (--text-cache names another folder)"
            )


def _check_finite(encoded: TextFeatures) -> None:
    """Before anything is kept: a wrong file would outlive the engine that made it."""
    if not np.isfinite(encoded.features).all():
        raise EngineError(
            "text_features: expected finite numbers, got NaN or infinity; "
            "build the bundle again with `sam3-edge build`"
        )
