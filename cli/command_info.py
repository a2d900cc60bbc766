"""`sam3-edge info`: what a bundle is, knows, and was checked with."""

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from sam3_edge.engines.bundle import Bundle, default_bundle_path
from sam3_edge.engines.manifest import GraphPrecision, Manifest, Verification


@click.command(short_help="Show what a bundle is, knows and was checked with.")
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The same as JSON, for programs.")
def info(bundle: Path | None, as_json: bool) -> None:
    """Show what BUNDLE is: its model, the phrases it knows, how it was verified.

    A bundle is the folder that `sam3-edge export` writes and `sam3-edge run --bundle` takes.
    Without BUNDLE: the one that comes with sam3-edge. Every file is read and must be intact.

    \b
    Examples:
      sam3-edge info
      sam3-edge info bundles/reef --json
    """
    opened = Bundle.open(bundle or default_bundle_path(), verified_only=False, any_device=True)
    if as_json:
        click.echo(json.dumps(bundle_facts(opened), indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False, soft_wrap=True, markup=False)
    for name, text in _lines(opened):
        console.print(f"{name:<14}{text}")
    console.print()
    if opened.manifest.vocabulary:
        console.print(_vocabulary_table(opened.manifest))
    else:
        console.print("It does not say which phrases it was trained on.")


def bundle_facts(bundle: Bundle) -> dict[str, object]:
    """The manifest, the folder, and the size of each file in bytes."""
    files = file_sizes(bundle)
    return {
        "path": str(bundle.path.resolve()),
        "total_bytes": sum(files.values()),
        "file_bytes": files,
        "manifest": asdict(bundle.manifest),
    }


def file_sizes(bundle: Bundle) -> dict[str, int]:
    """Bytes by file name, the graphs' weights files included."""
    files = sorted(path for path in bundle.path.iterdir() if path.is_file())
    return {path.name: path.stat().st_size for path in files}


def _lines(bundle: Bundle) -> list[tuple[str, str]]:
    manifest, files = bundle.manifest, file_sizes(bundle)
    model, origin = manifest.model, manifest.provenance
    size = model.image_size
    lines = [
        ("bundle", str(bundle.path.resolve())),
        ("name", manifest.name),
        ("model", f"{model.preset}, {model.num_parameters / 1e6:.1f} M parameters"),
        ("picture", f"{size} x {size} pixels, {model.num_queries} objects a prompt at most"),
        ("prompts", f"{model.context_length} tokens each, {manifest.max_prompts} at a time"),
        ("runs on", _runs_on(manifest)),
        *_precision_lines(manifest),
        ("verified", _verification_text(manifest.verification_onnx)),
    ]
    if manifest.verification_engine is not None:
        lines.append(("engine", _verification_text(manifest.verification_engine)))
    return [
        *lines,
        ("trained on", "; ".join(origin.data)),
        ("made", f"{origin.created_utc} with sam3-edge {origin.sam3_edge_version}"),
        ("licence", origin.licence),
        ("threshold", f"{manifest.default_threshold:g} for phrases not listed"),
        ("files", ", ".join(f"{name} {size_text(count)}" for name, count in files.items())),
        ("", f"{size_text(sum(files.values()))} in all, every graph intact"),
    ]


def _runs_on(manifest: Manifest) -> str:
    device = manifest.built_on
    if device is None:
        return f"any machine ({manifest.backend})"
    where = device.gpu_name or f"GPUs of compute capability {device.compute_capability}"
    tensorrt = "TensorRT-RTX" if manifest.backend == "tensorrt_rtx" else "TensorRT"
    least, usual, most = device.prompt_profile
    return (
        f"{where} with {tensorrt} {device.tensorrt_version} only, {least} to {most} prompts a call, "
        f"best with {usual}"
    )


def _precision_lines(manifest: Manifest) -> list[tuple[str, str]]:
    lines = [("precision", f"{manifest.precision}, weights stored as {manifest.weights_storage}")]
    for name, graph in manifest.graphs.items():
        text = _precision_text(graph.precision)
        if text != "fp32":
            lines.append(("", f"{name}: {text}"))
    if manifest.calibration is not None:
        calibration = manifest.calibration
        count, method = calibration.num_images, calibration.method
        lines.append(("calibration", f"{count} photos, {method}, {calibration.scheme}"))
    return [*lines, *(("tried", attempt) for attempt in manifest.attempts)]


def _precision_text(precision: GraphPrecision) -> str:
    """ "int8: 60 layers, 19 kept; FP32: softmax 5, layer_norm 11"."""
    parts: list[str] = [precision.arithmetic]
    if precision.quantised:
        parts.append(f"{len(precision.quantised)} layers, {len(precision.kept)} kept")
    if precision.fp32_islands:
        islands = ", ".join(f"{rule} {n}" for rule, n in precision.fp32_islands.items())
        parts.append(f"in FP32 {islands}")
    return ": ".join((parts[0], "; ".join(parts[1:]))) if len(parts) > 1 else parts[0]


def _verification_text(verification: Verification) -> str:
    said = f": {verification.message}" if verification.message else ""
    return f"{verification.state.replace('_', ' ')} against {verification.reference}{said}"


def _vocabulary_table(manifest: Manifest) -> Table:
    table = Table("phrase", box=None, header_style="bold", pad_edge=False)
    for heading in ("AP", "AP50", "threshold"):
        table.add_column(heading, justify="right")
    table.add_column("measured on")
    for phrase in manifest.vocabulary:
        table.add_row(
            phrase.text, _share(phrase.ap), _share(phrase.ap50), f"{phrase.threshold:.2f}",
            phrase.source,
        )  # fmt: skip
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def size_text(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e6 else f"{num_bytes / 1e3:.0f} kB"
