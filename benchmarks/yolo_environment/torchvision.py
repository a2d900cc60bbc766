"""Stands in for torchvision in this folder's environment alone.

YOLOX imports it for non-maximum suppression, which only its evaluation calls; what is trained here
is evaluated by sam3-edge. So no build of torchvision has to match the processor's torch.
"""


class ops:  # noqa: N801  the name is torchvision's
    @staticmethod
    def nms(*_: object) -> None:
        raise NotImplementedError("torchvision.ops.nms: this stand-in has none; see its docstring")

    batched_nms = nms
