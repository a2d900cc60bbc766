"""Folders, names and imports: what the mapped layout makes easy to get wrong."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

HEAVY = ("torch", "onnx", "scipy", "pycocotools")
NOT_INSTALLED = (".py", ".pyc", ".c", ".h", ".so", ".o")  # by the name of the file on disk
# What GStreamer's Python loads, from a folder of its own that is no package of ours.
LOOSE = ("runtime/gstreamer/python/sam3edge.py",)
FOREIGN = {
    "cuda", "gi", "hydra", "jtop", "lightning", "onnx", "polygraphy", "pycuda", "starlette",
    "submitit", "tensorboard", "tensorrt", "torch", "uvicorn",
}  # fmt: skip


def folders(root: Path) -> list[Path]:
    """The folders that are installed: those with an __init__.py."""
    return sorted(path.parent for path in root.glob("*/__init__.py"))


def full_name(root: Path, path: Path) -> str:
    """sam3_edge.runtime.rle for runtime/rle.py, sam3_edge for cli/__init__.py."""
    parts = list(path.relative_to(root).with_suffix("").parts)
    parts[0:1] = ["sam3_edge"] if parts[0] == "cli" else ["sam3_edge", parts[0]]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(root: Path, *only: str) -> list[str]:
    """Every module below the installed folders, or below those in `only`."""
    chosen = [folder for folder in folders(root) if not only or folder.name in only]
    loose = [root / path for path in LOOSE]
    paths = [
        path for folder in chosen for path in sorted(folder.rglob("*.py")) if path not in loose
    ]
    return [full_name(root, path) for path in paths if path.stem != "__main__"]


def import_all(names: list[str], cwd: Path, **environment: str) -> dict[str, str]:
    """Where a fresh interpreter found each of `names`, and which heavy packages it loaded."""
    script = (
        "import importlib, sys\n"
        "for name in sys.stdin.read().split():\n"
        "    print(name, importlib.import_module(name).__file__)\n"
        f"print('heavy', [name for name in {HEAVY} if name in sys.modules])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        input="\n".join(names), cwd=cwd, env={**os.environ, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return dict(line.split(" ", 1) for line in ran.stdout.splitlines())


def test_expected_folders(root: Path) -> None:
    names = ["calib", "cli", "engines", "export", "jetson", "runtime", "training"]
    assert [folder.name for folder in folders(root)] == names


def test_no_folder_shadows_the_package(root: Path) -> None:
    places = [root, *folders(root)]
    assert [place for place in places if (place / "sam3_edge").exists()] == []


def test_every_folder_with_modules_is_a_package(root: Path) -> None:
    found = {path for folder in folders(root) for path in folder.rglob("*.py")}
    outside = [path for path in found if not (path.parent / "__init__.py").exists()]
    assert [path.relative_to(root).as_posix() for path in outside] == list(LOOSE)


def test_no_module_shadows_another(root: Path) -> None:
    """A script's folder comes first on sys.path, before the standard library."""
    taken = {*sys.stdlib_module_names, *packages_distributions(), *FOREIGN} - {"__init__"}
    scripts = [*folders(root), root / "benchmarks", root / "scripts", root / "tests"]
    tops = [path for folder in scripts for path in folder.glob("*")]
    clashes = [
        str(path.relative_to(root))
        for path in tops
        if path.stem in taken and (path.suffix == ".py" or path.is_dir())
    ]
    assert clashes == []


def test_no_command_collides_with_a_subpackage(root: Path) -> None:
    inside = {path.stem for path in (root / "cli").iterdir()}
    assert inside & {folder.name for folder in folders(root)} == set()


def test_every_module_imports(root: Path, tmp_path: Path) -> None:
    names = modules(root)
    assert {*import_all(names, tmp_path)} == {*names, "heavy"}


def test_runtime_imports_nothing_heavy(root: Path, tmp_path: Path) -> None:
    names = ["sam3_edge", "sam3_edge.command", *modules(root, "runtime", "engines")]
    assert import_all(names, tmp_path)["heavy"] == "[]"


@pytest.fixture(scope="module")
def installed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain `pip install .` of a copy, since building leaves files beside the sources."""
    copy, target = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("installed")
    for folder in folders(root):
        ignore = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(folder, copy / folder.name, ignore=ignore)
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(root / name, copy)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(target)]
    command = [sys.executable, "-m", "pip", "install", *options, str(copy)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return target


def test_installed_copy_holds_every_module(root: Path, tmp_path: Path, installed: Path) -> None:
    names = modules(root)
    found = import_all([*names, "sam3_edge.runtime._kernels"], tmp_path, PYTHONPATH=str(installed))
    del found["heavy"]
    assert [name for name, place in found.items() if not place.startswith(str(installed))] == []
    on_disk = {path.relative_to(installed) for path in installed.glob("sam3_edge/**/*.py")}
    assert len(on_disk) == len(names) + 1 + len(LOOSE)  # and __main__


def test_installed_copy_holds_the_data(root: Path, installed: Path) -> None:
    package = installed / "sam3_edge"
    files = [path for folder in folders(root) for path in folder.rglob("*") if path.is_file()]
    data = [path for path in files if path.suffix not in NOT_INSTALLED]
    assert root / "runtime/data/clip_merges.txt.gz" in data
    missing = []
    for path in data:
        relative = path.relative_to(root)
        inside = relative.relative_to("cli") if relative.parts[0] == "cli" else relative
        if not (package / inside).is_file():
            missing.append(str(relative))
    assert missing == []


def test_develop_is_refused(root: Path) -> None:
    command = [sys.executable, "setup.py", "develop"]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == [
        "setup.py develop does not know mapped folders: use `python -m pip install -e .`"
    ]
