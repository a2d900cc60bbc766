import errno
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.jetson.trees import ORIN_NANO, PC, write_tree


@pytest.fixture
def orin_nano(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "orin_nano", ORIN_NANO)


@pytest.fixture
def pc(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "pc", PC)


class FailingFile(io.BytesIO):
    """Opens as any file of sysfs does; the driver is asked only when it is read."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def read(self, *_: object) -> bytes:
        raise OSError(self._number, "as a driver fails")


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, int], None]:
    """fails(path, errno): from now on, reading `path` fails so (opening it, for EACCES)."""
    failing: dict[Path, int] = {}
    opened: Callable[..., Any] = Path.open

    def open_or_fail(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if path not in failing:
            return opened(path, mode, *args, **options)
        if failing[path] == errno.EACCES:
            raise PermissionError(errno.EACCES, "as the kernel refuses")
        return FailingFile(failing[path])

    monkeypatch.setattr(Path, "open", open_or_fail)
    return failing.__setitem__
