"""What was found in one frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime.rle import encode_rle, rle_window


class Mask:
    """The pixels of one object in its frame, as RLE, as bits of a window, or as both.

    Of the two what was not given is made when it is asked for, and kept.
    """

    __slots__ = ("_bits", "_counts", "_origin", "size")

    def __init__(
        self,
        *,
        size: tuple[int, int],
        counts: str | None = None,
        origin: tuple[int, int] = (0, 0),
        bits: NDArray[np.bool_] | None = None,
    ) -> None:
        """size: (H, W) of the frame. counts: the whole frame's, COCO's compressed RLE.

        origin: (x, y) in the frame of the top left pixel of `bits`, (h, w) bool in C order; every
        pixel outside them is False. At least one of counts and bits.
        """
        assert counts is not None or bits is not None
        self.size = size
        self._counts = counts
        self._origin = origin
        self._bits = bits

    @property
    def counts(self) -> str:
        if self._counts is None:
            self._counts = encode_rle(self.bits, size=self.size, origin=self._origin)
        return self._counts

    @property
    def origin(self) -> tuple[int, int]:
        self._find_bits()
        return self._origin

    @property
    def bits(self) -> NDArray[np.bool_]:
        return self._find_bits()

    def full(self) -> NDArray[np.bool_]:
        """(H, W) bool: the mask in the whole frame."""
        whole = np.zeros(self.size, dtype=np.bool_)
        x, y = self.origin
        height, width = self.bits.shape
        whole[y : y + height, x : x + width] = self.bits
        return whole

    def _find_bits(self) -> NDArray[np.bool_]:
        bits = self._bits
        if bits is None:
            assert self._counts is not None
            # The origin first: another thread that finds bits must find theirs.
            self._origin, bits = rle_window(self.size, self._counts)
            self._bits = bits
        return bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """N objects, best score first.

    boxes: (N, 4) float32, xyxy pixels of the original frame, clipped to it.
    scores: (N,) float32, 0..1, sigmoid(logit) * sigmoid(presence).
    prompt_index: (N,) int64, which prompt of the request found it.
    masks: N masks.
    track_ids: (N,) int64, or None while nothing tracks.
    presence: (P,) float32, 0..1, whether each prompt is in the picture at all.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    prompt_index: NDArray[np.int64]
    masks: tuple[Mask, ...]
    presence: NDArray[np.float32]
    track_ids: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.boxes)
