"""Prompts change by one line of JSON, or stay as they are and the answer says why."""

import json
import os
import socket
import stat
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sam3_edge.engines.recorded_backend import RecordedBackend
from sam3_edge.errors import SinkError
from sam3_edge.runtime.asking import Asking
from sam3_edge.runtime.control import answer
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


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "expected a JSON object"),
        ("fish", "expected a JSON object"),
        ("[]", "expected a JSON object, got list"),
        ("{", "expected a JSON object"),
        ("[" * 100_000, "expected a line of at most 65536 bytes, got 100000"),
        ("[" * 60_000, "expected a JSON object"),
        ('{"prompt": ["fish"]}', "expected prompts, add, remove, got 'prompt'"),
        ('{"prompts": "fish"}', "prompts: expected a list of texts"),
        ('{"prompts": [1]}', "prompts: expected a list of texts, got [1]"),
        ('{"prompts": []}', "expected at least one prompt, got none"),
        ('{"remove": ["fish"]}', "expected at least one prompt, got none"),
        ('{"remove": ["crab"]}', "remove: expected one of 'fish', got 'crab'"),
        ('{"add": ["fish"]}', "expected different prompts"),
        ('{"add": ["eel:7"]}', "expected a threshold from 0 to 1 after the colon, got 7"),
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


def test_changes_of_several_threads_all_come_through(asking: Asking) -> None:
    threads = [
        Thread(target=told, args=(asking, {"prompts": [f"fish {number}"]})) for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert asking.current.texts[0].startswith("fish ")
    assert len(asking.current.batch) == len(asking.current.prompts) == 1


def until(happened: Any) -> None:
    deadline = monotonic() + PATIENCE_S
    while not happened():
        assert monotonic() < deadline
        sleep(0.005)


def test_lines_of_a_pipe_in_any_pieces() -> None:
    end, start = os.pipe()
    seen: list[bytes] = []
    output = StringIO()

    def upper(line: bytes) -> str:
        seen.append(line)
        return line.decode().upper()

    InputControl(upper, output, end)
    for piece in (b"on", b"e\ntwo\n\nth", b"ree\n"):
        os.write(start, piece)
    until(lambda: len(seen) == 3)
    os.write(start, b"x" * 70_000 + b"\n")
    until(lambda: len(seen) >= 4)
    os.close(start)
    assert seen[:3] == [b"one", b"two", b"three"]
    until(lambda: output.getvalue().startswith("ONE\nTWO\nTHREE\n"))


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
