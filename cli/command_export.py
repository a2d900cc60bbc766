"""`sam3-edge export`: a checkpoint becomes a bundle of ONNX graphs."""

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from sam3_edge.engines.manifest import Manifest
from sam3_edge.errors import ExportError
from sam3_edge.export.write_bundle import ExportOptions, export_checkpoint, read_vocabulary
from sam3_edge.training.model.config import PRESETS


@click.command(context_settings={"show_default": True})
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Bundle folder to write."
)
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    help="For a checkpoint that does not say, such as SAM 3's own.",
)
@click.option(
    "--image-size",
    type=int,
    help="Side of the network's square picture, a multiple of the preset's stride (nano: 16, others: "
    "14).  [default: what it was trained at]",
)
@click.option("--name", help="Name of the bundle.  [default: the folder's name]")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Folder of photos to compare the graphs with PyTorch on.  [default: demo scenes]",
)
@click.option("--num-images", default=16, type=click.IntRange(min=1), help="How many of them.")
@click.option(
    "--vocabulary",
    type=click.Path(path_type=Path),
    help="JSON list of the trained phrases with AP and threshold.",
)
@click.option(
    "--default-threshold",
    default=0.3,
    type=click.FloatRange(0.0, 1.0),
    help="Score a detection needs where the phrase has none of its own.",
)
@click.option(
    "--weights",
    type=click.Choice(["fp16", "fp32"]),
    default="fp16",
    help="How weights are stored; arithmetic is FP32.",
)
def export(
    checkpoint: Path,
    out: Path,
    preset: str | None,
    image_size: int | None,
    name: str | None,
    images: Path | None,
    num_images: int,
    vocabulary: Path | None,
    default_threshold: float,
    weights: str,
) -> None:
    """Turn CHECKPOINT (.safetensors) into a bundle that `sam3-edge run --bundle` takes.

    Writes the vision, text, exemplar and decoder graphs as ONNX, compares each with PyTorch, and
    puts the report into the bundle's manifest. Needs: pip install 'sam3-edge[export]'.

    \b
    Examples:
      sam3-edge export runs/nano/checkpoints/best.safetensors -o bundles/nano
      sam3-edge export sam3.safetensors --preset full -o out/sam3 --images photos/
    """
    options = ExportOptions(
        name=name or out.resolve().name,
        photos=images,
        num_photos=num_images,
        vocabulary=() if vocabulary is None else read_vocabulary(vocabulary),
        default_threshold=default_threshold,
        half_weights=weights == "fp16",
    )
    console = Console(stderr=True)
    with console.status("reading the checkpoint") as status:
        manifest = export_checkpoint(
            checkpoint, out, options, preset=preset, image_size=image_size, progress=status.update
        )
    _report(console, out, manifest)
    if manifest.verification_onnx.state != "passed":
        raise ExportError(
            f"{out}: expected graphs that compute what PyTorch does, got: "
            f"{manifest.verification_onnx.message}; the bundle is kept and runs with --unverified"
        )


def _report(console: Console, out: Path, manifest: Manifest) -> None:
    table = Table("output", "largest difference to PyTorch", box=None, header_style="bold")
    for name, difference in manifest.verification_onnx.outputs.items():
        largest = difference.max_abs
        table.add_row(name, "not finite" if largest is None else f"{largest:.2e}")
    console.print(table)
    megabytes = sum(file.stat().st_size for file in out.iterdir()) / 1e6
    verification = manifest.verification_onnx
    console.print(f"{out}: {megabytes:.1f} MB, {verification.state}: {verification.message}")
