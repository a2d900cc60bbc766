"""The estimate follows what is trained and how, and its advice is enough."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sam3_edge.errors import TrainingError
from sam3_edge.training.config.schema import Precision
from sam3_edge.training.data.targets import Batch, Targets
from sam3_edge.training.freeze import freeze
from sam3_edge.training.memory_estimate import (
    MemoryEstimate,
    advice,
    available_memory,
    backward_height,
    estimate_memory,
    host_memory,
    translate_out_of_memory,
)
from sam3_edge.training.model.config import preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.model.outputs import DetectorOutput
from sam3_edge.training.saved_tensors import SavedStorage

MIB = 2**20
ESTIMATE = MemoryEstimate(
    weights=100 * MIB,
    gradients=100 * MIB,
    optimizer=200 * MIB,
    ema=100 * MIB,
    activations=1400 * MIB,
    transient=200 * MIB,
    batch_size=8,
    image_size=336,
    image_size_step=168,
    checkpointing_saves=700 * MIB,
    freezing_trunk_saves=300 * MIB,
)


def batch(count: int, size: int = 84) -> Batch:
    none = torch.zeros(0, dtype=torch.int64)
    return Batch(
        images=torch.zeros(count, size, size, 3, dtype=torch.uint8),
        token_ids=torch.ones(count, 32, dtype=torch.int64),
        image_index=torch.arange(count),
        targets=Targets(
            boxes=torch.zeros(0, 4),
            prompt=none,
            masks=torch.zeros(0, 4, 4),
            mask_object=none,
            ignore=torch.zeros(0, 4),
            ignore_prompt=none,
            num_prompts=count,
        ),
    )


def loss(output: DetectorOutput) -> Tensor:
    parts = (output.logits, output.presence, output.boxes, output.masks)
    return torch.stack([part.float().square().mean() for part in parts]).sum()


def detector() -> Detector:
    torch.manual_seed(0)
    return Detector(preset("tiny", image_size=84)).train()


def estimate(
    model: Detector, count: int = 1, *, precision: Precision = Precision.fp32, batch_size: int = 4
) -> MemoryEstimate:
    return estimate_memory(
        model, batch(count), loss, precision=precision, ema=True, batch_size=batch_size
    )


def test_what_belongs_to_the_weights() -> None:
    model = detector()
    parameters = sum(4 * p.numel() for p in model.parameters())
    found = estimate(model)
    assert found.gradients == parameters
    assert found.optimizer == 2 * parameters
    assert found.weights == found.ema == parameters + sum(4 * b.numel() for b in model.buffers())
    assert found.total == found.fixed + found.activations + found.transient
    assert found.lines()[-1].split() == ["total", f"{found.total / MIB:.1f}", "MiB"]


def test_it_grows_with_the_batch_alone() -> None:
    model = detector()
    one, two = estimate(model, batch_size=4), estimate(model, batch_size=8)
    assert two.activations == pytest.approx(2 * one.activations, rel=1e-3)
    assert two.fixed == one.fixed
    # Which pictures it is told from does not matter.
    assert estimate(model, 2).activations == pytest.approx(one.activations, rel=0.02)


def test_the_model_is_left_as_it_was() -> None:
    model = detector()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    estimate(model.eval())
    assert not model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_half_precision_keeps_less() -> None:
    model = detector()
    assert 0.4 < estimate(model, precision=Precision.bf16).activations / (
        estimate(model).activations
    ) < 0.8  # fmt: skip


def test_a_frozen_trunk_saves_what_was_promised() -> None:
    model = detector()
    before = estimate(model)
    freeze(model, ["trunk"])
    after = estimate(model)
    assert after.gradients < before.gradients
    assert after.activations < before.activations
    assert after.freezing_trunk_saves == 0
    saved = before.total - after.total
    assert saved == pytest.approx(before.freezing_trunk_saves, rel=0.05)


def storage(size: int, *, outside: bool, block: int | None = None) -> SavedStorage:
    blocks = set() if block is None else {block}
    return SavedStorage(
        reference=None,  # type: ignore[arg-type]
        size=size,
        of_weights=False,
        outside=outside,
        blocks=blocks,
    )


def test_the_height_is_where_most_is_there() -> None:
    saved = [
        storage(5, outside=True),
        storage(20, outside=False, block=0),
        storage(15, outside=True),
        storage(10, outside=False, block=1),
        storage(1, outside=True),
    ]
    # What is saved up to the fourth, and two gradients as large as it.
    assert backward_height(saved, 1.0, checkpointed=False) == 5 + 20 + 15 + 10 + 2 * 10
    # The first block's turn comes when all after it is gone.
    assert backward_height(saved, 1.0, checkpointed=True) == 5 + 3 * 20
    assert backward_height(saved, 2.0, checkpointed=True) == 2 * (5 + 3 * 20)
    assert backward_height([], 1.0, checkpointed=True) == 0


def test_enough_is_said_to_be_enough() -> None:
    line = advice(ESTIMATE, 10 * 2**30)
    assert line == "training needs about 2.1 GiB (batch size 8, 336 px), 10.0 GiB are free: it fits"


def test_the_advice_names_every_way_and_by_how_much() -> None:
    line = advice(ESTIMATE, 1400 * MIB)
    assert "trainer.data.batch_size=2 with 4 times the trainer.gradient_accumulation_steps" in line
    assert "needs 900 MiB" in line
    assert "trainer.model.activation_checkpointing=true saves 700 MiB, not enough alone" in line
    assert "trainer.model.freeze=[trunk] saves 300 MiB, not enough alone" in line
    assert "trainer.model.image_size=168 needs 900 MiB" in line
    roomy = advice(ESTIMATE, 1700 * MIB)
    assert "activation_checkpointing=true saves 700 MiB;" in roomy
    assert "\n" not in line


def test_the_largest_of_several_sizes_is_what_is_counted() -> None:
    model = detector()
    own, larger = (
        estimate_memory(
            model, batch(1, size), loss, precision=Precision.fp32, ema=True, batch_size=4
        )
        for size in (84, 126)
    )
    assert larger.image_size == 126
    assert larger.activations > 1.5 * own.activations
    line = advice(replace(ESTIMATE, several_sizes=True), 1400 * MIB)
    assert "trainer.data.image_sizes of at most 168 need 900 MiB" in line
    assert "trainer.model.image_size" not in line


def test_the_batch_that_is_advised_fits() -> None:
    for available in range(750, 2300, 50):
        line = advice(ESTIMATE, available * MIB)
        size = re.search(r"batch_size=(\d) with (\d) times", line)
        if size is None:
            assert "it fits" in line or "batch_size=1 needs 700 MiB, not enough alone" in line
            continue
        batch_size, times = map(int, size.groups())
        assert batch_size * times == 8
        assert 500 + 200 * batch_size <= 0.9 * available


def test_what_is_done_already_is_not_advised() -> None:
    done = replace(ESTIMATE, checkpointing_saves=0, freezing_trunk_saves=0, batch_size=1)
    line = advice(done, None)
    assert "activation_checkpointing" not in line
    assert "freeze" not in line
    assert "batch_size=" not in line
    assert "image_size=168" in line


def test_nothing_that_helps_is_said_too() -> None:
    hopeless = replace(ESTIMATE, checkpointing_saves=0, freezing_trunk_saves=0, batch_size=1)
    line = advice(hopeless, 100 * MIB)
    assert line.endswith("choose a smaller trainer.model.preset")


def write_group(folder: Path, values: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (folder / name).write_text(value)


def proc(root: Path, groups: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    (root / "proc/self/cgroup").write_text(groups)
    return root / "proc"


def test_memory_of_a_machine_without_groups(tmp_path: Path) -> None:
    assert host_memory(proc(tmp_path, ""), tmp_path / "none") == 8000 * 1024
    assert host_memory(tmp_path / "nowhere", tmp_path / "none") is None


def test_memory_within_a_group_of_version_2(tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    folder = proc(tmp_path, "0::/a/b\n")
    limits = {"memory.max": "max", "memory.current": "50", "memory.stat": "inactive_file 7\n"}
    write_group(groups / "a/b", limits)
    assert host_memory(folder, groups) == 8000 * 1024
    # The group around it has a limit, and what files take of it can be had back.
    outer = {"memory.max": "5000", "memory.current": "3000", "memory.stat": "inactive_file 70\n"}
    write_group(groups / "a", outer)
    assert host_memory(folder, groups) == 5000 - 3000 + 70


def test_memory_within_a_group_of_version_1(tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    folder = proc(tmp_path, "9:cpu:/x\n4:memory:/job\n0::/\n")
    used = {"memory.limit_in_bytes": "5000", "memory.usage_in_bytes": "3000"}
    write_group(groups / "memory/job", used)
    assert host_memory(folder, groups) == 2000
    write_group(groups / "memory/job", {"memory.usage_in_bytes": "6000"})
    assert host_memory(folder, groups) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="expected Linux's /proc, found none")
def test_this_machine_says_what_it_has() -> None:
    found = available_memory(torch.device("cpu"))
    assert found is not None
    assert found > MIB
    assert available_memory(torch.device("meta")) is None


@pytest.mark.parametrize(
    "fails",
    [
        lambda: torch.empty(2**60, dtype=torch.uint8),
        lambda: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory. Tried 3 GiB")),
    ],
)
def test_a_lack_of_memory_becomes_advice(fails: Callable[[], object]) -> None:
    try:
        list(fails())  # type: ignore[call-overload]
    except RuntimeError as error:
        translated = translate_out_of_memory(error, "do this")
        assert isinstance(translated, TrainingError)
        assert str(translated).startswith("training: expected enough memory, got: ")
        assert str(translated).endswith("; do this")
        assert "\n" not in str(translated)
    else:
        pytest.fail("expected the allocation to fail")


def test_another_error_stays_what_it_is() -> None:
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError) as raised:
        translate_out_of_memory(error, "")
    assert raised.value is error


@pytest.mark.skipif(sys.platform != "linux", reason="expected Linux's /proc, found none")
def test_the_estimate_is_what_a_step_takes(root: Path) -> None:
    script = root / "benchmarks/training_memory.py"
    done = subprocess.run(
        [sys.executable, os.fspath(script), "--tolerance", "0.2", "tiny:168:4"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
