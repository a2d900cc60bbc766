#!/usr/bin/env python3
"""Write training/splits/*.json: which pictures show the same place, and which places are held out.

    .venv/bin/python scripts/make_splits.py ../shared/data
    .venv/bin/python scripts/make_splits.py ../shared/data --alike alike.png

The places of Aquarium stand in the table below, by the numbers in the photos' names: sequences of
one telephone, cut and joined by eye on contact sheets of all 575 photos. `--alike` is the check on
that: of photos on the two sides of the split it draws the pairs whose backgrounds are most alike
(colours and a perceptual hash, the annotated boxes left out), seldom the same tank if all is well.
The other sets need no eye: camera numbers, or a digest of the name.
"""

import argparse
import hashlib
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SPLITS = Path(__file__).resolve().parents[1] / "training" / "splits"

# First and last number of each sequence. Two aquariums: numbers below 4000, and above 8000.
AQUARIUM = {
    "silver fish on blue": "2274-2280",
    "puffin cliff": "2282-2299 2519-2525 3130-3162",
    "penguin rock": "2302-2353 2527-2530",
    "penguin rock, another day": "3163-3177",
    "cold rock tank": "2358-2391 2531-2537 3178-3185",
    "kelp wall": "2538-2548 3186-3188",
    "bannerfish reef": "2392-2410",
    "shark tunnel": "2411-2462 2492-2506 2558-2572 2577-2607",
    "sea nettles on blue": "2463-2491 2573-2576",
    "hammerhead bay": "2507-2518 2611-2657",
    "rays in sea grass": "2549-2557",
    "purple star at night": "2608-2610",
    "anemones on pebbles": "3120-3128",
    "barramundi roots": "8317-8330",
    "painted beams": "8338-8342",
    "grunters behind a post": "8344-8348",
    "stones of a stream": "8356-8357",
    "archerfish behind a post": "8376-8387",
    "blacktip reef": "8391-8448 8468-8471 8476-8478 8509-8510 8579-8582",
    "crowd on pebbles": "8450-8451",
    "one fish on sand": "8460-8461",
    "piranhas on sand": "8463-8466",
    "coral on a bench": "8486",
    "moon jellies in a slit": "8489",
    "sturgeon roots": "8493-8496",
    "green plants": "8497",
    "brown coral": "8500",
    "log in the dark": "8502",
    "wreck": "8511-8512",
    "butterflyfish coral": "8516-8517",
    "clownfish coral": "8519-8520",
    "grey fish and boulders": "8522-8528",
    "razorbill cliff": "8530-8535",
    "brown leaves": "8536-8541",
    "yellow tang reef": "8544-8551",
    "crocodile river": "8552-8560",
    "shark alley": "8570-8578",
    "sea nettles on bright blue": "8590",
    "lagoon jellies on grey": "8591",
    "blue jellies": "8593",
    "moon jellies": "8594-8595",
    "small jellies in a window": "8598-8599",
}
AQUARIUM_HELD_OUT = (
    "anemones on pebbles",
    "bannerfish reef",
    "blacktip reef",
    "blue jellies",
    "penguin rock, another day",
    "razorbill cliff",
    "small jellies in a window",
)
AQUARIUM_ABOUT = (
    "Photos of Roboflow's Aquarium (training and validation) by tank or enclosure, grouped by the "
    "numbers in their names and corrected by eye (scripts/make_splits.py). Held out for their "
    "training photos; the official validation photos chose nothing. Penguins live in one enclosure "
    "only: what is held out of them is another day at the same rock, so their place is not unseen. "
    "Puffins are of two cliffs, starfish of four tanks. `blacktip reef` is one tank from above and "
    "through its windows. Where it is uncertain whether two places are one tank, both lie on the "
    "same side. Names without Roboflow's .rf.HASH ending."
)
DEEPFISH_HELD_OUT = ("7393", "7490", "7585", "9866", "9894")
DEEPFISH_ABOUT = (
    "Frames of DeepFish by camera place, the number at the start of the clip. Held out are five "
    "places that differ in colour and ground, with and without fish: mangrove roots, a boulder in "
    "blue water, grey murk, a purple night, green murk."
)
DIGEST_ABOUT = (
    "One photo of five: the lowest SHA-256 of the name, within each stratum of photos that share "
    "their rarest class; a stratum of fewer than five photos is seen whole."
)
ONE_OF = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="Folder with aquarium, deepfish and the others.")
    parser.add_argument("--alike", type=Path, help="Draw the likest pairs across the split here.")
    asked = parser.parse_args()
    if not asked.data.is_dir():
        sys.exit(f"{asked.data}: expected a folder of data sets, found none; give the folder")
    photos = _aquarium(asked.data)
    if asked.alike is not None:
        _draw_alike(photos, asked.alike)
        return
    groups = {name: sorted(_origin(p["file_name"]) for p in _in(photos, AQUARIUM[name]))
              for name in AQUARIUM}  # fmt: skip
    assert sum(map(len, groups.values())) == len(photos)
    _write("aquarium", AQUARIUM_ABOUT, groups, AQUARIUM_HELD_OUT)
    deepfish = _images(asked.data / "deepfish" / "_annotations.coco.json")
    places: defaultdict[str, list[str]] = defaultdict(list)
    for image in deepfish:
        places[re.match(r"\d+", image["clip"])[0]].append(image["file_name"])  # type: ignore[index]
    _write("deepfish", DEEPFISH_ABOUT, places, DEEPFISH_HELD_OUT)
    for name in ("openimages_fish", "coco_more"):
        known = _images(asked.data / name / "_annotations.coco.json")
        _write(name, DIGEST_ABOUT, _by_digest(known), ("held out",))


def _write(name: str, about: str, groups: dict[str, list[str]], held_out: tuple[str, ...]) -> None:
    """A group is a line: one of photos would make a diff of thousands."""
    assert set(held_out) <= set(groups)
    lines = [f"  {json.dumps(k)}: {json.dumps(sorted(groups[k]))}" for k in sorted(groups)]
    text = (
        f'{{"schema": 1,\n"about": {json.dumps(about)},\n"held_out": {json.dumps(sorted(held_out))}'
        ',\n"groups": {\n' + ",\n".join(lines) + "\n}}\n"
    )
    (SPLITS / f"{name}.json").write_text(text, encoding="utf-8")
    held = sum(len(groups[one]) for one in held_out)
    print(f"{name}: {len(groups)} groups, {held} of {sum(map(len, groups.values()))} held out")


def _images(path: Path) -> list[dict[str, Any]]:
    """The entries of images, each with `boxes`, xywh pixels, `classes`, and the file's `path`."""
    data = json.loads(path.read_text(encoding="utf-8"))
    names = {one["id"]: one["name"] for one in data["categories"]}
    found = {image["id"]: {**image, "boxes": [], "classes": []} for image in data["images"]}
    for one in data["annotations"]:
        found[one["image_id"]]["boxes"].append(one["bbox"])
        found[one["image_id"]]["classes"].append(names[one["category_id"]])
    for image in found.values():
        beside = path.parent / image["file_name"]
        inside = path.parent / "images" / image["file_name"]
        image["path"] = beside if beside.is_file() else inside
    return list(found.values())


def _by_digest(images: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Strata are photos of one rarest class; in each the fifth with the lowest digests is out."""
    showing = Counter(name for image in images for name in set(image["classes"]))
    strata: defaultdict[str, list[str]] = defaultdict(list)
    for image in images:
        rarest = min(image["classes"], key=lambda name: (showing[name], name), default="")
        strata[rarest].append(image["file_name"])
    held: set[str] = set()
    owed = 0  # photos of strata too small to give one, which larger ones make up for
    for names in sorted(strata.values(), key=lambda names: (len(names), names)):
        owed += len(names)
        count = min(owed // ONE_OF, len(names) // 3) if len(names) >= ONE_OF else 0
        owed -= count * ONE_OF
        held.update(sorted(names, key=_digest)[:count])
    every = [image["file_name"] for image in images]
    return {
        "held out": [n for n in every if n in held],
        "seen": [n for n in every if n not in held],
    }


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _origin(name: str) -> str:
    return name.partition(".rf.")[0]


def _aquarium(data: Path) -> list[dict[str, Any]]:
    return [
        {**image, "part": part}
        for part in ("train", "valid")
        for image in _images(data / "aquarium" / part / "_annotations.coco.json")
    ]


def _in(photos: Iterable[dict[str, Any]], ranges: str) -> Iterator[dict[str, Any]]:
    numbers = [tuple(map(int, one.split("-"))) for one in ranges.split()]
    for photo in photos:
        number = int(re.search(r"\d+", photo["file_name"])[0])  # type: ignore[index]
        if any(pair[0] <= number <= pair[-1] for pair in numbers):
            yield photo


def _draw_alike(photos: list[dict[str, Any]], path: Path, pairs: int = 24, side: int = 200) -> None:
    held = [id(photo) for name in AQUARIUM_HELD_OUT for photo in _in(photos, AQUARIUM[name])]
    looks = np.stack([_look(photo) for photo in photos])
    is_held = np.array([id(photo) in set(held) for photo in photos])
    out, seen = np.flatnonzero(is_held), np.flatnonzero(~is_held)
    likeness = looks[out] @ looks[seen].T
    best = likeness.argmax(axis=1)
    order = np.argsort(-likeness.max(axis=1))[:pairs]
    rows = []
    for first, second in ((out[i], seen[best[i]]) for i in order):
        both = [_thumbnail(photos[i], side) for i in (first, second)]
        label = " | ".join(photos[i]["file_name"][4:16] for i in (first, second))
        rows.append(_labelled(np.hstack(both), label))
    columns = [np.vstack(rows[i::4]) for i in range(4)]
    cv2.imwrite(str(path), np.hstack(columns))


def _look(photo: dict[str, Any]) -> np.ndarray:
    """(D,) float64 of length 1: a histogram in Lab and a 9x8 gradient hash, of the background."""
    image = _picture(photo)
    known = np.full(image.shape[:2], 255, dtype=np.uint8)
    for x, y, w, h in photo["boxes"]:
        known[int(y) : int(y + h) + 1, int(x) : int(x + w) + 1] = 0
    lab = cv2.cvtColor(image, cv2.COLOR_BGR2LAB)
    counts = cv2.calcHist([lab], [0, 1, 2], known, [8, 16, 16], [0, 256] * 3).ravel()
    colours = np.sqrt(counts / max(counts.sum(), 1.0))
    image[known == 0] = cv2.mean(image, mask=known)[:3]
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (9, 8), interpolation=cv2.INTER_AREA)
    shape = np.sign(np.diff(grey.astype(np.float64), axis=1)).ravel() / 8.0
    look = np.concatenate((colours, 0.5 * shape))
    return np.asarray(look / np.linalg.norm(look))


def _picture(photo: dict[str, Any]) -> np.ndarray:
    image = cv2.imread(str(photo["path"]))
    assert image is not None, photo["path"]
    return image


def _thumbnail(photo: dict[str, Any], side: int) -> np.ndarray:
    return cv2.resize(_picture(photo), (side, side), interpolation=cv2.INTER_AREA)


def _labelled(image: np.ndarray, text: str) -> np.ndarray:
    strip = np.full((16, image.shape[1], 3), 255, dtype=np.uint8)
    cv2.putText(strip, text, (2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack((strip, image))


if __name__ == "__main__":
    main()
