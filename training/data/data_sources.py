"""From the data section of a configuration to what is drawn from."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from sam3_edge.runtime.scene import PHRASES
from sam3_edge.runtime.tokenizer import normalise
from sam3_edge.training.config.schema import AugmentSection, DataSection, SourceSection
from sam3_edge.training.data.augmentation import Augmentation, Camera, Water
from sam3_edge.training.data.coco_dataset import CocoDataset
from sam3_edge.training.data.exemplars import Exemplars
from sam3_edge.training.data.foreign_phrases import ForeignPhrases, is_unknown, related, times_shown
from sam3_edge.training.data.labelled import LabelledPictures
from sam3_edge.training.data.mixture import Source
from sam3_edge.training.data.negatives import Negatives
from sam3_edge.training.data.scene_dataset import SceneDataset

# Photos that demo scenes, of which there is no end, count for where phrases are weighed.
SCENES_WORTH = 100


def training_sources(section: DataSection, image_size: int) -> list[Source]:
    """One source a data set, in the order of the configuration. Raises DatasetError.

    Scenes are also asked for phrases of the other data sets, which they never show.
    """
    photos = {
        name: coco_dataset(one, section)
        for name, one in section.train.items()
        if one.kind == "coco"
    }
    known = {phrase for data in photos.values() for phrase in data.phrases}
    shown = {"fish", "jellyfish", "starfish"}
    scenes = SceneDataset("train", image_size, tuple(sorted(known - shown)))
    exemplars = Exemplars(
        probability=section.exemplars.probability,
        positive=section.exemplars.positive,
        negative=section.exemplars.negative,
        jitter=section.exemplars.jitter,
    )
    data = asked_foreign(photos, section)
    return [
        Source(
            data=data[name] if one.kind == "coco" else scenes,
            weight=one.weight,
            augmentation=augmentation(section.augment, scene=one.kind == "scene"),
            exemplars=exemplars,
            withheld=_withheld(photos[name].phrases if one.kind == "coco" else PHRASES, one, known),
            related=related,
            max_phrases=section.max_phrases,
            paraphrase=section.paraphrase,
        )
        for name, one in section.train.items()
    ]


def _withheld(own: Sequence[str], source: SourceSection, known: Set[str]) -> frozenset[str]:
    """What a source's pictures may show though they are not asked for it: its own phrases, and of
    the run's those about which its annotations say nothing.
    """
    unknown = (phrase for phrase in known if is_unknown(phrase, source.unknown))
    return frozenset(normalise(phrase) for phrase in (*own, *unknown))


def asked_foreign(
    photos: dict[str, CocoDataset], section: DataSection
) -> Mapping[str, LabelledPictures]:
    """The photos, asked phrases of each other and of the scenes where the section says so."""
    share = section.foreign_negatives
    if share == 0.0:
        return photos
    shown = Counter[str]()
    if any(one.kind == "scene" for one in section.train.values()):
        shown.update(dict.fromkeys(PHRASES, SCENES_WORTH))
    for data in photos.values():
        shown.update(times_shown(data))
    return {
        name: ForeignPhrases(
            data,
            shown=shown,
            share=share,
            unknown=section.train[name].unknown,
            most=section.max_phrases,
        )
        for name, data in photos.items()
    }


def coco_dataset(source: SourceSection, section: DataSection) -> CocoDataset:
    assert source.annotations is not None
    return CocoDataset(
        Path(source.annotations),
        images=None if source.images is None else Path(source.images),
        max_phrases=section.max_phrases,
        negatives=Negatives(
            count=section.max_phrases,
            hard_share=min(section.hard_negatives / (section.max_phrases - 1), 1.0),
        ),
        skip_faulty=section.skip_faulty,
        groups=source.groups,
        part=source.part,
        limit=source.limit_ids,
        shots=source.shots,
        subset_seed=source.shots_seed,
        pseudo_masks=None if source.pseudo_masks is None else Path(source.pseudo_masks),
    )


def augmentation(section: AugmentSection, *, scene: bool = False) -> Augmentation:
    """scene: rendered anew every time, so that nothing needs to be put together from several."""
    if not section.enabled:
        return Augmentation.none()
    usual = Augmentation()
    return Augmentation(
        mosaic=0.0 if scene else section.mosaic,
        copy_paste=0.0 if scene else section.copy_paste,
        paste_foreign=section.paste_foreign,
        zoom_out=section.zoom_out,
        whole=1.0 - section.crop,
        crop=section.least_crop_area,
        stretch=section.stretch,
        flip=section.flip,
        hue=section.colour * usual.hue,
        saturation=section.colour * usual.saturation,
        contrast=section.colour * usual.contrast,
        light=section.colour * usual.light,
        grey=section.colour * usual.grey,
        blur=section.colour * usual.blur,
        water=Water(probability=section.water),
        camera=Camera(probability=section.camera),
    )


def described(section: DataSection) -> tuple[str, ...]:
    """What was trained on, for the weights' file, where the configuration does not say it."""
    return tuple(
        f"{name} ({'demo scenes' if one.kind == 'scene' else Path(one.annotations or '').name})"
        for name, one in section.train.items()
    )
