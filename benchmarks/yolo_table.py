"""The table of the two detectors beside each other, and its figures for programs."""

from dataclasses import asdict, dataclass
from typing import Any

import click
from claim_table import machine_text, open_console
from rich.table import Table
from yolo_answers import Yolo
from yolo_speed import Speeds

from sam3_edge.engines.bundle import Bundle
from sam3_edge.training.evaluation.coco_scores import CocoScores

STARTS = {"lite0": "ImageNet (EfficientNet-Lite0)", "random": "random"}
NOTE = "Unseen places are unseen by the YOLO; by sam3-edge only where it was trained without them."

Row = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Box scores of both on one split."""

    name: str
    ours: CocoScores
    yolo: CocoScores


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """backbone, size: the YOLO's. ours_minutes: how long ours was trained, None where not said.
    num_words: asked about every picture.
    """

    backbone: str
    size: str
    threads: int
    ours_minutes: float | None
    bundle: Bundle
    yolo: Yolo
    num_words: int
    judged: list[Judged]
    speeds: Speeds


def print_table(facts: Facts, *, markdown: bool) -> None:
    console = open_console()
    console.print(f"{machine_text()}, {facts.threads} threads", soft_wrap=True)
    names = ("", f"sam3-edge ({facts.bundle.manifest.name})", f"YOLOX-{facts.size}")
    rows = table_rows(facts)
    if markdown:
        lines = [names, ("---",) * 3, *rows]
        click.echo("\n".join(f"| {' | '.join(line)} |" for line in lines))
    else:
        table = Table(*names, box=None, header_style="bold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(NOTE)


def table_rows(facts: Facts) -> list[Row]:
    """What, ours, the YOLO's."""
    return [*_training_rows(facts), *_figure_rows(facts), *_ability_rows(facts)]


def figures(facts: Facts) -> dict[str, Any]:
    """For JSON."""
    return {
        "machine": machine_text(),
        "yolo": facts.yolo.about,
        "splits": [asdict(one) for one in facts.judged],
        "speeds": asdict(facts.speeds),
        "rows": table_rows(facts),
    }


def ap_text(scores: CocoScores) -> str:
    """0.123 (0.456)"""
    if scores.ap is None or scores.ap50 is None:
        return "nothing to find"
    return f"{scores.ap:.3f} ({scores.ap50:.3f})"


def _training_rows(facts: Facts) -> list[Row]:
    about, ours, side = (
        facts.yolo.about,
        facts.bundle.manifest.model.image_size,
        facts.yolo.image_size,
    )
    minutes = "not said" if facts.ours_minutes is None else f"{facts.ours_minutes:g}"
    return [
        ("begun with", "as its checkpoint says", STARTS[facts.backbone]),
        ("minutes trained", minutes, f"{about['minutes']:.1f} ({about['pictures']} pictures)"),
        ("input, pixels", f"{ours} x {ours}, squeezed", f"{side} x {side}, letterboxed"),
    ]


def _figure_rows(facts: Facts) -> list[Row]:
    speeds, yolo = facts.speeds, facts.yolo
    graphs = sum(path.stat().st_size for path in facts.bundle.path.glob("*.onnx")) / 1e6
    ours_network = f"{speeds.all_words.network:.1f}; one word {speeds.one_word.network:.1f}"
    ours_millions = facts.bundle.manifest.model.num_parameters / 1e6
    return [
        *((f"box AP (AP50), {j.name}", ap_text(j.ours), ap_text(j.yolo)) for j in facts.judged),
        (f"frames a second, {facts.num_words} words", f"{speeds.all_words.frames_a_second:.1f}",
         f"{speeds.yolo.frames_a_second:.1f}"),
        ("frames a second, one word", f"{speeds.one_word.frames_a_second:.1f}", "the same"),
        ("network alone, ms", ours_network, f"{speeds.yolo.network:.1f}"),
        ("parameters, M", f"{ours_millions:.1f}", f"{yolo.about['parameters'] / 1e6:.1f}"),
        ("ONNX files, MB", f"{graphs:.1f} (weights in FP16, text encoder included)",
         f"{yolo.path.stat().st_size / 1e6:.1f} (weights in FP32)"),
    ]  # fmt: skip


def _ability_rows(facts: Facts) -> list[Row]:
    fixed = f"no: {len(facts.yolo.classes)} classes, fixed by training"
    return [
        ("text prompts", "yes", fixed),
        ("words it was not trained on", "may be asked, with a warning", "no"),
        ("masks", "yes", "no: boxes"),
    ]
