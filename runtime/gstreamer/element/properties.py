"""What a user can set on the element, and how GObject is told of it."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from sam3_edge.errors import UsageError
from sam3_edge.runtime.gstreamer.element.modules import GObject, Gst

Drawn = Literal["none", "boxes", "masks"]
DRAWN: tuple[Drawn, ...] = ("none", "boxes", "masks")
_MOST_FRAMES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The properties' values, under their names with underscores.

    prompt: phrases between semicolons. bundle: a folder; "" is the one that comes with sam3-edge.
    threshold: score, 0..1; -1 takes what the bundle found best for each phrase.
    every: look at every N-th frame. draw: one of DRAWN, or what a user wrote instead.
    asynchronous: the property `async`. threads: of an engine on the CPU; 0 takes all.
    """

    prompt: str = ""
    bundle: str = ""
    threshold: float = -1.0
    every: int = 1
    draw: str = "none"
    asynchronous: bool = False
    metadata: bool = True
    unverified: bool = False
    threads: int = 0
    self_check: bool = True

    @property
    def texts(self) -> tuple[str, ...]:
        """The phrases of the prompt; what is between two semicolons may be empty."""
        return tuple(text for part in self.prompt.split(";") if (text := part.strip()))

    def changed(self, name: str, value: object) -> "Settings":
        """name: as GObject has it."""
        return replace(self, **{_field(name): _OF_NOTHING.get(name) if value is None else value})  # type: ignore[arg-type]

    def value(self, name: str) -> object:
        return getattr(self, _field(name))


def check_settings(settings: Settings) -> None:
    """What GObject lets through. Raises UsageError."""
    if settings.draw not in DRAWN:
        raise UsageError(f"draw: expected {', '.join(DRAWN)}, got {settings.draw[:40]!r}")
    if -1 < settings.threshold < 0:
        raise UsageError(
            f"threshold: expected 0 to 1, or -1 for what the bundle found best, "
            f"got {settings.threshold:g}"
        )


def _field(name: str) -> str:
    return "asynchronous" if name == "async" else name.replace("-", "_")


# A string property that is set to NULL.
_OF_NOTHING = {"prompt": "", "bundle": "", "draw": "none"}


def gobject_properties() -> dict[str, tuple[Any, ...]]:
    """As `__gproperties__` takes them."""
    both = GObject.ParamFlags.READWRITE
    playing = both | GObject.ParamFlags(Gst.PARAM_MUTABLE_PLAYING)
    ready = both | GObject.ParamFlags(Gst.PARAM_MUTABLE_READY)
    # (type, short name, what it is, [lowest, highest,] default, flags)
    return {
        "prompt": (str, "Prompt", "What to find; several phrases between semicolons", "", playing),
        "bundle": (
            str,
            "Bundle",
            "Folder of the model; empty: the one that comes with sam3-edge",
            "",
            ready,
        ),
        "threshold": (
            float,
            "Threshold",
            "Lowest score to report, 0 to 1; -1: what the bundle found best for each phrase",
            -1.0,
            1.0,
            -1.0,
            playing,
        ),
        "every": (int, "Every", "Look at every N-th frame", 1, _MOST_FRAMES, 1, playing),
        "draw": (str, "Draw", "Draw into the picture: none, boxes or masks", "none", playing),
        "async": (
            bool,
            "Asynchronous",
            "Never hold up the stream: buffers carry the latest results, which lag behind",
            False,
            playing,
        ),
        "metadata": (
            bool,
            "Metadata",
            "Attach a GstVideoRegionOfInterestMeta for each object",
            True,
            playing,
        ),
        "unverified": (
            bool,
            "Unverified",
            "Accept a bundle that has not passed its verification",
            False,
            ready,
        ),
        "threads": (int, "Threads", "Processor threads for the engine; 0: all", 0, 1024, 0, ready),
        "self-check": (
            bool,
            "Self-check",
            "Replay a reference picture at the start and every hour",
            True,
            ready,
        ),
    }
