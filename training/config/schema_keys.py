"""What the schema knows: every key with what it holds, and values held against it."""

import difflib
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass, make_dataclass
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sam3_edge.errors import UsageError
from sam3_edge.training.config.schema import RunConfig

# Less alike than this, a suggestion would puzzle more than help.
_ALIKE = 0.45
# Stands in a known key where the user chooses the name, as of a data set.
ANY = "*"
_UNIONS = (Union, types.UnionType)
_SCALARS: dict[Any, str] = {
    bool: "true or false",
    int: "int",
    float: "float",
    str: "str",
    type(None): "null",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One key of a section. section: the dataclass below it. named: the user names what is below,
    each of kind `section`, or anything where that is None. expected: what a value is, in words.
    kind: its annotation. exact: types that are of it without a conversion.
    """

    section: type | None
    named: bool
    expected: str
    kind: Any
    exact: tuple[type, ...] = ()


def known_keys() -> tuple[str, ...]:
    """Every key that holds a value, dotted: trainer.max_epochs, trainer.data.train.*.weight."""
    return tuple(_keys(RunConfig, ""))


def checked(values: object, section: type = RunConfig, key: str = "") -> dict[str, Any]:
    """`values` of a section whose full name is `key`, without sections that are empty and without
    data sets set to null.

    Raises UsageError for the first unknown key or value of another type.
    """
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise UsageError(f"{key or 'configuration'}: expected keys and values, got {values!r}")
    found: dict[str, Any] = {}
    for name, value in values.items():
        full = f"{key}.{name}" if key else str(name)
        field = _fields(section).get(str(name))
        if field is None:
            raise UsageError(f"{full}: expected a known key, got an unknown one; {nearest(full)}")
        found[str(name)] = _checked_value(value, field, full)
    return found


def nearest(key: str) -> str:
    """A question that names the known key most like `key`, or where all are to be seen."""
    known = (_named_as(one, key) for one in (*known_keys(), *_sections(RunConfig, "")))
    likeness, best = max((_likeness(one, key), one) for one in known)
    if likeness < _ALIKE:
        return "`sam3-edge train --print-config` shows all"
    return f"did you mean {best}?"


def _checked_value(value: object, field: Field, full: str) -> Any:
    if is_interpolation(value):
        return value
    if not field.named:
        if field.section is not None:
            return checked(value, field.section, full)
        _check_leaf(value, field, full)
        return value
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UsageError(f"{full}: expected {field.expected}, got {value!r}")
    if field.section is None:
        return dict(value)
    return {
        str(name): one if is_interpolation(one) else checked(one, field.section, f"{full}.{name}")
        for name, one in value.items()
        if one is not None
    }


def _check_leaf(value: object, field: Field, full: str) -> None:
    if type(value) in field.exact:
        return
    try:
        OmegaConf.merge(OmegaConf.structured(_holder(field.kind)), {"value": value})
    except OmegaConfBaseException as error:
        raise UsageError(f"{full}: expected {field.expected}, got {value!r}") from error


@cache
def _holder(kind: Any) -> type:
    """A section with the one key `value`: OmegaConf decides what can be turned into `kind`."""
    return make_dataclass("Holder", [("value", kind)])


def is_interpolation(value: object) -> bool:
    """Whether another key decides: `${trainer.seed_value}`. Its value is known only later."""
    return isinstance(value, str) and "${" in value


@cache
def _fields(section: type) -> dict[str, Field]:
    return {name: _field(kind) for name, kind in get_type_hints(section).items()}


def _field(kind: Any) -> Field:
    if _is_section(kind):
        return Field(section=kind, named=False, expected="keys and values", kind=kind)
    if get_origin(kind) is dict:
        below = get_args(kind)[1]
        section = below if _is_section(below) else None
        return Field(section=section, named=True, expected="names and what each is", kind=kind)
    alternatives = get_args(kind) if get_origin(kind) in _UNIONS else (kind,)
    exact = tuple(one for one in alternatives if one in _SCALARS)
    return Field(section=None, named=False, expected=_words(kind), kind=kind, exact=exact)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and is_dataclass(kind)


def _words(kind: Any) -> str:
    if get_origin(kind) in _UNIONS:
        return " or ".join(_words(one) for one in get_args(kind))
    if get_origin(kind) is list:
        return f"a list of {_words(get_args(kind)[0])}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(one.name for one in kind)
    return _SCALARS[kind]


def _keys(section: type, prefix: str) -> Iterator[str]:
    for name, field in _fields(section).items():
        full = f"{prefix}{name}.{ANY}" if field.named else f"{prefix}{name}"
        if field.section is None:
            yield full
        else:
            yield from _keys(field.section, f"{full}.")


def _sections(section: type, prefix: str) -> Iterator[str]:
    for name, field in _fields(section).items():
        if field.named or field.section is not None:
            yield f"{prefix}{name}"
        if not field.named and field.section is not None:
            yield from _sections(field.section, f"{prefix}{name}.")


def _named_as(known: str, key: str) -> str:
    """A known key with the names that `key` has in the same places, or NAME. The last one is what was
    perhaps mistyped: it is no name to take over.
    """
    names = dict(enumerate(key.split(".")[:-1]))
    words = enumerate(known.split("."))
    return ".".join(names.get(i, "NAME") if word == ANY else word for i, word in words)


def _likeness(known: str, key: str) -> float:
    def ratio(a: str, b: str) -> float:
        return difflib.SequenceMatcher(None, a, b).ratio()

    last = ratio(known.rpartition(".")[2], key.rpartition(".")[2])
    return 0.6 * last + 0.4 * ratio(known, key)
