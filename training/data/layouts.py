"""How the folders of collections of data sets look, so that a job array trains one data set a task.

    odinw13      <root>/<path of its own>/{train,valid,test}/annotations_without_background.json
    roboflow100  <root>/<dataset>/{train,valid,test}/_annotations.coco.json

ODinW (arXiv:2204.08790) has a table of 13 names and their folders. Roboflow 100 (arXiv:2211.13523,
and RF100-VL, arXiv:2505.20612) is whatever lies in the root.
"""

from pathlib import Path
from typing import Literal, TypeAlias, get_args

from sam3_edge.errors import DatasetError

Layout: TypeAlias = Literal["odinw13", "roboflow100"]
Split: TypeAlias = Literal["train", "valid", "test"]

ROBOFLOW_FILE = "_annotations.coco.json"
ODINW_FILE = "annotations_without_background.json"

# Name -> folder of its splits, below the root.
ODINW13 = {
    "AerialMaritimeDrone_large": "AerialMaritimeDrone/large",
    "Aquarium": "Aquarium/Aquarium Combined.v2-raw-1024.coco",
    "CottontailRabbits": "CottontailRabbits",
    "EgoHands_generic": "EgoHands/generic",
    "NorthAmericaMushrooms": "NorthAmericaMushrooms/North American Mushrooms.v1-416x416.coco",
    "Packages": "Packages/Raw",
    "PascalVOC": "PascalVOC",
    "Raccoon": "Raccoon/Raccoon.v2-raw.coco",
    "ShellfishOpenImages": "ShellfishOpenImages/raw",
    "VehiclesOpenImages": "VehiclesOpenImages/416x416",
    "pistols": "pistols/export",
    "pothole": "pothole",
    "thermalDogsAndPeople": "thermalDogsAndPeople",
}


def dataset_names(layout: Layout, root: Path) -> tuple[str, ...]:
    """In the order of the tasks. Those of Roboflow 100 are found on disk, by name.

    Raises DatasetError for a folder that is missing or holds no data set.
    """
    _check_layout(layout)
    if not root.is_dir():
        raise DatasetError(
            f"{root}: expected the folder of {layout}, got no such folder; set its path"
        )
    if layout == "odinw13":
        return tuple(ODINW13)
    found = {path.parents[1].name for path in root.glob(f"*/*/{ROBOFLOW_FILE}")}
    if not found:
        raise DatasetError(
            f"{root}: expected folders <dataset>/train/{ROBOFLOW_FILE}, got none; set the folder "
            "that holds the data sets"
        )
    return tuple(sorted(found))


def dataset_of_task(layout: Layout, root: Path, task: int) -> str:
    """Which data set task number `task` of a job array trains. Raises DatasetError."""
    names = dataset_names(layout, root)
    if not 0 <= task < len(names):
        raise DatasetError(
            f"{root}: expected a task of 0 to {len(names) - 1}, got {task}; "
            f"{layout} has {len(names)} data sets there"
        )
    return names[task]


def annotation_files(
    layout: Layout, root: Path, name: str, split: Split, *, file: str | None = None
) -> tuple[Path, ...]:
    """The annotations of one split, beside which its pictures lie.

    file: another name than the layout's, such as fewshot_train_shot10_seed300.json of ODinW.
    Raises DatasetError for a name the layout does not have and for a missing folder or file.
    """
    names = dataset_names(layout, root)
    if name not in names:
        raise DatasetError(
            f"{root}: expected a data set of {layout} ({', '.join(names[:5])}, ...), got {name!r}; "
            "choose one of them"
        )
    if split not in get_args(Split):
        raise DatasetError(
            f"{name}: expected a split out of {', '.join(get_args(Split))}, got {split!r}; choose one"
        )
    folder = root / (ODINW13[name] if layout == "odinw13" else name)
    if not folder.is_dir():
        raise DatasetError(
            f"{folder}: expected the data set {name} of {layout}, got no such folder; download it "
            "or leave it out"
        )
    candidates = _candidates(layout, folder, split, file)
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        listed = " or ".join(path.relative_to(folder).as_posix() for path in candidates)
        raise DatasetError(
            f"{folder}: expected {listed}, got no such file; choose another split or file"
        )
    return (found,)


def _candidates(layout: Layout, folder: Path, split: Split, file: str | None) -> list[Path]:
    if file is not None:
        return [folder / split / file, folder / file]
    if layout == "roboflow100":
        return [folder / split / ROBOFLOW_FILE]
    # Pistols keeps its splits in one folder, told apart by the names of the files.
    short = "val" if split == "valid" else split
    return [
        folder / split / ODINW_FILE,
        folder / split / ROBOFLOW_FILE,
        folder / f"{short}_{ODINW_FILE}",
    ]


def _check_layout(layout: str) -> None:
    if layout not in get_args(Layout):
        raise DatasetError(
            f"layout: expected {' or '.join(get_args(Layout))}, got {layout!r}; choose one of them"
        )
