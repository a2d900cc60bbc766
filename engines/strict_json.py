"""Dataclasses to JSON and back. What does not fit exactly is a ValueError naming key and type."""

import dataclasses
import json
import math
import reprlib
import types
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

_SCALARS: dict[type, str] = {
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    bool: "true or false",
}


def to_json_text(value: object) -> str:
    """A dataclass as indented JSON. ValueError for NaN and infinity, which JSON has not."""
    return json.dumps(_plain(value, ""), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def parse_json(text: str) -> object:
    """Plain JSON values. ValueError for bad syntax and for a key that is there twice."""
    return json.loads(text, object_pairs_hook=_object_without_duplicates)


def from_json(kind: type[T], value: object) -> T:
    """Build the dataclass `kind` from plain JSON values.

    Understands dataclasses, Literal, unions, tuple[X, ...], dict[str, X] and scalars. A whole
    number is taken for a float; nothing else is converted.
    """
    built: T = _build(kind, value, "")
    return built


def _plain(value: object, key: str) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value))
        return {name: _plain(getattr(value, name), _join(key, name)) for name in names}
    if isinstance(value, dict):
        return {name: _plain(item, _join(key, name)) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item, f"{key}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{key}: expected a finite number, got {value}")
    return value


def _build(kind: Any, value: object, key: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value, key)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        if type(value) is not str or value not in arguments:
            raise _mismatch(key, "one of " + ", ".join(map(repr, arguments)), value)
        return value
    if origin in (Union, types.UnionType):
        return _build_union(arguments, value, key)
    if origin is tuple:
        if not isinstance(value, list):
            raise _mismatch(key, "a list", value)
        return tuple(_build(arguments[0], item, f"{key}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        items = _object(value, key).items()
        return {name: _build(arguments[1], item, _join(key, name)) for name, item in items}
    return _build_scalar(kind, value, key)


def _build_dataclass(kind: Any, value: object, key: str) -> Any:
    given = _object(value, key)
    hints = get_type_hints(kind)
    for name in given:
        if name not in hints:
            raise ValueError(f"{_join(key, name)}: expected no such key, got it")
    for name in hints:
        if name not in given:
            raise ValueError(f"{_join(key, name)}: expected this key, got nothing")
    return kind(**{name: _build(hints[name], given[name], _join(key, name)) for name in hints})


def _build_union(options: tuple[Any, ...], value: object, key: str) -> Any:
    if value is None and type(None) in options:
        return None
    options = tuple(option for option in options if option is not type(None))
    if len(options) == 1:
        return _build(options[0], value, key)
    for option in options:
        if type(value) is option:
            return value
    raise _mismatch(key, " or ".join(_SCALARS[option] for option in options), value)


def _build_scalar(kind: type, value: object, key: str) -> object:
    if kind is float and type(value) in (int, float) and math.isfinite(value):  # type: ignore[arg-type]
        return float(value)  # type: ignore[arg-type]
    if kind is float or type(value) is not kind:
        raise _mismatch(key, _SCALARS[kind], value)
    return value


def _object(value: object, key: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _mismatch(key, "an object", value)
    return value


def _object_without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name}: expected the key once, got it {names.count(name)} times")
    return dict(pairs)


def _mismatch(key: str, expected: str, value: object) -> ValueError:
    return ValueError(f"{key or 'the file'}: expected {expected}, got {reprlib.repr(value)}")


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
