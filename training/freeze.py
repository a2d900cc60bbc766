"""Parts of the model that are not trained."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import nn

from sam3_edge.errors import UsageError

TRUNK = "backbone.vision_backbone.trunk.*"
# Everything but what is named, and what is named.
PARTS: dict[str, tuple[bool, str]] = {
    "trunk": (False, TRUNK),
    "stem": (False, "backbone.vision_backbone.trunk.patch_embed.*"),
    "language": (False, "backbone.language_backbone.*"),
    "all_but_mask_head": (True, "segmentation_head.*"),
    "all_but_decoder": (True, "transformer.decoder.*"),
    "all_but_trunk": (True, TRUNK),
}
# AdamW keeps two numbers for each that is trained.
MOMENTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeReport:
    """trained, frozen: numbers of parameters. gradient_bytes, optimizer_bytes: what need not be
    kept because of what is frozen.
    """

    trained: int
    frozen: int
    gradient_bytes: int
    optimizer_bytes: int

    def line(self) -> str:
        saved = (self.gradient_bytes + self.optimizer_bytes) / 2**20
        return (
            f"{self.trained / 1e6:.2f} M parameters are trained, {self.frozen / 1e6:.2f} M frozen, "
            f"which saves {saved:.0f} MiB of gradients and optimizer state"
        )


def freeze(model: nn.Module, names: Sequence[str]) -> FreezeReport:
    """Stop training what `names` name: parts (PARTS) or glob patterns over parameter names.

    A part is literal: `stem` is patch_embed, `all_but_decoder` trains transformer.decoder alone.
    What was frozen before stays so. Raises UsageError for a name that names nothing, and where
    nothing would be left to train; the model is then as it was.
    """
    parameters = dict(model.named_parameters())
    chosen = {found for name in names for found in _named(model, name, tuple(parameters))}
    if chosen >= {name for name, parameter in parameters.items() if parameter.requires_grad}:
        raise UsageError(
            f"trainer.model.freeze: expected something left to train, got {', '.join(names)}, which "
            "is the whole model; freeze less"
        )
    for name in chosen:
        parameters[name].requires_grad_(False)
    still = [p for p in parameters.values() if not p.requires_grad]
    frozen_bytes = sum(p.numel() * p.element_size() for p in still)
    frozen = sum(p.numel() for p in still)
    return FreezeReport(
        trained=sum(p.numel() for p in parameters.values()) - frozen,
        frozen=frozen,
        gradient_bytes=frozen_bytes,
        optimizer_bytes=MOMENTS * frozen_bytes,
    )


def keep_frozen_in_eval(model: nn.Module) -> None:
    """To be called after every model.train(): modules of which no parameter is trained stay in
    evaluation mode, so that norms keep their statistics and dropout leaves their output alone.
    """
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()


@contextmanager
def unchanged_state(model: nn.Module) -> Iterator[None]:
    """Puts back buffers (the statistics of norms) and each module's mode after a forward pass that
    is no training, and torch's random state.
    """
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    modes = [(module, module.training) for module in model.modules()]
    devices = {b.device.index for b, _ in buffers if b.device.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=sorted(i for i in devices if i is not None)):
            yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for module, training in modes:
            module.training = training


def _named(model: nn.Module, name: str, parameters: tuple[str, ...]) -> list[str]:
    others, pattern = PARTS.get(name, (False, name))
    found = [p for p in parameters if fnmatchcase(p, pattern) is not others]
    if found:
        return found
    modules = [path for path, _ in model.named_modules() if path]
    near = difflib.get_close_matches(name.rstrip(".*"), [*PARTS, *modules, *parameters], 3, 0.3)
    suggested = [one if one in PARTS or one in parameters else f"{one}.*" for one in near]
    raise UsageError(
        f"trainer.model.freeze: expected the name of a part ({', '.join(PARTS)}) or a pattern that "
        f"matches parameters, got {name!r}, which matches none; "
        f"nearest: {', '.join(suggested) or 'none'}"
    )
