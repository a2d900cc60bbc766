"""A TensorRT bundle on this GPU: mapped memory or copies, with and without CUDA graphs.

    python benchmarks/engine_modes.py BUNDLE [--prompts 1,2,4,8]

For each way the median time of vision and decoder, and of a whole frame from submit to result.
Which memory is faster is measured here and not assumed: mapped memory needs no copies where GPU and
processor share it, and crosses the bus where they do not.
"""

from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter

import click
from rich.console import Console
from rich.table import Table

from sam3_edge.engines.backend import Backend, PromptBatch
from sam3_edge.engines.load import open_bundle
from sam3_edge.engines.references import References, read_references
from sam3_edge.engines.tensorrt_backend import TensorRTBackend
from sam3_edge.errors import EngineError, Sam3EdgeError

WARM_UP, ROUNDS = 20, 200


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--prompts", default="1,2,4,8", show_default=True, help="How many at once.")
def main(bundle: Path, prompts: str) -> None:
    opened = open_bundle(bundle, verified_only=False)
    device = opened.manifest.built_on
    if device is None or opened.references_path is None:
        raise EngineError(f"{bundle}: expected a TensorRT bundle with reference pictures, got none")
    console = Console(highlight=False)
    console.print(
        f"{device.gpu_name or device.compute_capability}, {opened.manifest.backend} "
        f"{device.tensorrt_version}, driver {device.driver_version}, {opened.manifest.precision}"
    )
    references = read_references(opened.references_path)
    table = Table("memory", "CUDA graphs", "prompts", box=None, header_style="bold")
    for name in ("vision ms", "decoder ms", "frame ms"):
        table.add_column(name, justify="right")
    for zero_copy in (True, False):
        for graphs in (True, False):
            with closing(
                TensorRTBackend(opened, zero_copy=zero_copy, cuda_graphs=graphs)
            ) as backend:
                for count in map(int, prompts.split(",")):
                    times = _times(backend, references, _repeated(references, count))
                    memory = "mapped" if zero_copy else "copied"
                    texts = (f"{value:.2f}" for value in times)
                    table.add_row(memory, "yes" if graphs else "no", str(count), *texts)
    console.print(table)


def _repeated(references: References, count: int) -> PromptBatch:
    """The first phrase, `count` times: what is asked makes no difference to the time."""
    every, rows = references.prompts(), [0] * count
    return PromptBatch(
        text_features=every.text_features[rows],
        exemplar_features=every.exemplar_features[rows],
        prompt_mask=every.prompt_mask[rows],
    )


def _times(
    backend: Backend, references: References, prompts: PromptBatch
) -> tuple[float, float, float]:
    """Medians, ms: vision, decoder, and submit to result with a picture written each time."""
    vision, decoder, frame = [], [], []
    for number in range(WARM_UP + ROUNDS):
        slot = number % backend.num_slots
        started = perf_counter()
        backend.image_slot(slot)[...] = references.images[number % len(references)]
        output = backend.submit(slot, prompts).result()
        elapsed = (perf_counter() - started) * 1e3
        if number >= WARM_UP:
            vision.append(output.vision_ms)
            decoder.append(output.decoder_ms)
            frame.append(elapsed)
    return median(vision), median(decoder), median(frame)


if __name__ == "__main__":
    try:
        main()
    except Sam3EdgeError as error:
        raise SystemExit(f"engine_modes: error: {error}") from error
