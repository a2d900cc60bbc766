#!/usr/bin/env python3
"""Say in which versions of TensorRT the names exist that sam3-edge uses. Run by hand:

    .venv/bin/python scripts/tensorrt_names.py

It writes tests/engines/tensorrt_names.json, which the tests compare with engines/tensorrt_types.py.

The wheels of the bindings are small and the libraries below them are gigabytes. The bindings call
nine functions of those libraries, so libraries with nine empty functions are enough to import the
real classes and ask them. TensorRT-RTX is the installed one, and the lean runtime comes with its
libraries: these two are imported as they are.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path

from sam3_edge.engines.tensorrt_types import used_names

TABLE = Path(__file__).resolve().parents[1] / "tests" / "engines" / "tensorrt_names.json"
FULL = (
    "tensorrt_cu12_bindings==10.3.0",
    "tensorrt_cu12_bindings==10.16.1.11",
    "tensorrt_cu12_bindings==11.4.0.106",
    "tensorrt_cu13_bindings==10.16.1.11",
    "tensorrt_cu13_bindings==11.4.0.106",
)
# 10.3.0 has no wheel of the lean libraries.
LEAN = ("10.16.1.11", "11.4.0.106")
RTX = "tensorrt_rtx_cu13_bindings"
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
FUNCTIONS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
# Imports a module and says which of the dotted names it has.
ASK = """
import functools, importlib, json, sys
module = importlib.import_module(sys.argv[1])
missing = object()
def find(name):
    step = lambda owner, part: getattr(owner, part, missing)
    return functools.reduce(step, name.split("."), module) is not missing
print(json.dumps({name: find(name) for name in json.load(sys.stdin)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=TABLE, help="the table to write")
    out = parser.parse_args().out
    table: dict[str, dict[str, bool]] = {name: {} for name in sorted(used_names())}
    with tempfile.TemporaryDirectory() as folder:
        for wheel, present in columns(list(table), Path(folder)).items():
            print(f"{wheel}: {sum(present.values())} of {len(table)} names")
            for name, there in present.items():
                table[name][wheel] = there
    out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def columns(names: list[str], folder: Path) -> dict[str, dict[str, bool]]:
    """Wheel and version -> name -> whether it has it."""
    found = {}
    for requirement in FULL:
        unpacked = download(folder / requirement, requirement)
        write_libraries(unpacked, major=requirement.split("==")[1].split(".")[0])
        found[requirement.replace("==", " ")] = ask("tensorrt_bindings", names, unpacked)
    for number in LEAN:
        wheels = [f"tensorrt_lean_cu12_{part}=={number}" for part in ("bindings", "libs")]
        unpacked = download(folder / f"lean {number}", *wheels)
        found[wheels[0].replace("==", " ")] = ask("tensorrt_lean_bindings", names, unpacked)
    found[f"{RTX} {version(RTX)}"] = ask("tensorrt_rtx_bindings", names, None)
    return found


def download(folder: Path, *requirements: str) -> Path:
    """Fetch wheels and unpack them into `folder`."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--only-binary=:all:", "-d", folder, *requirements], check=True)
    for wheel in folder.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(folder)
    return folder


def write_libraries(folder: Path, major: str) -> None:
    source = "".join(f"void *{name}(void) {{ return 0; }}\n" for name in FUNCTIONS)
    for library in LIBRARIES:
        soname = f"lib{library}.so.{major}"
        compiler = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-x", "c", "-"]
        subprocess.run([*compiler, "-o", folder / soname], input=source, text=True, check=True)


def ask(module: str, names: list[str], folder: Path | None) -> dict[str, bool]:
    """In a process of its own: each version wants to be the only one."""
    environment = dict(os.environ)
    if folder is not None:
        environment |= {"PYTHONPATH": str(folder), "LD_LIBRARY_PATH": str(folder)}
    answer = subprocess.run(
        [sys.executable, "-c", ASK, module],
        input=json.dumps(names),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, bool] = json.loads(answer.stdout)
    return found


if __name__ == "__main__":
    main()
