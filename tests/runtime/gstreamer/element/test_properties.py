"""What is set before and while a pipeline plays."""

import pytest

from tests.runtime.gstreamer.element.runs import SYSTEM_PYTHON, Pipelines


def test_gst_inspect_shows_every_property_with_its_default(pipelines: Pipelines) -> None:
    ran = pipelines.run(["gst-inspect-1.0", "sam3edge"])
    assert (ran.returncode, ran.stderr) == (0, "")
    for name in ("prompt", "bundle", "threshold", "every", "draw", "async", "metadata"):
        assert f"\n  {name} " in ran.stdout
    assert "{ (string)BGR, (string)RGB, (string)BGRx, (string)RGBA, (string)NV12" in ran.stdout


def test_what_is_heavy_is_left_to_the_start(pipelines: Pipelines) -> None:
    """GStreamer loads the element whenever it looks for plugins."""
    script = (
        "import gi, sys; gi.require_version('Gst', '1.0'); from gi.repository import Gst; "
        "Gst.init(None); assert Gst.ElementFactory.make('sam3edge') is not None; "
        "print(*sorted(set(sys.modules) & {'numpy', 'cv2', 'onnxruntime', 'click', 'tokenizers'}))"
    )
    ran = pipelines.run([SYSTEM_PYTHON, "-c", script])
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "\n", "")


def test_another_prompt_while_playing_starts_with_one_frame_and_stays(
    pipelines: Pipelines, element: str
) -> None:
    seen = pipelines.drive(
        f"videotestsrc is-live=true num-buffers=60 ! video/x-raw,framerate=60/1 ! {element} "
        "prompt=fish ! fakesink",
        changes=[(5, "e", "prompt", "sea star; crab")],
    )
    assert seen["error"] is None
    assert [result["frame"] for result in seen["results"]] == list(range(60))
    asked = [tuple(result["presence"]) for result in seen["results"]]
    first = asked.index(("sea star", "crab"))
    assert first >= 5
    assert set(asked[:first]) == {("fish",)}
    assert set(asked[first:]) == {("sea star", "crab")}
    (warning,) = seen["warnings"]
    assert "'sea star' is not a phrase this model was trained on" in warning
    for buffer, texts in zip(seen["buffers"], asked, strict=True):
        assert {region["prompt"] for region in buffer["regions"]} == set(texts)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("prompt", "", "expected at least one prompt"),
        ("prompt", ";".join(["fish"] * 2), "which are the same"),
        ("prompt", "word " * 2000, "expected at most 32 tokens"),
        ("threshold", "-0.3", "expected 0 to 1, or -1 for what the bundle found best, got -0.3"),
        ("draw", "circles", "expected none, boxes, masks, got 'circles'"),
    ],
)
def test_what_cannot_be_used_is_a_warning_and_the_stream_goes_on(
    key: str, value: str, reason: str, pipelines: Pipelines, element: str
) -> None:
    seen = pipelines.drive(
        f"videotestsrc is-live=true num-buffers=20 ! video/x-raw,framerate=60/1 ! {element} "
        "prompt=fish draw=boxes ! fakesink",
        changes=[(3, "e", key, value)],
        warnings=1,
    )
    assert seen["error"] is None
    assert len(seen["buffers"]) == 20
    assert {tuple(result["presence"]) for result in seen["results"]} == {("fish",)}
    (warning,) = seen["warnings"]
    assert reason in warning
    assert len(warning) < 300


def test_the_others_change_with_the_next_buffer(pipelines: Pipelines, element: str) -> None:
    seen = pipelines.drive(
        f"videotestsrc num-buffers=12 ! {element} prompt=fish ! fakesink",
        changes=[
            (2, "e", "metadata", "false"),
            (4, "e", "metadata", "true"),
            (4, "e", "draw", "masks"),
            (6, "e", "draw", "none"),
            (6, "e", "every", "2"),
        ],
        pictures=True,
    )
    assert seen["error"] is None
    assert [len(buffer["regions"]) for buffer in seen["buffers"]] == [1, 1, 0, 0, *[1] * 8]
    assert [result["frame"] for result in seen["results"]] == [0, 1, 2, 3, 4, 5, 7, 9, 11]


def test_a_threshold_changes_what_is_found(pipelines: Pipelines, element: str) -> None:
    seen = pipelines.drive(
        f"videotestsrc is-live=true num-buffers=40 ! video/x-raw,framerate=60/1 ! {element} "
        "prompt=fish ! fakesink",
        changes=[(3, "e", "threshold", "0.4")],
    )
    counts = [len(result["detections"]) for result in seen["results"]]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, 2)


def test_a_prompt_may_bring_its_own_threshold(pipelines: Pipelines, element: str) -> None:
    """The stand-in's objects score 0.88 and 0.5 for every prompt."""
    seen = pipelines.drive(
        f'videotestsrc num-buffers=2 ! {element} prompt="fish:0.4;crab:0.6" threshold=0.1 '
        "! fakesink",
        changes=[],
    )
    assert seen["error"] is None
    found = [each["prompt"] for each in seen["results"][0]["detections"]]
    assert sorted(found) == ["crab", "fish", "fish"]
