import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sam3_edge.errors import SinkError, UsageError
from sam3_edge.runtime.results import FrameResult
from sam3_edge.runtime.sinks.mqtt import MqttSink
from sam3_edge.runtime.sinks.mqtt_address import parse_mqtt_address
from sam3_edge.runtime.source_event import SourceEvent
from tests.runtime.sinks.broker import (
    HOST,
    PASSWORD,
    USER,
    Broker,
    broking,
    hearing,
    program,
    wait_until,
)

Make = Callable[..., FrameResult]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with broking(tmp_path) as running:
        yield running


def sink_to(broker: Broker, told: list[str], login: str = "") -> MqttSink:
    address = parse_mqtt_address(f"mqtt://{login}{HOST}:{broker.port}/reef/1")
    return MqttSink(address, told.append)


def of_source(result: FrameResult, source: str) -> FrameResult:
    return replace(result, frame=replace(result.frame, source=source))


def lost(source: str = "test") -> SourceEvent:
    return SourceEvent(source=source, state="lost", reason="gone", attempt=0, utc_ns=1)


def test_every_source_has_its_topic(broker: Broker, make_result: Make) -> None:
    told: list[str] = []
    with hearing(broker) as ear:
        sink = sink_to(broker, told)
        assert sink.written is None
        for index in range(50):
            sink.write(make_result(index))
        sink.write(of_source(make_result(), "rtsp://host/a+b#c"))
        sink.write(of_source(make_result(), "state"))
        sink.write(of_source(make_result(), "a name\udcff.mp4"))
        sink.close()
        sink.close()
        wait_until(lambda: ear.of("reef/1/state") == ["online", "offline"])
        assert [json.loads(line)["frame"] for line in ear.of("reef/1/test")] == list(range(50))
        other = json.loads(ear.of("reef/1/rtsp:_host_a_b_c")[0])
        assert other["source"] == "rtsp://host/a+b#c"
        assert len(ear.of("reef/1/state_")) == 1
        for topic in ("reef/1/a name_.mp4", "reef/1/a name_.mp4/state"):
            assert json.loads(ear.of(topic)[0])["source"] == "a name?.mp4"
    assert told == []
    assert sink.written == f"mqtt://{HOST}:{broker.port}/reef/1 (53 messages)"


def test_states_are_kept_for_who_comes_later(broker: Broker, make_result: Make) -> None:
    sink = sink_to(broker, [])
    states = []
    steps: tuple[Callable[[], None], ...] = (
        lambda: sink.write(make_result()),
        lambda: sink.tell(lost()),
        lambda: sink.tell(replace(lost(), state="reconnecting", attempt=1)),
        lambda: sink.write(make_result(1)),
        lambda: sink.write(make_result(2)),
    )
    for step in steps:
        step()
        time.sleep(0.05)
        with hearing(broker) as ear:
            wait_until(lambda: "reef/1/test/state" in [topic for topic, _, _ in ear.messages])
            assert all(kept for _, _, kept in ear.messages)
            assert ear.of("reef/1/state") == ["online"]
            states += [json.loads(line) for line in ear.of("reef/1/test/state")]
            assert ear.of("reef/1/test") == []
    sink.close()
    names = [state["state"] for state in states]
    assert names == ["ok", "lost", "reconnecting", "recovered", "recovered"]
    assert states[1]["reason"] == "gone"


_PROCESS = """
import sys
from sam3_edge.runtime.sinks.mqtt import MqttSink
from sam3_edge.runtime.sinks.mqtt_address import parse_mqtt_address
sink = MqttSink(parse_mqtt_address(sys.argv[1]), print)
sys.stdin.read()
"""


def test_a_process_that_dies_is_offline(broker: Broker) -> None:
    address = f"mqtt://{HOST}:{broker.port}/reef"
    command = [sys.executable, "-c", _PROCESS, address]
    with hearing(broker) as ear, subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        wait_until(lambda: ear.of("reef/state") == ["online"])
        process.kill()
        wait_until(lambda: ear.of("reef/state") == ["online", "offline"])


def test_a_broker_that_is_restarted(broker: Broker, make_result: Make) -> None:
    told: list[str] = []
    sink = sink_to(broker, told)
    sink.write(make_result(0))
    sink.tell(lost("other"))
    broker.kill()
    index = 1
    while not told:
        sink.write(make_result(index))
        index += 1
        time.sleep(0.01)
    assert len(told) == 1
    assert told[0].startswith(f"{sink.name}: ")
    assert told[0].endswith("results are dropped until it is back")
    sink.tell(replace(lost("other"), reason="told while the broker was away"))
    broker.start()
    with hearing(broker) as ear:
        until_s = time.monotonic() + 20
        while len(told) == 1:
            assert time.monotonic() < until_s
            sink.write(make_result(index))
            index += 1
            time.sleep(0.02)
        sink.close()
        wait_until(lambda: ear.of("reef/1/state")[-1:] == ["offline"])
        frames = [json.loads(line)["frame"] for line in ear.of("reef/1/test")]
        assert frames == list(range(frames[0], index))
        assert json.loads(ear.of("reef/1/other/state")[-1])["reason"].startswith("told while")
        assert json.loads(ear.of("reef/1/test/state")[-1])["state"] == "ok"
    assert told[1].startswith(f"{sink.name}: it is back; ")
    assert len(told) == 2
    assert frames[0] - 3 <= int(told[1].split()[-1]) <= frames[0]  # some were under way


def test_a_broker_that_comes_later(broker: Broker, make_result: Make) -> None:
    broker.kill()
    told: list[str] = []
    sink = sink_to(broker, told)
    sink.write(make_result(0))
    assert len(told) == 1
    assert "cannot connect (Connection refused); results are dropped" in told[0]
    assert sink.written == f"{sink.name} (0 messages, 1 lost)"
    broker.start()
    with hearing(broker) as ear:
        wait_until(lambda: ear.of("reef/1/state") == ["online"])
        sink.write(make_result(1))
        wait_until(lambda: len(ear.of("reef/1/test")) == 1)
        sink.close()
    assert told[1:] == [f"{sink.name}: it is back; results lost: 1"]


def test_a_broker_that_does_not_read(broker: Broker, make_result: Make) -> None:
    told: list[str] = []
    sink = sink_to(broker, told)
    with hearing(broker) as ear:
        broker.pause()
        slowest, count = 0.0, 0
        big = replace(make_result(), prompts=("f" * 200_000, "crab"))  # fills the system's buffers
        while not told:
            began = time.monotonic()
            sink.write(big)
            slowest, count = max(slowest, time.monotonic() - began), count + 1
        assert told == [f"{sink.name}: it takes no more; results are dropped until it is back"]
        assert slowest < 5  # about 1 s, on a machine that has time
        for _ in range(20):
            sink.write(big)
        broker.resume()
        until_s = time.monotonic() + 20
        while len(told) == 1:
            assert time.monotonic() < until_s
            sink.write(make_result())
            count += 1
            time.sleep(0.02)
        sink.close()
        wait_until(lambda: ear.of("reef/1/state")[-1:] == ["offline"])
    assert "it is back;" in told[1]


def test_a_login(tmp_path: Path, make_result: Make) -> None:
    passwords = tmp_path / "passwords"
    command = [program("mosquitto_passwd"), "-b", "-c", str(passwords), USER, PASSWORD]
    subprocess.run(command, check=True, capture_output=True)
    passwords.chmod(0o644)
    with broking(tmp_path, f"password_file {passwords}") as broker:
        with hearing(broker, login=True) as ear:
            sink = sink_to(broker, [], f"{USER}:w%40rd%2F%C3%A4@")
            assert "w@rd" not in f"{sink.name}{sink._address!r}"
            sink.write(make_result())
            sink.close()
            wait_until(lambda: len(ear.of("reef/1/test")) == 1)
        for login in ("", "me:wrong@", "you:w%40rd@"):
            with pytest.raises(
                SinkError, match="expected a login the broker takes, got:"
            ) as caught:
                sink_to(broker, [], login)
            assert "wrong" not in str(caught.value)


def test_a_password_that_is_changed_meanwhile(tmp_path: Path, make_result: Make) -> None:
    passwords = tmp_path / "passwords"
    change = [program("mosquitto_passwd"), "-b", "-c", str(passwords), "me"]
    subprocess.run([*change, "old"], check=True, capture_output=True)
    told: list[str] = []
    with broking(tmp_path, f"password_file {passwords}") as broker:
        sink = sink_to(broker, told, "me:old@")
        sink.write(make_result())
        broker.kill()
        subprocess.run([*change, "new"], check=True, capture_output=True)
        broker.start()
        until_s = time.monotonic() + 20
        while len(told) < 2:
            assert time.monotonic() < until_s
            sink.write(make_result())
            time.sleep(0.01)
        for _ in range(10):
            sink.write(make_result())
        sink.close()
    away, refused = told
    assert "results are dropped until it is back" in away
    assert refused.startswith(f"{sink.name}: it refuses us (Not authorized); results are dropped")


def test_a_result_that_is_too_large_is_lost_alone(tmp_path: Path, make_result: Make) -> None:
    """The broker hangs up on it; the next connection goes on with the others."""
    told: list[str] = []
    big = replace(make_result(), prompts=("f" * 5000, "crab"))
    with broking(tmp_path, "max_packet_size 2000") as broker, hearing(broker) as ear:
        sink = sink_to(broker, told)
        sink.write(make_result(0))
        sink.write(big)
        index = 1
        until_s = time.monotonic() + 20
        while len(told) < 2:
            assert time.monotonic() < until_s
            sink.write(make_result(index))
            index += 1
            time.sleep(0.01)
        sink.close()
        wait_until(lambda: ear.of("reef/1/state")[-1:] == ["offline"])
        frames = [json.loads(line)["frame"] for line in ear.of("reef/1/test")]
    assert frames[0] == 0
    assert frames[1:] == list(range(frames[1], index))
    assert "it is away (" in told[0] or "the connection broke" in told[0]
    assert told[1].startswith(f"{sink.name}: it is back; results lost: ")


_CERTIFICATE = [
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-days",
    "2",
    "-subj",
    "/CN=b",
    "-addext",
]
_CERTIFICATE.append(f"subjectAltName=IP:{HOST}")


# paho forgets the socket of a connection that is not trusted.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.filterwarnings("ignore:.*ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
def test_encrypted(tmp_path: Path, make_result: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [program("openssl"), *_CERTIFICATE, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    key.chmod(0o644)
    with broking(tmp_path, f"certfile {certificate}\nkeyfile {key}") as broker:
        address = parse_mqtt_address(f"mqtts://{HOST}:{broker.port}/reef")
        with pytest.raises(SinkError, match="certificate verify failed"):
            MqttSink(address, print)
        monkeypatch.setenv("SSL_CERT_FILE", os.fspath(certificate))
        sink = MqttSink(address, print)
        sink.write(make_result())
        sink.close()
        assert sink.written == f"mqtts://{HOST}:{broker.port}/reef (1 messages)"


def test_a_host_that_is_not_found() -> None:
    with pytest.raises(SinkError, match=r"mqtt://no-such-host.invalid:1883/a: expected the addr"):
        MqttSink(parse_mqtt_address("mqtt://me:secret@no-such-host.invalid/a"), print)


def test_paho_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(SinkError, match=r"pip install 'sam3-edge\[mqtt\]'"):
        MqttSink(parse_mqtt_address("mqtt://localhost/a"), print)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "mqtt:",
            "mqtt://",
            "mqtt://h",
            "mqtt://h/",
            "mqtt:///a",
            "mqtt://h:0/a",
            "mqtt://h:99999/a",
        ),
        *("mqtt://h/a/#", "mqtt://h/+/a", "mqtt://h/$SYS", "mqtt://h/a//b", "mqtt://h/a?b", "h/a"),
        *("mqtt://me:secret@h", "mqtt://me:sec#ret@h/a", "mqtt://h/%00", "mqtt://h/" + "a" * 1001),
    ],
)
def test_an_address_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="expected mqtt://") as caught:
        parse_mqtt_address(text)
    assert "sec" not in str(caught.value)


def test_the_parts_of_an_address() -> None:
    address = parse_mqtt_address("MQTTS://me:a%40b%2F@[::1]/a/b/")
    assert (address.user, address.password) == ("me", "a@b/")
    assert str(address) == "mqtts://[::1]:8883/a/b"
    assert "a@b" not in repr(address)
    assert address.source_topic("a/b") == "a/b/a_b"
    assert address.source_topic("/") == "a/b/_"
