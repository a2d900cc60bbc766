"""The feature pyramid: tokens to maps of 4s, 2s and s. Source: ViTDet's simple feature pyramid."""

from collections import OrderedDict

from torch import Tensor, nn

from sam3_edge.training.model.config import ModelConfig
from sam3_edge.training.model.efficientnet import lateral_widths
from sam3_edge.training.model.layers import convolution


def scale_branch(width: int, scale: float, d_model: int, *, separable: bool) -> nn.Sequential:
    """(B, width, s, s) -> (B, d_model, scale * s, scale * s)."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if scale == 4.0:
        layers["dconv_2x2_0"] = nn.ConvTranspose2d(width, width // 2, 2, stride=2)
        layers["gelu"] = nn.GELU()
        layers["dconv_2x2_1"] = nn.ConvTranspose2d(width // 2, width // 4, 2, stride=2)
        width //= 4
    elif scale == 2.0:
        layers["dconv_2x2"] = nn.ConvTranspose2d(width, width // 2, 2, stride=2)
        width //= 2
    elif scale == 0.5:
        layers["maxpool_2x2"] = nn.MaxPool2d(2, stride=2)
    layers["conv_1x1"] = nn.Conv2d(width, d_model, 1)
    layers["conv_3x3"] = convolution(d_model, separable=separable)
    return nn.Sequential(layers)


class Neck(nn.Module):
    """tokens (B, width, s, s) -> the three maps of ImageFeatures, finest first.

    With laterals the stem's maps at 4s and 2s are added before the 3x3 convolution, so that small
    objects need not pass through the tokens.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        neck, trunk, d_model = config.neck, config.trunk, config.d_model
        self.num_maps = len(neck.scales) - neck.scalp
        self.convs = nn.ModuleList(
            scale_branch(trunk.width, scale, d_model, separable=neck.separable)
            for scale in neck.scales
        )
        widths = lateral_widths(trunk) if neck.laterals else ()
        self.laterals = nn.ModuleList(nn.Conv2d(c, d_model, 1) for c in widths)

    def forward(
        self, tokens: Tensor, stem_maps: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        maps = []
        for i, branch in enumerate(self.convs[: self.num_maps]):
            assert isinstance(branch, nn.Sequential)
            x = branch[:-1](tokens)
            if i < len(self.laterals):
                x = x + self.laterals[i](stem_maps[i])
            maps.append(branch[-1](x))
        finest, middle, coarsest = maps
        return finest, middle, coarsest
