"""Every object of a photo as a PNG of its own: the photo's pixels, transparent around the object.

python examples/masks_to_png.py photo.jpg starfish --folder cut
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

import sam3_edge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo")
    parser.add_argument("prompts", nargs="+", help="what to cut out")
    parser.add_argument("--folder", type=Path, default=Path("cut"))
    options = parser.parse_args()
    image = cv2.imread(options.photo)
    if image is None:
        sys.exit(f"{options.photo}: expected a picture, found none; check the path")
    with sam3_edge.load() as model:
        result = model.detect(image, options.prompts, masks="bits")
    options.folder.mkdir(parents=True, exist_ok=True)
    found = result.detections
    for number, mask in enumerate(found.masks):
        name = result.prompts[found.prompt_index[number]].replace(" ", "_")
        path = options.folder / f"{number:02d}_{name}.png"
        alpha = mask.full().astype(np.uint8) * 255
        cv2.imwrite(str(path), np.dstack((image, alpha)))
        print(f"{path}  score {found.scores[number]:.2f}")


if __name__ == "__main__":
    main()
