"""The JSON line is read by other people's programs: its keys and types are a promise."""

import json
from collections.abc import Callable

import numpy as np

from sam3_edge.runtime.results import FrameResult, json_line
from sam3_edge.runtime.rle import decode_rle


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
