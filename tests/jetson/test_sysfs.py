import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from sam3_edge.jetson.sysfs import entries, read_first, read_int, read_text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"5000\n", 5000),
        (b"-256000\n", -256000),
        (b"+7", 7),
        (b"0002", 2),
        (b" 12 \0", 12),
        (b"", None),
        (b"\n", None),
        (b"<unknown>\n", None),
        (b"0x10", None),
        (b"1_000", None),
        (b"1.5", None),
        (b"12 34", None),
        ("٣".encode(), None),
        (b"\xff\xfe", None),
        (b"9" * 5000, None),
    ],
)
def test_only_decimal_integers_are_numbers(
    tmp_path: Path, content: bytes, expected: int | None
) -> None:
    (tmp_path / "value").write_bytes(content)
    assert read_int(tmp_path / "value") == expected


@pytest.mark.parametrize(
    "number",
    [errno.EIO, errno.EAGAIN, errno.EACCES, errno.ENODATA, errno.ENODEV, errno.EBUSY],
)
def test_a_failing_read_is_none(
    tmp_path: Path, fails: Callable[[Path, int], None], number: int
) -> None:
    path = tmp_path / "value"
    path.write_text("1")
    assert (read_text(path), read_int(path)) == ("1", 1)
    fails(path, number)
    assert (read_text(path), read_int(path)) == (None, None)


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_text(tmp_path / "none") is None
    assert read_text(tmp_path) is None
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert read_text(tmp_path / "loop") is None
    assert entries(tmp_path / "none") == []
    assert entries(tmp_path / "loop") == []


def test_the_first_with_content_counts(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "full").write_text("text\0")
    assert read_first(tmp_path / "none", tmp_path / "empty", tmp_path / "full") == "text"
    assert read_first(tmp_path / "none", tmp_path / "empty") is None


def test_entries_come_in_counting_order(tmp_path: Path) -> None:
    for name in ("cpu10", "cpu9", "cpu", "cpuidle", "online", "1-0041"):
        (tmp_path / name).touch()
    assert [path.name for path in entries(tmp_path, "cpu*")] == ["cpu", "cpu9", "cpu10", "cpuidle"]
    assert len(entries(tmp_path)) == 6
