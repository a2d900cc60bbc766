"""Build the bundle a device runs: `python export/build_engine.py SOURCE -o BUNDLE`.

A script as well as a module, so that it works from the root of a checkout.
"""

import shutil
import sys
from pathlib import Path

import click

from sam3_edge.engines.bundle import Bundle
from sam3_edge.engines.drift import check_drift, replay
from sam3_edge.engines.load import load_backend
from sam3_edge.engines.references import read_references
from sam3_edge.errors import ExportError, Sam3EdgeError


def build_from_bundle(source: Path, out: Path) -> Bundle:
    """Copy an exported bundle to `out` after its references were replayed on this machine.

    Torch-free. Raises BundleError, EngineError or ExportError, and leaves nothing at `out` then.
    """
    if out.exists():
        raise ExportError(f"{out}: expected a new folder, got one that exists; choose another path")
    building = out.with_name(f".{out.name}.tmp")
    try:
        shutil.copytree(Bundle.open(source).path, building, dirs_exist_ok=True)
        replay_references(Bundle.open(building))
        building.replace(out)
    except OSError as error:
        raise ExportError(
            f"cannot write {out}: {error.strerror}; check free space and permissions"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return Bundle.open(out)


def replay_references(bundle: Bundle) -> int:
    """Run every picture the bundle carries, text included; how many. Raises EngineError."""
    if bundle.references_path is None:
        raise ExportError(
            f"{bundle.path}: expected a bundle with reference pictures, got one without; export it "
            "again with this version"
        )
    references = read_references(bundle.references_path)
    backend = load_backend(bundle)
    try:
        for index in range(len(references)):
            drift = replay(backend, references, index, encode_text=index == 0)
            check_drift(drift, bundle.manifest.precision)
    finally:
        backend.close()
    return len(references)


@click.command(context_settings={"show_default": True})
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Bundle folder to write."
)
@click.option(
    "--backend", type=click.Choice(["onnxruntime"]), default="onnxruntime", help="What will run it."
)
@click.option(
    "--precision", type=click.Choice(["fp32"]), default="fp32", help="Arithmetic of the graphs."
)
def build(source: Path, out: Path, backend: str, precision: str) -> None:
    """Build a bundle for this machine from SOURCE and prove it here.

    SOURCE is a checkpoint (.safetensors; needs torch) or a bundle that `sam3-edge export` wrote.
    Every reference picture in the bundle is run and must give what PyTorch gave when it was
    exported.

    \b
    Examples:
      python export/build_engine.py nano/checkpoints/best.safetensors -o out/nano
      python export/build_engine.py bundles/exported -o out/here
    """
    if source.is_dir():
        bundle = build_from_bundle(source, out)
    else:
        from sam3_edge.export.write_bundle import ExportOptions, export_checkpoint

        export_checkpoint(source, out, ExportOptions(name=out.resolve().name))
        bundle = Bundle.open(out)
    count = replay_references(bundle)
    click.echo(f"{out}: {backend}, {precision}, {count} reference pictures agree on this machine")


if __name__ == "__main__":
    try:
        build()
    except Sam3EdgeError as error:
        click.echo(f"build_engine: error: {error}", err=True)
        sys.exit(error.exit_status)
