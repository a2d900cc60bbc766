from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam3_edge.engines.strict_json import from_json, parse_json, to_json_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    share: float | None
    axes: tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    count: int
    flag: bool
    kind: Literal["one", "two"]
    inner: Inner | None
    by_name: dict[str, Inner]


inners = st.builds(
    Inner,
    share=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    axes=st.lists(st.integers() | st.text()).map(tuple),
)
outers = st.builds(
    Outer,
    count=st.integers(),
    flag=st.booleans(),
    kind=st.sampled_from(["one", "two"]),
    inner=st.none() | inners,
    by_name=st.dictionaries(st.text(), inners),
)


@given(outers)
def test_what_is_written_is_read_back(value: Outer) -> None:
    assert from_json(Outer, parse_json(to_json_text(value))) == value


WHOLE = {
    "count": 1,
    "flag": True,
    "kind": "one",
    "inner": {"share": 0.5, "axes": [1, "P"]},
    "by_name": {"a": {"share": None, "axes": []}},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 1.0}, "count: expected a whole number, got 1.0"),
        ({"count": True}, "count: expected a whole number, got True"),
        ({"count": "1"}, "count: expected a whole number, got '1'"),
        ({"flag": 1}, "flag: expected true or false, got 1"),
        ({"kind": "three"}, "kind: expected one of 'one', 'two', got 'three'"),
        ({"kind": []}, r"kind: expected one of 'one', 'two', got \[\]"),
        ({"inner": 3}, "inner: expected an object, got 3"),
        ({"inner": {"share": "x", "axes": []}}, "inner.share: expected a finite number, got 'x'"),
        ({"inner": {"share": float("nan"), "axes": []}}, "inner.share: expected a finite number"),
        ({"inner": {"share": 1, "axes": 4}}, "inner.axes: expected a list, got 4"),
        ({"inner": {"share": 1, "axes": [None]}}, r"inner.axes\[0\]: expected a whole number or"),
        ({"inner": {"share": 1}}, "inner.axes: expected this key, got nothing"),
        ({"by_name": {"a": {"extra": 1}}}, "by_name.a.extra: expected no such key, got it"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, object], message: str) -> None:
    assert from_json(Outer, WHOLE).count == 1
    with pytest.raises(ValueError, match=f"^{message}"):
        from_json(Outer, {**WHOLE, **change})


def test_a_whole_number_is_a_float() -> None:
    share = from_json(Inner, {"share": 1, "axes": []}).share
    assert type(share) is float


def test_a_key_that_is_there_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="a: expected the key once, got it 2 times"):
        parse_json('{"b": {"a": 1, "a": 2}}')


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_json_has_not_are_not_written(number: float) -> None:
    with pytest.raises(ValueError, match="share: expected a finite number"):
        to_json_text(Inner(share=number, axes=()))
