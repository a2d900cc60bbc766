"""A checkpoint comes back as it was, survives a failure, and is refused where it does not fit."""

import os
from pathlib import Path

import pytest
import torch

from sam3_edge.errors import TrainingError
from sam3_edge.training.checkpoint import RunState, load_state, save_state


def state(step: int = 3) -> RunState:
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return RunState(
        step=step,
        elapsed_s=12.5,
        fingerprint="seed 1",
        model=layer.state_dict(),
        average=layer.state_dict(),
        optimizer=optimizer.state_dict(),
        random_state=torch.get_rng_state(),
    )


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    saved = state()
    save_state(tmp_path / "state.pt", saved)
    loaded = load_state(tmp_path / "state.pt", "seed 1")
    assert (loaded.step, loaded.elapsed_s) == (3, 12.5)
    assert torch.equal(loaded.random_state, saved.random_state)
    for name, tensor in saved.model.items():
        assert torch.equal(loaded.model[name], tensor)
    moment = saved.optimizer["state"][0]["exp_avg"]
    assert torch.equal(loaded.optimizer["state"][0]["exp_avg"], moment)
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


def test_a_failure_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.pt"
    save_state(path, state(step=1))

    def full_disk(_state: object, file: Path) -> None:
        file.write_bytes(b"half of a checkp")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(TrainingError, match=r"cannot write .*No space left.*--resume"):
        save_state(path, state(step=2))
    assert load_state(path, "seed 1").step == 1
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


def test_another_run_is_refused(tmp_path: Path) -> None:
    save_state(tmp_path / "state.pt", state())
    with pytest.raises(TrainingError, match="expected a run with seed 2, got one with seed 1"):
        load_state(tmp_path / "state.pt", "seed 2")


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint", b"PK\x03\x04 broken"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "state.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrainingError, match="expected the checkpoint of a run") as caught:
        load_state(path, "seed 1")
    assert "\n" not in str(caught.value)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_state(path, state())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(TrainingError, match="expected the checkpoint of a run"):
        load_state(path, "seed 1")


def test_a_foreign_file_of_torch_is_refused(tmp_path: Path) -> None:
    torch.save({"weights": torch.ones(2)}, tmp_path / "state.pt")
    with pytest.raises(TrainingError, match="expected the checkpoint of a run"):
        load_state(tmp_path / "state.pt", "seed 1")
