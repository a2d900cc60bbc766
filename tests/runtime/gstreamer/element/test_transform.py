"""Whole pipelines: formats, sizes, memory layouts, synchronous and not, what the bus says."""

import base64
import itertools
import json
from pathlib import Path

import pytest

from sam3_edge.gstreamer_check import found_json
from sam3_edge.gstreamer_place import PLUGIN_FOLDER
from sam3_edge.runtime.rle import decode_rle
from tests.runtime.gstreamer.element.runs import SYSTEM_PYTHON, Pipelines

FORMATS = ("BGR", "RGB", "BGRx", "RGBA", "NV12", "I420")


def test_gst_launch_prints_the_json_line_of_each_frame(pipelines: Pipelines, element: str) -> None:
    ran = pipelines.launch(
        "-m videotestsrc num-buffers=4 ! videoconvert !", element, "prompt=fish;crab",
        "! videoconvert ! fakesink",
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = found_json(ran.stdout)
    assert [line["frame"] for line in lines] == [0, 1, 2, 3]
    for line in lines:
        assert (line["schema"], line["source"], line["state"]) == (1, "e", "ok")
        assert (line["width"], line["height"]) == (320, 240)
        objects = json.loads(json.dumps(line["detections"]))
        assert [(found["prompt"], found["score"]) for found in objects] == [
            ("fish", 0.8807), ("crab", 0.8807), ("crab", 0.4999),
        ]  # fmt: skip
        assert decode_rle(objects[0]["mask"]["size"], objects[0]["mask"]["counts"]).any()


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_of_odd_size_is_taken_and_drawn_into(
    format_: str, pipelines: Pipelines, element: str
) -> None:
    caps = f"video/x-raw,format={format_},width=161,height=91"
    source = f"videotestsrc num-buffers=2 pattern=black ! {caps} !"
    plain, drawn = (
        pipelines.drive(f"{source} {element} prompt=fish draw={draw} ! fakesink", pictures=True)
        for draw in ("none", "masks")
    )
    for seen in plain, drawn:
        assert (seen["error"], seen["warnings"]) == (None, [])
        assert [len(buffer["regions"]) for buffer in seen["buffers"]] == [1, 1]
    pictures = [buffer["picture"] for buffer in (*plain["buffers"], *drawn["buffers"])]
    assert pictures[0] == pictures[1] != pictures[2] == pictures[3]


def test_rows_that_lie_apart_are_read_and_drawn_as_those_that_do_not(
    pipelines: Pipelines,
) -> None:
    # The real bundle: what it finds depends on the picture.
    pipeline = (
        "appsrc name=in format=time ! sam3edge name=e prompt=fish threshold=0.001 draw=masks "
        "! fakesink"
    )
    straight, padded = (
        pipelines.drive(pipeline, pictures=True, push=["RGB", padding]) for padding in (0, 13)
    )
    assert straight["error"] is padded["error"] is None
    assert len(straight["buffers"]) == 2
    assert straight["buffers"][0]["regions"]
    assert [buffer["picture"] for buffer in straight["buffers"]] == [
        buffer["picture"] for buffer in padded["buffers"]
    ]
    for one, other in zip(straight["results"], padded["results"], strict=True):
        assert one["detections"] == other["detections"]


def test_waiting_every_buffer_carries_its_own_result(pipelines: Pipelines, element: str) -> None:
    seen = pipelines.drive(f"videotestsrc num-buffers=5 ! {element} prompt=crab ! fakesink")
    assert [result["pts"] for result in seen["results"]] == [
        buffer["pts"] for buffer in seen["buffers"]
    ]
    for result, buffer in zip(seen["results"], seen["buffers"], strict=True):
        for found, region in zip(result["detections"], buffer["regions"], strict=True):
            assert (region["lag-frames"], region["lag-ms"]) == (0, 0.0)
            assert region["prompt"] == found["prompt"] == "crab"
            assert region["score"] == pytest.approx(found["score"], abs=1e-4)
            assert region["mask"] == found["mask"]["counts"]
            assert [region["mask-height"], region["mask-width"]] == found["mask"]["size"]
            x, y, width, height = region["box"]
            x1, y1, x2, y2 = found["box"]
            assert (x, y) == pytest.approx((x1, y1), abs=1.01)
            assert (x + width, y + height) == pytest.approx((x2, y2), abs=1.01)


def test_upstreams_analytics_say_the_same_where_gstreamer_has_them(
    pipelines: Pipelines, element: str
) -> None:
    seen = pipelines.drive(f"videotestsrc num-buffers=2 ! {element} prompt=crab ! fakesink")
    for buffer in seen["buffers"]:
        assert buffer["regions"]
        objects = [
            [region["prompt"], *region["box"], pytest.approx(region["score"])]
            for region in buffer["regions"]
        ]
        assert buffer["analytics"] in (None, objects)


def test_of_every_third_buffer_the_others_carry_the_result_and_say_how_old_it_is(
    pipelines: Pipelines, element: str
) -> None:
    seen = pipelines.drive(
        f"videotestsrc num-buffers=7 ! video/x-raw,framerate=20/1 ! {element} prompt=fish every=3 "
        "! fakesink"
    )
    assert [result["frame"] for result in seen["results"]] == [0, 3, 6]
    lags = [buffer["regions"][0]["lag-frames"] for buffer in seen["buffers"]]
    assert lags == [0, 1, 2, 0, 1, 2, 0]
    assert [buffer["regions"][0]["lag-ms"] for buffer in seen["buffers"][:3]] == [0, 50, 100]


def test_not_waiting_a_live_stream_of_30_a_second_loses_no_buffer(pipelines: Pipelines) -> None:
    # The real bundle, whose engine is slower than the stream; at 0.001 it always finds something.
    seen = pipelines.drive(
        "videotestsrc is-live=true num-buffers=45 ! video/x-raw,framerate=30/1,format=I420 ! "
        "sam3edge name=e prompt=fish;crab;jellyfish;diver async=true threshold=0.001 threads=1 "
        "! fakesink sync=true"
    )
    assert seen["error"] is None
    stamps = [buffer["pts"] for buffer in seen["buffers"]]
    assert len(stamps) == 45
    gaps = [later - earlier for earlier, later in itertools.pairwise(stamps)]
    assert set(gaps) <= {33_333_333, 33_333_334}
    assert 1 <= len(seen["results"]) < 45
    looked_at = [result["pts"] for result in seen["results"]]
    assert looked_at == sorted(set(looked_at))
    lags = {}
    for index, buffer in enumerate(seen["buffers"]):
        for region in buffer["regions"]:
            lags[index] = region["lag-frames"]
            assert stamps[index - region["lag-frames"]] in looked_at
            assert region["lag-ms"] == pytest.approx(region["lag-frames"] * 1000 / 30, abs=0.01)
    assert lags
    assert min(lags.values()) >= 1


def test_the_last_result_comes_before_the_end(pipelines: Pipelines) -> None:
    # The real bundle, whose engine takes longer than the end; the driver does not listen after it.
    seen = pipelines.drive(
        "videotestsrc num-buffers=1 ! sam3edge name=e prompt=fish async=true threads=1 ! fakesink"
    )
    assert seen["error"] is None
    assert [result["frame"] for result in seen["results"]] == [0]


def test_what_was_found_before_a_jump_in_time_is_not_attached_after_it(
    pipelines: Pipelines, element: str
) -> None:
    seen = pipelines.drive(
        f"concat name=c ! {element} prompt=fish every=1000 ! fakesink "
        "videotestsrc num-buffers=3 ! c. videotestsrc num-buffers=2 ! c."
    )
    assert seen["error"] is None
    assert [len(buffer["regions"]) for buffer in seen["buffers"]] == [1, 1, 1, 0, 0]


def test_without_metadata_and_drawing_buffers_pass_as_they_are(
    pipelines: Pipelines, element: str
) -> None:
    seen = pipelines.drive(
        f"videotestsrc num-buffers=3 ! {element} prompt=fish metadata=false ! fakesink"
    )
    assert [result["frame"] for result in seen["results"]] == [0, 1, 2]
    assert [buffer["regions"] for buffer in seen["buffers"]] == [[], [], []]


def test_drawing_changes_no_picture_that_others_look_at(pipelines: Pipelines, element: str) -> None:
    seen = pipelines.drive(
        "videotestsrc num-buffers=3 pattern=black ! video/x-raw,format=BGR,width=64,height=48 ! "
        "tee name=t ! queue ! identity name=e ! fakesink t. ! queue ! "
        f"{element.replace('name=e', '')} prompt=fish draw=masks ! fakesink",
        pictures=True,
    )
    assert len(seen["results"]) == 3
    black = base64.b64encode(bytes(64 * 48 * 3)).decode()
    assert [buffer["picture"] for buffer in seen["buffers"]] == [black] * 3
    assert [buffer["regions"] for buffer in seen["buffers"]] == [[], [], []]


def test_another_size_in_mid_stream_is_followed(pipelines: Pipelines, element: str) -> None:
    seen = pipelines.drive(
        "videotestsrc num-buffers=8 ! capsfilter name=c caps=video/x-raw,width=160,height=90 ! "
        f"{element} prompt=fish draw=masks ! fakesink",
        changes=[(3, "c", "caps", "video/x-raw,width=65,height=33")],
    )
    assert seen["error"] is None
    sizes = [(result["width"], result["height"]) for result in seen["results"]]
    assert len(sizes) == 8
    assert sizes[0] == (160, 90)
    assert sizes[-1] == (65, 33)
    assert all(len(buffer["regions"]) == 1 for buffer in seen["buffers"])


def test_two_elements_share_one_model_and_free_it(pipelines: Pipelines, element: str) -> None:
    other = element.replace("name=e", "name=other")
    seen = pipelines.drive(
        f"videotestsrc num-buffers=4 ! {element} prompt=fish ! {other} prompt=crab ! fakesink"
    )
    by_element = {
        name: [r["detections"][0]["prompt"] for r in seen["results"] if r["from"] == name]
        for name in ("e", "other")
    }
    assert by_element == {"e": ["fish"] * 4, "other": ["crab"] * 4}
    assert seen["threads"] == ["onnxruntime", "sam3-edge inference"]
    assert seen["threads_after"] == []


def test_an_application_that_had_a_videoconvert_in_its_hands_is_served(
    pipelines: Pipelines, element: str
) -> None:
    """PyGObject then has a class of its own for the element's base."""
    script = f"""
import gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
convert = Gst.ElementFactory.make("videoconvert")
pipeline = Gst.parse_launch("videotestsrc num-buffers=2 ! {element} prompt=fish ! fakesink")
pipeline.set_state(Gst.State.PLAYING)
wanted = Gst.MessageType.ELEMENT | Gst.MessageType.EOS | Gst.MessageType.ERROR
while (message := pipeline.get_bus().timed_pop_filtered(60 * Gst.SECOND, wanted)) is not None:
    print(message.type.first_value_nick)
    if message.type != Gst.MessageType.ELEMENT:
        break
pipeline.set_state(Gst.State.NULL)
"""
    ran = pipelines.run([SYSTEM_PYTHON, "-c", script])
    assert (ran.stdout.split(), ran.stderr) == (["element", "element", "eos"], "")


def test_the_plugin_folder_holds_one_file() -> None:
    assert [path.name for path in Path(PLUGIN_FOLDER, "python").glob("*.py")] == ["sam3edge.py"]
