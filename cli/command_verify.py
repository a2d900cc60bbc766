"""`sam3-edge verify`: is a bundle still the model it was made from, on this machine?"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from sam3_edge.engines.bundle import Bundle, read_manifest, write_manifest
from sam3_edge.engines.load import open_bundle
from sam3_edge.engines.manifest import Manifest, Verification, not_run
from sam3_edge.errors import EngineError, UsageError
from sam3_edge.export.evidence import (
    NUM_IMAGES,
    Evidence,
    annotated_as_evidence,
    photos_as_evidence,
)
from sam3_edge.export.tolerances import TOLERANCES
from sam3_edge.export.verdict import Measured, verification
from sam3_edge.export.verify import measure
from sam3_edge.runtime.prompts import check_prompt_texts
from sam3_edge.runtime.tokenizer import Tokenizer
from sam3_edge.verify_report import show_bisection, show_measured

_FOLDER = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """What the command line says; see --help."""

    reference: Path | None
    images: Path | None
    annotations: Path | None
    num_images: int
    phrases: str | None
    threads: int
    bisect: bool
    as_json: bool


@click.command(
    short_help="Compare a bundle with the model it was made from.",
    context_settings={"show_default": True},
)
@click.argument("bundle", type=_FOLDER)
@click.option(
    "--reference", type=_FOLDER,
    help="Its FP32 bundle, as exported.  [default: the outputs BUNDLE carries]",
)  # fmt: skip
@click.option("--images", type=_FOLDER, help="Folder of photos.  [default: those BUNDLE carries]")
@click.option("--annotations", type=_FOLDER, help="In COCO's format: compare box AP on them too.")
@click.option(
    "--num-images", default=NUM_IMAGES, type=click.IntRange(min=1),
    help="How many photos, evenly spread.",
)  # fmt: skip
@click.option(
    "--phrases", help='What to ask, as "fish, crab".  [default: every phrase BUNDLE knows]'
)
@click.option("--threads", default=0, type=click.IntRange(min=0), help="Processors; 0 takes all.")
@click.option("--bisect", is_flag=True, help="Where it fails, name the first layer that is wrong.")
@click.option("--json", "as_json", is_flag=True, help="The verdict as JSON, for programs.")
def verify(bundle: Path, **options: Any) -> int:
    """Compare BUNDLE with the FP32 model it was made from, and write the verdict into it.

    Every output of every graph, then everything the whole chain finds, must be within what its
    precision allows. A bundle is used only after it passed: run this on the device that will use
    it. Give photos it was neither trained nor calibrated on, and --reference for the full test.

    Ends with 0 if it passed, 1 if it failed or nothing could be compared. An engine that cannot
    run on this machine is left as it is, with a warning.

    \b
    Examples:
      sam3-edge verify bundles/reef_int8
      sam3-edge verify bundles/reef_int8 --reference bundles/reef --images photos/
      sam3-edge verify bundles/reef_int8 --reference bundles/reef --annotations \\
          reef/valid.json --num-images 200 --bisect
    """
    chosen = VerifyOptions(**options)
    _check(chosen)
    manifest = read_manifest(bundle)
    why = _why_not_here(manifest)
    if why is not None:
        return _cannot_run(bundle, why, chosen)
    opened = open_bundle(bundle, verified_only=False)
    trusted = None if chosen.reference is None else open_bundle(chosen.reference)
    _check_bisect(opened, chosen)
    evidence = _evidence(opened, chosen)
    measured = _with_status(
        lambda say: measure(
            opened, trusted, evidence, num_threads=chosen.threads or None, progress=say
        )
    )
    verdict = verification(opened.manifest, measured)
    _write(bundle, opened.manifest, verdict)
    _show(opened, verdict, measured, chosen)
    if chosen.bisect and trusted is not None:
        _bisect(opened, trusted, evidence, measured)
    return 0 if verdict.state == "passed" else 1


def _check(chosen: VerifyOptions) -> None:
    if chosen.reference is None:
        for name in ("images", "annotations", "phrases", "bisect"):
            if getattr(chosen, name):
                raise UsageError(
                    f"expected --reference beside --{name}, got none; add the FP32 bundle this one "
                    "was made from: --reference BUNDLE"
                )
    elif chosen.phrases and chosen.images is None and chosen.annotations is None:
        raise UsageError("expected --images or --annotations beside --phrases, got none; add one")


def _check_bisect(bundle: Bundle, chosen: VerifyOptions) -> None:
    if chosen.bisect and bundle.manifest.backend != "onnxruntime":
        raise UsageError(
            f"--bisect: expected ONNX graphs, got a {bundle.manifest.backend} engine, whose layers "
            "are fused; run it on the bundle the engine was compiled from: "
            f"sam3-edge verify ONNX_BUNDLE --reference {chosen.reference} --bisect"
        )


def _evidence(bundle: Bundle, chosen: VerifyOptions) -> Evidence | None:
    phrases = [text.strip() for text in (chosen.phrases or "").split(",") if text.strip()]
    if phrases:
        check_prompt_texts(phrases, Tokenizer())
    if chosen.annotations is not None:
        return annotated_as_evidence(
            chosen.annotations, chosen.images, bundle, phrases, chosen.num_images
        )
    if chosen.images is not None:
        return photos_as_evidence(chosen.images, bundle, phrases, chosen.num_images)
    return None


def _why_not_here(manifest: Manifest) -> str | None:
    """What this machine lacks to execute the bundle; None where it lacks nothing."""
    if manifest.backend == "onnxruntime":
        return None
    from sam3_edge.engines.tensorrt_device import this_device

    try:
        this_device(manifest.backend)
    except EngineError as error:
        return str(error)
    return None


def _cannot_run(path: Path, why: str, chosen: VerifyOptions) -> int:
    """Everything but executing it is checked: the files may still be damaged."""
    bundle = Bundle.open(path, verified_only=False, any_device=True)
    advice = "run `sam3-edge verify` on the device it was built for"
    verdict = not_run("nothing", f"it cannot be executed where that was tried; {advice}")
    _write(path, bundle.manifest, verdict)
    click.echo(
        f"sam3-edge: warning: {path} was not verified, since this machine cannot execute it "
        f"({why}); {advice}",
        err=True,
    )
    if chosen.as_json:
        _print_json(bundle, verdict)
    return 0


def _write(path: Path, manifest: Manifest, verdict: Verification) -> None:
    """A test that could not be made says nothing: it takes no earlier verdict away."""
    engine = manifest.backend != "onnxruntime"
    before = manifest.verification_engine if engine else manifest.verification_onnx
    if verdict.state == "not_run" and before is not None and before.state != "not_run":
        return
    if engine:
        write_manifest(path, replace(manifest, verification_engine=verdict))
    else:
        write_manifest(path, replace(manifest, verification_onnx=verdict))


def _show(bundle: Bundle, verdict: Verification, measured: Measured, chosen: VerifyOptions) -> None:
    if chosen.as_json:
        _print_json(bundle, verdict)
        return
    console = Console(highlight=False, soft_wrap=True, markup=False)
    show_measured(console, bundle.manifest, measured)
    state = verdict.state.replace("_", " ")
    console.print(f"{state}: {verdict.message}")


def _print_json(bundle: Bundle, verdict: Verification) -> None:
    value = {
        "bundle": str(bundle.path.resolve()),
        "precision": bundle.manifest.precision,
        "verification": asdict(verdict),
        "tolerances": asdict(TOLERANCES[bundle.manifest.precision]),
    }
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def _bisect(bundle: Bundle, trusted: Bundle, evidence: Evidence | None, measured: Measured) -> None:
    from sam3_edge.export.bisect_failure import bisect_failure  # needs onnx and Polygraphy

    bisection = _with_status(
        lambda say: bisect_failure(bundle, trusted, evidence, measured, progress=say)
    )
    show_bisection(Console(stderr=True, highlight=False, soft_wrap=True, markup=False), bisection)


def _with_status(work: Callable[[Callable[[str], None]], Any]) -> Any:
    """With a line that says what is being done on a terminal, nothing in a file."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return work(lambda _: None)
    with console.status("loading") as status:
        return work(status.update)
