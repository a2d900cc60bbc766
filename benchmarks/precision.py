"""What each precision costs and gains: box AP, detections found again, size, milliseconds.

    python benchmarks/precision.py --calib photos/train --annotations photos/valid.json [BUNDLE]

Builds FP16 and INT8 from the FP32 BUNDLE (the default one, unless another is given) for ONNX
Runtime, and the graphs that TensorRT-RTX compiles, and compares all of them on the annotated
photos. Times are medians on this machine, the bundles taking turns in one run. TensorRT's graphs
are compared in ONNX Runtime and not timed: their times belong to a GPU.

    python benchmarks/precision.py --calib photos/train --random small

The speed alone, of a preset with random weights: FP32 against INT8 with every layer quantised.
"""

import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click
import onnxruntime
from rich.console import Console
from rich.table import Table

from sam3_edge.calib.calibration import Calibration
from sam3_edge.calib.collect import calibrate
from sam3_edge.calib.images import open_images
from sam3_edge.calib.sensitivity import measure_sensitivity
from sam3_edge.engines.bundle import Bundle, default_bundle_path
from sam3_edge.engines.manifest import BackendName, Precision, Verification
from sam3_edge.export.box_ap import box_ap
from sam3_edge.export.build_bundle import BuildOptions, build_bundle
from sam3_edge.export.evidence import Evidence, annotated_as_evidence
from sam3_edge.export.speed import FrameTime, frame_times
from sam3_edge.export.write_engines import EngineOptions, choose_target
from sam3_edge.export.write_step import Recipe

BUILDS: tuple[tuple[BackendName, Precision], ...] = (
    ("onnxruntime", "fp16"),
    ("onnxruntime", "int8"),
    ("tensorrt_rtx", "fp16"),
    ("tensorrt_rtx", "int8"),
)
ROUNDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One bundle. ap: None without annotations. time: None where it does not execute here."""

    bundle: Bundle
    ap: float | None
    time: FrameTime | None


@click.command()
@click.argument("source", default=default_bundle_path(), type=click.Path(path_type=Path))
@click.option(
    "--calib", required=True, type=click.Path(exists=True, path_type=Path), help="Folder of photos."
)
@click.option(
    "--annotations", type=click.Path(exists=True, path_type=Path), help="COCO's JSON of others."
)
@click.option("--num-calib", default=128, show_default=True, help="Photos to calibrate on.")
@click.option("--num-images", default=127, show_default=True, help="Annotated photos to judge on.")
@click.option("--random", metavar="PRESET", help="Instead of SOURCE: its speed, untrained.")
def main(
    source: Path,
    calib: Path,
    annotations: Path | None,
    num_calib: int,
    num_images: int,
    random: str | None,
) -> None:
    console = Console(highlight=False, markup=False, width=120)
    console.print(f"{_processor()}, onnxruntime {onnxruntime.__version__}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = Bundle.open(source if random is None else _untrained(random, folder / random))
        evidence = None
        if annotations is not None:
            evidence = annotated_as_evidence(annotations, None, bundle, (), num_images)
        calibration = _calibrated(bundle, calib, num_calib, evidence is not None, console.print)
        built = [
            _built(bundle, folder, backend, precision, calibration, evidence, console.print)
            for backend, precision in BUILDS
            if evidence is not None or backend == "onnxruntime"
        ]
        console.print(_table(_rows(bundle, built, evidence)))


def _untrained(preset_name: str, out: Path) -> Path:
    """A bundle of a preset with random weights."""
    from sam3_edge.export.write_bundle import ExportOptions, export_checkpoint
    from sam3_edge.training.model.config import preset
    from sam3_edge.training.model.detector import Detector
    from sam3_edge.training.model.weights import WeightsMetadata, save_weights

    config = preset(preset_name)
    checkpoint = out.with_suffix(".safetensors")
    metadata = WeightsMetadata(
        preset=preset_name,
        image_size=config.image_size,
        recipe="random",
        data=("none",),
        licence="Apache-2.0",
    )
    save_weights(Detector(config), checkpoint, metadata, half=True)
    export_checkpoint(checkpoint, out, ExportOptions(name=preset_name))
    return out


def _calibrated(
    bundle: Bundle, folder: Path, count: int, sensitive: bool, say: Callable[[str], None]
) -> Calibration:
    say(f"calibrating on {count} photos")
    images = open_images(folder, count)
    calibration = calibrate(bundle, images)
    if not sensitive:
        return calibration
    return replace(calibration, sensitivity=measure_sensitivity(bundle, calibration, images))


def _built(
    source: Bundle,
    folder: Path,
    backend: BackendName,
    precision: Precision,
    calibration: Calibration,
    evidence: Evidence | None,
    say: Callable[[str], None],
) -> Bundle:
    say(f"{backend}, {precision}")
    options = BuildOptions(precision=precision, evidence=evidence, verify=evidence is not None)
    if backend != "onnxruntime":
        engine = EngineOptions(kind=backend)
        options = replace(options, engine=(engine, choose_target(engine)))
    recipe = Recipe(source=source, backend=backend, calibration=calibration)
    out = folder / f"{backend}-{precision}"
    return build_bundle(recipe, out, options, lambda line: say(f"    {line}"), lambda _: None)


def _rows(source: Bundle, built: list[Bundle], evidence: Evidence | None) -> list[Row]:
    timed = [source, *(b for b in built if b.manifest.backend == "onnxruntime")]
    times = dict(zip((b.path for b in timed), frame_times(timed, ROUNDS), strict=True))
    annotated = None if evidence is None else evidence.annotated
    reference = None if annotated is None else box_ap(source, annotated)
    rows = [Row(bundle=source, ap=reference, time=times[source.path])]
    for bundle in built:
        ap = bundle.manifest.verification_onnx.ap
        # FP32 at the end of a ladder keeps the comparison its source came with.
        ap = reference if ap is None else ap
        rows.append(Row(bundle=bundle, ap=ap, time=times.get(bundle.path)))
    return rows


def _table(rows: list[Row]) -> Table:
    table = Table("for", "precision", box=None, header_style="bold")
    for name in ("kept", "MB", "AP", "found again", "mask IoU", "vision ms", "decoder ms"):
        table.add_column(name, justify="right")
    for row in rows:
        manifest = row.bundle.manifest
        kept = manifest.graphs["vision"].precision
        table.add_row(
            manifest.backend,
            manifest.precision,
            f"{len(kept.kept)} of {len(kept.kept) + len(kept.quantised)}" if kept.quantised else "",
            f"{sum(f.stat().st_size for f in row.bundle.path.iterdir()) / 1e6:.1f}",
            "" if row.ap is None else f"{row.ap:.4f}",
            *_agreement(manifest.verification_onnx),
            "" if row.time is None else f"{row.time.vision:.1f}",
            "" if row.time is None else f"{row.time.decoder:.1f}",
        )
    return table


def _agreement(verification: Verification) -> tuple[str, str]:
    found = verification.detections
    if found is None or found.matched is None or found.mask_iou is None:
        return "", ""
    return f"{found.matched:.1%}", f"{found.mask_iou:.3f}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
