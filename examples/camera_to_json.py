"""What a camera sees, as one JSON line a frame on standard output.

python examples/camera_to_json.py camera:0 fish "sea star"
"""

import argparse

import sam3_edge
from sam3_edge.runtime.results import event_line, json_line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="camera:0, csi:0, rtsp://..., a file, or demo")
    parser.add_argument("prompts", nargs="+", help="what to find")
    parser.add_argument("--frames", type=int, help="stop after so many")
    options = parser.parse_args()
    with sam3_edge.load() as model:
        results = model.stream(
            options.source,
            options.prompts,
            frames=options.frames,
            on_event=lambda event: print(event_line(event), flush=True),
        )
        for result in results:
            print(json_line(result), flush=True)


if __name__ == "__main__":
    main()
