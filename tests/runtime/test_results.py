"""The JSON line is read by other people's programs: its keys and types are a promise."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sam3_edge.runtime.results import FrameResult, event_line, json_line
from sam3_edge.runtime.rle import decode_rle
from sam3_edge.runtime.source_event import SourceEvent


def test_the_documented_schema_and_nothing_else(make_result: Callable[..., FrameResult]) -> None:
    line = json_line(make_result(index=12))
    assert "\n" not in line
    value = json.loads(line)
    masks = [found.pop("mask") for found in value["detections"]]
    assert value == {
        "schema": 1,
        "source": "test",
        "state": "ok",
        "frame": 12,
        "time_s": 0.4,
        "utc_ns": 2,
        "width": 64,
        "height": 48,
        "age_ms": 12.346,
        "dropped": 0,
        "presence": {"fish": 0.5, "crab": 0.75},
        "timing_ms": {"preprocess": 1, "vision": 2, "decoder": 3, "postprocess": 4, "total": 10},
        "detections": [
            {"prompt": "crab", "score": 0.9, "box": [20.25, 12, 30, 18], "track_id": None},
            {"prompt": "fish", "score": 0.4, "box": [0, 0, 10, 6.5], "track_id": None},
        ],
    }
    assert [sorted(mask) for mask in masks] == [["counts", "size"]] * 2
    assert masks[0]["size"] == [48, 64]


def test_masks_come_back_whole(make_result: Callable[..., FrameResult]) -> None:
    result = make_result()
    for found, mask in zip(
        json.loads(json_line(result))["detections"], result.detections.masks, strict=True
    ):
        decoded = decode_rle(tuple(found["mask"]["size"]), found["mask"]["counts"])
        np.testing.assert_array_equal(decoded, mask.full())


def test_what_happened_to_a_source() -> None:
    event = SourceEvent(source="cam", state="lost", reason='"gone"\n', attempt=2, utc_ns=5)
    line = event_line(event)
    assert "\n" not in line
    assert json.loads(line) == {
        "schema": 1,
        "source": "cam",
        "state": "lost",
        "utc_ns": 5,
        "reason": '"gone"\n',
        "attempt": 2,
        "final": False,
    }


def test_any_name_of_a_file_is_a_line_of_utf8(make_result: Callable[..., FrameResult]) -> None:
    result = make_result()
    for name, shown in (("caf\udce9/\n.mp4", "caf?/\n.mp4"), ("мо́ре 🐟", "мо́ре 🐟")):
        line = json_line(replace(result, frame=replace(result.frame, source=name)))
        assert json.loads(line.encode("utf-8"))["source"] == shown
        assert "\n" not in line
