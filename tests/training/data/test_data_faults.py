"""Faults are counted, the first of each kind are kept, and they travel between processes."""

import pickle
from pathlib import Path

from sam3_edge.training.data.data_faults import EXAMPLES, FaultError, FaultLog, FaultReport


def fault(number: int, kind: str) -> FaultError:
    return FaultError(f"annotation {number}: expected a box; remove it", kind)


def test_an_attempt_gives_the_value_or_notes_the_fault() -> None:
    log = FaultLog()

    def check(value: int) -> int:
        if value < 0:
            raise fault(value, "negative")
        return value

    assert [log.attempt(check, value) for value in (0, -1, 2)] == [0, None, 2]
    assert [(one.kind, one.count) for one in log.counts()] == [("negative", 1)]


def test_the_first_of_each_kind_are_kept() -> None:
    log = FaultLog()
    for number in range(10):
        log.note(fault(number, "box"))
        log.note(fault(number, "mask"))
    for one in log.counts():
        assert one.count == 10
        assert one.examples == tuple(str(fault(i, one.kind)) for i in range(EXAMPLES))


def test_a_log_without_faults_is_no_error() -> None:
    assert FaultLog().error(Path("a.json")) is None


def test_the_error_counts_all_and_quotes_the_first() -> None:
    log = FaultLog()
    for kind in ("box", "mask", "box"):
        log.note(fault(1, kind))
    error = str(log.error(Path("a.json")))
    assert error.startswith("a.json: ")
    assert "2 x box, 1 x mask; first: annotation 1: expected a box" in error


def test_a_fault_can_be_sent_by_a_worker() -> None:
    sent = pickle.loads(pickle.dumps(fault(3, "box")))
    assert isinstance(sent, FaultError)
    assert (str(sent), sent.kind) == (str(fault(3, "box")), "box")


def test_the_lines_align_and_name_every_kind() -> None:
    log = FaultLog()
    for number in range(12):
        log.note(fault(number, "box"))
    log.note(fault(0, "missing file"))
    report = FaultReport(path=Path("a.json"), images=3, annotations=4, counts=log.counts())
    lines = report.lines()
    assert report.total == 13
    assert lines[0] == "a.json: 13 faults; 3 images and 4 annotations can be used"
    assert lines[1] == "  box           12"
    assert lines[1 + EXAMPLES + 1] == "  missing file   1"
