import itertools

import numpy as np
import pytest

from sam3_edge.runtime.scene import FRAMES_PER_SECOND, PHRASES, Scene, SceneObject
from sam3_edge.runtime.scene_palettes import PALETTES, ColourBand, Split

SPLITS: tuple[Split, ...] = ("train", "held_out")
VIDEOS = [(split, seed) for split in SPLITS for seed in range(40)]


def test_the_same_arguments_give_the_same_bytes() -> None:
    first, second = Scene(3, "train", 320, 240), Scene(3, "train", 320, 240)
    image, truth = first.frame_and_objects(17)
    again, truth_again = second.frame_and_objects(17)
    assert image.tobytes() == again.tobytes()
    assert [o.box for o in truth] == [o.box for o in truth_again]
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(truth, truth_again, strict=True))


def test_a_frame_does_not_depend_on_frames_asked_before() -> None:
    played, jumped = Scene(5, width=320, height=240), Scene(5, width=320, height=240)
    for index in (0, 40, 3):
        played.frame_and_objects(index)
    assert np.array_equal(played.frame(21), jumped.frame(21))
    image, truth = jumped.frame_and_objects(21)
    assert np.array_equal(image, played.frame(21))
    assert [o.box for o in truth] == [o.box for o in played.objects(21)]


@pytest.mark.parametrize("size", [(336, 336), (640, 480), (321, 243)])
def test_the_picture_is_bgr_bytes_of_the_size_asked_for(size: tuple[int, int]) -> None:
    image = Scene(0, "train", *size).frame(0)
    assert image.shape == (size[1], size[0], 3)
    assert image.dtype == np.uint8
    assert image.std() > 5


def test_the_same_seed_gives_different_videos_in_the_two_splits() -> None:
    assert not np.array_equal(
        Scene(1, "train", 320, 240).frame(0), Scene(1, "held_out", 320, 240).frame(0)
    )


@pytest.mark.parametrize("split", SPLITS)
def test_five_to_twenty_five_creatures_with_sides_from_3_to_30_percent(split: Split) -> None:
    for seed in range(60):
        width, height = (336, 336) if seed % 2 else (640, 480)
        asked = [o for o in Scene(seed, split, width, height).objects(seed * 37) if not o.ignore]
        assert 5 <= len(asked) <= 25, seed
        for o in asked:
            x1, y1, x2, y2 = o.box
            assert 0.03 <= (x2 - x1) / width <= 0.30, (seed, o.identity)
            assert 0.03 <= (y2 - y1) / height <= 0.30, (seed, o.identity)


@pytest.mark.parametrize(("split", "seed"), VIDEOS[::4])
def test_boxes_are_tight_and_masks_disjoint(split: Split, seed: int) -> None:
    objects = Scene(seed, split, 320, 240).objects(11 * seed)
    claimed = np.zeros((240, 320), np.int32)
    for o in objects:
        claimed += o.mask
        ys, xs = np.nonzero(o.mask)
        assert o.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert o.mask.shape == (240, 320)
        assert o.mask.dtype == np.bool_
        assert o.phrase in PHRASES
    assert claimed.max() == 1


def test_what_is_mostly_hidden_or_tiny_is_marked_and_what_is_plain_is_not() -> None:
    scenes = [Scene(seed, split, 320, 240) for split, seed in VIDEOS]
    # Many moments, because it takes one at the very edge to be tiny and yet not mostly hidden.
    seen = [o for scene in scenes for index in range(0, 900, 75) for o in scene.objects(index)]
    tiny = [o for o in seen if min(_share(o)) < 0.03]
    assert tiny
    assert all(o.ignore for o in tiny)
    hidden = [o for o in seen if o.ignore and min(_share(o)) >= 0.03]
    assert hidden, "no creature is ever hidden: there are no overlaps"
    assert sum(o.ignore for o in seen) < 0.15 * len(seen)


def test_masks_lie_where_the_picture_shows_creatures() -> None:
    ratios = []
    for seed in range(8):
        scene = Scene(seed, "train", 320, 240)
        image, truth = scene.frame_and_objects(0)
        change = np.abs(image.astype(np.int16) - scene.frame(900)).sum(axis=2)
        # Half a minute later swimmers are elsewhere; water and bottom have stayed.
        fish = np.any([o.mask for o in truth if o.phrase != "starfish"], axis=0)
        water = ~np.any([o.mask for o in truth], axis=0)
        ratios.append(change[fish].mean() / change[water].mean())
    assert np.median(ratios) > 2


def _share(o: SceneObject) -> tuple[float, float]:
    height, width = o.mask.shape
    return (o.box[2] - o.box[0]) / width, (o.box[3] - o.box[1]) / height


def test_sizes_gather_in_the_middle_and_every_class_appears() -> None:
    seen = [
        o for split, seed in VIDEOS for o in Scene(seed, split, 320, 240).objects(0) if not o.ignore
    ]
    sides = np.array([max(_share(o)) for o in seen])
    assert 0.10 < sides.mean() < 0.16
    assert sides.min() < 0.06
    assert sides.max() > 0.22
    for phrase in PHRASES:
        assert sum(o.phrase == phrase for o in seen) > 0.15 * len(seen)


def test_some_scenes_lack_a_class() -> None:
    phrases = [{o.phrase for o in Scene(s, "train", 320, 240).objects(0)} for s in range(20)]
    assert any(len(found) < 3 for found in phrases)
    assert any(len(found) == 3 for found in phrases)


def _apart(first: ColourBand, second: ColourBand) -> bool:
    """Whether two boxes of HSV space share no colour, on at least one axis."""
    axes = (
        (first.hue, second.hue), (first.saturation, second.saturation), (first.value, second.value)
    )  # fmt: skip
    return any(a[1] < b[0] or b[1] < a[0] for a, b in axes)


@pytest.mark.parametrize("part", ["water", "bottom", "creature"])
def test_the_splits_share_no_colour(part: str) -> None:
    train, held_out = (getattr(PALETTES[split], part) for split in SPLITS)
    for first, second in itertools.product(train, held_out):
        assert _apart(first, second), (first, second)


@pytest.mark.parametrize("part", ["bottom_kinds", "patterns"])
def test_the_splits_share_no_bottom_and_no_pattern(part: str) -> None:
    train, held_out = (set(getattr(PALETTES[split], part)) for split in SPLITS)
    assert train
    assert held_out
    assert not train & held_out


@pytest.mark.parametrize(("split", "seed"), VIDEOS[::10])
def test_creatures_keep_their_identity_and_move_smoothly(split: Split, seed: int) -> None:
    scene = Scene(seed, split, 320, 240)
    phrases: dict[int, str] = {}
    previous: dict[int, SceneObject] = {}
    moved = 0.0
    for index in range(3 * FRAMES_PER_SECOND):
        now = {o.identity: o for o in scene.objects(index)}
        for identity, o in now.items():
            assert phrases.setdefault(identity, o.phrase) == o.phrase
            if identity in previous and not o.ignore and not previous[identity].ignore:
                step = _centre_step(previous[identity], o)
                assert step < 12, (index, identity)
                moved += step
        previous = now
    assert moved > 10


def _centre_step(first: SceneObject, second: SceneObject) -> float:
    """Pixels between the centroids of two masks."""
    centres = [np.argwhere(o.mask).mean(axis=0) for o in (first, second)]
    return float(np.linalg.norm(centres[0] - centres[1]))


def test_the_picture_changes_a_little_from_frame_to_frame() -> None:
    scene = Scene(2, width=320, height=240)
    a, b = (scene.frame(k).astype(np.int16) for k in (30, 31))
    assert 0 < np.abs(a - b).mean() < 12


def test_a_split_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="expected split"):
        Scene(0, "validation")  # type: ignore[arg-type]


def test_a_frame_too_small_to_show_anything_is_refused() -> None:
    with pytest.raises(ValueError, match="64 x 64"):
        Scene(0, width=20, height=480)
