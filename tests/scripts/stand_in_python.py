#!/usr/bin/env python3
"""Takes the place of a leg's Python: pip does nothing, and the trainer only counts steps.

It keeps a run's promises: a line of log.jsonl a step, last.pt every fifth, one more on SIGTERM.
Overrides steer it: stand_in.fail=TEXT, stand_in.last_step=N.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def train(arguments: list[str]) -> int:
    values = dict(one.split("=", 1) for one in arguments if "=" in one)
    if "stand_in.fail" in values:
        print(f"sam3-edge: error: {values['stand_in.fail']}", file=sys.stderr)
        return 1
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    experiment = Path(values["paths.experiment"].strip("'"))
    log, last = experiment / "logs" / "log.jsonl", experiment / "checkpoints" / "last.pt"
    for folder in (log.parent, last.parent):
        folder.mkdir(parents=True, exist_ok=True)
    (experiment / "given.json").write_text(json.dumps(values))
    step = json.loads(last.read_text())["step"] if last.exists() else 0
    print(f"continuing at step {step}")
    while not told and step < int(values.get("stand_in.last_step", 10**9)):
        step += 1
        times = {"step": step, "elapsed_s": 36.0 * step}
        line = {**times, "pictures": 8 * step, "images_per_s": 4.0, "loss": 1.0}
        lines = [line]
        if step % 4 == 0:
            ap = {"aquarium/bbox/AP": 0.01 * step, "unseen_places/bbox/AP": 0.005 * step}
            lines.append({**times, "evaluation_s": 3.6, **ap})
        with log.open("a") as file:
            file.writelines(json.dumps(one) + "\n" for one in lines)
        if step % 5 == 0:
            save(last, step)
        time.sleep(0.02)
    save(last, step)
    return 130 if told else 0


def save(path: Path, step: int) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps({"step": step, "nice": os.getpriority(os.PRIO_PROCESS, 0)}))
    draft.replace(path)


if __name__ == "__main__":
    if sys.argv[1:3] == ["-m", "pip"]:
        sys.exit(os.environ.get("STAND_IN_PIP_FAILS"))
    sys.exit(train(sys.argv[4:]) if sys.argv[1:3] == ["-m", "sam3_edge"] else 1)
