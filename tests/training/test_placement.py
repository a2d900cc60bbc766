"""Which process this is comes from whoever started it."""

import pytest
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from sam3_edge.errors import UsageError
from sam3_edge.training.config.schema import Precision, TrainerSection
from sam3_edge.training.model.config import preset
from sam3_edge.training.model.detector import Detector
from sam3_edge.training.placement import chosen_precision, cluster_environment, open_fabric

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
SLURM = {
    "SLURM_PROCID": "2",
    "SLURM_NTASKS": "4",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_LOCALID": "0",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*TORCHRUN, *SLURM, "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_alone_is_one_process(environment: pytest.MonkeyPatch) -> None:
    assert isinstance(cluster_environment(), LightningEnvironment)
    # An allocation of several tasks in which a shell runs a single process.
    environment.setenv("SLURM_NTASKS", "4")
    assert isinstance(cluster_environment(), LightningEnvironment)


def test_torchrun_comes_before_slurm(environment: pytest.MonkeyPatch) -> None:
    for name, value in SLURM.items():
        environment.setenv(name, value)
    found = cluster_environment()
    assert isinstance(found, SLURMEnvironment)
    assert (found.global_rank(), found.world_size(), found.local_rank()) == (2, 4, 0)
    for name, value in TORCHRUN.items():
        environment.setenv(name, value)
    found = cluster_environment()
    assert isinstance(found, TorchElasticEnvironment)
    assert (found.global_rank(), found.world_size(), found.local_rank()) == (3, 4, 1)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True, "avx512_bf16": False}, Precision.fp32),
        ({"avx512_bf16": True}, Precision.bf16),
        ({"amx_bf16": True}, Precision.bf16),
        ({"neon": True, "bf16": True}, Precision.bf16),
    ],
)
def test_auto_takes_bfloat16_where_it_is_multiplied(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: Precision
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities)
    section = TrainerSection(accelerator="cpu")
    assert chosen_precision(section) is expected
    section.optim.amp.dtype = Precision.bf16
    assert chosen_precision(section) is Precision.bf16


def test_what_this_machine_cannot_do_is_refused(environment: pytest.MonkeyPatch) -> None:
    detector, section = Detector(preset("tiny", image_size=84)), TrainerSection(accelerator="cpu")
    section.distributed.strategy = "fsdp"
    with pytest.raises(UsageError, match="expected GPUs for fsdp, got a CPU"):
        open_fabric(section, 1, detector)
    section.distributed.strategy, section.accelerator = "ddp", "cuda"
    environment.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UsageError, match="expected a GPU that torch can use, found none"):
        open_fabric(section, 1, detector)
    for name, value in TORCHRUN.items():
        environment.setenv(name, value)
    section.accelerator = "cpu"
    with pytest.raises(UsageError, match="a divisor of the 4 processes, got 3"):
        open_fabric(section, 3, detector)
