"""The demo scene: a procedural underwater video with true boxes and masks.

It is what a new user sees first, what the default model was trained on (split "train") and what
that model is tested on (split "held_out"). Every frame is a pure function of seed, split, size
and index, at 30 frames a second.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam3_edge.runtime.scene_actors import PHRASES, SHAPES, cast_actors
from sam3_edge.runtime.scene_drawing import Stencil, overlap, paint, place
from sam3_edge.runtime.scene_palettes import PALETTES, Split
from sam3_edge.runtime.scene_water import build_sea, finish

__all__ = ["FRAMES_PER_SECOND", "PHRASES", "Scene", "SceneObject"]

FRAMES_PER_SECOND = 30
MIN_SIDE, MAX_SIDE = 0.03, 0.30
MIN_VISIBLE = 0.30


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneObject:
    """The truth about one labelled creature in one frame.

    identity: stable over the video; box: xyxy pixels of the visible part; mask: (H, W) bool,
    its visible pixels, disjoint from every other object's; ignore: too hidden (less than 30 %
    visible) or too small (a side under 3 % of the frame's) to be asked for, COCO's iscrowd.
    """

    identity: int
    phrase: str
    box: tuple[float, float, float, float]
    mask: NDArray[np.bool_]
    ignore: bool


class Scene:
    """One video. Frames may be asked for in any order, and as often as wanted."""

    def __init__(
        self, seed: int, split: Split = "held_out", width: int = 640, height: int = 480
    ) -> None:
        if split not in PALETTES:
            raise ValueError(f'expected split "train" or "held_out", got {split!r}')
        if width < 64 or height < 64:
            raise ValueError(f"expected a frame of at least 64 x 64 pixels, got {width} x {height}")
        self.width, self.height = width, height
        rng = np.random.default_rng([seed, sorted(PALETTES).index(split)])
        self._sea = build_sea(rng, PALETTES[split], width, height)
        self._actors = cast_actors(rng, PALETTES[split], self._sea.horizon)
        self._order = sorted(
            range(len(self._actors)), key=lambda k: self._actors[k].depth, reverse=True
        )

    def frame(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR."""
        return self._picture(self._stencils(index), index)

    def objects(self, index: int) -> list[SceneObject]:
        """The labelled creatures of which anything is visible, by identity."""
        return self._truth(self._stencils(index))

    def frame_and_objects(self, index: int) -> tuple[NDArray[np.uint8], list[SceneObject]]:
        """Both at once, for little more than the price of the frame."""
        stencils = self._stencils(index)
        return self._picture(stencils, index), self._truth(stencils)

    def _stencils(self, index: int) -> list[tuple[int, Stencil]]:
        """What is in the frame, the farthest first, with the number of its actor."""
        seconds = index / FRAMES_PER_SECOND
        stencils = []
        for number in self._order:
            actor = self._actors[number]
            placement = actor.placement(seconds, self.width, self.height)
            sketch = SHAPES[actor.kind](actor.look, seconds, 1.0 / placement.size)
            share = MAX_SIDE if actor.kind in PHRASES else 2 * MAX_SIDE
            stencil = place(sketch, placement, (share * self.width, share * self.height))
            if overlap(stencil, self.width, self.height) is not None:
                stencils.append((number, stencil))
        return stencils

    def _picture(self, stencils: list[tuple[int, Stencil]], index: int) -> NDArray[np.uint8]:
        picture = self._sea.background.copy()
        for number, stencil in stencils:
            actor = self._actors[number]
            thickness = self._sea.turbidity * (0.1 + 0.75 * actor.depth)
            paint(picture, stencil, self._sea.haze, thickness, actor.shadow)
        return finish(picture, self._sea, index)

    def _truth(self, stencils: list[tuple[int, Stencil]]) -> list[SceneObject]:
        owner = np.full((self.height, self.width), -1, np.int16)
        for number, stencil in stencils:
            cut = overlap(stencil, self.width, self.height)
            if cut is None or self._actors[number].kind == "bubble":
                continue  # a bubble is clear: what is behind it stays visible
            rows, columns, inner_rows, inner_columns = cut
            owner[rows, columns][stencil.coverage[inner_rows, inner_columns] > 127] = number
        labelled = [(n, s) for n, s in sorted(stencils, key=lambda pair: pair[0])
                    if self._actors[n].kind in PHRASES]  # fmt: skip
        found = [self._object(number, stencil, owner) for number, stencil in labelled]
        return [each for each in found if each is not None]

    def _object(
        self, number: int, stencil: Stencil, owner: NDArray[np.int16]
    ) -> SceneObject | None:
        cut = overlap(stencil, self.width, self.height)
        assert cut is not None
        rows, columns = cut[:2]
        visible = owner[rows, columns] == number
        ys, xs = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
        if len(ys) == 0:
            return None
        mask = np.zeros((self.height, self.width), np.bool_)
        mask[rows, columns] = visible
        x1, y1 = float(columns.start + xs[0]), float(rows.start + ys[0])
        x2, y2 = float(columns.start + xs[-1] + 1), float(rows.start + ys[-1] + 1)
        hidden = np.count_nonzero(visible) < MIN_VISIBLE * np.count_nonzero(stencil.coverage > 127)
        small = x2 - x1 < MIN_SIDE * self.width or y2 - y1 < MIN_SIDE * self.height
        return SceneObject(
            identity=number, phrase=self._actors[number].kind, box=(x1, y1, x2, y2), mask=mask,
            ignore=bool(hidden or small),
        )  # fmt: skip
