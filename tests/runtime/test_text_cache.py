"""A cache never changes a result and never stops a run, whatever happens to its files."""

import io
import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sam3_edge.engines.backend import TextFeatures
from sam3_edge.errors import EngineError
from sam3_edge.runtime.text_cache import TextCache, default_cache_folder

SHAPE = (32, 4)


class Encoder:
    """Features made of the text alone, and a list of what was asked."""

    def __init__(self, shape: tuple[int, int] = SHAPE) -> None:
        self.asked: list[list[str]] = []
        self.shape = shape

    def __call__(self, texts: Sequence[str]) -> TextFeatures:
        self.asked.append(list(texts))
        features = np.stack(
            [np.full(self.shape, float(sum(map(ord, t))), np.float32) for t in texts]
        )
        return TextFeatures(features=features, mask=np.ones(features.shape[:2], np.bool_))


@pytest.fixture
def warnings() -> list[str]:
    return []


def cache(folder: Path, warnings: list[str], graph: str = "a" * 64) -> TextCache:
    return TextCache(folder, graph_sha256=graph, shape=SHAPE, warn=warnings.append)


def test_each_prompt_is_encoded_once(tmp_path: Path, warnings: list[str]) -> None:
    encoder, texts = Encoder(), ["fish", "crab", "ray"]
    mine = cache(tmp_path, warnings)
    mine.features(["crab"], encoder)
    features = mine.features(texts, encoder)
    assert encoder.asked == [["crab"], ["fish", "ray"]]
    expected = Encoder()(texts)
    np.testing.assert_array_equal(features.features, expected.features)
    np.testing.assert_array_equal(features.mask, expected.mask)
    again = cache(tmp_path, warnings).features(texts, encoder)
    assert len(encoder.asked) == 2
    np.testing.assert_array_equal(again.features, expected.features)
    assert again.mask.dtype == np.bool_
    assert warnings == []


def test_the_key_is_the_normalised_prompt_and_the_graph(
    tmp_path: Path, warnings: list[str]
) -> None:
    encoder = Encoder()
    cache(tmp_path, warnings).features(["Red  Fish"], encoder)
    assert cache(tmp_path, warnings).missing(["red fish", "blue fish"]) == ["blue fish"]
    assert cache(tmp_path, warnings, graph="b" * 64).missing(["red fish"]) == ["red fish"]


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "other shape", "text"])
def test_a_damaged_file_is_encoded_again(tmp_path: Path, warnings: list[str], damage: str) -> None:
    encoder = Encoder()
    whole = cache(tmp_path, warnings).features(["fish"], encoder)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 3] ^= 0xFF
    other = io.BytesIO()
    np.savez(other, features=np.zeros((32, 5), np.float32), mask=np.zeros(32, np.bool_))
    damaged = {"empty": b"", "cut": content[:-40], "flipped": bytes(flipped), "text": b"hello"}
    path.write_bytes({**damaged, "other shape": other.getvalue()}[damage])
    again = cache(tmp_path, warnings).features(["fish"], encoder)
    np.testing.assert_array_equal(again.features, whole.features)
    assert len(encoder.asked) == 2
    assert len(warnings) == 1
    assert str(path) in warnings[0]
    assert cache(tmp_path, warnings).missing(["fish"]) == []


def test_no_damaged_byte_stops_a_run(tmp_path: Path, warnings: list[str]) -> None:
    """Every bit of what zipfile reads before it can check a sum: headers and the directory."""
    cache(tmp_path, warnings).features(["fish"], Encoder())
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    for place in (*range(80), *range(len(content) - 200, len(content))):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            cache(tmp_path, warnings).missing(["fish"])
    assert warnings


def test_a_folder_that_cannot_be_written_only_warns(tmp_path: Path, warnings: list[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    encoder = Encoder()
    mine = cache(tmp_path / "file" / "below", warnings)
    assert mine.features(["fish"], encoder).features.shape == (1, *SHAPE)
    mine.features(["fish"], encoder)
    assert len(encoder.asked) == len(warnings) == 1
    mine.features(["crab", "ray"], encoder)
    assert len(warnings) == 1  # the cause is the same
    assert f"cannot keep encoded prompts in {tmp_path / 'file' / 'below'}: Not a dir" in warnings[0]


def test_features_that_are_not_finite_are_refused_and_not_kept(
    tmp_path: Path, warnings: list[str]
) -> None:
    def broken(texts: Sequence[str]) -> TextFeatures:
        features = np.full((len(texts), *SHAPE), np.nan, np.float32)
        return TextFeatures(features=features, mask=np.zeros((len(texts), 32), np.bool_))

    mine = cache(tmp_path, warnings)
    with pytest.raises(EngineError, match="text_features"):
        mine.features(["fish"], broken)
    assert mine.missing(["fish"]) == ["fish"]


def _hammer(folder: Path) -> list[str]:
    """In a process of its own: read and replace the same files over and over."""
    warnings: list[str] = []
    texts = ["fish", "crab", "ray"]
    shape = (32, 4096)  # too much for one write of the system's
    expected = Encoder(shape)(texts)
    for number in range(30):
        mine = TextCache(folder, graph_sha256="a", shape=shape, warn=warnings.append)
        features = mine.features(texts, Encoder(shape))
        if not np.array_equal(features.features, expected.features):
            warnings.append("wrong features")
        if number % 3 == 0:
            for path in folder.glob("*.npz"):
                path.unlink(missing_ok=True)
    return warnings


def test_concurrent_processes_see_whole_files_or_none(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert pool.map(_hammer, [tmp_path] * 4) == [[]] * 4
    assert list(tmp_path.glob(".*.tmp")) == []


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path))
    assert default_cache_folder() == tmp_path / "sam3-edge"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", os.fspath(tmp_path / "home"))
    assert default_cache_folder() == tmp_path / "home" / ".cache" / "sam3-edge"
