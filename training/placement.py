"""Where this process computes, and which of how many it is, as Lightning Fabric puts it."""

import os
from datetime import timedelta

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.strategies.ddp import DDPStrategy
from lightning.fabric.strategies.fsdp import FSDPStrategy
from lightning.fabric.strategies.strategy import Strategy
from torch import nn

from sam3_edge.errors import UsageError
from sam3_edge.training.activation_checkpointing import checkpointable_blocks
from sam3_edge.training.config.schema import CudaSection, Precision, TrainerSection
from sam3_edge.training.model.detector import Detector

_FABRIC_NAMES = {
    Precision.fp32: "32-true",
    Precision.bf16: "bf16-mixed",
    Precision.fp16: "16-mixed",
}
# Of x86-64 and of ARM, as torch.cpu.get_capabilities() names them.
BF16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16")
_LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


def cluster_environment() -> ClusterEnvironment:
    """Of whoever started this process: torchrun or our own launcher, SLURM's srun, or a user."""
    if all(name in os.environ for name in _LAUNCHED):
        return TorchElasticEnvironment()
    if "SLURM_PROCID" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        return SLURMEnvironment(auto_requeue=False)
    return LightningEnvironment()


def open_fabric(section: TrainerSection, num_nodes: int, detector: Detector) -> Fabric:
    """Connected to the other processes, where there are any. Raises UsageError."""
    environment = cluster_environment()
    alone = isinstance(environment, LightningEnvironment)
    processes = 1 if alone else environment.world_size()
    accelerator = _accelerator(section)
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "trainer.accelerator: expected a GPU that torch can use, found none; "
            "set trainer.accelerator=cpu"
        )
    if accelerator == "cpu" and section.optim.amp.dtype is Precision.fp16:
        raise UsageError(
            "trainer.optim.amp.dtype: expected bf16 or fp32 on a CPU, got fp16; set one of them"
        )
    _set_up_machine(section, accelerator)
    nodes = 1 if alone else num_nodes
    if processes % nodes:
        raise UsageError(
            f"launcher.num_nodes: expected a divisor of the {processes} processes, got {nodes}"
        )
    fabric = Fabric(
        accelerator=accelerator,
        devices=processes // nodes,
        num_nodes=nodes,
        strategy=_strategy(section, processes, accelerator, detector),
        precision=_FABRIC_NAMES[chosen_precision(section)],  # type: ignore[arg-type]
        plugins=[environment],
    )
    fabric.launch()
    return fabric


def chosen_precision(section: TrainerSection) -> Precision:
    """What `auto` comes to on this machine; any other as it is.

    Where a processor has no instructions for bfloat16, every product is converted there and back:
    a step then takes several times as long as in float32.
    """
    dtype = section.optim.amp.dtype
    if dtype is not Precision.auto:
        return dtype
    if _accelerator(section) == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        found = torch.cpu.get_capabilities()
        has_bf16 = any(found.get(name) for name in BF16_INSTRUCTIONS)
    return Precision.bf16 if has_bf16 else Precision.fp32


def _accelerator(section: TrainerSection) -> str:
    if section.accelerator != "auto":
        return section.accelerator
    return "cuda" if torch.cuda.is_available() else "cpu"


def _set_up_machine(section: TrainerSection, accelerator: str) -> None:
    if section.num_threads:
        torch.set_num_threads(section.num_threads)
    if accelerator == "cuda":
        _set_up_cuda(section.cuda)


def _set_up_cuda(section: CudaSection) -> None:
    torch.backends.cuda.matmul.allow_tf32 = section.allow_tf32
    torch.backends.cudnn.allow_tf32 = section.allow_tf32
    torch.backends.cudnn.benchmark = section.cudnn_benchmark
    torch.backends.cudnn.deterministic = section.cudnn_deterministic


def _strategy(
    section: TrainerSection, processes: int, accelerator: str, detector: Detector
) -> Strategy | str:
    chosen = section.distributed
    timeout = timedelta(minutes=chosen.timeout_mins)
    if chosen.strategy == "fsdp":
        if accelerator != "cuda":
            raise UsageError(
                "trainer.distributed.strategy: expected GPUs for fsdp, got a CPU; set "
                "trainer.distributed.strategy=ddp"
            )
        return FSDPStrategy(
            process_group_backend=chosen.backend,
            timeout=timeout,
            auto_wrap_policy=_block_types(detector),
            state_dict_type="sharded",
        )
    if processes == 1:
        return "auto"
    return DDPStrategy(
        process_group_backend=chosen.backend,
        timeout=timeout,
        find_unused_parameters=chosen.find_unused_parameters,
        # A step's gradients are all read after the last backward pass alone.
        gradient_as_bucket_view=True,
    )


def _block_types(detector: Detector) -> set[type[nn.Module]]:
    """What is called as a whole, and so may be gathered as a whole."""
    return {type(block) for block in checkpointable_blocks(detector)}
