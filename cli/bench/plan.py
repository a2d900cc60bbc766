"""What will be measured: a first configuration, and others that differ from it in one thing."""

from dataclasses import dataclass, replace

from sam3_edge.errors import UsageError

# A run of one configuration ends here, however few its frames were.
LIMIT_S = 60.0
LARGEST_SIDE = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """source: as `open_source` takes it; None: the synthetic one of `size` (W, H) pixels at `fps`,
    None as fast as it is taken. threads: of the engine; None takes every processor."""

    bundle: str
    source: str | None
    size: tuple[int, int]
    fps: float | None
    num_prompts: int
    threads: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """varied: what differs from the first configuration. value: how, in words."""

    varied: str
    value: str
    configuration: Configuration


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    first: Configuration
    variations: tuple[Variation, ...]


def make_plan(
    *,
    bundles: tuple[str, ...],
    source: str | None,
    sizes: tuple[tuple[int, int], ...],
    fps: float | None,
    num_prompts: tuple[int, ...],
    threads: tuple[int | None, ...],
) -> Plan:
    """The first of each is the first configuration; every further one varies that one thing."""
    first = Configuration(
        bundle=bundles[0],
        source=source,
        size=sizes[0],
        fps=fps,
        num_prompts=num_prompts[0],
        threads=threads[0],
    )
    return Plan(
        first=first,
        variations=(
            *(
                _variation(first, "num_prompts", str(count), num_prompts=count)
                for count in num_prompts[1:]
            ),
            *(_variation(first, "threads", str(count), threads=count) for count in threads[1:]),
            *(_variation(first, "size", size_text(size), size=size) for size in sizes[1:]),
            *(_variation(first, "bundle", bundle, bundle=bundle) for bundle in bundles[1:]),
        ),
    )


def plan_text(plan: Plan, frames: int, warm_up: int) -> str:
    """One line for the person who waits."""
    runs = 1 + len(plan.variations)
    line = f"measuring {frames} frames after {warm_up} of warm-up"
    if runs > 1:
        names = dict.fromkeys(each.varied for each in plan.variations)
        line += f", {runs} times: the first configuration, then each further "
        line += (
            ", ".join("number of prompts" if name == "num_prompts" else name for name in names)
            + " by itself"
        )
    return f"{line} (at most {runs * LIMIT_S / 60:.0f} min and the loading)"


def parse_size(text: str) -> tuple[int, int]:
    """ "1280x720" -> (1280, 720). Raises UsageError."""
    width, _, height = text.lower().partition("x")
    if not all(side.isascii() and side.isdecimal() for side in (width, height)):
        raise UsageError(f"--size: expected WIDTHxHEIGHT, got {text!r}; try --size 1280x720")
    sides = int(width), int(height)
    if not all(64 <= side <= LARGEST_SIDE for side in sides):
        raise UsageError(
            f"--size: expected sides of 64 to {LARGEST_SIDE} pixels, got {text}; "
            "try --size 1280x720"
        )
    return sides


def parse_counts(text: str) -> tuple[int, ...]:
    """ "1,2,4" -> (1, 2, 4). Raises UsageError."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdecimal() and 1 <= int(word) <= 256 for word in words):
        raise UsageError(
            f"--num-prompts: expected counts of 1 to 256, got {text!r}; try --num-prompts 1,2,4,8,16"
        )
    return tuple(dict.fromkeys(int(word) for word in words))


def size_text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _variation(first: Configuration, varied: str, value: str, **changed: object) -> Variation:
    return Variation(
        varied=varied,
        value=value,
        configuration=replace(first, **changed),  # type: ignore[arg-type]
    )
