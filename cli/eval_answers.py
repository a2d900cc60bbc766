"""A bundle or a checkpoint, opened once, that answers what is asked of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from sam3_edge.engines.load import load_backend, open_bundle
from sam3_edge.errors import UsageError
from sam3_edge.training.evaluation.answers import Answer
from sam3_edge.training.evaluation.bundle_answers import bundle_answers
from sam3_edge.training.evaluation.pictures import JudgedPicture, JudgedPictures, each

# Asks every phrase of the pictures about every one of them. Raises EngineError, DatasetError.
Answers = Callable[[JudgedPictures], Iterator[Answer]]


@contextmanager
def opened_model(
    model: Path, *, threads: int, device: str, preset: str | None, image_size: int | None
) -> Iterator[Answers]:
    """model: a folder is a bundle, anything else a checkpoint. threads: 0 for all.

    device, preset and image_size are for a checkpoint. Raises UsageError, EngineError, ExportError.
    """
    if not model.exists():
        raise UsageError(
            f"{model}: expected a bundle's folder or a .safetensors file, got nothing there; "
            "check the path"
        )
    if not model.is_dir():
        yield _checkpoint(model, threads, device, preset, image_size)
        return
    if image_size is not None:
        raise UsageError(
            f"--image-size: expected a checkpoint beside it, got the bundle {model}, which has a "
            "size of its own; give the checkpoint, or `sam3-edge export --image-size`"
        )
    bundle = open_bundle(model, verified_only=False)  # to measure it is not to rely on it
    backend = load_backend(bundle, num_threads=threads or None)
    slots = bundle.manifest.model.num_exemplars
    try:
        yield lambda pictures: bundle_answers(backend, slots, pictures.phrases, _shown(pictures))
    finally:
        backend.close()


def _checkpoint(
    model: Path, threads: int, device: str, preset: str | None, image_size: int | None
) -> Answers:
    try:
        import torch

        from sam3_edge.training.evaluation.checkpoint_answers import checkpoint_answers
        from sam3_edge.training.model.weights import load_weights
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{model}: a checkpoint needs {error.name}, which is not installed; install with: "
            "pip install 'sam3-edge[train]', or give a bundle"
        ) from error
    if threads:
        torch.set_num_threads(threads)
    detector, _ = load_weights(model, preset=preset, image_size=image_size)
    try:
        detector.to(device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"--device: expected one this machine has, got {device!r}: "
            f"{str(error).splitlines()[0]}; try cpu"
        ) from error
    return lambda pictures: checkpoint_answers(detector, pictures.phrases, _shown(pictures))


def _shown(pictures: JudgedPictures) -> Iterator[JudgedPicture]:
    """With a bar on a terminal, nothing in a file."""
    console = Console(stderr=True)
    columns = (TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        yield from bar.track(each(pictures), total=len(pictures))
