"""config.yaml and config_resolved.yaml in the folder of a run."""

import os
from pathlib import Path

from sam3_edge.errors import TrainingError
from sam3_edge.training.config.compose import ComposedConfig

UNRESOLVED = "config.yaml"
RESOLVED = "config_resolved.yaml"


def write_config(composed: ComposedConfig) -> Path:
    """Both files, never half written. Gives the resolved one, which a worker reads.

    Raises TrainingError for a folder that cannot be written.
    """
    folder = Path(composed.config.paths.experiment)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / UNRESOLVED, composed.unresolved_yaml)
        write_whole(folder / RESOLVED, composed.resolved_yaml)
    except OSError as error:
        raise TrainingError(
            f"{folder}: expected a folder that can be written, got: {error.strerror}; choose "
            "another with --out or paths.experiment"
        ) from error
    return folder / RESOLVED


def write_whole(path: Path, text: str) -> None:
    """Written beside it and renamed, so that a reader sees the old text or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
