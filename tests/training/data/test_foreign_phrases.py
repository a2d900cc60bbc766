"""Phrases of other data sets are asked as absent, and only where they are known to be."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from sam3_edge.training.config.schema import DataSection, SourceSection
from sam3_edge.training.data.augmentation import Augmentation
from sam3_edge.training.data.coco_dataset import CocoDataset
from sam3_edge.training.data.data_sources import training_sources
from sam3_edge.training.data.foreign_phrases import (
    ForeignPhrases,
    is_unknown,
    related,
    times_shown,
)
from sam3_edge.training.data.labelled import LabelledPicture
from sam3_edge.training.data.mixture import Mixture, Source

SHOWN = {
    "fish": 900, "jellyfish": 100, "starfish": 100, "octopus": 1, "beluga": 0, "car": 100,
    "bird": 100, "dog": 100,
}  # fmt: skip


def photos(folder: Path, name: str, categories: Sequence[str], *shown: Sequence[str]) -> Path:
    """One picture for each of `shown`, with a box, of that number, for each phrase it shows."""
    annotations = [
        {
            "image_id": i,
            "category_id": categories.index(phrase),
            "bbox": [2 * n + 1, 2, 10, 10],
        }
        for i, phrases in enumerate(shown)
        for n, phrase in enumerate(phrases)
    ]
    data = {
        "images": [
            {"id": i, "file_name": f"{name}{i}.png", "width": 40, "height": 30}
            for i in range(len(shown))
        ],
        "annotations": [{"id": i, **a} for i, a in enumerate(annotations)],
        "categories": [{"id": i, "name": category} for i, category in enumerate(categories)],
    }
    for i in range(len(shown)):
        cv2.imwrite(str(folder / f"{name}{i}.png"), np.full((30, 40, 3), 50 * i, np.uint8))
    path = folder / f"{name}.json"
    path.write_text(json.dumps(data))
    return path


def foreign(path: Path, *, share: float = 0.5, unknown: Sequence[str] = ()) -> ForeignPhrases:
    data = CocoDataset(path, max_phrases=4)
    return ForeignPhrases(data, shown=SHOWN, share=share, unknown=unknown, most=4)


def asked(data: ForeignPhrases, index: int = 0, times: int = 120) -> Counter[str]:
    pictures = (data.picture(index, np.random.default_rng(seed)) for seed in range(times))
    return Counter(phrase for one in pictures for phrase in one.phrases)


def described(picture: LabelledPicture) -> list[tuple[str, list[float], bool]]:
    return [
        (picture.phrases[phrase], box, ignore)
        for phrase, box, ignore in zip(
            picture.phrase.tolist(), picture.boxes.tolist(), picture.ignore.tolist(), strict=True
        )
    ]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ([], False),
        (["Fish"], True),
        (["shark"], False),
        (["*"], True),
        (["*", "!*fish"], False),
        (["!fish", "*"], True),
    ],
)
def test_the_last_pattern_that_matches_counts(patterns: list[str], *, expected: bool) -> None:
    assert is_unknown("fish", patterns) is expected


def test_a_broader_or_narrower_phrase_is_related() -> None:
    assert related("Clownfish", "fish")
    assert related("bird", "penguin")
    assert related("sofa", "couch")
    assert not related("jellyfish", "fish")
    assert not related("penguin", "puffin")


def test_a_set_of_one_category_is_asked_what_it_does_not_show(tmp_path: Path) -> None:
    data = foreign(photos(tmp_path, "a", ["fish"], ["fish", "fish"], []))
    for seed in range(50):
        picture = data.picture(0, np.random.default_rng(seed))
        assert picture.phrases[0] == "fish"
        assert len(set(picture.phrases)) == 4
        assert described(picture) == [
            ("fish", [1, 2, 11, 12], False),
            ("fish", [3, 2, 13, 12], False),
        ]
    counts = asked(data)
    assert set(counts) == set(SHOWN) - {"beluga"}  # what no picture shows is not asked
    # Near ones more often, and rare ones less than frequent ones.
    assert min(counts["jellyfish"], counts["starfish"]) > 2 * counts["dog"]
    assert counts["jellyfish"] > 2 * counts["octopus"] > 0
    # A picture that shows nothing is asked its own phrase as well.
    assert asked(data, index=1)["fish"] == 120


def test_the_share_is_of_the_absent_phrases(tmp_path: Path) -> None:
    path = photos(tmp_path, "a", ["fish", "jellyfish", "shark", "puffin", "penguin"], ["fish"])
    own = CocoDataset(path).phrases
    for share in (1.0, 0.5, 0.1):
        counts = asked(foreign(path, share=share))
        outside = sum(count for phrase, count in counts.items() if phrase not in own)
        assert counts["fish"] == 120
        assert outside / 360 == pytest.approx(share, abs=0.06)


def test_what_is_unknown_is_never_asked(tmp_path: Path) -> None:
    path = photos(tmp_path, "a", ["fish"], ["fish"])
    assert set(asked(foreign(path, unknown=["car", "DOG"]))) == set(SHOWN) - {
        "beluga", "car", "dog",
    }  # fmt: skip
    # Its own phrases are known, whatever the patterns say.
    assert set(asked(foreign(path, unknown=["*", "!star*"]))) == {"fish", "starfish"}


def test_a_related_phrase_is_not_asked_of_a_picture_that_shows_one(tmp_path: Path) -> None:
    data = foreign(photos(tmp_path, "a", ["puffin", "sofa"], ["puffin"], ["sofa"]), share=0.9)
    assert "bird" not in asked(data)
    # Nor where the narrower one is asked as absent, as it may be pasted in.
    for seed in range(100):
        phrases = data.picture(1, np.random.default_rng(seed)).phrases
        assert not {"bird", "puffin"} <= set(phrases)
    assert asked(data, index=1)["bird"] > 0


def test_a_partner_with_a_related_object_says_nothing(tmp_path: Path) -> None:
    data = foreign(photos(tmp_path, "a", ["puffin", "sofa"], ["puffin", "sofa"]))
    rng = np.random.default_rng(0)
    picture = data.picture(0, rng, ("sofa", "bird", "dog"))
    assert picture.phrases == ("sofa", "bird", "dog")
    assert described(picture) == [("bird", [1, 2, 11, 12], True), ("sofa", [3, 2, 13, 12], False)]


def test_masks_stay_with_their_objects(tmp_path: Path) -> None:
    path = photos(tmp_path, "a", ["puffin", "sofa"], ["puffin", "sofa"])
    data = json.loads(path.read_text())
    data["annotations"][1]["segmentation"] = [[3, 2, 13, 2, 13, 12, 3, 12]]
    path.write_text(json.dumps(data))
    picture = foreign(path).picture(0, np.random.default_rng(0), ("bird", "sofa"))
    assert picture.masks is not None
    assert picture.masks[0] is None
    assert picture.masks[1] is not None
    assert picture.masks[1][5, 8]
    assert not picture.masks[1][20, 20]


def test_the_choice_is_the_generators(tmp_path: Path) -> None:
    data = foreign(photos(tmp_path, "a", ["fish", "sofa"], ["fish"]))
    first, again, other = (data.picture(0, np.random.default_rng(s)).phrases for s in (1, 1, 2))
    assert first == again != other


def test_times_shown_counts_pictures(tmp_path: Path) -> None:
    data = CocoDataset(photos(tmp_path, "a", ["Fish", "eel"], ["Fish", "Fish"], ["Fish"], []))
    assert times_shown(data) == {"fish": 2, "eel": 0}


def section(folder: Path) -> DataSection:
    sea = photos(folder, "sea", ["fish", "Bottle"], ["fish"], ["fish"])
    land = photos(folder, "land", ["bottle", "dog"], ["bottle", "dog"], ["dog"])
    return DataSection(
        train={
            "sea": SourceSection(annotations=str(sea), unknown=["dog"]),
            "land": SourceSection(annotations=str(land)),
            "scenes": SourceSection(kind="scene"),
        },
        max_phrases=6,
    )


def test_sets_of_a_run_are_asked_each_others_phrases(tmp_path: Path) -> None:
    chosen = section(tmp_path)
    assert all(not isinstance(s.data, ForeignPhrases) for s in training_sources(chosen, 84))
    chosen.foreign_negatives = 0.5
    sea, land, _ = (source.data for source in training_sources(chosen, 84))
    assert isinstance(sea, ForeignPhrases)
    assert isinstance(land, ForeignPhrases)
    # One phrase is the same in all sets, however written.
    assert sea.foreign == ("jellyfish", "starfish")
    assert land.foreign == ("fish", "jellyfish", "starfish")


def test_mosaics_and_pasted_objects_are_asked_foreign_phrases_too(tmp_path: Path) -> None:
    chosen = section(tmp_path)
    chosen.foreign_negatives = 1.0
    data = training_sources(chosen, 84)[1].data
    source = Source(data=data, weight=1.0, augmentation=Augmentation(mosaic=0.5, copy_paste=0.5))
    mixture = Mixture([source], seed=0, batch_size=2, image_size=84, mask_side=12)
    foreign_asked = set()
    for number in range(40):
        for phrase in mixture.sample(number).phrases:
            if phrase.text in {"fish", "jellyfish", "starfish"}:
                foreign_asked.add(phrase.text)
                assert len(phrase.boxes) == len(phrase.ignore) == 0
    assert foreign_asked == {"fish", "jellyfish", "starfish"}
