"""Demo scenes as training data: as many as wanted, with true masks."""

import numpy as np

from sam3_edge.runtime.scene import PHRASES, Scene
from sam3_edge.runtime.scene_palettes import Split
from sam3_edge.training.data.labelled import LabelledPicture

# A moment of the scene, frames: fish have turned, jellyfish pulse.
MOMENTS = 120


class SceneDataset:
    """Scene `index` at a random moment. Every index is another scene.

    absent: phrases of other data sets, which no scene shows; one at random is asked too.
    """

    def __init__(self, split: Split, side: int, absent: tuple[str, ...] = ()) -> None:
        self.split, self.side, self.absent = split, side, absent
        self.length = None

    def picture(
        self, index: int, rng: np.random.Generator, phrases: tuple[str, ...] | None = None
    ) -> LabelledPicture:
        scene = Scene(index, self.split, self.side, self.side)
        image, objects = scene.frame_and_objects(int(rng.integers(MOMENTS)))
        asked = phrases or PHRASES
        if phrases is None and self.absent:
            asked = (*PHRASES, self.absent[int(rng.integers(len(self.absent)))])
        objects = [o for o in objects if o.phrase in asked]
        return LabelledPicture(
            image=np.ascontiguousarray(image[:, :, ::-1]),
            phrases=asked,
            boxes=np.array([o.box for o in objects], dtype=np.float32).reshape(-1, 4),
            phrase=np.array([asked.index(o.phrase) for o in objects], dtype=np.int64),
            ignore=np.array([o.ignore for o in objects], dtype=np.bool_),
            masks=tuple(o.mask for o in objects),
        )
