"""The folder of the long run and what lies where in it.

lock  state.json  history.jsonl  reserve  curve.png
legs/leg-001/  leg.json                what is trained, of which commit, from which weights
               source/                 a clone, at that commit
               environment/            a Python with what the clone needs
               experiment/             the trainer's own folder: checkpoints, logs
               train.log  prepare.log  what trainer and pip have printed
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from train_default.failure import Failure

_RESERVED_BYTES = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class LegFacts:
    """Of leg.json. config, overrides: as `sam3-edge train` takes them. data: absolute folder.

    weights: where this leg began, a file in its own folder; None: where the configuration says.
    python: relative to environment/, or absolute where given_python says that it is the user's.
    requirements: what pip installed besides.
    """

    number: int
    commit: str
    subject: str
    config: str
    overrides: list[str]
    data: str
    weights: str | None
    python: str
    given_python: bool
    requirements: list[str]
    made: float


@dataclass(frozen=True, slots=True)
class Leg:
    folder: Path

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def environment(self) -> Path:
        return self.folder / "environment"

    @property
    def package(self) -> Path:
        """The clone's sam3_edge, where the environment is the user's and holds another or none."""
        return self.folder / "package"

    @property
    def experiment(self) -> Path:
        return self.folder / "experiment"

    @property
    def last_checkpoint(self) -> Path:
        return self.experiment / "checkpoints" / "last.pt"

    @property
    def best_weights(self) -> Path:
        return self.experiment / "checkpoints" / "best.safetensors"

    @property
    def steps_log(self) -> Path:
        return self.experiment / "logs" / "log.jsonl"

    @property
    def train_log(self) -> Path:
        return self.folder / "train.log"

    @property
    def prepare_log(self) -> Path:
        return self.folder / "prepare.log"

    def facts(self) -> LegFacts:
        """Raises Failure."""
        path = self.folder / "leg.json"
        try:
            return LegFacts(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise Failure(
                f"{path}: expected the description of a leg, got: {error}; move {self.folder} away "
                "to go on from the leg before"
            ) from error

    def write_facts(self, facts: LegFacts) -> None:
        write_whole(self.folder / "leg.json", json.dumps(asdict(facts), indent=1) + "\n")


@dataclass(frozen=True, slots=True)
class Home:
    folder: Path

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def state(self) -> Path:
        return self.folder / "state.json"

    @property
    def history(self) -> Path:
        """JSON lines: every start and end, with the reason."""
        return self.folder / "history.jsonl"

    @property
    def reserve(self) -> Path:
        """Space, to be given up where the disk is full and an end must be noted."""
        return self.folder / "reserve"

    @property
    def curve(self) -> Path:
        return self.folder / "curve.png"

    def make(self) -> None:
        """Raises Failure."""
        try:
            (self.folder / "legs").mkdir(parents=True, exist_ok=True)
            self.reserve.write_bytes(bytes(_RESERVED_BYTES))
        except OSError as error:
            raise Failure(
                f"{self.folder}: expected a folder that can be written, got: {error.strerror}; "
                "set SAM3_EDGE_TRAIN_HOME to another"
            ) from error

    def legs(self) -> list[Leg]:
        """Whole ones, the oldest first."""
        return [Leg(path) for path in sorted((self.folder / "legs").glob("leg-[0-9]*"))]

    def leg(self, number: int) -> Leg:
        return Leg(self.folder / "legs" / f"leg-{number:03d}")

    def draft(self) -> Leg:
        """Where the next leg is made, to be renamed when it is whole."""
        return Leg(self.folder / "legs" / "being-made")

    def remember(self, event: dict[str, Any]) -> None:
        with self.history.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")


def find_home() -> Home:
    """Of SAM3_EDGE_TRAIN_HOME, else below the user's cache."""
    named = os.environ.get("SAM3_EDGE_TRAIN_HOME")
    return Home(
        Path(named).absolute() if named else Path.home() / ".cache" / "sam3-edge" / "train-default"
    )


def write_whole(path: Path, text: str) -> None:
    """A reader sees the old text or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
