"""How many fish a video shows: frame by frame, and the most at once.

python examples/count_fish.py reef.mp4
"""

import argparse

import sam3_edge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video")
    parser.add_argument("--prompt", default="fish")
    parser.add_argument("--every", type=int, default=3, help="look at every N-th frame")
    options = parser.parse_args()
    most, most_s = 0, 0.0
    with sam3_edge.load() as model:
        for result in model.stream(options.video, options.prompt, every=options.every):
            count = len(result.detections)
            print(f"{result.frame.time_s:7.2f} s  {count}")
            if count > most:
                most, most_s = count, result.frame.time_s
    print(f"most at once: {most}, after {most_s:.2f} s")


if __name__ == "__main__":
    main()
