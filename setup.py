"""Name, version, packages and entry point of sam3-edge.

They live here and not in pyproject.toml because the setuptools of Python 3.10 (59) ignores
`[project]`. Each top-level folder is one subpackage of `sam3_edge`; packages and data files are
computed, so that a new folder cannot be forgotten.
"""

import re
import sys
from pathlib import Path

from setuptools import Extension, setup

ROOT = Path(__file__).resolve().parent
FOLDERS = {
    "sam3_edge": "cli",
    "sam3_edge.runtime": "runtime",
    "sam3_edge.engines": "engines",
    "sam3_edge.export": "export",
    "sam3_edge.calib": "calib",
    "sam3_edge.training": "training",
    "sam3_edge.jetson": "jetson",
}
NOT_DATA = {".py", ".pyc", ".c", ".h", ".so", ".o"}

RUNTIME = [
    "numpy>=1.26",
    "opencv-python-headless>=4.8",
    "onnxruntime>=1.18",
    "tokenizers>=0.19",
    "click>=8.1",
    "rich>=13",
]
EXPORT = ["torch>=2.5", "onnx>=1.17", "onnxscript", "onnxsim", "safetensors"]
TRAIN = [
    "torch>=2.5",
    "scipy>=1.11",
    "pycocotools>=2.0.8",
    "safetensors",
    "lightning>=2.5",
    "hydra-core>=1.3",
    "submitit>=1.5",
    "tensorboard>=2.16",
]
# Torch-free: what `build`, `calibrate` and `verify` need on a board.
BUILD = ["onnx>=1.17", "matplotlib>=3.8", "polygraphy>=0.49"]
TENSORRT = [*BUILD, "cuda-python>=12"]  # TensorRT itself comes with JetPack, or from NVIDIA
EVAL = ["pycocotools>=2.0.8", "scipy>=1.11"]
MQTT = ["paho-mqtt>=2"]
RTX = "sys_platform == 'linux' and platform_machine == 'x86_64'"
TEST = [
    "pytest>=8",
    "hypothesis>=6",
    "ruff",
    "mypy",
    "setuptools",
    "wheel",
    f"cuda-bindings; {RTX}",  # its names and signatures can be read without a GPU
    f"tensorrt_rtx_cu13_libs; {RTX}",
    f"tensorrt_rtx_cu13_bindings; {RTX}",
]


def version() -> str:
    """`__version__` of cli/__init__.py, read without importing it."""
    text = (ROOT / "cli" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        sys.exit('setup.py: expected a line __version__ = "X.Y.Z" in cli/__init__.py, found none')
    return found.group(1)


def packages() -> dict[str, str]:
    """Every package and its folder: the top-level folders and what is below them."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted(p.parent for p in (ROOT / folder).rglob("__init__.py")):
            parts = path.relative_to(ROOT / folder).parts
            found[".".join((package, *parts))] = "/".join((folder, *parts))
    return found


def package_data(folders: dict[str, str]) -> dict[str, list[str]]:
    """For every package the files that are not its modules and lie nearest to it: runtime/data/x.gz
    belongs to sam3_edge.runtime, and so does a Python file in a folder that is no package."""
    names = {ROOT / folder: package for package, folder in folders.items()}
    found: dict[str, list[str]] = {package: [] for package in folders}
    for path in sorted(path for folder in FOLDERS.values() for path in (ROOT / folder).rglob("*")):
        is_loose = path.suffix == ".py" and path.parent not in names
        if path.is_file() and (is_loose or path.suffix not in NOT_DATA):
            owner = next(parent for parent in path.parents if parent in names)
            found[names[owner]].append(path.relative_to(owner).as_posix())
    return found


def native(pattern: str) -> list[str]:
    """Files in C beside the runtime's modules."""
    return [f"runtime/{path.name}" for path in sorted((ROOT / "runtime").glob(pattern))]


if "develop" in sys.argv[1:]:
    sys.exit("setup.py develop does not know mapped folders: use `python -m pip install -e .`")

FOUND = packages()

setup(
    name="sam3-edge",
    version=version(),
    description="Find what a sentence means in live video, on a small board",
    long_description="SAM 3's text-prompted detector from training to a verified engine on a "
    "Jetson Orin Nano: boxes, masks and identities as data.",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=list(FOUND),
    package_dir=FOUND,
    package_data=package_data(FOUND),
    ext_modules=[
        Extension(
            "sam3_edge.runtime._kernels",
            sources=native("*kernels*.c"),
            depends=native("*kernels*.h"),
            extra_compile_args=["-O3", "-std=gnu11"],
            libraries=["m"],
        )
    ],
    entry_points={"console_scripts": ["sam3-edge = sam3_edge.command:main"]},
    install_requires=RUNTIME,
    extras_require={
        "export": EXPORT,
        "train": TRAIN,
        "eval": EVAL,
        "build": BUILD,
        "tensorrt": TENSORRT,
        "mqtt": MQTT,
        "test": sorted({*EXPORT, *TRAIN, *EVAL, *BUILD, *MQTT, *TEST}),
    },
    zip_safe=False,
)
