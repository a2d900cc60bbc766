"""An optional loss on whole pictures: is what the phrase means anywhere in it?

Source: the pairwise sigmoid loss of SigLIP (arXiv:2303.15343), over the pairs that were asked.
"""

from torch import Tensor
from torch.nn import functional as F

from sam3_edge.training.data.targets import Targets
from sam3_edge.training.model.outputs import DetectorOutput

# Of the cosine; fixed, so that a model trained without this loss has no parameter of it.
SCALE, BIAS = 10.0, -2.0


def contrastive_loss(output: DetectorOutput, targets: Targets) -> Tensor:
    """Sum over the prompts whose presence is known of the BCE between presence and likeness."""
    picture = F.normalize(output.image_embedding.float(), dim=-1)
    phrase = F.normalize(output.prompt_embedding.float(), dim=-1)
    likeness = SCALE * (picture * phrase).sum(dim=-1) + BIAS
    bce = F.binary_cross_entropy_with_logits(likeness, targets.present(), reduction="none")
    return (bce * targets.presence_known()).sum()
