"""A checkpoint comes back as it was, survives a failure, and is refused where it does not fit."""

import resource
from pathlib import Path

import pytest
import torch

from sam3_edge.errors import ExportError, TrainingError
from sam3_edge.training.checkpoint import (
    RunState,
    check_same_run,
    check_same_tensors,
    keep_epoch,
    load_state,
    save_state,
)
from sam3_edge.training.model.config import preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.weights import WeightsMetadata, save_weights
from sam3_edge.training.random_state import random_state, restore_random_state
from sam3_edge.training.standing import Standing


def state(step: int = 3) -> RunState:
    layer = torch.nn.Linear(300, 200)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 300)).sum().backward()
    optimizer.step()
    return RunState(
        standing=Standing(step=step, elapsed_s=12.5, best=0.5, metrics={"bbox/AP": 0.5}),
        micro_batch=2 * step,
        fingerprint={"seed": "1"},
        model=layer.state_dict(),
        average={},
        optimizer=optimizer.state_dict(),
        scaler={},
        random=[random_state()],
    )


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    saved = state()
    save_state(tmp_path / "last.pt", saved)
    loaded = load_state(tmp_path / "last.pt")
    assert (loaded.standing, loaded.micro_batch) == (saved.standing, 6)
    for name, tensor in saved.model.items():
        assert torch.equal(loaded.model[name], tensor)
    moment = saved.optimizer["state"][0]["exp_avg"]
    assert torch.equal(loaded.optimizer["state"][0]["exp_avg"], moment)
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


def test_every_generator_goes_on_where_it_was(tmp_path: Path) -> None:
    import random

    import numpy as np

    def drawn() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002

    drawn()
    save_state(tmp_path / "last.pt", state())
    expected = drawn()
    assert drawn() != expected
    restore_random_state(load_state(tmp_path / "last.pt").random[0])
    assert drawn() == expected


def test_a_full_disk_is_one_line_and_leaves_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_state(path, state(step=1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    newer = state(step=2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(TrainingError, match=r"cannot write .*free space") as caught:
            save_state(path, newer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert load_state(path).standing.step == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


def test_weights_that_do_not_fit_on_the_disk_leave_the_older_ones(tmp_path: Path) -> None:
    path, detector = tmp_path / "best.safetensors", Detector(preset("tiny", image_size=84))
    metadata = WeightsMetadata(
        preset="tiny", image_size=84, recipe="", data=("none",), licence="MIT"
    )
    save_weights(detector, path, metadata)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(ExportError, match="cannot write") as caught:
            save_weights(detector, path, metadata)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_draft_that_a_kill_left_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_state(path, state(step=1))
    (tmp_path / "last.pt.draft").write_bytes(path.read_bytes()[:1000])
    assert load_state(path).standing.step == 1
    save_state(path, state(step=2))
    assert load_state(path).standing.step == 2


def test_an_epoch_that_is_kept_stays_as_it_was(tmp_path: Path) -> None:
    save_state(tmp_path / "last.pt", state(step=1))
    keep_epoch(tmp_path / "last.pt", 4)
    save_state(tmp_path / "last.pt", state(step=2))
    assert load_state(tmp_path / "epoch_4.pt").standing.step == 1


def test_another_run_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"expected a run with seed=1.*got seed=2"):
        check_same_run(Path("last.pt"), {"seed": "1"}, {"seed": "2"})
    check_same_run(Path("last.pt"), {"seed": "1"}, {"seed": "1"})


def test_another_model_is_refused_by_its_first_tensor() -> None:
    ours = {"a": torch.ones(2), "b": torch.ones(3, 4)}
    check_same_tensors(Path("last.pt"), dict(ours), ours, "tiny")
    with pytest.raises(TrainingError, match=r"'tiny', got shape \(3, 5\) for b .* shape \(3, 4\)"):
        check_same_tensors(Path("last.pt"), {**ours, "b": torch.ones(3, 5)}, ours, "tiny")
    with pytest.raises(TrainingError, match=r"got none for b where it has shape \(3, 4\)"):
        check_same_tensors(Path("last.pt"), {"a": torch.ones(2)}, ours, "tiny")
    with pytest.raises(TrainingError, match=r"got shape \(1,\) for c where it has none"):
        check_same_tensors(Path("last.pt"), {**ours, "c": torch.ones(1)}, ours, "tiny")


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint", b"PK\x03\x04 broken"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "last.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrainingError, match="expected the checkpoint of a run") as caught:
        load_state(path)
    assert "\n" not in str(caught.value)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_state(path, state())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(TrainingError, match="expected the checkpoint of a run"):
        load_state(path)


def test_a_foreign_file_of_torch_is_refused(tmp_path: Path) -> None:
    for foreign in ({"weights": torch.ones(2)}, torch.ones(2)):
        torch.save(foreign, tmp_path / "last.pt")
        with pytest.raises(TrainingError, match="expected the checkpoint of a run"):
            load_state(tmp_path / "last.pt")
