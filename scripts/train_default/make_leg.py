"""A new leg: a clone at a commit, an environment for it, and the weights it begins from.

It is made under another name and renamed when it is whole, so that a kill half way leaves nothing
that looks like a leg.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from train_default.failure import Failure
from train_default.places import Home, Leg, LegFacts

EXTRAS = "train,eval"
_BUILD_TOOLS = ("pip", "setuptools", "wheel")


@dataclass(frozen=True, slots=True, kw_only=True)
class LegPlan:
    """checkout: what is cloned. python: an existing one, or None to make an environment.

    The others are as LegFacts has them.
    """

    checkout: Path
    commit: str
    config: str
    overrides: list[str]
    data: Path
    python: Path | None
    requirements: list[str]


def make_leg(home: Home, plan: LegPlan, say: Callable[[str], None]) -> Leg:
    """Raises Failure with what could not be made; the legs before it stay as they are."""
    legs, draft = home.legs(), home.draft()
    before = legs[-1] if legs else None
    number = 1 + (before.facts().number if before else 0)
    shutil.rmtree(draft.folder, ignore_errors=True)
    try:
        draft.folder.mkdir(parents=True)
        subject = _clone(draft, plan)
        say(f"leg {number}: commit {plan.commit[:10]} {subject}")
        weights = _start_weights(before, draft)
        python = _given_python(draft, plan) if plan.python else _own_python(draft, plan, say)
        draft.write_facts(
            LegFacts(
                number=number,
                commit=plan.commit,
                subject=subject,
                config=plan.config,
                overrides=plan.overrides,
                data=str(plan.data),
                weights=weights,
                python=str(python),
                given_python=plan.python is not None,
                requirements=plan.requirements,
                made=time.time(),
            )
        )
        leg = home.leg(number)
        draft.folder.rename(leg.folder)
    except OSError as error:
        raise Failure(
            f"cannot make {draft.folder}: {error.strerror or error}; free space, and start again"
        ) from error
    return leg


def python_of(leg: Leg, facts: LegFacts) -> Path:
    """The environment moves with its leg; a given Python stays where it is."""
    return Path(facts.python) if facts.given_python else leg.environment / facts.python


def clean_environment(leg: Leg, facts: LegFacts) -> dict[str, str]:
    """Variables for the leg's Python: none that would lead it to other packages, and threads that
    sleep while they wait for each other instead of keeping the processors from others.
    """
    theirs = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONSTARTUP")
    kept = {name: value for name, value in os.environ.items() if name not in theirs}
    own = {"PYTHONPATH": str(leg.package)} if facts.given_python else {}
    return {"OMP_WAIT_POLICY": "PASSIVE", **kept, **own, "PYTHONUNBUFFERED": "1"}


def resolved_commit(checkout: Path, name: str) -> str:
    """The full hash. Raises Failure."""
    found = _git(checkout, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if found.returncode:
        raise Failure(
            f"--commit: expected a commit of {checkout}, got {name!r}; `git log` there shows them",
            status=2,
        )
    return found.stdout.strip()


def uncommitted(checkout: Path) -> int:
    """Changed and new files."""
    return len(_git(checkout, "status", "--porcelain").stdout.splitlines())


def _git(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise Failure(f"git: expected to run it, got: {error.strerror}; install git") from error


def _clone(draft: Leg, plan: LegPlan) -> str:
    """The commit's subject."""
    clone = ["git", "clone", "--quiet", str(plan.checkout), str(draft.source)]
    _do(draft, clone, "a clone of the checkout", draft.folder)
    at = ["git", "-C", str(draft.source), "checkout", "--quiet", "--detach", plan.commit]
    _do(draft, at, f"commit {plan.commit[:10]} on a branch of the checkout", draft.folder)
    return _git(draft.source, "log", "-1", "--format=%s").stdout.strip()


def _start_weights(before: Leg | None, draft: Leg) -> str | None:
    """A copy of the best weights of the leg before, else of its last, else of where it began."""
    if before is None:
        return None
    began = before.facts().weights
    for found in (before.best_weights, before.last_checkpoint, before.folder / (began or "none")):
        if found.is_file():
            name = f"start{found.suffix}"
            shutil.copyfile(found, draft.folder / name)
            return name
    return None


def _own_python(draft: Leg, plan: LegPlan, say: Callable[[str], None]) -> Path:
    """A new environment with the pinned packages; its Python, seen from its own folder."""
    say(f"making {draft.environment.name}/ from constraints.txt; this takes minutes")
    make = [sys.executable, "-m", "venv", str(draft.environment)]
    _do(draft, make, "a virtual environment", draft.folder)
    python = draft.environment / "bin" / "python"
    _pip(draft, python, ["--upgrade", *_BUILD_TOOLS])
    _pip(draft, python, ["--no-build-isolation", f".[{EXTRAS}]", *plan.requirements])
    return python.relative_to(draft.environment)


def _given_python(draft: Leg, plan: LegPlan) -> Path:
    """The user's, and the clone's package beside it: whatever it has of ours may change."""
    assert plan.python is not None
    target = ["--target", str(draft.package)]
    _pip(draft, plan.python, ["--no-deps", "--no-build-isolation", *target, "."])
    return plan.python


def _pip(draft: Leg, python: Path, what: Sequence[str]) -> None:
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    wanted = f"to install {what[-1]}"
    _do(draft, [*pip, "-c", "constraints.txt", *what], wanted, draft.source)


def _do(draft: Leg, command: Sequence[str], wanted: str, folder: Path) -> None:
    """Raises Failure with the last error the command printed."""
    kept: Mapping[str, str] = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "GIT_DIR")
    }
    start = draft.prepare_log.stat().st_size if draft.prepare_log.exists() else 0
    with draft.prepare_log.open("ab") as log:
        try:
            ran = subprocess.run(
                command, cwd=folder, env=kept, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                check=False,
            )  # fmt: skip
        except OSError as error:
            raise Failure(f"{command[0]}: expected {wanted}, got: {error.strerror}") from error
    if ran.returncode:
        printed = draft.prepare_log.read_bytes()[start:].decode(errors="replace").splitlines()
        lines = [line.strip() for line in printed if line.strip()] or ["nothing"]
        errors = [line for line in lines if line.lower().startswith(("error", "fatal"))] or lines
        raise Failure(
            f"{Path(command[0]).name}: expected {wanted}, got status {ran.returncode}: "
            f"{errors[-1]}; see {draft.prepare_log}, and check network and free space"
        )
