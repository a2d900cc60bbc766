"""Many pictures: those of a folder, or those a pattern matches, by name."""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sam3_edge.errors import SourceError
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.sources.image import PICTURE_SUFFIXES, is_picture_name, picture_frame


class FolderSource:
    """Pictures may differ in size. One that cannot be read is left out, counted as dropped and told
    when all others were shown. The first good one is read when the source is opened."""

    live = False
    may_reopen = False
    fps: float | None = None

    def __init__(self, name: str, paths: Sequence[Path]) -> None:
        """Raises SourceError where none of the pictures can be read."""
        self.name = name
        self.num_frames: int | None = len(paths)
        self._paths = paths
        next(self.frames(), None)

    def frames(self) -> Iterator[Frame]:
        """Raises SourceError at the end where some could not be read."""
        errors: list[SourceError] = []
        for number, path in enumerate(self._paths):
            try:
                frame = picture_frame(path, number - len(errors), dropped=len(errors))
            except SourceError as error:
                errors.append(error)
                continue
            yield frame
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise SourceError(
                f"{self.name}: expected {len(self._paths)} pictures, got {len(errors)} of them that "
                f"cannot be read; the first: {errors[0]}"
            )

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass


def picture_files(folder: Path) -> list[Path]:
    """The pictures directly in `folder`, frame2 before frame10. Raises SourceError without any."""
    try:
        found = [path for path in folder.iterdir() if is_picture_name(path) and path.is_file()]
    except OSError as error:
        raise SourceError(
            f"{folder}: expected a folder of pictures, got: {error.strerror}; check its permissions"
        ) from error
    if not found:
        raise SourceError(
            f"{folder}: expected a folder with {', '.join(PICTURE_SUFFIXES)} files, found none; "
            "check the path"
        )
    return sorted(found, key=_by_number)


def matching_files(pattern: str) -> list[Path]:
    """Every file the pattern matches, whatever its name ends in. Raises SourceError for none."""
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207
    found = [Path(name) for name in names if os.path.isfile(name)]  # noqa: PTH113 -- whose folder is closed is none
    if not found:
        raise SourceError(
            f"{pattern}: expected a pattern that matches pictures, found none; check the path, and "
            "that no quotes are part of it"
        )
    return sorted(found, key=_by_number)


def _by_number(path: Path) -> list[tuple[bool, int, str]]:
    """Digits compare as numbers, all else as text."""
    pieces = re.split(r"([0-9]+)", str(path))
    return [(not p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in pieces if p]
