"""Prompts change by one line of JSON, or stay as they are and the answer says why."""

import json
import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sam3_edge.engines.recorded_backend import RecordedBackend
from sam3_edge.errors import SinkError, UsageError
from sam3_edge.runtime.asking import Asking
from sam3_edge.runtime.control import MOST_BYTES, answer
from sam3_edge.runtime.control_server import InputControl, SocketControl
from sam3_edge.runtime.text_cache import TextCache

PATIENCE_S = 20.0


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def asking(tmp_path: Path, warnings: list[str]) -> Asking:
    """Of a bundle that knows fish, best from 0.27 on."""
    fish = SimpleNamespace(text="fish", threshold=0.27)
    manifest: Any = SimpleNamespace(
        vocabulary=[fish], default_threshold=0.5, model=SimpleNamespace(num_exemplars=3)
    )
    bundle: Any = SimpleNamespace(manifest=manifest)
    cache = TextCache(tmp_path, graph_sha256="0", shape=(32, 4), warn=pytest.fail)
    backend = RecordedBackend([], image_size=28, d_model=4)
    asking = Asking(bundle, backend, cache, warn=warnings.append)
    asking.ask(["fish"])
    return asking


def told(asking: Asking, change: object) -> dict[str, Any]:
    reply: dict[str, Any] = json.loads(answer(asking, json.dumps(change)))
    return reply


def test_asked_added_and_removed(asking: Asking) -> None:
    before = asking.current
    assert told(asking, {}) == {"ok": True, "prompts": ["fish:0.27"]}
    assert asking.current is before
    assert told(asking, {"add": ["crab:0.4"]})["prompts"] == ["fish:0.27", "crab:0.4"]
    assert told(asking, {"add": ["eel"], "remove": ["fish"]})["prompts"] == ["crab:0.4", "eel:0.5"]
    assert told(asking, {"prompts": ["fish:0.1"]})["prompts"] == ["fish:0.1"]
    assert asking.current.texts == ("fish",)
    np.testing.assert_array_equal(asking.current.thresholds, np.array([0.1], np.float32))
    assert len(asking.current.batch) == 1


def test_the_threshold_of_the_run_is_that_of_new_prompts_too(asking: Asking) -> None:
    reply = json.loads(answer(asking, '{"add": ["crab", "eel:0.1"]}', 0.6))
    assert reply["prompts"] == ["fish:0.27", "crab:0.6", "eel:0.1"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "expected a JSON object"),
        ("fish", "expected a JSON object"),
        ("[]", "expected a JSON object, got list"),
        ("{", "expected a JSON object"),
        ("[" * 100_000, "expected a line of at most 65536 bytes, got a longer one"),
        ("[" * 60_000, "expected a JSON object"),
        ('{"prompt": ["fish"]}', "expected prompts, add, remove, got 'prompt'"),
        ('{"prompts": "fish"}', "prompts: expected a list of texts"),
        ('{"prompts": [1]}', "prompts: expected a list of texts, got [1]"),
        ('{"prompts": []}', "expected at least one prompt, got none"),
        ('{"remove": ["fish"]}', "expected at least one prompt, got none"),
        ('{"remove": ["crab"]}', "remove: expected one of 'fish', got 'crab'"),
        ('{"add": ["fish"]}', "expected different prompts"),
        (
            '{"add": ["eel:7"]}',
            "got 7; behind a phrase that ends so write its threshold too: 'eel:7:0.5'",
        ),
        ('{"add": ["eel"], "add": ["crab"]}', "add: expected the key once"),
        ('{"add": NaN}', "add: expected a list of texts, got NaN"),
        ('{"add": ["\\ud800"]}', r"prompt '\ud800': expected text in UTF-8, got '\ud800'"),
        ('{"add": ["eel:nan"]}', "expected a threshold from 0 to 1"),
        ('{"add": ["%s"]}' % ("crab " * 2000), "expected at most 32 tokens"),
        ('{"add": ["\\u0000\\u0007"]}', "expected words to look for"),
        (b"\xff\xfe{}", "expected a JSON object"),
        (b'{"add": ["\xff"]}', "expected a JSON object"),
    ],
)
def test_a_refused_change_changes_nothing(asking: Asking, line: str | bytes, message: str) -> None:
    before = asking.current
    reply = answer(asking, line)
    assert "\n" not in reply
    assert json.loads(reply)["ok"] is False
    assert message in json.loads(reply)["error"]
    assert asking.current is before


def test_a_phrase_the_model_does_not_know_is_warned_of(asking: Asking, warnings: list[str]) -> None:
    told(asking, {"add": ["crab"]})
    assert len(warnings) == 1
    assert "'crab' is not a phrase this model was trained on" in warnings[0]
    told(asking, {"add": ["eel"]})
    told(asking, {"remove": ["crab"]})
    told(asking, {"add": ["crab"]})
    assert len(warnings) == 2  # of eel; of crab once


def test_what_is_kept_is_kept_to_the_bit(asking: Asking) -> None:
    asking.ask(["fish"], 0.123456789)
    before = asking.current.thresholds[0]
    told(asking, {"add": ["ratio 1:2:0.3"]})
    assert asking.current.thresholds[0] == before
    assert asking.current.texts == ("fish", "ratio 1:2")
    assert told(asking, {"remove": ["ratio 1:2"]})["prompts"] == ["fish:0.123456789"]


def test_changes_of_several_threads_all_come_through(asking: Asking) -> None:
    words = [f"fish {number}" for number in range(8)]
    threads = [Thread(target=told, args=(asking, {"add": [word]})) for word in words]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(asking.current.texts) == ["fish", *words]
    assert len(asking.current.batch) == len(asking.current.prompts) == 9


def of_pipe(pieces: list[bytes]) -> tuple[list[bytes], str]:
    """The lines that were asked of a pipe which ends, and the answers: each line in capitals."""
    end, start = os.pipe()
    seen: list[bytes] = []
    output = StringIO()

    def upper(line: bytes) -> str:
        seen.append(line)
        return line.decode().upper()

    control = InputControl(upper, output, end)
    for piece in pieces:
        os.write(start, piece)
    os.close(start)
    control.thread.join(PATIENCE_S)
    os.close(end)
    return seen, output.getvalue()


def test_lines_of_a_pipe_in_any_pieces() -> None:
    seen, answers = of_pipe([b"on", b"e\ntwo\r\n\n  \nth", b"ree\n"])
    assert seen == [b"one", b"two\r", b"three"]
    assert answers == "ONE\nTWO\r\nTHREE\n"


def test_the_last_line_needs_no_end() -> None:
    assert of_pipe([b"one\ntw", b"o"])[0] == [b"one", b"two"]


@pytest.mark.parametrize("end", [b"\n", b"\nnext\n", b""])
def test_a_line_that_is_too_long_is_one_line(end: bytes) -> None:
    """What follows in it may look like a change, and is none."""
    pieces = [b"x" * 4096] * 20 + [b"one\r", b"x" * 4096] * 3 + [end]
    long, *others = of_pipe(pieces)[0]
    assert len(long) > MOST_BYTES
    assert others == ([b"next"] if b"next" in end else [])


def test_changes_are_made_even_if_nobody_reads_the_answers() -> None:
    end, start = os.pipe()
    gone, unread = os.pipe()
    os.close(gone)
    seen: list[bytes] = []

    def told_nothing(line: bytes) -> str:
        seen.append(line)
        return "ok"

    output = os.fdopen(unread, "w")
    control = InputControl(told_nothing, output, end)
    os.write(start, b"one\ntwo\n")
    os.close(start)
    control.thread.join(PATIENCE_S)
    os.close(end)
    with suppress(BrokenPipeError):
        output.close()
    assert seen == [b"one", b"two"]


def test_an_answer_the_terminal_has_no_signs_for_ends_nothing() -> None:
    end, start = os.pipe()
    seen: list[bytes] = []

    def echo(line: bytes) -> str:
        seen.append(line)
        return line.decode()

    output = TextIOWrapper(BytesIO(), encoding="ascii")
    control = InputControl(echo, output, end)
    os.write(start, "魚\nfish\n".encode())
    os.close(start)
    control.thread.join(PATIENCE_S)
    os.close(end)
    assert seen == ["魚".encode(), b"fish"]


def test_standard_input_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="standard input, which is closed; name a socket's path"):
        InputControl(lambda _: "", StringIO())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control"


@pytest.fixture
def served(path: Path) -> Iterator[SocketControl]:
    control = SocketControl(lambda line: line.decode()[::-1], path)
    yield control
    control.close()
    control.close()


def client(path: Path) -> socket.socket:
    talking = socket.socket(socket.AF_UNIX)
    talking.settimeout(PATIENCE_S)
    talking.connect(os.fspath(path))
    return talking


def test_many_may_talk_and_none_holds_up_another(served: SocketControl, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with client(path) as silent, client(path) as one, client(path) as two:
        silent.send(b"no end of line")
        for talking in (one, two):
            talking.send(b"abc\ndef\n")
            assert talking.makefile().readline() == "cba\n"
        two.send(b"x" * 200_000)  # and goes
    with client(path) as three:
        three.send(b"ok\n")
        assert three.makefile().readline() == "ko\n"
    served.close()
    assert not path.exists()


def test_a_client_is_answered_line_by_line(served: SocketControl, path: Path) -> None:
    with client(path) as talking:
        talking.sendall(b"abc\n\n" + b"x" * 300_000 + b"\nlast")
        talking.shutdown(socket.SHUT_WR)
        answers = talking.makefile().read().splitlines()
    assert [answers[0], answers[2]] == ["cba", "tsal"]
    assert len(answers) == 3


def test_a_change_is_made_even_if_its_client_has_gone(path: Path) -> None:
    seen: list[bytes] = []
    both = Event()

    def slow(line: bytes) -> str:
        sleep(0.1)  # it has gone by now
        seen.append(line)
        if len(seen) == 2:
            both.set()
        return "ok"

    control = SocketControl(slow, path)
    with client(path) as talking:
        talking.sendall(b"one\ntwo\n")
    assert both.wait(PATIENCE_S)
    control.close()
    assert seen == [b"one", b"two"]


def test_a_dead_socket_is_replaced_and_a_living_one_or_a_file_is_not(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(path))
    control = SocketControl(lambda _: "", path)
    with pytest.raises(SinkError, match="expected to make a socket, got: Address already in use"):
        SocketControl(lambda _: "", path)
    control.close()
    path.write_text("mine")
    with pytest.raises(SinkError, match="choose another path"):
        SocketControl(lambda _: "", path)
    assert path.read_text() == "mine"


def test_a_run_that_hangs_is_not_waited_for(path: Path) -> None:
    """Its socket is there, nobody accepts, and its queue is full."""
    with socket.socket(socket.AF_UNIX) as hanging, client_queue(hanging, path):
        with pytest.raises(SinkError, match="Address already in use"):
            SocketControl(lambda _: "", path)
        assert path.is_socket()


@contextmanager
def client_queue(hanging: socket.socket, path: Path) -> Iterator[None]:
    hanging.bind(os.fspath(path))
    hanging.listen(0)
    with client(path):
        yield


@pytest.mark.parametrize(
    ("name", "message"),
    [("none/c", "No such file or directory"), ("x" * 120, "AF_UNIX path too long")],
)
def test_no_socket_can_be_made(tmp_path: Path, name: str, message: str) -> None:
    before = os.umask(0o022)
    try:
        with pytest.raises(SinkError, match=f"got: {message}; choose another path"):
            SocketControl(lambda _: "", tmp_path / name)
    finally:
        assert os.umask(before) == 0o022


def test_closing_waits_for_nobody(path: Path) -> None:
    inside = Event()

    def slow(line: bytes) -> str:
        inside.set()
        sleep(PATIENCE_S)
        return ""

    control = SocketControl(slow, path)
    with client(path) as talking:
        talking.send(b"one\n")
        assert inside.wait(PATIENCE_S)
        started = monotonic()
        control.close()
        assert monotonic() - started < PATIENCE_S / 2
