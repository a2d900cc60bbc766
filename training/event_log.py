"""TensorBoard: numbers, words and pictures of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sam3_edge.engines.backend import RawOutput
from sam3_edge.errors import TrainingError
from sam3_edge.runtime.detections import Detections, Mask
from sam3_edge.runtime.draw import draw
from sam3_edge.runtime.masks import logits_to_mask
from sam3_edge.runtime.postprocess import postprocess, to_pixels
from sam3_edge.training.data.targets import Targets
from sam3_edge.training.model.outputs import DetectorOutput

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

# The longer side of a drawn picture, pixels: small ones are enlarged so that words can be read.
LEAST_SIDE = 504


class EventLog:
    """Event files in `folder`, open as a context. Where not enabled (every process but the first)
    nothing is written, nor imported. Raises TrainingError for a folder that cannot be written.
    """

    def __init__(self, folder: Path, *, enabled: bool) -> None:
        self.folder, self.enabled = folder, enabled
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> "EventLog":
        if not self.enabled:
            return self
        from torch.utils.tensorboard import SummaryWriter

        try:
            self._writer = SummaryWriter(str(self.folder))
        except OSError as error:
            raise TrainingError(
                f"{self.folder}: expected a folder that can be written, got: {error.strerror}; "
                "choose another paths.experiment, or set trainer.logging.tensorboard=false"
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """values: by tag; a slash makes groups, as in "loss/giou"."""
        if self._writer is None:
            return
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def pictures(self, step: int, pictures: Sequence[NDArray[np.uint8]]) -> None:
        """pictures: each (H, W, 3) uint8 RGB, always in the same order."""
        if self._writer is None:
            return
        for number, picture in enumerate(pictures):
            self._writer.add_image(f"pictures/{number}", picture, step, dataformats="HWC")
        self._writer.flush()

    def text(self, name: str, text: str) -> None:
        """text: shown as it is, such as the configuration's YAML."""
        if self._writer is not None:
            indented = "".join(f"    {line}\n" for line in text.splitlines())
            self._writer.add_text(name, indented)


def draw_predictions(
    images: NDArray[np.uint8],
    output: DetectorOutput,
    phrases: Sequence[Sequence[str]],
    threshold: float,
    targets: Targets | None = None,
) -> list[NDArray[np.uint8]]:
    """What was found in each picture, with phrases and scores; left of it the truth, where given.

    images: (B, S, S, 3) uint8 RGB. output: of all N prompts, picture by picture. phrases: those of
    each picture, N in all. threshold: 0..1, the lowest score. Returns B pictures (H, W, 3) uint8
    RGB. Raises EngineError if the output is not finite.
    """
    drawn, first = [], 0
    for image, asked in zip(images, phrases, strict=True):
        rows = slice(first, first + len(asked))
        first = rows.stop
        scale = max(1, -(-LEAST_SIDE // image.shape[0]))
        canvas = np.repeat(np.repeat(image[:, :, ::-1], scale, axis=0), scale, axis=1)
        size = canvas.shape[0], canvas.shape[1]
        lowest = np.full(len(asked), threshold, dtype=np.float32)
        found = postprocess(_raw(output, rows), lowest, size)
        sheets = [_titled(draw(canvas, found, asked), f"found, {threshold:.2f} or better")]
        if targets is not None:
            truth = _truth(targets, rows, size)
            sheets.insert(0, _titled(draw(canvas, truth, asked), "truth"))
        drawn.append(np.ascontiguousarray(np.concatenate(sheets, axis=1)[:, :, ::-1]))
    return drawn


def _raw(output: DetectorOutput, rows: slice) -> RawOutput:
    """The last layer's answers to one picture's prompts."""
    return RawOutput(
        logits=_numpy(output.logits[-1, rows]),
        presence=_numpy(output.presence[-1, rows]),
        boxes=_numpy(output.boxes[-1, rows]),
        masks=_numpy(output.masks[rows]),
        vision_ms=0.0,
        decoder_ms=0.0,
    )


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    values: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return values


def _truth(targets: Targets, rows: slice, size: tuple[int, int]) -> Detections:
    """The objects of one picture's prompts, as if found with a score of 1."""
    prompt = targets.prompt.cpu().numpy()
    mine = np.flatnonzero((prompt >= rows.start) & (prompt < rows.stop))
    row_of = {int(owner): row for row, owner in enumerate(targets.mask_object.tolist())}
    covered = _numpy(targets.masks)
    nothing = Mask(size=size, origin=(0, 0), bits=np.zeros((0, 0), dtype=np.bool_))
    masks = [
        # A cell is inside where more than half of it is.
        logits_to_mask(covered[row_of[i]] - 0.5, size, None) if i in row_of else nothing
        for i in mine.tolist()
    ]
    present = np.isin(np.arange(rows.start, rows.stop), prompt)
    return Detections(
        boxes=to_pixels(_numpy(targets.boxes)[mine], size),
        scores=np.ones(len(mine), dtype=np.float32),
        prompt_index=prompt[mine] - rows.start,
        masks=tuple(masks),
        presence=present.astype(np.float32),
    )


def _titled(picture: NDArray[np.uint8], title: str) -> NDArray[np.uint8]:
    """With a line of words above it."""
    strip = np.full((28, picture.shape[1], 3), 255, dtype=np.uint8)
    cv2.putText(strip, title, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (20, 20, 20), 1, cv2.LINE_AA)
    return np.concatenate((strip, picture))
