"""What `sam3-edge export --vocabulary` reads: the phrases a model knows, and how well."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sam3_edge.engines.manifest import Phrase
from sam3_edge.engines.strict_json import from_json, parse_json
from sam3_edge.errors import UsageError
from sam3_edge.training.evaluation.report import Report

# For a phrase of which nothing right was found.
NO_THRESHOLD = 0.5


def vocabulary_entries(report: Report, before: Sequence[Phrase] = ()) -> list[Phrase]:
    """The phrases that had an object to find, after those measured before.

    Of a phrase in both, this report gives the AP, and the stricter threshold counts: in a live
    picture a false alarm is worse than a late one.
    """
    phrases = {phrase.text: phrase for phrase in before}
    for text, one in report.phrases.items():
        scores = one.boxes.scores
        if scores.ap is None or scores.ap50 is None:
            continue
        found = one.boxes.threshold
        threshold = NO_THRESHOLD if found is None else round(found, 3)
        if text in phrases:
            threshold = max(threshold, phrases[text].threshold)
        phrases[text] = Phrase(
            text=text,
            ap=round(scores.ap, 4),
            ap50=round(scores.ap50, 4),
            threshold=threshold,
            source=report.source,
        )
    return list(phrases.values())


def vocabulary_to_json(phrases: Sequence[Phrase]) -> str:
    return json.dumps([asdict(phrase) for phrase in phrases], indent=2, allow_nan=False) + "\n"


def read_phrases(path: Path) -> tuple[Phrase, ...]:
    """What an earlier evaluation wrote. Raises UsageError."""
    try:
        phrases: tuple[Phrase, ...] = from_json(
            tuple[Phrase, ...], parse_json(path.read_text(encoding="utf-8"))
        )
        return phrases
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path}: expected a vocabulary that `sam3-edge eval --vocabulary` wrote, got: "
            f"{error}; check the path"
        ) from error
