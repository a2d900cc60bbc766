"""A report as tables for a terminal."""

from rich.console import Console
from rich.table import Table

from sam3_edge.training.evaluation.coco_scores import CocoScores
from sam3_edge.training.evaluation.report import Report, coco_to_json


def show_report(console: Console, report: Report) -> None:
    console.print(f"{report.model} on {report.source}", markup=False, highlight=False)
    for table in (_phrase_table(report), _presence_table(report), _coco_table(report)):
        console.print(table)
        console.print()
    for line in summary_lines(report):
        console.print(line, markup=False, highlight=False)


def summary_lines(report: Report) -> list[str]:
    """What SAM 3 is measured by, in words."""
    presence, boxes, masks = report.presence, report.concept, report.concept_masks
    asked = f"{report.images} pictures, {len(report.phrases)} prompts"
    pairs = f"present in {presence.positives} pairs, absent from {presence.negatives}"
    gated = f"cgF1 {share(boxes.cgf1)} = pmF1 {share(boxes.pmf1)} x IL_MCC {share(presence.il_mcc)}"
    lines = [f"{asked}: {pairs}", f"boxes: {gated}"]
    if masks is not None:
        lines.append(f"masks: cgF1 {share(masks.cgf1)}, pmF1 {share(masks.pmf1)}")
    plain = (
        f"balanced accuracy {share(presence.balanced_accuracy)}, "
        f"MCC {share(presence.presence_mcc)} at 0.5"
    )
    fitted = f"{share(presence.fitted_balanced_accuracy)} at {share(presence.fitted_threshold)}"
    return [*lines, f"presence: {plain}; fitted to these very pictures {fitted}"]


def share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _phrase_table(report: Report) -> Table:
    names = ["objects", "AP", "AP50", "threshold"]
    if report.masks is not None:
        names += ["mask AP", "mask AP50"]
    table = _table("phrase", names)
    for text, one in report.phrases.items():
        values = [one.boxes.scores.ap, one.boxes.scores.ap50, one.boxes.threshold]
        if one.masks is not None:
            values += [one.masks.scores.ap, one.masks.scores.ap50]
        table.add_row(text, str(one.boxes.objects), *map(share, values))
    return table


def _presence_table(report: Report) -> Table:
    names = ["present", "absent", "presence accuracy", "pmF1", "IL_MCC", "cgF1"]
    table = _table("phrase", names)
    for text, one in report.phrases.items():
        pairs = str(one.presence.positives), str(one.presence.negatives)
        gated = one.concept.pmf1, one.presence.il_mcc, one.concept.cgf1
        table.add_row(text, *pairs, share(one.presence.balanced_accuracy), *map(share, gated))
    return table


def _coco_table(report: Report) -> Table:
    table = _table("mean", list(coco_to_json(report.boxes.mean)))
    _add_means(table, "boxes", report.boxes.mean)
    if report.masks is not None:
        _add_means(table, "masks", report.masks.mean)
    return table


def _add_means(table: Table, name: str, scores: CocoScores) -> None:
    table.add_row(name, *map(share, coco_to_json(scores).values()))


def _table(first: str, others: list[str]) -> Table:
    table = Table(first, box=None, header_style="bold", pad_edge=False)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table
