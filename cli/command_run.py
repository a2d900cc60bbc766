"""`sam3-edge run`: the options, and what --help says of them."""

from pathlib import Path
from typing import Any, Literal

import click

from sam3_edge.engines.bundle import default_bundle_path
from sam3_edge.errors import UsageError
from sam3_edge.run_detection import DEMO_FRAMES, RunOptions, run_detection
from sam3_edge.runtime.postprocess import Suppression
from sam3_edge.runtime.sources import CameraWish
from sam3_edge.runtime.text_cache import default_cache_folder

_MOST_BYTES = 1 << 20  # of a file of prompts: nobody asks that much


# In the order a newcomer needs them: --help shows them so.
@click.command(short_help="Find what you name in a camera, video or pictures.")
@click.option(
    "--camera",
    "cameras",
    multiple=True,
    metavar="CAMERA",
    help="Look through a camera: 0 is the first, csi:0 the first on a Jetson's own connector.",
)
@click.option("--width", type=click.IntRange(min=1), metavar="PX", help="Of a camera's pictures.")
@click.option("--height", type=click.IntRange(min=1), metavar="PX", help="Of a camera's pictures.")
@click.option(
    "--fps",
    type=click.FloatRange(min=0, min_open=True),
    metavar="RATE",
    help="Of a camera.  [default: 30, as MJPG where raw pictures come slower]",
)
@click.option("--pixel-format", metavar="FORMAT", help="Of a camera: YUYV, NV12, MJPG ...")
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="SOURCE",
    help="Or look at an image, a folder, a pattern ('shots/*.jpg', in quotes), a video file, or "
    "the built-in scene (demo, demo:7 for another one), an RTSP or HTTP address, "
    "raw:NV12:1280x720@30 from standard input, or 'gst:' and a GStreamer pipeline. Repeat it, and "
    "--camera, to look at several at once.",
)
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    metavar="TEXT",
    help="What to find, in a few words. Repeat it to find several things at once. fish:0.4 gives "
    "that one a threshold of its own.",
)
@click.option(
    "--prompt-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="More prompts, one a line. Lines that begin with # are left out.",
)
@click.option(
    "--control",
    metavar="WHERE",
    help='Change the prompts while it runs: JSON lines such as {"add": ["crab"]} on standard '
    "input (-), or to a unix socket that is made at this path.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    metavar="SCORE",
    help="Lowest score to report, 0 to 1.  [default: what the bundle found best for each phrase]",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the video with everything found drawn into it (.mp4, .mov, .mkv or .avi).",
)
@click.option(
    "--jsonl",
    metavar="WHERE",
    help="Write one JSON line a frame, to a file, - (standard output), tcp://host:port or "
    "unix:/path, where somebody listens.",
)
@click.option(
    "--mqtt",
    metavar="ADDRESS",
    help="Publish the same as mqtt://[user:password@]host[:port]/topic, one topic a source.",
)
@click.option(
    "--rtsp-out",
    metavar="ADDRESS",
    help="Show the annotated video to others, as rtsp://0.0.0.0:8554/sam3.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Write annotated pictures, one a frame.",
)
@click.option(
    "--every-image",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --images: only of every N-th frame.",
)
@click.option("--show", is_flag=True, help="Show a window; q or Esc ends.")
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Stop after N frames.  [default: all; {DEMO_FRAMES} of the demo]",
)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The model.  [default: the one that comes with sam3-edge]",
)
@click.option(
    "--unverified", is_flag=True, help="Accept a bundle that has not passed its verification."
)
@click.option(
    "--every", type=click.IntRange(min=1), default=1, metavar="N", help="Look at every N-th frame."
)
@click.option(
    "--max-fps",
    type=click.FloatRange(min=0, min_open=True),
    metavar="RATE",
    help="Look at no more frames a second: cooler and cheaper. A file is read slower.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    metavar="N",
    help="Give a lost camera or stream up after N attempts.  [default: never]",
)
@click.option(
    "--deadline",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MS",
    help="Of a camera: leave out what cannot be known this many milliseconds after it was seen.",
)
@click.option(
    "--nms",
    type=click.FloatRange(0, 1),
    metavar="IOU",
    help="Of objects that overlap more than this, 0 to 1, keep the best, whatever its prompt.",
)
@click.option(
    "--nms-on",
    type=click.Choice(["boxes", "masks"]),
    help="With --nms: what is compared.  [default: boxes]",
)
@click.option("--no-crop-masks", is_flag=True, help="Keep the parts of masks outside their boxes.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processor threads for the engine.  [default: all]",
)
@click.option(
    "--text-cache",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where encoded prompts are kept.  [default: ~/.cache/sam3-edge]",
)
@click.option(
    "--no-self-check",
    is_flag=True,
    help="Do not replay a reference picture at the start and every hour.",
)
@click.option("--quiet", is_flag=True, help="No progress and no summary.")
@click.option("--debug", is_flag=True, help="On an error, show the traceback too.")
def run(
    cameras: tuple[str, ...],
    sources: tuple[str, ...],
    every_image: int | None,
    nms: float | None,
    nms_on: Literal["boxes", "masks"] | None,
    prompts: tuple[str, ...],
    prompt_file: Path | None,
    width: int | None,
    height: int | None,
    fps: float | None,
    pixel_format: str | None,
    bundle: Path | None,
    text_cache: Path | None,
    **options: Any,
) -> None:
    """Find what you name in a camera, a video or pictures.

    \b
    Examples:
      sam3-edge run --camera 0 --prompt "fish"
      sam3-edge run --source demo --prompt fish --prompt jellyfish --save sea.mp4
      sam3-edge run --source reef.mp4 --prompt fish --jsonl fish.jsonl
      sam3-edge run --source photos/ --prompt "sea star" --images found/

    Without any output it prints what it sees once a second. Ctrl-C ends
    it well: files are completed and the summary is printed.

    Exit status: 0 good, 1 something failed, 2 the command line was wrong.
    """
    if not sources and not cameras:
        raise UsageError("expected --source or --camera, got neither; try --source demo")
    wish = CameraWish(width=width, height=height, fps=fps, pixel_format=pixel_format)
    _check_control(options["control"], sources)
    if every_image is not None and options["images"] is None:
        raise UsageError("expected --images beside --every-image, got none; add --images FOLDER")
    if nms is None and nms_on is not None:
        raise UsageError("expected --nms beside --nms-on, got none; add --nms 0.7")
    run_detection(
        RunOptions(
            wish=wish,
            sources=(*map(_camera_source, cameras), *sources),
            prompts=(*prompts, *(_prompt_lines(prompt_file) if prompt_file else ())),
            every_image=every_image or 1,
            suppression=None if nms is None else Suppression(iou=nms, of=nms_on or "boxes"),
            bundle=bundle or default_bundle_path(),
            text_cache=text_cache or default_cache_folder(),
            **options,
        )
    )


def _check_control(control: str | None, sources: tuple[str, ...]) -> None:
    if control == "-" and any(source.startswith("raw:") for source in sources):
        raise UsageError(
            "expected one reader of standard input, got --control - and raw frames; give --control "
            "the path of a socket"
        )
    if control in ("", "unix:"):
        raise UsageError(f"--control: expected - or the path of a socket, got {control!r}")


def _prompt_lines(path: Path) -> list[str]:
    """Empty lines and those that begin with # are left out."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise UsageError(
                f"--prompt-file {path}: expected at most {_MOST_BYTES >> 20} MB of prompts, got "
                "more; check the path"
            )
        lines = content.decode("utf-8-sig").splitlines()  # some editors begin a file so
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "another one, or not in UTF-8"
        raise UsageError(
            f"--prompt-file {path}: expected a text file of prompts, got: {reason}; check the path"
        ) from error
    prompts = [line.strip() for line in lines if not line.strip().startswith("#")]
    prompts = [prompt for prompt in prompts if prompt]
    if not prompts:
        raise UsageError(f"--prompt-file {path}: expected a prompt a line, got none; write one")
    return prompts


def _camera_source(text: str) -> str:
    """A number, a device, or what says itself what it is, as csi:0 and rtsp://... do."""
    return text if ":" in text and not text.startswith("/") else f"camera:{text}"
