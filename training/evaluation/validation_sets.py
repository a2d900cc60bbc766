"""From the data section of a configuration to the sets that are judged. Needs no torch."""

from pathlib import Path

from sam3_edge.training.config.schema import DataSection, SourceSection
from sam3_edge.training.evaluation.coco_pictures import CocoPictures
from sam3_edge.training.evaluation.pictures import JudgedPictures, ScenePictures

# Scenes of a validation set that has no limit.
VAL_SCENES = 50


def validation_sets(section: DataSection) -> dict[str, JudgedPictures]:
    """By name, in the order of the configuration. Raises DatasetError."""
    return {name: _judged(name, one, section) for name, one in section.val.items()}


def _judged(name: str, source: SourceSection, section: DataSection) -> JudgedPictures:
    limits = [n for n in (section.limit_val, source.limit_ids) if n is not None]
    limit = min(limits, default=None)
    if source.kind == "scene":
        return ScenePictures(VAL_SCENES if limit is None else limit)
    assert source.annotations is not None
    return CocoPictures(
        Path(source.annotations),
        images=None if source.images is None else Path(source.images),
        masks=None if source.masks is None else Path(source.masks),
        groups=source.groups,
        part=source.part,
        ask=source.ask,
        say=source.say,
        limit=limit,
        name=name,
        skip_faulty=section.skip_faulty,
    )
