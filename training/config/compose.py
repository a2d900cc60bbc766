"""From a name and `key=value` to a whole configuration: the schema, YAML files, the command line.

Hydra reads the files and their `defaults`, and its grammar the overrides. What they say is held
against the schema here and not by Hydra, whose messages name neither the full key nor the nearest.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from sam3_edge.errors import UsageError
from sam3_edge.training.config.check import check_config, check_validation
from sam3_edge.training.config.names import find, folders, unknown
from sam3_edge.training.config.schema import RunConfig
from sam3_edge.training.config.schema_keys import checked, nearest

__all__ = [
    "ComposedConfig",
    "changed",
    "check_config",
    "check_validation",
    "compose_config",
    "quoted",
    "read_config",
]

# The key of scratch that holds the configuration's name; paths.experiment names it.
_NAME_KEY = "name"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedConfig:
    """config: with every interpolation resolved. The two YAML texts hold every key of the schema.

    Composing `unresolved_yaml` again gives the same configuration.
    """

    config: RunConfig
    unresolved_yaml: str
    resolved_yaml: str
    name: str


def compose_config(name: str, overrides: Sequence[str] = ()) -> ComposedConfig:
    """The configuration NAME, or in the file that `name` is a path of, with `key=value` over it.

    Raises UsageError: no such file, YAML or grammar that cannot be read, an unknown key, a value of
    another type, an interpolation that names nothing, a mandatory value (???) that is not given.
    """
    path = find(name)
    values = _read_files(path)
    for text in overrides:
        values = _overridden(values, text)
    return _composed(values, path.stem)


def changed(composed: ComposedConfig, values: Mapping[str, Any]) -> ComposedConfig:
    """The same with other values at the full keys given, and all that they are interpolated into."""
    tree = _plain(OmegaConf.create(composed.unresolved_yaml))
    for key, value in values.items():
        tree = _merged(tree, _nested(key.split("."), value))
    return _composed(tree, composed.name)


def read_config(path: Path) -> RunConfig:
    """A config_resolved.yaml. Raises UsageError."""
    try:
        tree = OmegaConf.create(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: expected a configuration, got {_line(error)}") from error
    return _composed(_plain(tree), path.stem).config


def quoted(value: str) -> str:
    """Any text as a value of Hydra's grammar, which would read `=`, `,` and quotes."""
    slashes = value.replace("\\'", "\\\\'")
    return "'" + slashes.replace("'", "\\'") + "'"


def _read_files(path: Path) -> dict[str, Any]:
    """What the file and the files of its `defaults` say, merged."""
    found = [folder for folder in folders() if folder.is_dir() and folder != path.parent]
    search = ",".join(quoted(f"file://{folder}") for folder in found)
    try:
        with (
            initialize_config_dir(str(path.parent), job_name="sam3-edge", version_base="1.3"),
            warnings.catch_warnings(),
        ):
            # Without `_self_` a file's own values come last, which is what everyone expects.
            warnings.filterwarnings("ignore", ".*missing `_self_`")
            tree = compose(path.stem, overrides=[f"hydra.searchpath=[{search}]"])
    except MissingConfigException as error:
        raise UsageError(f"{path}: in its defaults: {unknown(_missing(error))}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, HydraException) as error:
        raise UsageError(
            f"{path}: expected YAML of keys and values, got {_line(error)}; correct the file"
        ) from error
    except RecursionError as error:
        raise UsageError(
            f"{path}: expected defaults that end, got files that name each other; correct one"
        ) from error
    except (OmegaConfBaseException, ValueError, TypeError, AttributeError) as error:
        # Hydra trusts the shape of what it reads: a list at the top is an AttributeError.
        raise UsageError(
            f"{path}: expected YAML of keys and values, got what cannot be read as such "
            f"({_line(error)}); correct the file"
        ) from error
    return _plain(tree)


def _overridden(values: dict[str, Any], text: str) -> dict[str, Any]:
    override = _parsed(text)
    keys = override.key_or_group.split(".")
    if override.is_delete():
        return _without(values, keys, text)
    merged: dict[str, Any] = _merged(values, _nested(keys, override.value()))
    return merged


def _parsed(text: str) -> Override:
    try:
        override = OverridesParser.create().parse_override(text)
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(
            f"expected key=value, got {text!r}; put a value with special characters into quotes: "
            "\"key='value'\""
        ) from error
    key = override.key_or_group.split("=")[0]
    if override.is_sweep_override():
        raise UsageError(
            f"{key}: expected one value, got several in {text!r}; write a list as [a,b]"
        )
    if override.package is not None or "/" in key:
        raise UsageError(f"expected key=value with a dotted key, got {text!r}; {nearest(key)}")
    return override


def _without(values: dict[str, Any], keys: list[str], text: str) -> dict[str, Any]:
    """`~key`: as if no file had said anything about the key."""
    parent: Any = values
    for key in keys[:-1]:
        parent = parent.get(key) if isinstance(parent, dict) else None
    if not isinstance(parent, dict) or keys[-1] not in parent:
        raise UsageError(f"expected ~KEY of a key that the file sets, got {text!r}")
    del parent[keys[-1]]
    return values


def _composed(values: dict[str, Any], name: str) -> ComposedConfig:
    schema = OmegaConf.structured(RunConfig)
    tree = OmegaConf.merge(schema, {"scratch": {_NAME_KEY: name}}, checked(values))
    # Resolved without types, so that an interpolated value of another type is our message too.
    plain = OmegaConf.create(_plain(tree))
    resolved = OmegaConf.merge(schema, checked(_resolved(plain)))
    config: Any = OmegaConf.to_object(resolved)
    assert isinstance(config, RunConfig)
    return ComposedConfig(
        config=config,
        unresolved_yaml=OmegaConf.to_yaml(tree),
        resolved_yaml=OmegaConf.to_yaml(resolved),
        name=name,
    )


def _resolved(tree: Any) -> Any:
    try:
        return OmegaConf.to_container(tree, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise UsageError(
            f"{error.full_key}: expected a value, got none; add {error.full_key}=VALUE"
        ) from error
    except (OmegaConfBaseException, RecursionError) as error:
        key = getattr(error, "full_key", None) or "configuration"
        raise UsageError(
            f"{key}: expected an interpolation that resolves, got {_line(error)}; correct the key "
            "between ${ and }"
        ) from error


def _plain(tree: Any) -> dict[str, Any]:
    """Dictionaries, lists and values, with interpolations as they are written."""
    if not isinstance(tree, DictConfig):
        raise UsageError(f"configuration: expected keys and values, got {tree!r}")
    values: Any = OmegaConf.to_container(tree, resolve=False, enum_to_str=True)
    return {} if values is None else dict(values)


def _nested(keys: Sequence[str], value: Any) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    return dict(value)


def _merged(under: Any, over: Any) -> Any:
    """Keys below keys; anything else is what `over` says."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    both = {key: _merged(under[key], over[key]) for key in under.keys() & over.keys()}
    return {**under, **over, **both}


def _missing(error: MissingConfigException) -> str:
    return str(error.missing_cfg_file or "nothing")


def _line(error: BaseException) -> str:
    """The first line, which says what; OmegaConf and PyYAML add where on further ones."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"{getattr(error, 'problem', None) or 'no YAML'} in line {mark.line + 1}"
    cause = error.__cause__ if isinstance(error, HydraException) and error.__cause__ else error
    return " ".join(str(cause).splitlines()[:1]) or type(cause).__name__
