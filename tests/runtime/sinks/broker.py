"""A real MQTT broker on loopback, in a process of its own, and one who hears all it has to say."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

HOST = "127.0.0.1"
SOON_S = 10.0
USER, PASSWORD = "me", "w@rd/ä"


class Broker:
    """mosquitto, until it is killed; `start` starts it again on the same port, with nothing kept."""

    def __init__(self, program: str, folder: Path, settings: str = "") -> None:
        """settings: of mosquitto.conf, beside those for the port."""
        self._program = program
        self._settings = folder / "mosquitto.conf"
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port = int(probe.getsockname()[1])
        allow = "" if "password_file" in settings else "allow_anonymous true\n"
        # Started by root it would become another user, who cannot read a test's files.
        text = f"user root\nlistener {self.port} {HOST}\n{allow}{settings}\n"
        self._settings.write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._settings)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until_s = time.monotonic() + SOON_S
        while True:
            try:
                socket.create_connection((HOST, self.port)).close()
            except ConnectionRefusedError:
                assert self._process.poll() is None, "mosquitto ended"
                assert time.monotonic() < until_s
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


class Ear:
    """messages: (topic, text, whether it was kept), of all there is and comes."""

    def __init__(self, port: int, login: bool = False) -> None:
        self.messages: list[tuple[str, str, bool]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        if login:
            self._client.username_pw_set(USER, PASSWORD)
        self._client.on_message = lambda _client, _data, message: self.messages.append(
            (message.topic, message.payload.decode("utf-8"), message.retain)
        )
        subscribed: list[int] = []
        self._client.on_subscribe = lambda *_: subscribed.append(1)
        self._client.connect(HOST, port)
        self._client.subscribe("#", qos=1)
        self._client.loop_start()
        wait_until(lambda: bool(subscribed))

    def of(self, topic: str) -> list[str]:
        return [text for where, text, _ in list(self.messages) if where == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def wait_until(is_so: Callable[[], bool]) -> None:
    until_s = time.monotonic() + SOON_S
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def program(name: str) -> str:
    """Its path. Skips where it is not installed."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"expected {name}, found none; scripts/install-test-packages installs it")
    return found


@contextmanager
def broking(folder: Path, settings: str = "") -> Iterator[Broker]:
    broker = Broker(program("mosquitto"), folder, settings)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


@contextmanager
def hearing(broker: Broker, login: bool = False) -> Iterator[Ear]:
    ear = Ear(broker.port, login)
    try:
        yield ear
    finally:
        ear.close()
