"""`sam3-edge run` as a user meets it: files, lines, exit status."""

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from sam3_edge.engines.bundle import file_sha256, read_manifest, write_manifest
from sam3_edge.engines.references import read_references, write_references

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(sam3_edge: Command, stand_in: Path) -> Command:
    """run("--source", ...): with the stand-in bundle."""

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return sam3_edge("run", "--bundle", stand_in, *arguments)

    return call


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def frame_count(path: Path) -> int:
    reader, count = cv2.VideoCapture(str(path)), 0
    while reader.read()[0]:
        count += 1
    return count


def error_line(ran: subprocess.CompletedProcess[str]) -> str:
    """The only line of standard error that is not a warning, without its prefix."""
    lines = [line for line in ran.stderr.splitlines() if ": warning: " not in line]
    assert len(lines) == 1, ran.stderr
    prefix = "sam3-edge: error: "
    assert lines[0].startswith(prefix)
    return lines[0].removeprefix(prefix)


def start_endless(stand_in: Path, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A run that ends when it is told to, when it has written some lines of o.jsonl."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sam3_edge", "run", "--bundle", stand_in, "--source", "demo",
         "--frames", "100000", "--prompt", "fish", "--jsonl", "o.jsonl", *arguments],
        cwd=folder, env={**os.environ, "XDG_CACHE_HOME": str(folder)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    output, deadline = folder / "o.jsonl", time.monotonic() + 60
    while not (output.exists() and output.stat().st_size > 5000):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    return process


def test_the_demo_with_every_output(run: Command, tmp_path: Path) -> None:
    ran = run(
        "--source", "demo", "--frames", "5", "--prompt", "fish", "--prompt", "crab",
        "--save", "o/v.mp4", "--jsonl", "o/v.jsonl", "--images", "o/i", "--every-image", "2",
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = json_lines(tmp_path / "o" / "v.jsonl")
    assert [line["frame"] for line in lines] == [0, 1, 2, 3, 4]
    # Fish needs 0.6 and crab 0.3, as the bundle's vocabulary says: one of fish, two of crab.
    for line in lines:
        assert [found["prompt"] for found in line["detections"]] == ["fish", "crab", "crab"]
    assert frame_count(tmp_path / "o" / "v.mp4") == 5
    assert len(list((tmp_path / "o" / "i").iterdir())) == 3
    summary = ran.stdout.splitlines()
    assert summary[0].startswith("5 frames at ")
    assert summary[0].endswith("objects found a frame: fish 1.0, crab 2.0")
    assert summary[1].startswith("median ms a frame: preprocess ")
    assert summary[2] == "wrote o/v.jsonl (5 JSON lines), o/v.mp4 (5 frames), o/i (3 pictures)"


def test_one_threshold_for_all_and_whole_masks(run: Command, tmp_path: Path) -> None:
    found = []
    for extra in ((), ("--no-crop-masks",)):
        run("--source", "demo", "--frames", "1", "--prompt", "fish", "--threshold", "0.1",
            "--jsonl", "o.jsonl", "--no-self-check", *extra)  # fmt: skip
        found.append(json_lines(tmp_path / "o.jsonl")[0]["detections"])
    assert [len(each) for each in found] == [2, 2]
    assert found[1][0]["mask"]["counts"] == f"0{_counts(640 * 480)}"
    assert found[0][0]["mask"] != found[1][0]["mask"]


def test_every_third_frame_and_no_faster(run: Command, tmp_path: Path) -> None:
    ran = run("--source", "demo", "--frames", "4", "--prompt", "fish", "--jsonl", "o.jsonl",
              "--every", "3", "--max-fps", "20")  # fmt: skip
    lines = json_lines(tmp_path / "o.jsonl")
    assert [(line["frame"], line["dropped"]) for line in lines] == [(0, 0), (3, 0), (6, 0), (9, 0)]
    assert lines[-1]["utc_ns"] > lines[0]["utc_ns"]
    assert float(ran.stdout.split()[3]) < 27  # three periods of 50 ms for four frames


def test_of_two_prompts_with_one_object_the_better_is_kept(run: Command, tmp_path: Path) -> None:
    """The stand-in finds the same objects for each prompt."""
    found = {}
    for extra in ((), ("--nms", "0.9"), ("--nms", "0.9", "--nms-on", "masks")):
        run("--source", "demo", "--frames", "1", "--prompt", "fish", "--prompt", "crab",
            "--threshold", "0.3", "--jsonl", "o.jsonl", *extra)  # fmt: skip
        objects = json_lines(tmp_path / "o.jsonl")[0]["detections"]
        found[extra] = [(each["prompt"], each["score"]) for each in objects]
    every, *kept = found.values()
    assert len(every) == 4
    assert kept == [[("fish", every[0][1]), ("fish", every[2][1])]] * 2


def test_thresholds_of_their_own_and_prompts_of_a_file(run: Command, tmp_path: Path) -> None:
    """The stand-in's two objects score 0.88 and 0.5."""
    words = "\ufeff# what lives here\r\n\r\n  # indented\r\ncrab:0.9 \r\n"
    (tmp_path / "words.txt").write_bytes(words.encode())
    ran = run("--source", "demo", "--frames", "1", "--prompt", "fish:0.4", "--prompt", "eel:0.6",
              "--prompt-file", "words.txt", "--threshold", "0.1", "--jsonl", "o.jsonl")  # fmt: skip
    assert ran.returncode == 0
    (line,) = json_lines(tmp_path / "o.jsonl")
    assert list(line["presence"]) == ["fish", "eel", "crab"]
    assert sorted(each["prompt"] for each in line["detections"]) == ["eel", "fish", "fish"]


def test_prompts_change_while_it_runs(stand_in: Path, tmp_path: Path) -> None:
    process = start_endless(stand_in, tmp_path, "--control", "c")
    output, deadline = tmp_path / "o.jsonl", time.monotonic() + 60
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(os.fspath(tmp_path / "c"))
        control.send(b'{"add": ["crab:0.25"]}\n')
        reply = json.loads(control.makefile().readline())
    assert reply == {"ok": True, "prompts": ["fish:0.6", "crab:0.25"]}
    size = output.stat().st_size
    while output.stat().st_size < size + 20_000:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    asked = [tuple(line["presence"]) for line in json_lines(output)]
    assert sorted(set(asked), key=len) == [("fish",), ("fish", "crab")]
    assert asked == sorted(asked, key=len)  # once, and not back
    assert not (tmp_path / "c").exists()


def test_prompts_change_by_standard_input(stand_in: Path, tmp_path: Path) -> None:
    """Answers stay off a standard output that is full of results."""
    ran = subprocess.run(
        [sys.executable, "-m", "sam3_edge", "run", "--bundle", stand_in, "--source", "demo",
         "--frames", "40", "--max-fps", "40", "--prompt", "fish", "--quiet", "--control", "-",
         "--jsonl", "-"],
        cwd=tmp_path, env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        input='{"add": ["eel"], "remove": ["fish"]}\nnonsense\n{"add": ["crab"]}',
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0
    warning, *answers = ran.stderr.splitlines()
    assert "'eel' is not a phrase" in warning
    replies = [json.loads(line) for line in answers]
    assert [reply["ok"] for reply in replies] == [True, False, True]
    assert replies[2]["prompts"] == ["eel:0.25", "crab:0.3"]
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(lines) == 40
    assert list(lines[-1]["presence"]) == ["eel", "crab"]


def test_the_text_graph_is_proved_before_prompts_can_change(
    sam3_edge: Command, stand_in: Path, tmp_path: Path
) -> None:
    """Although the prompts that are asked at first are in the cache."""
    copy = _drifted(stand_in, tmp_path / "copy", "text_features")
    arguments = ("run", "--source", "demo", "--frames", "1", "--prompt", "fish")
    assert sam3_edge(*arguments, "--bundle", stand_in).returncode == 0
    assert sam3_edge(*arguments, "--bundle", copy).returncode == 0
    ran = sam3_edge(*arguments, "--bundle", copy, "--control", "c")
    assert ran.returncode == 1
    assert "text_features: expected max difference" in error_line(ran)


def _drifted(bundle: Path, copy: Path, output: str) -> Path:
    """A copy of `bundle` whose references have another `output` than its engine gives."""
    shutil.copytree(bundle, copy)
    file = copy / "references.npz"
    references = read_references(file)
    changed: Any = {output: getattr(references, output) + 1}
    write_references(file, dataclasses.replace(references, **changed))
    manifest = read_manifest(copy)
    assert manifest.references is not None
    spec = dataclasses.replace(manifest.references, sha256=file_sha256(file))
    write_manifest(copy, dataclasses.replace(manifest, references=spec))
    return copy


def _counts(number: int) -> str:
    """COCO's letters for one run length."""
    letters, more = "", True
    while more:
        low, number = number & 0x1F, number >> 5
        more = number != (-1 if low & 0x10 else 0)
        letters += chr((low | (0x20 if more else 0)) + 48)
    return letters


def test_jsonl_on_standard_output_is_nothing_else(run: Command) -> None:
    ran = run("--source", "demo", "--frames", "3", "--prompt", "fish", "--jsonl", "-")
    assert [json.loads(line)["frame"] for line in ran.stdout.splitlines()] == [0, 1, 2]
    assert "3 frames at" in ran.stderr


def test_lines_go_to_who_listens(run: Command, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(tmp_path / "here"))
        server.listen()
        ran = run("--source", "demo", "--frames", "5", "--prompt", "fish", "--jsonl",
                  f"unix:{tmp_path / 'here'}")  # fmt: skip
        connection, _ = server.accept()
        with connection, connection.makefile() as stream:
            lines = [json.loads(line) for line in stream]
    assert ran.returncode == 0, ran.stderr
    assert [line["frame"] for line in lines] == [0, 1, 2, 3, 4]


def test_quiet_is_quiet(run: Command) -> None:
    ran = run("--source", "demo", "--frames", "2", "--prompt", "fish", "--quiet")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_without_outputs_a_live_line_each_second(run: Command) -> None:
    ran = run("--source", "demo", "--frames", "250", "--prompt", "fish")
    live = [line for line in ran.stdout.splitlines() if line.startswith("frame ")]
    assert live
    assert "frames/s  fish 1 (best 0.88)" in live[0]


def test_the_rate_of_the_source_is_kept(run: Command, tmp_path: Path) -> None:
    run("--source", "demo", "--frames", "4", "--prompt", "fish", "--save", "one.mp4")
    assert run("--source", "one.mp4", "--prompt", "fish", "--save", "two.mp4").returncode == 0
    assert cv2.VideoCapture(str(tmp_path / "two.mp4")).get(cv2.CAP_PROP_FPS) == 30
    assert frame_count(tmp_path / "two.mp4") == 4


def test_an_unknown_phrase_is_warned_of_once(run: Command) -> None:
    ran = run("--source", "demo", "--frames", "2", "--prompt", "clownfish", "--prompt", "fishes")
    assert ran.returncode == 0
    (warning,) = ran.stderr.splitlines()
    assert warning.startswith(
        "sam3-edge: warning: 'clownfish' is not a phrase this model was trained"
    )
    assert "the nearest it knows is 'fish'" in warning


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--source", "demo"), 2, "expected at least one prompt, got none"),
        (("--prompt", "fish"), 2, "expected --source or --camera, got neither"),
        (("--prompt", "a", "--source", "demo", "--source", "demo"), 2, "got demo twice"),
        (("--prompt", "a", "--source", "demo", "--source", "demo:1", "--save", "a.mp4"), 2,
         "expected one source beside --save, got 2"),
        (("--source", "demo", "--prompt", ""), 2, "got the empty prompt ''"),
        (("--source", "demo", "--prompt", "fish " * 40), 2, "at most 32 tokens"),
        (("--source", "demo", "--prompt", "a", "--threshold", "1.5"), 2, "1.5 is not in the range"),
        (("--source", "demo", "--prompt", "a", "--threshold", "nan"), 2, "threshold"),
        (("--source", "demo", "--prompt", "a", "--nonsense"), 2, "see `sam3-edge run --help`"),
        (("--source", "demo", "--prompt", "a", "--every-image", "2"), 2, "add --images FOLDER"),
        (("--source", "demo", "--prompt", "a", "--save", "a.gif"), 2, "got .gif"),
        (("--source", "demo", "--prompt", "a", "--deadline", "50"), 2, "a camera beside a deadline"),
        (("--source", "demo", "--prompt", "a", "--nms-on", "masks"), 2, "add --nms 0.7"),
        (("--source", "demo", "--prompt", "a", "--nms", "7"), 2, "7.0 is not in the range"),
        (("--source", "demo", "--prompt", "a", "--max-fps", "0"), 2, "0.0 is not in the range"),
        (("--source", "demo", "--prompt", "a", "--every", "0"), 2, "0 is not in the range"),
        (("--camera", "97", "--prompt", "a"), 1, "camera 97: expected a camera, found none"),
        (("--camera", "reef.mp4", "--prompt", "a"), 2, "expected a camera's number"),
        (("--source", "rtsp//me:word@h", "--prompt", "a"), 1, "'rtsp//h': expected an image"),
        (("--source", "no.mp4", "--prompt", "a"), 1, "found none; check the path"),
        (("--source", "demo", "--prompt", "a", "--jsonl", "/dev/null/a"), 1, "cannot write"),
        (("--source", "demo", "--prompt", "a", "--images", "/dev/null/a"), 1, "cannot write"),
        (("--source", "demo", "--prompt", "a", "--save", "/dev/null/a.mp4"), 1, "cannot write"),
        (("--source", "demo", "--prompt", "a", "--jsonl", "/dev/full"), 1, "No space left"),
        (("--source", "demo", "--prompt", "a", "--jsonl", "tcp://x"), 2, "tcp://x"),
        (("--source", "demo", "--prompt", "a", "--mqtt", "http://x/y"), 2, "mqtt://"),
        (("--source", "demo", "--prompt", "a", "--rtsp-out", "8554"), 2, "rtsp://"),
        (("--source", "demo", "--prompt", "a", "--bundle", "none"), 1, "none is not a bundle"),
        (("--source", "demo", "--prompt", "a:1.5"), 2, "from 0 to 1 after the last colon, got 1.5"),
        (("--source", "demo", "--prompt", "\udcff"), 2, "expected text in UTF-8"),
        (("--source", "demo", "--prompt-file", "none.txt"), 2, "got: No such file or directory"),
        (("--source", "demo", "--prompt-file", "."), 2, "got: Is a directory"),
        (("--source", "demo", "--prompt-file", "/dev/null"), 2, "a prompt a line, got none"),
        (("--source", "demo", "--prompt-file", "/dev/zero"), 2, "at most 1 MB of prompts"),
        (("--source", "demo", "--prompt-file", "binary"), 2, "expected a text file of prompts"),
        (("--source", "demo", "--prompt", "a", "--width", "640"), 2, "a camera beside a width"),
        (("--source", "demo", "--prompt", "a", "--save", "a.mp4", "--jsonl", "./a.mp4"), 2,
         "expected two files, got a.mp4 twice"),
        (("--source", "demo", "--prompt", "a", "--control", ""), 2, "the path of a socket, got ''"),
        (("--source", "demo", "--prompt", "a", "--control", "no/c"), 1, "No such file or directory"),
        (("--source", "raw:BGR:8x8", "--prompt", "a", "--control", "-"), 2,
         "one reader of standard input"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_a_status(
    run: Command, tmp_path: Path, arguments: tuple[str, ...], status: int, message: str
) -> None:
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    ran = run(*arguments, "--frames", "3")
    assert message in error_line(ran)
    assert ran.returncode == status
    assert "Traceback" not in ran.stderr


def test_debug_shows_the_traceback(run: Command) -> None:
    ran = run("--source", "no.mp4", "--prompt", "fish", "--debug")
    assert ran.returncode == 1
    assert "Traceback (most recent call last)" in ran.stderr
    assert ran.stderr.splitlines()[-1].startswith("sam3-edge: error: 'no.mp4'")


def test_a_broken_video_keeps_what_came_before(run: Command, tmp_path: Path) -> None:
    run("--source", "demo", "--frames", "60", "--prompt", "fish", "--save", "whole.mkv")
    content = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    ran = run("--source", "cut.mkv", "--prompt", "fish", "--save", "o.mp4", "--jsonl", "o.jsonl")
    assert ran.returncode == 1
    count = len(json_lines(tmp_path / "o.jsonl"))
    assert f"cut.mkv breaks off: expected 60 frames, got {count};" in error_line(ran)
    assert 0 < frame_count(tmp_path / "o.mp4") == count < 60


def test_the_source_is_not_overwritten(run: Command, tmp_path: Path) -> None:
    run("--source", "demo", "--frames", "3", "--prompt", "fish", "--save", "a.mp4")
    ran = run("--source", "a.mp4", "--prompt", "fish", "--save", "./a.mp4")
    assert ran.returncode == 2
    assert "expected an output of its own, got the source" in error_line(ran)
    assert frame_count(tmp_path / "a.mp4") == 3


def test_an_unverified_bundle_needs_the_word(
    sam3_edge: Command, stand_in: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(stand_in, copy)
    manifest = read_manifest(copy)
    failed = dataclasses.replace(manifest.verification_onnx, state="failed")
    write_manifest(copy, dataclasses.replace(manifest, verification_onnx=failed))
    arguments = ("run", "--bundle", copy, "--source", "demo", "--frames", "1", "--prompt", "fish")
    ran = sam3_edge(*arguments)
    assert ran.returncode == 1
    assert "is not verified" in error_line(ran)
    assert sam3_edge(*arguments, "--unverified").returncode == 0


def test_the_engine_is_checked_at_the_start(
    sam3_edge: Command, stand_in: Path, tmp_path: Path
) -> None:
    """A bundle whose references are another model's is stopped before the first frame."""
    copy = _drifted(stand_in, tmp_path / "copy", "logits")
    arguments = ("run", "--bundle", copy, "--source", "demo", "--frames", "1", "--prompt", "fish")
    ran = sam3_edge(*arguments, "--jsonl", "o.jsonl")
    assert ran.returncode == 1
    assert "the engine has drifted" in error_line(ran)
    assert not (tmp_path / "o.jsonl").exists()
    assert sam3_edge(*arguments, "--no-self-check").returncode == 0


def test_a_file_size_limit_while_writing(stand_in: Path, tmp_path: Path) -> None:
    """Neither output fits: one line for each, status 1, and the JSON lines are whole."""
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)); "
        "from sam3_edge.command import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, "run", "--bundle", stand_in, "--source", "demo",
         "--prompt", "fish", "--jsonl", "o.jsonl", "--save", "o.mp4", "--text-cache", "cache"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 1
    warning, error = ran.stderr.splitlines()
    assert warning.startswith("sam3-edge: warning: cannot write o.jsonl: File too large")
    assert error.startswith("sam3-edge: error: o.mp4 is not whole")
    lines = json_lines(tmp_path / "o.jsonl")
    assert [line["frame"] for line in lines] == list(range(len(lines)))
    assert len(lines) > 10


def test_an_output_that_fails_leaves_the_others_running(run: Command, tmp_path: Path) -> None:
    ran = run("--source", "demo", "--frames", "30", "--prompt", "fish", "--jsonl", "/dev/full",
              "--save", "o.mp4", "--images", "pictures")  # fmt: skip
    assert ran.returncode == 1
    warning, error = ran.stderr.splitlines()
    assert warning.startswith("sam3-edge: warning: cannot write /dev/full: No space left on device")
    assert warning.endswith("; the other outputs go on")
    assert "got an early end of /dev/full; see the warning above" in error
    assert "wrote o.mp4 (30 frames), pictures (30 pictures)" in ran.stdout
    assert frame_count(tmp_path / "o.mp4") == len(list((tmp_path / "pictures").iterdir())) == 30


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_well(stand_in: Path, tmp_path: Path, number: signal.Signals) -> None:
    process = start_endless(stand_in, tmp_path, "--save", "o.mp4")
    output = tmp_path / "o.jsonl"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    count = len(json_lines(output))
    assert out.startswith(f"{count} frames at ")
    assert frame_count(tmp_path / "o.mp4") == count


def test_nothing_heavy_is_imported(sam3_edge: Command, stand_in: Path) -> None:
    script = (
        "import sys\n"
        "from sam3_edge.command import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    heavy = {'torch', 'onnx', 'scipy', 'pycocotools'} & set(sys.modules)\n"
        "    print('heavy', sorted(heavy), 'onnxruntime' in sys.modules)\n"
    )
    ran = sam3_edge(
        "run", "--bundle", stand_in, "--source", "demo", "--frames", "2", "--prompt", "fish",
        "--save", "o.mp4", "--jsonl", "o.jsonl", "--images", "i", python=("-c", script),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "heavy [] True"


def test_nothing_is_told_to_anybody(sam3_edge: Command, stand_in: Path, tmp_path: Path) -> None:
    """ONNX Runtime keeps a number for the machine, and what it would send, in the cache folder."""
    script = (
        "import os, sys; os.environ['XDG_CACHE_HOME'] = sys.argv[1]; import sam3_edge; "
        "import onnxruntime; onnxruntime.InferenceSession(sys.argv[2])"
    )
    sam3_edge(tmp_path / "cache", stand_in / "vision.onnx", python=("-c", script))
    assert not (tmp_path / "cache" / "Microsoft").exists()


def test_cached_prompts_need_no_text_graph(
    sam3_edge: Command, stand_in: Path, tmp_path: Path
) -> None:
    """Loading the text graph is the one thing that must not happen the second time."""
    script = (
        "import sam3_edge.engines.onnxruntime_backend as module\n"
        "load = module.load_session\n"
        "def watched(path, *rest):\n"
        "    print('loaded', path.name)\n"
        "    return load(path, *rest)\n"
        "module.load_session = watched\n"
        "from sam3_edge.command import main\n"
        "main()\n"
    )
    for expected in (True, False):
        ran = sam3_edge(
            "run", "--bundle", stand_in, "--source", "demo", "--frames", "1", "--prompt", "fish",
            "--text-cache", "texts", python=("-c", script),
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert ("loaded text.onnx" in ran.stdout) == expected
    assert len(list((tmp_path / "texts").iterdir())) == 1


def test_two_sources_share_the_model(run: Command, tmp_path: Path) -> None:
    ran = run("--source", "demo", "--source", "demo:5", "--frames", "4", "--prompt", "fish",
              "--jsonl", "o.jsonl")  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    lines = json_lines(tmp_path / "o.jsonl")
    for name in ("demo", "demo:5"):
        assert [line["frame"] for line in lines if line["source"] == name] == [0, 1, 2, 3]


def test_one_of_two_that_breaks_is_told_and_the_other_goes_on(run: Command, tmp_path: Path) -> None:
    run("--source", "demo", "--frames", "60", "--prompt", "fish", "--save", "whole.mkv")
    content = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    ran = run("--source", "cut.mkv", "--source", "whole.mkv", "--prompt", "fish",
              "--jsonl", "o.jsonl")  # fmt: skip
    assert ran.returncode == 1
    lines = json_lines(tmp_path / "o.jsonl")
    assert len([line for line in lines if line["source"] == "whole.mkv"]) == 60
    (lost,) = [line for line in lines if line["state"] == "lost"]
    assert (lost["source"], lost["final"]) == ("cut.mkv", True)
    assert "cut.mkv breaks off" in lost["reason"]
