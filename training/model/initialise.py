"""First values for every parameter, from its name and shape alone.

One walk over `named_parameters`: raw nn.Parameters are not modules, so an initialisation that
visits modules leaves them as `torch.empty` found them - which is how a cost matrix becomes NaN.
"""

import torch
from torch import Tensor, nn
from torch.nn import init

# Kept as their modules built them.
BUILT = ("proposals.bias",)


@torch.no_grad()
def initialise(model: nn.Module) -> None:
    """Fill every parameter of a Detector in place. Uses torch's global random generator."""
    norms = {
        f"{name}.{kind}"
        for name, module in model.named_modules()
        if isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.BatchNorm2d)
        for kind in ("weight", "bias")
    }
    for name, parameter in model.named_parameters():
        if name in BUILT:
            continue
        if name in norms:
            init.constant_(parameter, 1.0 if name.endswith("weight") else 0.0)
        else:
            _fill(name, parameter)


def _fill(name: str, parameter: Tensor) -> None:
    if name.endswith("bias"):
        init.zeros_(parameter)
    elif "bbox_embed.layers.2" in name:
        init.zeros_(parameter)  # The first boxes stand until something is learned.
    elif "last_to_tokens" in name:
        init.zeros_(parameter)
    elif "trunk" in name:
        if any(part in name for part in (".entry.", ".stages.", ".to_tokens.")):
            init.kaiming_normal_(parameter, nonlinearity="relu")
        else:
            init.trunc_normal_(parameter, std=0.02)
    elif "language_backbone" in name:
        init.trunc_normal_(parameter, std=_text_std(name, parameter))
    elif "query_embed" in name or "reference_points" in name:
        init.normal_(parameter)
    elif parameter.ndim == 1:
        init.zeros_(parameter)
    else:
        init.xavier_uniform_(parameter)


def _text_std(name: str, parameter: Tensor) -> float:
    """CLIP's: small embeddings, then one over the square root of what is summed."""
    if "token_embedding" in name:
        return 0.02
    if "positional_embedding" in name:
        return 0.01
    return float(parameter.shape[-1] ** -0.5)
