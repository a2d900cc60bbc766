"""First queries taken from the picture: the best cells of a dense head on one of its maps.

Every cell says how well it is the centre of something the prompt means, and how big that thing
would be. A cell that is no local maximum is passed over, so one object is proposed once. Sources:
CenterNet (arXiv:1904.07850); query selection of Grounding DINO (arXiv:2303.05499).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam3_edge.training.model.config import ModelConfig
from sam3_edge.training.model.layers import convolution, multiply_per_image, per_prompt
from sam3_edge.training.model.outputs import ProposalOutput
from sam3_edge.training.model.side_table import SideTable

PRIOR = 0.01
BELOW_PEAKS = 32.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    """contents: (N, Q, C). boxes: (N, Q, 4) cxcywh in 0..1. logits: (N, Q). dense: for the loss.

    Where places were asked for besides, Q counts them too, after the proposals.
    """

    contents: Tensor
    boxes: Tensor
    logits: Tensor
    dense: ProposalOutput


def cell_centres(side: int) -> Tensor:
    """(1, side, side, 2) float32: x and y of each cell's centre, 0..1."""
    cell = (torch.arange(side, dtype=torch.float32) + 0.5) / side
    grid = torch.stack((cell[None, :].expand(side, -1), cell[:, None].expand(-1, side)), dim=-1)
    return grid[None]


def cells_at(places: Tensor, side: int) -> Tensor:
    """(N, D, 2) x and y in 0..1 -> (N, D) int64, numbers of the cells of a (side, side) grid."""
    column, row = (places * side).long().clamp(0, side - 1).unbind(dim=-1)
    return row * side + column


def chosen_cells(cells: Tensor, numbers: Tensor, image_index: Tensor | None) -> Tensor:
    """cells (B, g*g, C) of the pictures, numbers (N, K) -> (N, K, C); no copy is made per prompt."""
    if image_index is not None:
        return cells[image_index[:, None], numbers]
    every = per_prompt(cells, None, numbers.shape[0])
    return every.gather(1, numbers[..., None].expand(-1, -1, cells.shape[-1]))


class ProposalHead(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.d_model
        self.num_queries = config.num_queries
        self.shared = nn.Sequential(convolution(width, separable=True), nn.ReLU())
        self.embed = nn.Conv2d(width, width, 1)
        self.size = nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, 4, 1))
        self.content = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.full((), -math.log((1.0 - PRIOR) / PRIOR)))
        self.scale = config.decoder.proposal_scale
        # Cells a side of the picture whose share a size is.
        self.usual_side = self.scale * config.trunk.pretrain_image_size // config.trunk.stride
        self.centres = SideTable(cell_centres, self.scale * config.tokens_per_side)

    def forward(
        self,
        features: Tensor,
        prompt_embedding: Tensor,
        image_index: Tensor | None,
        places: Tensor | None = None,
    ) -> Proposals:
        """features (B, C, g, g), prompt_embedding (N, C), image_index (N,) or None for B = 1.

        places: (N, D, 2) x and y in 0..1, what is proposed there, best or not.
        """
        shared, side = self.shared(features), features.shape[-1]
        embedded = self.embed(shared).flatten(2)
        scores = multiply_per_image(prompt_embedding[:, None], embedded, image_index)[:, 0]
        logits = scores * prompt_embedding.shape[-1] ** -0.5 + self.bias
        best = self._peaks(logits, side).topk(self.num_queries, dim=1).indices
        if places is not None:
            best = torch.cat((best, cells_at(places, side)), dim=1)
        boxes = per_prompt(self._boxes(self.size(shared)).flatten(1, 2), image_index, best.shape[0])
        every = best[..., None]
        return Proposals(
            contents=self.content(chosen_cells(embedded.transpose(1, 2), best, image_index)),
            boxes=boxes.gather(1, every.expand(-1, -1, 4)),
            logits=logits.gather(1, best),
            dense=ProposalOutput(
                logits=logits.unflatten(1, (side, side)),
                boxes=boxes.unflatten(1, (side, side)),
            ),
        )

    def _boxes(self, raw: Tensor) -> Tensor:
        """(B, 4, g, g) -> (B, g, g, 4): centre within one cell of its own, size up to the frame.

        A convolution sees cells, so a size is one of cells too: of the same object it says the same
        share of a picture of the usual size, whatever size the picture has.
        """
        raw = raw.permute(0, 2, 3, 1).float()
        side = raw.shape[1]
        centre = self.centres.at(side) + raw[..., :2].tanh() / side
        # A size of 0.1, a usual object, where the head says nothing.
        size = (raw[..., 2:] - 2.2).sigmoid()
        if side != self.usual_side:
            size = size * (self.usual_side / side)
        return torch.cat((centre, size), dim=-1).clamp(0.0, 1.0)

    def _peaks(self, logits: Tensor, side: int) -> Tensor:
        """(N, g*g): the logits of local maxima; everything else is put far below them - not so far
        that float32 would round what is left to ties, whose order is anyone's choice. A peak is one
        within half a token to each side, on every map.
        """
        square = logits.unflatten(1, (1, side, side))
        around = self.scale // 2
        highest = F.max_pool2d(square, 2 * around + 1, stride=1, padding=around).flatten(1)
        return logits - (logits < highest).to(logits.dtype) * BELOW_PEAKS
