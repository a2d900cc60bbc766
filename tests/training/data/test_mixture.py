"""A batch depends on seed and step, on nothing else."""

import json
from collections import Counter
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sam3_edge.errors import DatasetError
from sam3_edge.training.data import mixture as mixture_module
from sam3_edge.training.data.augmentation import Augmentation
from sam3_edge.training.data.batch_stream import batch_stream
from sam3_edge.training.data.coco_dataset import CocoDataset
from sam3_edge.training.data.exemplars import Exemplars
from sam3_edge.training.data.labelled import LabelledPicture
from sam3_edge.training.data.mixture import Mixture, Source, samples_by_source
from sam3_edge.training.data.scene_dataset import SceneDataset
from sam3_edge.training.data.targets import Batch


@pytest.fixture
def photos(tmp_path: Path) -> CocoDataset:
    rng = np.random.default_rng(0)
    for name in "abc":
        cv2.imwrite(str(tmp_path / f"{name}.png"), rng.integers(0, 256, (50, 60, 3), np.uint8))
    data = {
        "images": [
            {"id": i, "file_name": f"{name}.png", "width": 60, "height": 50}
            for i, name in enumerate("abc")
        ],
        "categories": [{"id": 1, "name": "shark"}, {"id": 2, "name": "puffin"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1 + i % 2, "bbox": [5, 5, 30, 30]}
            for i in range(3)
        ],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(data))
    return CocoDataset(tmp_path / "annotations.json")


def mixture(photos: CocoDataset, *, seed: int = 0, first: int = 0, stride: int = 1) -> Mixture:
    sources = [
        Source(
            data=photos,
            weight=0.5,
            augmentation=Augmentation(mosaic=0.3, copy_paste=0.5, zoom_in=0.2, zoom_out=0.2),
            exemplars=Exemplars(probability=0.5),
        ),
        Source(data=SceneDataset("train", 84, photos.phrases), weight=0.5),
    ]
    return Mixture(
        sources, seed=seed, first=first, stride=stride, batch_size=3, image_size=84, mask_side=12
    )


def batches(stream: Mixture, count: int, workers: int = 0) -> list[Batch]:
    return list(islice(batch_stream(stream, num_workers=workers, context="spawn"), count))


def same(one: Batch, other: Batch) -> bool:
    shown = [b.exemplars.boxes if b.exemplars else torch.zeros(0) for b in (one, other)]
    return (
        torch.equal(one.images, other.images)
        and torch.equal(one.targets.boxes, other.targets.boxes)
        and torch.equal(one.token_ids, other.token_ids)
        and torch.equal(*shown)
    )


def test_the_same_seed_gives_the_same_batches(photos: CocoDataset) -> None:
    first, again = batches(mixture(photos), 3), batches(mixture(photos), 3)
    assert all(same(a, b) for a, b in zip(first, again, strict=True))
    assert not same(first[0], first[1])
    assert not same(first[0], batches(mixture(photos, seed=1), 1)[0])


def test_a_run_goes_on_with_the_batch_that_would_have_come(photos: CocoDataset) -> None:
    assert same(batches(mixture(photos), 3)[2], batches(mixture(photos, first=2), 1)[0])


@pytest.mark.parametrize(("ranks", "workers"), [(1, 2), (2, 1), (2, 3), (3, 2)])
def test_ranks_and_workers_share_the_same_batches_out(
    photos: CocoDataset, monkeypatch: pytest.MonkeyPatch, ranks: int, workers: int
) -> None:
    """Rank r of R with accumulation A reads t A R + a R + r: what one process with A R reads."""
    count = 3
    alone = batches(mixture(photos), ranks * count)
    for rank in range(ranks):
        drawn = []
        for worker in range(workers):
            info = SimpleNamespace(id=worker, num_workers=workers)
            monkeypatch.setattr(mixture_module, "get_worker_info", lambda info=info: info)
            drawn.append(batches(mixture(photos, first=rank, stride=ranks), count))
        # The loader asks its workers in turn.
        mine = [drawn[i % workers][i // workers] for i in range(count)]
        assert all(same(a, b) for a, b in zip(alone[rank::ranks], mine, strict=True))


def test_a_rank_with_real_workers_reads_its_own_batches(photos: CocoDataset) -> None:
    alone = batches(mixture(photos), 4)
    mine = batches(mixture(photos, first=1, stride=2), 2, workers=2)
    assert all(same(a, b) for a, b in zip(alone[1::2], mine, strict=True))


class Numbered:
    """Pictures that say which one they are, by their only box."""

    def __init__(self, length: int | None) -> None:
        self.length = length

    def picture(
        self, index: int, rng: np.random.Generator, phrases: tuple[str, ...] | None = None
    ) -> LabelledPicture:
        raise NotImplementedError


def order(
    *sources: tuple[int | None, float],
    epoch_samples: int | None = None,
    image_sizes: tuple[int, ...] = (),
    step_batches: int = 1,
) -> Mixture:
    return Mixture(
        [Source(data=Numbered(length), weight=weight) for length, weight in sources],
        seed=3,
        batch_size=4,
        image_size=84,
        mask_side=12,
        epoch_samples=epoch_samples,
        image_sizes=image_sizes,
        step_batches=step_batches,
    )


def test_every_size_comes_equally_often_and_is_one_for_a_step() -> None:
    stream = order((10, 1.0), image_sizes=(56, 84, 112, 112), step_batches=3)
    sides = [stream.sides(batch) for batch in range(3 * 4 * 5)]
    steps = [set(sides[i : i + 3]) for i in range(0, len(sides), 3)]
    assert all(len(step) == 1 for step in steps)
    turns = [sides[i : i + 12] for i in range(0, len(sides), 12)]
    assert all(Counter(turn) == {(56, 8): 3, (84, 12): 3, (112, 16): 6} for turn in turns)
    assert len({tuple(turn) for turn in turns}) > 1
    assert {order((10, 1.0)).sides(batch) for batch in range(9)} == {(84, 12)}


def test_a_batch_has_its_size(photos: CocoDataset) -> None:
    """With one size among several the samples are those of a mixture at that size."""
    stream = mixture(photos)
    stream.image_sizes = (56, 84)
    for number, batch in enumerate(batches(stream, 4)):
        size, mask_side = stream.sides(number)
        assert batch.images.shape[1:3] == (size, size)
        assert batch.targets.masks.shape[1:] == (mask_side, mask_side)
        alone = mixture(photos)
        if size == 84:
            assert same(batch, batches(alone, number + 1)[number])


def test_an_epoch_of_one_source_shows_each_picture_once() -> None:
    stream = order((10, 0.7))
    assert stream.epoch_samples == 10
    epochs = [[stream.drawn(10 * e + i)[1] for i in range(10)] for e in range(4)]
    assert all(sorted(one) == list(range(10)) for one in epochs)
    assert len({tuple(one) for one in epochs}) == 4


def test_an_epoch_holds_all_pictures_unless_told() -> None:
    assert order((10, 1.0), (7, 2.0), (None, 1.0)).epoch_samples == 17
    assert order((10, 1.0), epoch_samples=3).epoch_samples == 3
    assert order((None, 1.0)).epoch_samples > 0


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.7, 0.2, 0.1), (5.0, 0.01, 2.0)])
@pytest.mark.parametrize("samples", [1, 7, 100])
def test_shares_are_exact_to_one_sample(weights: tuple[float, ...], samples: int) -> None:
    counts = samples_by_source(weights, samples, 500)
    share = samples * np.array(weights) / sum(weights)
    assert (counts.sum(axis=1) == samples).all()
    assert np.abs(counts - share).max() < 1.0
    assert np.abs(counts.sum(axis=0) - 500 * share).max() < 5.0, "nor is one ever forgotten"


def test_every_picture_of_a_source_is_seen_equally_often() -> None:
    stream = order((5, 0.5), (11, 0.3), (None, 0.2), epoch_samples=13)
    for stop in (13, 40, 177):
        drawn = [stream.drawn(number) for number in range(stop)]
        for source, length in ((0, 5), (1, 11)):
            seen = np.bincount([index for s, index in drawn if s == source], minlength=length)
            assert len(seen) == length
            assert seen.max() - seen.min() <= 1
        endless = [index for s, index in drawn if s == 2]
        assert endless == list(range(len(endless)))


def test_what_is_drawn_does_not_depend_on_what_was_drawn_before() -> None:
    numbers = np.random.default_rng(0).permutation(200)
    one, fresh = order((5, 0.5), (11, 0.3), (None, 0.2)), order((5, 0.5), (11, 0.3), (None, 0.2))
    forward = [one.drawn(number) for number in range(200)]
    assert {int(n): fresh.drawn(int(n)) for n in numbers} == dict(enumerate(forward))


def test_both_sources_are_drawn_from(photos: CocoDataset) -> None:
    stream = mixture(photos)
    asked = {phrase.text for i in range(12) for phrase in stream.sample(i).phrases}
    assert asked == {"fish", "jellyfish", "starfish", "shark", "puffin"}


def test_bad_data_arrives_as_an_error_and_not_as_a_traceback(
    photos: CocoDataset, tmp_path: Path
) -> None:
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(b"")
    (got,) = DataLoader(
        mixture(photos), batch_size=None, num_workers=1, multiprocessing_context="spawn"
    )
    assert isinstance(got, DatasetError)
    assert "expected a picture" in str(got)
    assert "\n" not in str(got)


def test_a_scene_never_shows_what_it_is_asked_for_in_vain(photos: CocoDataset) -> None:
    data = SceneDataset("train", 84, photos.phrases)
    for index in range(4):
        picture = data.picture(index, np.random.default_rng(index))
        assert len(picture.phrases) == 4
        assert picture.phrases[3] in photos.phrases
        assert 3 not in picture.phrase
        assert picture.masks is not None
        assert len(picture.masks) == len(picture.boxes) == len(picture.ignore) > 0
