"""Build the bundle a device runs: `python export/build_engine.py SOURCE -o BUNDLE`.

A script as well as a module, so that it works from the root of a checkout.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic

import click
from rich.console import Console

from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.manifest import BackendName, Precision
from sam3_edge.errors import ExportError, Sam3EdgeError, UsageError
from sam3_edge.export.build_bundle import BuildOptions, Progress, build_bundle
from sam3_edge.export.choose_photos import Photos, calibration_of, choose_photos
from sam3_edge.export.write_engines import EngineOptions, Target, choose_target
from sam3_edge.export.write_step import Recipe
from sam3_edge.runtime.text_cache import default_cache_folder

BACKENDS: dict[str, BackendName] = {
    "onnxruntime": "onnxruntime",
    "tensorrt": "tensorrt",
    "tensorrt-rtx": "tensorrt_rtx",
}


class PromptCounts(click.ParamType[tuple[int, int, int]]):
    """MIN,OPT,MAX."""

    name = "MIN,OPT,MAX"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int]:
        if isinstance(value, tuple):
            return value
        try:
            fewest, usual, most = (int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"expected three numbers like 1,1,8, got {value!r}", param, ctx)
        if not 1 <= fewest <= usual <= most:
            self.fail(f"expected 1 <= MIN <= OPT <= MAX, got {value}", param, ctx)
        return fewest, usual, most


@click.command(context_settings={"show_default": True})
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Bundle folder to write."
)
@click.option(
    "--backend", type=click.Choice(list(BACKENDS)), default="onnxruntime", help="What will run it."
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    help="Arithmetic of the graphs.  [default: fp32 for onnxruntime, fp16 for TensorRT]",
)
@click.option(
    "--calib",
    type=click.Path(exists=True, path_type=Path),
    help="For int8: a folder of photos like those it will see, or what `sam3-edge calibrate` "
    "wrote.",
)
@click.option(
    "--num-calib",
    default=128,
    type=click.IntRange(min=1),
    help="How many of that folder's photos, evenly spread.",
)
@click.option(
    "--images",
    type=click.Path(exists=True, path_type=Path),
    help="Folder of other photos to verify on.  [default: for int8, some held out of --calib; else "
    "the pictures the bundle carries]",
)
@click.option(
    "--annotations",
    type=click.Path(exists=True, path_type=Path),
    help="COCO annotations of those photos: box AP must not fall either.",
)
@click.option("--num-images", default=32, type=click.IntRange(min=1), help="How many of them.")
@click.option(
    "--phrases",
    default="",
    show_default=False,
    help='What to ask of them, as "fish, crab".  [default: every phrase the bundle knows]',
)
@click.option("--no-verify", is_flag=True, help="Compare nothing: it will need --unverified.")
@click.option(
    "--prompts",
    type=PromptCounts(),
    default=(1, 1, 8),
    show_default="1,1,8",
    help="TensorRT: the fewest prompts a call, the number to be fastest at, the most.",
)
@click.option(
    "--workspace",
    type=click.IntRange(min=1),
    metavar="MIB",
    help="TensorRT: scratch memory a layer may take while it is compiled and run.",
)
@click.option(
    "--timing-cache",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="TensorRT: where measured timings are kept.  [default: ~/.cache/sam3-edge/timing]",
)
@click.option(
    "--compute-capability",
    metavar="X.Y",
    help="tensorrt-rtx: the GPU to compile for.  [default: this machine's, else 8.6]",
)
def build(
    source: Path,
    out: Path,
    backend: str,
    precision: Precision | None,
    calib: Path | None,
    num_calib: int,
    images: Path | None,
    annotations: Path | None,
    num_images: int,
    phrases: str,
    no_verify: bool,
    prompts: tuple[int, int, int],
    workspace: int | None,
    timing_cache: Path | None,
    compute_capability: str | None,
) -> None:
    """Build a bundle for this machine from SOURCE and prove it.

    SOURCE is a checkpoint (.safetensors; needs torch) or an FP32 bundle that `sam3-edge export`
    wrote. Every graph is compared with its FP32 source before the bundle is used; what fails is
    built again at the next safer precision: int8, int8 with its worst layers kept, fp16, fp16 with
    fp32 attention, fp32. INT8 that is not faster than a safer precision is refused.

    \b
    Examples:
      python export/build_engine.py bundles/reef -o fp16 --backend tensorrt
      python export/build_engine.py bundles/reef -o int8 --backend tensorrt \\
          --precision int8 --calib photos/train --images photos/valid
      python export/build_engine.py runs/reef/checkpoints/best.safetensors -o fp32
    """
    if out.exists():  # before any work
        raise ExportError(f"{out}: expected a new folder, got one that exists; choose another path")
    name = BACKENDS[backend]
    chosen: Precision = precision or ("fp32" if name == "onnxruntime" else "fp16")
    if chosen == "int8" and calib is None:
        raise UsageError(
            "expected --calib beside --precision int8, got none; give a folder of photos like "
            "those the camera will show"
        )
    photos = Photos(
        calib=calib if chosen == "int8" else None,
        num_calib=num_calib,
        images=images,
        annotations=annotations,
        num_images=num_images,
        phrases=tuple(text.strip() for text in phrases.split(",") if text.strip()),
    )
    engine = None
    if name != "onnxruntime":
        engine = _engine(
            EngineOptions(
                kind=name,
                prompts=prompts,
                workspace_bytes=None if workspace is None else workspace << 20,
                timing_cache=timing_cache or default_cache_folder() / "timing",
                compute_capability=compute_capability,
            )
        )
    with _report() as (stage, detail), _opened(source, stage, detail) as bundle:
        recipe = Recipe(source=bundle, backend=name)
        to_calibrate, evidence = choose_photos(recipe, photos, _warn)
        calibration = calibration_of(recipe, photos, to_calibrate, stage, detail)
        recipe = replace(recipe, calibration=calibration)
        options = BuildOptions(
            precision=chosen, engine=engine, evidence=evidence, verify=not no_verify
        )
        built = build_bundle(recipe, out, options, stage, detail)
    _conclude(built, chosen)


def _engine(options: EngineOptions) -> tuple[EngineOptions, Target]:
    """Before any work: is TensorRT here, and is there a GPU to compile for?"""
    target = choose_target(options)
    if not target.here:
        _warn(
            f"compiling for compute capability {target.compute_capability}, which this machine "
            "cannot execute: the engine is verified on the device, with `sam3-edge verify`"
        )
    return options, target


@contextmanager
def _opened(source: Path, stage: Progress, detail: Progress) -> Iterator[Bundle]:
    """SOURCE as an FP32 bundle; a checkpoint is exported beside everything else first."""
    if source.is_dir():
        yield _fp32_bundle(source)
        return
    try:
        from sam3_edge.export.write_bundle import ExportOptions, export_checkpoint
    except ModuleNotFoundError as error:
        raise ExportError(
            f"{source}: a checkpoint needs {error.name}, which is not installed; install with "
            "pip install 'sam3-edge[export]', or build from the bundle that `sam3-edge export` "
            "wrote elsewhere"
        ) from error
    with tempfile.TemporaryDirectory(prefix="sam3-edge-build-") as folder:
        stage("exporting the checkpoint")
        exported = Path(folder) / source.stem
        export_checkpoint(source, exported, ExportOptions(name=source.stem), progress=detail)
        yield _fp32_bundle(exported)


def _fp32_bundle(path: Path) -> Bundle:
    bundle = Bundle.open(path, any_device=True)
    manifest = bundle.manifest
    if manifest.precision != "fp32" or manifest.backend != "onnxruntime":
        raise ExportError(
            f"{path}: expected an FP32 bundle of ONNX graphs to build from, got "
            f"{manifest.precision} for {manifest.backend}; give the one `sam3-edge export` wrote"
        )
    return bundle


@contextmanager
def _report() -> Iterator[tuple[Progress, Progress]]:
    """One line on standard error for each stage, and what goes on in it while it does."""
    console, started = Console(stderr=True, highlight=False, markup=False), monotonic()
    with console.status("starting") as status:

        def stage(line: str) -> None:
            console.print(f"{monotonic() - started:6.1f} s  {line}", soft_wrap=True)

        yield stage, status.update


def _conclude(built: Bundle, asked: Precision) -> None:
    manifest = built.manifest
    size = sum(file.stat().st_size for file in built.path.iterdir()) / 1e6
    if manifest.precision != asked:
        _warn(f"asked for {asked}, built {manifest.precision}: {manifest.attempts[0]}")
    verification = manifest.verification_engine or manifest.verification_onnx
    if verification.state != "passed":
        _warn(f"not verified: {verification.message}")
    click.echo(
        f"{built.path}: {manifest.backend}, {manifest.precision}, {size:.1f} MB, "
        f"{verification.state.replace('_', ' ')}"
    )


def _warn(message: str) -> None:
    click.echo(f"sam3-edge: warning: {message}", err=True)


if __name__ == "__main__":
    try:
        build()
    except Sam3EdgeError as error:
        click.echo(f"build_engine: error: {error}", err=True)
        sys.exit(error.exit_status)
