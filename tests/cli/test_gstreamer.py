"""`sam3-edge gstreamer`: the element put in place, proved and offered to a shell."""

import os
import shlex
import subprocess
import venv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from sam3_edge.gstreamer_check import _advice, found_json
from sam3_edge.gstreamer_place import INSTALL_GSTREAMER, PLUGIN_FOLDER, site_packages
from tests.runtime.gstreamer.element.runs import bare_path, missing

ELEMENT = Path(".gstreamer-1.0/plugins/python/sam3edge.py")


@pytest.fixture
def gstreamer() -> None:
    if reason := missing():
        pytest.skip(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody with a home and a virtual environment of his own, in which sam3-edge is installed."""

    home: Path
    environment: Path

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        python = str(self.environment / "bin" / "python")
        return self.call(python, "-m", "sam3_edge", "gstreamer", *arguments, **variables)

    def activated(self, script: str) -> subprocess.CompletedProcess[str]:
        """With the environment first in PATH."""
        path = f"{self.environment / 'bin'}:{os.environ['PATH']}"
        return self.call("sh", "-e", "-c", script, PATH=path)

    def call(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """With nothing set for GStreamer, and the tests' environment not in PATH."""
        ours = ("GST_", "XDG_", "SAM3_EDGE_", "VIRTUAL_ENV")
        kept = {key: text for key, text in os.environ.items() if not key.startswith(ours)}
        settings = {"PATH": bare_path(), "HOME": str(self.home), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            command,
            env={**kept, **settings, **variables},
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture
def user(tmp_path: Path) -> User:
    home, environment = tmp_path / "home", tmp_path / "environment"
    home.mkdir()
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    line = f"import site; site.addsitedir({str(site_packages())!r})\n"
    (packages / "sam3_edge.pth").write_text(line)
    script = environment / "bin" / "sam3-edge"
    script.write_text('#!/bin/sh\nexec python -m sam3_edge "$@"\n')
    script.chmod(0o755)
    return User(home=home, environment=environment)


def test_the_exports_are_for_a_shell(user: User) -> None:
    ran = user.run("--env")
    assert (ran.returncode, ran.stderr) == (0, "")
    script = f'{ran.stdout}echo "$GST_PLUGIN_PATH"; echo "$SAM3_EDGE_SITE_PACKAGES"'
    for before, after in (("", ""), ("/opt/x", ":/opt/x")):
        shell = subprocess.run(
            ["sh", "-c", f"GST_PLUGIN_PATH={shlex.quote(before)}\n{script}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert shell.stdout.splitlines() == [f"{PLUGIN_FOLDER}{after}", str(site_packages())]
    assert list(user.environment.glob("lib/python*/site-packages/gi")) == []  # not activated
    assert (PLUGIN_FOLDER / "python" / "sam3edge.py").is_file()
    assert (site_packages() / "numpy").is_dir()


def test_installed_it_finds_fish_and_forgets_what_was_known(user: User, gstreamer: None) -> None:
    missed = user.run("--check")
    assert missed.returncode == 1
    assert "expected the element sam3edge, got none" in missed.stderr
    assert "run `sam3-edge gstreamer --install`" in missed.stderr
    registry = list((user.home / ".cache/gstreamer-1.0").glob("registry.*.bin"))
    assert len(registry) == 1

    installed = user.run("--install")
    assert (installed.returncode, installed.stderr) == (0, "")
    assert installed.stdout == f"installed  {user.home / ELEMENT}\n"
    assert f"\nSITE_PACKAGES = {str(site_packages())!r}\n" in (user.home / ELEMENT).read_text()
    assert not registry[0].exists()

    checked = user.run("--check")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert [line.split()[0] for line in checked.stdout.splitlines()] == [
        "tools", "loader", "element", "pipeline",
    ]  # fmt: skip
    assert "3 frames, " in checked.stdout
    assert checked.stdout.endswith(" x fish\n")


def test_an_element_that_cannot_be_loaded_says_why(user: User, gstreamer: None) -> None:
    user.run("--install")
    path = user.home / ELEMENT
    path.write_text(path.read_text().replace(str(site_packages()), "/gone/site-packages"))
    ran = user.run("--check")
    assert ran.returncode == 1
    assert "sam3edge cannot be loaded: expected the packages of sam3-edge in /gone" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_an_activated_environment_gets_the_gi_that_gstreamer_needs(
    user: User, gstreamer: None
) -> None:
    takes_it_for_its_own = _misses_gi(user)
    missed = user.activated("sam3-edge gstreamer --check")
    assert missed.returncode == 1
    advice = f"it takes {user.environment}, which comes first in PATH, for its own"
    assert (advice in missed.stderr) == takes_it_for_its_own
    installed = user.activated("sam3-edge gstreamer --install")
    assert (installed.returncode, installed.stderr) == (0, "")
    (link,) = user.environment.glob("lib/python*/site-packages/gi")
    assert link.is_symlink()
    assert user.activated("sam3-edge gstreamer --install --check").returncode == 0
    assert user.run("--check").returncode == 0


def _misses_gi(user: User) -> bool:
    """Whether GStreamer's Python does not start in the environment, as that of 1.22 does not and
    that of 1.26 does: GStreamer knows it from now on."""
    looked = user.activated("gst-inspect-1.0 --exists python || true")
    return "pygobject initialization failed" in looked.stderr


def test_the_exports_serve_an_activated_environment(user: User, gstreamer: None) -> None:
    _misses_gi(user)
    ran = user.activated(
        'eval "$(sam3-edge gstreamer --env)"\n'
        "gst-launch-1.0 -q videotestsrc num-buffers=2 ! sam3edge prompt=fish ! fakesink"
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert not (user.home / ELEMENT).exists()


@pytest.mark.parametrize(
    "arguments", [(), ("--env", "--check"), ("--install", "--env")], ids=" ".join
)
def test_wrong_use_says_what_is_right(arguments: tuple[str, ...], user: User) -> None:
    ran = user.run(*arguments)
    assert ran.returncode == 2
    assert ran.stderr.startswith("sam3-edge: error: expected --")
    assert list(user.home.rglob("*.py")) == []


def test_a_place_that_cannot_be_written_is_one_line(user: User, gstreamer: None) -> None:
    (user.home / ".gstreamer-1.0").write_text("a file")
    ran = user.run("--install")
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"sam3-edge: error: cannot write {user.home / ELEMENT}")
    assert ran.stderr.count("\n") == 1


def test_a_list_of_plugins_that_cannot_be_deleted_is_one_line(user: User, gstreamer: None) -> None:
    ran = user.run("--install", GST_REGISTRY=str(user.home))
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"sam3-edge: error: cannot delete {user.home}: ")
    assert ran.stderr.count("\n") == 1


def test_an_older_file_is_replaced_and_nothing_else_left(user: User, gstreamer: None) -> None:
    (user.home / ELEMENT).parent.mkdir(parents=True)
    (user.home / ELEMENT).write_text("of an older version (")
    assert user.run("--install", "--check").returncode == 0
    assert [path.name for path in (user.home / ELEMENT).parent.iterdir() if path.is_file()] == [
        "sam3edge.py"
    ]


def test_without_gstreamer_it_says_what_to_install(user: User) -> None:
    ran = user.run("--check", PATH=str(user.home))
    assert ran.returncode == 1
    assert "expected gst-launch-1.0, got no such program; sudo apt install" in ran.stderr


def test_a_gstreamer_that_does_not_run_is_one_line(user: User) -> None:
    program = user.home / "gst-launch-1.0"
    program.write_text("#!/bin/sh\necho 'no libgstreamer' >&2\nexit 127\n")
    program.chmod(0o755)
    ran = user.run("--check", PATH=f"{user.home}:{bare_path()}")
    assert ran.returncode == 1
    assert "to say its version, got: no libgstreamer; sudo apt install" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_another_python_that_comes_first_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of conda or pyenv does, which no pyvenv.cfg gives away."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert f"it takes {tmp_path}, which comes first in PATH" in _advice()
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert _advice() == INSTALL_GSTREAMER


def test_what_gst_launch_prints_is_read_back() -> None:
    printed = (
        'Got message #3 from element "e" (element): sam3edge, '
        r'json=(string)"\{\"detections\":\[\]\,\"mask\":\"a\\\\b\",\"presence\":\{\"\303\251\":1\}\}"'
        ", pts=(guint64)0;\nGot EOS\n"
    )
    assert found_json(printed) == [{"detections": [], "mask": "a\\b", "presence": {"é": 1}}]
    assert found_json("Got EOS\n") == []


def test_the_first_picture_of_the_guide_appears(root: Path, user: User, gstreamer: None) -> None:
    guide = (root / "docs" / "gstreamer.md").read_text(encoding="utf-8")
    script = guide.partition("```sh\n")[2].partition("```")[0]
    ran = user.activated(script)
    assert (ran.returncode, ran.stderr) == (0, "")
    sea, found = (cv2.imread(str(user.home / name)) for name in ("sea.png", "found.png"))
    assert sea is not None
    assert found is not None
    orange, blue = np.array((0, 159, 230)), np.array((233, 180, 86))  # of the first two prompts
    for colour in orange, blue:
        assert (np.abs(found.astype(int) - colour).max(axis=2) <= 2).sum() > 100
        assert (np.abs(sea.astype(int) - colour).max(axis=2) <= 2).sum() < 20
