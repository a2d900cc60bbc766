"""A video file of the demo's scene: the same one for every benchmark, made where it is needed.

python benchmarks/rendered_video.py PATH FRAMES [WIDTH HEIGHT]
"""

import subprocess
import sys
from pathlib import Path

import cv2

from sam3_edge.runtime.scene import Scene

_RENDERED = 60  # frames; then the same ones backwards, so that nothing jumps
_FPS = 30.0


def write_video(path: Path, frames: int, width: int = 1280, height: int = 720) -> Path:
    """MPEG-4 (the encoder that OpenCV's wheels carry), about 2 Mbit/s at 720p.

    In a process of its own: its 170 MB of pictures would count as memory of what is measured.
    """
    arguments = [str(path), str(frames), str(width), str(height)]
    subprocess.run([sys.executable, __file__, *arguments], check=True)
    return path


def _write(path: str, frames: int, width: int, height: int) -> None:
    scene = Scene(0, "held_out", width, height)
    pictures = [scene.frame(index) for index in range(min(frames, _RENDERED))]
    there_and_back = [*pictures, *pictures[-2:0:-1]]
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"mp4v"), _FPS, (width, height))
    assert writer.isOpened(), path
    for index in range(frames):
        writer.write(there_and_back[index % len(there_and_back)])
    writer.release()


if __name__ == "__main__":
    path, frames, *size = sys.argv[1:]
    width, height = map(int, size or ("1280", "720"))
    _write(path, int(frames), width, height)
