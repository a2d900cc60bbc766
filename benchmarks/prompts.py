"""What each further prompt costs with the default bundle: the engine alone, and a whole frame.

    python benchmarks/prompts.py [--quick]

One frame at a time, nothing overlapping: the engine from submit to result; the whole frame from
the 1280x720 picture to its JSON line, masks included. The counts take turns in one run; medians.
"Each further" is what the prompts after the first cost, shared out among them, of the frame with
one prompt. "Separate runs" is what as many runs with one prompt each would take. The prompts are
the bundle's phrases, asked again where they are too few. The floor of a further prompt is what the
decoder alone takes for it, as ONNX Runtime times it.
"""

import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter

import click
import cv2
from claim_table import Claim, machine_text, open_console, print_claims
from rich.table import Table

from sam3_edge.bench.request import make_request
from sam3_edge.bench.source import SyntheticSource, render_pictures
from sam3_edge.engines.backend import Backend
from sam3_edge.engines.bundle import default_bundle_path
from sam3_edge.engines.load import load_backend, open_bundle
from sam3_edge.errors import Sam3EdgeError
from sam3_edge.runtime.frame import Frame
from sam3_edge.runtime.one_frame import Request
from sam3_edge.runtime.postprocess import postprocess
from sam3_edge.runtime.preprocess import preprocess_planes
from sam3_edge.runtime.results import FrameResult, Timing, json_line

COUNTS, QUICK_COUNTS = (1, 2, 3, 4, 6, 8, 12, 16), (1, 2, 8)
ROUNDS, QUICK_ROUNDS, WARM_UP = 150, 3, 2
LIMIT_PERCENT, UP_TO = 35, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Milliseconds, one for each round. frame: engine included. decoder: as the engine says."""

    engine: list[float] = field(default_factory=list)
    frame: list[float] = field(default_factory=list)
    decoder: list[float] = field(default_factory=list)


@click.command()
@click.option("--quick", is_flag=True, help="Few rounds: to see that it runs.")
def main(quick: bool) -> None:
    counts, rounds = (QUICK_COUNTS, QUICK_ROUNDS) if quick else (COUNTS, ROUNDS)
    cv2.setNumThreads(1)
    console = open_console()
    console.print(
        f"{machine_text()}; default bundle, medians of {rounds} frames each", soft_wrap=True
    )
    spent = _measure(counts, rounds)
    console.print(_table(spent))
    print_claims(console, _claims(spent), quick=quick)


def _measure(counts: tuple[int, ...], rounds: int) -> dict[int, Spent]:
    bundle = open_bundle(default_bundle_path())
    texts = tuple(phrase.text for phrase in bundle.manifest.vocabulary)
    pictures = render_pictures(1280, 720)
    spent = {count: Spent() for count in counts}
    with tempfile.TemporaryDirectory() as cache, closing(load_backend(bundle)) as backend:
        requests = {
            count: make_request(
                texts, count, bundle=bundle, backend=backend, text_cache=Path(cache), warn=print
            )
            for count in counts
        }
        for frame in islice(SyntheticSource(pictures).frames(), WARM_UP + rounds):
            for count, request in requests.items():
                _one_frame(frame, backend, request, spent[count])
    return {count: _without(each, WARM_UP) for count, each in spent.items()}


def _one_frame(frame: Frame, backend: Backend, request: Request, spent: Spent) -> None:
    started = perf_counter()
    preprocess_planes(frame.planes, frame.format, frame.size, backend.image_slot(0))
    submitted = perf_counter()
    output = backend.submit(0, request.batch).result()
    answered = perf_counter()
    found = postprocess(output, request.thresholds, frame.size)
    timing = Timing(
        preprocess_ms=0.0,
        vision_ms=output.vision_ms,
        decoder_ms=output.decoder_ms,
        postprocess_ms=0.0,
    )
    json_line(
        FrameResult(frame=frame, prompts=request.texts, detections=found, timing=timing, age_ms=0.0)
    )
    spent.frame.append((perf_counter() - started) * 1e3)
    spent.engine.append((answered - submitted) * 1e3)
    spent.decoder.append(output.decoder_ms)


def _without(spent: Spent, warm_up: int) -> Spent:
    return Spent(
        engine=spent.engine[warm_up:], frame=spent.frame[warm_up:], decoder=spent.decoder[warm_up:]
    )


def _table(spent: dict[int, Spent]) -> Table:
    table = Table("prompts", box=None, header_style="bold")
    for name in (
        "engine ms",
        "each further",
        "frame ms",
        "each further",
        "separate runs ms",
        "ratio",
    ):
        table.add_column(name, justify="right")
    first = median(spent[1].frame)
    for count, each in spent.items():
        frame = median(each.frame)
        table.add_row(
            str(count),
            f"{median(each.engine):.1f}",
            _percent(_further_percent(count, each.engine, spent[1].engine)),
            f"{frame:.1f}",
            _percent(_further_percent(count, each.frame, spent[1].frame)),
            f"{count * first:.1f}",
            f"{count * first / frame:.1f}x",
        )
    return table


def _claims(spent: dict[int, Spent]) -> list[Claim]:
    """The dearest of the counts, so that none is hidden by the others."""
    few = [count for count in spent if 1 < count <= UP_TO]
    floor = (median(spent[UP_TO].decoder) - median(spent[1].decoder)) / (UP_TO - 1)
    claims = []
    for name, one in (("engine alone", spent[1].engine), ("whole frame", spent[1].frame)):
        of_all = {count: spent[count].engine for count in few}
        if name == "whole frame":
            of_all = {count: spent[count].frame for count in few}
        claims.append(
            Claim(
                name=f"each further prompt, up to {UP_TO}, {name}",
                figure=max(_further_percent(count, ms, one) or 0.0 for count, ms in of_all.items()),
                unit="%",
                limit=LIMIT_PERCENT,
                floor=f"{100 * floor / median(one):.1f} %, the decoder ({floor:.1f} ms)",
            )
        )
    return claims


def _further_percent(count: int, ms: list[float], one: list[float]) -> float | None:
    """None for the first prompt itself."""
    if count == 1:
        return None
    return 100 * (median(ms) - median(one)) / (count - 1) / median(one)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} %"


if __name__ == "__main__":
    try:
        main()
    except Sam3EdgeError as error:
        raise SystemExit(f"prompts: error: {error}") from error
