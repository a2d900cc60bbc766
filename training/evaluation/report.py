"""Everything that is known of a model's answers, and its JSON form."""

from collections.abc import Sequence
from dataclasses import dataclass

from sam3_edge.training.evaluation.answers import Answer
from sam3_edge.training.evaluation.coco_scores import (
    CocoScores,
    KindScores,
    PhraseScores,
    coco_scores,
)
from sam3_edge.training.evaluation.pictures import JudgedPictures
from sam3_edge.training.evaluation.presence_scores import (
    ConceptScores,
    PresenceScores,
    concept_scores,
    presence_scores,
)

SCHEMA = 1
# As COCO's tools call them.
_COCO_NAMES = {
    "ap": "AP", "ap50": "AP50", "ap75": "AP75", "aps": "APs", "apm": "APm", "apl": "APl",
    "ar1": "AR1", "ar10": "AR10", "ar100": "AR100",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PhraseReport:
    """What is known of one phrase. masks, concept_masks: None where no masks are known."""

    boxes: PhraseScores
    masks: PhraseScores | None
    presence: PresenceScores
    concept: ConceptScores
    concept_masks: ConceptScores | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How well a model answers. All scores are fractions, 0..1; IL_MCC and cgF1 -1..1.

    model: what was evaluated. annotations: what on. source: the same, for a vocabulary.
    masks, concept_masks: None where no masks are known. phrases: every one asked, in order.
    """

    model: str
    annotations: str
    source: str
    images: int
    boxes: KindScores
    masks: KindScores | None
    presence: PresenceScores
    concept: ConceptScores
    concept_masks: ConceptScores | None
    phrases: dict[str, PhraseReport]


def make_report(
    answers: Sequence[Answer],
    *,
    model: str,
    pictures: JudgedPictures,
    annotations: str | None = None,
) -> Report:
    """annotations: None for the pictures' name."""
    with_masks = any(answer.truth.masks is not None for answer in answers)
    boxes = coco_scores(answers, "bbox")
    masks = coco_scores(answers, "segm") if with_masks else None
    mask_phrases = {} if masks is None else {one.phrase: one for one in masks.phrases}
    phrases = {}
    for one in boxes.phrases:
        mine = [answer for answer in answers if answer.phrase == one.phrase]
        phrases[one.phrase] = PhraseReport(
            boxes=one,
            masks=mask_phrases.get(one.phrase),
            presence=presence_scores(mine),
            concept=concept_scores(mine, "bbox"),
            concept_masks=concept_scores(mine, "segm") if with_masks else None,
        )
    return Report(
        model=model,
        annotations=annotations or pictures.name,
        source=pictures.name,
        images=len(pictures),
        boxes=boxes,
        masks=masks,
        presence=presence_scores(answers),
        concept=concept_scores(answers, "bbox"),
        concept_masks=concept_scores(answers, "segm") if with_masks else None,
        phrases=phrases,
    )


def report_to_json(report: Report) -> dict[str, object]:
    """For json.dumps. What is not defined is None, never NaN.

    `cgF1` and `pmF1` are those of boxes; those of masks have `segm_` before them.
    """
    return {
        "schema": SCHEMA,
        "model": report.model,
        "annotations": report.annotations,
        "source": report.source,
        "images": report.images,
        "prompts": len(report.phrases),
        "bbox": coco_to_json(report.boxes.mean),
        "segm": None if report.masks is None else coco_to_json(report.masks.mean),
        **_concept_to_json(report.presence, report.concept, report.concept_masks),
        "per_class": {text: _phrase_to_json(one) for text, one in report.phrases.items()},
    }


def coco_to_json(scores: CocoScores) -> dict[str, float | None]:
    return {name: getattr(scores, field) for field, name in _COCO_NAMES.items()}


def _phrase_to_json(one: PhraseReport) -> dict[str, object]:
    masks = None if one.masks is None else one.masks.scores
    return {
        "objects": one.boxes.objects,
        "AP": one.boxes.scores.ap,
        "AP50": one.boxes.scores.ap50,
        "segm_AP": None if masks is None else masks.ap,
        "segm_AP50": None if masks is None else masks.ap50,
        "threshold": one.boxes.threshold,
        **_concept_to_json(one.presence, one.concept, one.concept_masks),
    }


def _concept_to_json(
    presence: PresenceScores, boxes: ConceptScores, masks: ConceptScores | None
) -> dict[str, object]:
    return {
        "cgF1": boxes.cgf1,
        "pmF1": boxes.pmf1,
        "segm_cgF1": None if masks is None else masks.cgf1,
        "segm_pmF1": None if masks is None else masks.pmf1,
        "IL_MCC": presence.il_mcc,
        "presence_MCC": presence.presence_mcc,
        "present_pairs": presence.positives,
        "absent_pairs": presence.negatives,
        "presence_balanced_accuracy": presence.balanced_accuracy,
        "presence_threshold_fitted": presence.fitted_threshold,
        "presence_balanced_accuracy_fitted": presence.fitted_balanced_accuracy,
    }
