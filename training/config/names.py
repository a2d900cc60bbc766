"""Where a configuration's file is: a path, the working folder, ./configs, or the package."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from sam3_edge.errors import UsageError

READY = Path(__file__).resolve().parent / "ready"
SUFFIX = ".yaml"
# More would be read as Hydra's grammar.
_NAME = re.compile(r"[\w-][\w.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """summary: the first comment of the file, which says in one line what it is for."""

    name: str
    path: Path
    summary: str
    ready: bool


def folders() -> tuple[Path, ...]:
    """Searched for NAME.yaml in this order, absolute."""
    return Path.cwd(), Path.cwd() / "configs", READY


def listed() -> tuple[Listed, ...]:
    """All that a NAME finds: the ready ones first, in the order of their names.

    A file of the user's counts where its first line is a comment or one of the schema's sections,
    since other tools leave YAML in the working folder too.
    """
    found: dict[str, Listed] = {}
    for folder in folders():
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            if path.stem not in found and (folder == READY or _is_ours(path)):
                found[path.stem] = Listed(
                    name=path.stem, path=path, summary=_summary(path), ready=folder == READY
                )
    return tuple(sorted(found.values(), key=lambda one: (not one.ready, one.name)))


def find(name: str) -> Path:
    """The file of a path or NAME, absolute. Raises UsageError that lists what there is."""
    is_path = "/" in name or name.endswith((SUFFIX, ".yml"))
    paths = [Path(name)] if is_path else [folder / f"{name}{SUFFIX}" for folder in folders()]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise UsageError(unknown(name))
    if found.suffix != SUFFIX or not _NAME.fullmatch(found.stem):
        raise UsageError(
            f"configuration: expected a file called NAME{SUFFIX} of letters, digits, '_', '-' and "
            f"'.', got {found.name!r}; rename it"
        )
    return found.resolve()


def unknown(name: str) -> str:
    """What to say where no configuration is called so: all names, the nearest first."""
    stem = Path(name).stem if name.endswith(SUFFIX) else name
    names = sorted(
        (one.name for one in listed()),
        key=lambda known: -difflib.SequenceMatcher(None, known, stem).ratio(),
    )
    return (
        f"configuration: expected a file or one of {', '.join(names)}, got {name!r}; "
        "`sam3-edge train --list` describes them"
    )


def _summary(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        first = next((line.strip() for line in file if line.strip()), "")
    return first.lstrip("# ") if first.startswith("#") else ""


def _is_ours(path: Path) -> bool:
    sections = ("defaults:", "paths:", "launcher:", "submitit:", "scratch:", "trainer:")
    text = path.read_text(encoding="utf-8", errors="replace")
    return any(line.startswith(sections) for line in text.splitlines())
