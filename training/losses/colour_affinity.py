"""Which neighbouring pixels of a picture have nearly the same colour, on the grid of the masks.

Source: equation 3 of BoxInst (arXiv:2012.02310), with its neighbours, two cells apart.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# Similarity of two colours: exp(-distance / THETA).
THETA = 2.0
# Rows down and columns right to the eight neighbours; the last four are the first four turned round.
NEIGHBOURS = ((0, 2), (2, -2), (2, 0), (2, 2), (0, -2), (-2, 2), (-2, 0), (-2, -2))
HALF, REACH = 4, 2

# Linear sRGB to CIE 1931 XYZ and the white point D65 (IEC 61966-2-1).
_SRGB_TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_WHITE = (0.95047, 1.0, 1.08883)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourAffinity:
    """alike: (B, h, w, 8) bool, by the order of NEIGHBOURS: the neighbour is in the picture and of
    nearly the same colour. image_index: (N,) int64, which picture each prompt is asked about.
    """

    alike: Tensor
    image_index: Tensor


@torch.no_grad()
def colour_affinity(
    images: Tensor, image_index: Tensor, side: int, *, threshold: float, share: float
) -> ColourAffinity:
    """images (B, S, S, 3) uint8 RGB, shrunk to (side, side); image_index (N,) int64.

    threshold: least similarity, above 0, up to 1. share: so many of a picture's pairs are alike at
    most, those nearest in colour. In murky water everything is near everything, outlines included,
    and only what is nearer than most says anything. The paper has 0.3 and 1.
    """
    with torch.autocast(images.device.type, enabled=False):
        pictures = images.permute(0, 3, 1, 2).float() / 255.0
        shrunk = F.interpolate(pictures, size=(side, side), mode="area")
        apart = neighbour_distances(srgb_to_lab(shrunk))
    most = torch.full_like(apart[:, :1, 0, 0], -THETA * math.log(threshold))
    if share < 1.0:
        flat = apart.flatten(1)
        count = int(torch.isfinite(flat[0]).sum())
        nearest = flat.kthvalue(max(round(share * count), 1), dim=1, keepdim=True).values
        most = torch.minimum(most, nearest)
    half = apart <= most[:, :, None, None]
    # The pair seen from its other end. What leaves the picture is False, so nothing false comes in.
    turned = [half[:, i].roll(NEIGHBOURS[i], dims=(1, 2)) for i in range(HALF)]
    alike = torch.stack((*half.unbind(dim=1), *turned), dim=-1)
    return ColourAffinity(alike=alike, image_index=image_index)


def neighbour_distances(colours: Tensor) -> Tensor:
    """(B, 3, h, w) -> (B, 4, h, w): Euclidean, to the first four NEIGHBOURS; infinite where that is
    beyond the picture.
    """
    height, width = colours.shape[-2:]
    padded = F.pad(colours, (REACH, REACH, 0, REACH), value=math.inf)
    distances = []
    for down, right in NEIGHBOURS[:HALF]:
        left = REACH + right
        there = padded[:, :, down : down + height, left : left + width]
        distances.append((there - colours).square().sum(dim=1).sqrt())
    return torch.stack(distances, dim=1)


def srgb_to_lab(colours: Tensor) -> Tensor:
    """(B, 3, h, w) sRGB in 0..1 -> CIE 1976 L*a*b* (ISO/CIE 11664-4), L* in 0..100, white D65."""
    power = ((colours + 0.055) / 1.055) ** 2.4
    linear = torch.where(colours <= 0.04045, colours / 12.92, power)
    matrix = colours.new_tensor(_SRGB_TO_XYZ) / colours.new_tensor(_WHITE)[:, None]
    xyz = torch.einsum("ij,bjhw->bihw", matrix, linear)
    edge = 6.0 / 29.0
    root = torch.where(
        xyz > edge**3, xyz.clamp(min=1e-6) ** (1.0 / 3.0), xyz / (3.0 * edge**2) + 4.0 / 29.0
    )
    x, y, z = root.unbind(dim=1)
    return torch.stack((116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)), dim=1)
