"""One JSON line a frame to an MQTT broker, under a topic of its own for every source."""

import secrets
import socket
import ssl
from collections import deque
from collections.abc import Callable
from threading import Event, Thread
from typing import TYPE_CHECKING

from sam3_edge.errors import SinkError
from sam3_edge.runtime.results import SCHEMA, FrameResult, event_line, json_line, one_line
from sam3_edge.runtime.sinks.mqtt_address import MqttAddress
from sam3_edge.runtime.sinks.outage import Outage
from sam3_edge.runtime.source_event import SourceEvent

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessageInfo
    from paho.mqtt.reasoncodes import ReasonCode

_CONNECT_S = 3.0
_KEEPALIVE_S = 10  # one and a half of it until a broker that says nothing is given up
_LONGEST_WAIT_S = 10
_MOST_WAITING = 32  # results on their way to the broker
_PATIENCE_S = 1.0  # for a broker that does not read
_ONLINE, _OFFLINE = "online", "offline"
_REFUSALS = ("Bad user name or password", "Not authorized", "Banned")


class MqttSink:
    """TOPIC/SOURCE: results, as they come, at most once. TOPIC/SOURCE/state: what happened to the
    source last, and TOPIC/state: whether this program runs; both kept by the broker.

    The network is looked after by a thread of paho's, which connects again by itself; here nothing
    waits for it.
    """

    draws = False
    in_callers_thread = False

    def __init__(
        self, address: MqttAddress, warn: Callable[[str], None], *, first_wait_s: int = 1
    ) -> None:
        """Connects. first_wait_s: until the first attempt to do so again.

        Raises SinkError for a name that is not found, a certificate that is not trusted and a login
        that is refused. A broker that is not there may come later.
        """
        self.name = str(address)
        self._address = address
        self._outage = Outage(self.name, warn)
        self._waiting: deque[MQTTMessageInfo] = deque()
        self._states: dict[str, tuple[str, str]] = {}  # by source: the last one, and its line
        self._lines = 0
        self._is_online = self._is_new = self._is_stuck = self._is_closed = False
        self._refusal = ""
        self._ending = ""  # in brackets: how the last connection ended
        self._answered = Event()
        self._client = _client(address, first_wait_s)
        self._client.on_connect = lambda *told: self._connected(told[3])
        self._client.on_disconnect = lambda *told: self._disconnected(told[3])
        self._start()

    @property
    def written(self) -> str | None:
        lost = self._outage.num_lost
        if not self._lines and not lost:
            return None
        return f"{self.name} ({self._lines} messages{f', {lost} lost' if lost else ''})"

    def write(self, result: FrameResult) -> None:
        source = result.frame.source
        known = self._states.get(source)
        if known is None or known[0] in ("lost", "reconnecting"):
            state = "ok" if known is None else "recovered"
            self._set_state(source, state, _state_line(source, state, result.frame.utc_ns))
        self._renew_states()
        if not self._is_online:
            self._settle()
            if self._refusal:
                self._outage.lose(f"it refuses us ({self._refusal})", refused=True)
            else:
                self._outage.lose(f"it is away{self._ending}")
        elif not self._has_room():
            self._outage.lose("it takes no more")
        else:
            topic = self._address.source_topic(source)
            self._waiting.append(self._client.publish(topic, json_line(result)))

    def tell(self, event: SourceEvent) -> None:
        self._set_state(event.source, event.state, event_line(event))
        self._renew_states()

    def close(self) -> None:
        """Says that it goes, unless the broker is away: that knows by itself."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._is_online:
            self._renew_states()
            _wait_for(self._keep(self._address.state_topic, _OFFLINE))
        self._settle()
        if self._waiting:
            self._outage.lose("it takes no more", len(self._waiting))
            self._waiting.clear()
        else:
            self._outage.end()
        self._stop()

    def _has_room(self) -> bool:
        """Waits a second for it, unless the broker is known to be stuck."""
        self._settle()
        if len(self._waiting) >= _MOST_WAITING and not self._is_stuck:
            _wait_for(self._waiting[0])
            self._settle()
        self._is_stuck = len(self._waiting) >= _MOST_WAITING
        return not self._is_stuck

    def _settle(self) -> None:
        """Which of the results on their way were sent, and which were lost with the connection."""
        while self._waiting:
            try:
                if not self._waiting[0].is_published():
                    return
            except (RuntimeError, ValueError):  # how paho says that it was not
                self._outage.lose("the connection broke")
            else:
                self._lines += 1
                self._outage.delivered()
            self._waiting.popleft()

    def _set_state(self, source: str, state: str, line: str) -> None:
        self._states[source] = (state, line)
        if self._is_online and not self._is_new:
            self._keep(f"{self._address.source_topic(source)}/state", line)

    def _renew_states(self) -> None:
        """After a new connection: the broker may have forgotten, and knows nothing since.

        Not by paho's thread, which first sends what it has left of the last connection.
        """
        if not self._is_online or not self._is_new:
            return
        self._is_new = False
        for source, (_, line) in self._states.items():
            self._keep(f"{self._address.source_topic(source)}/state", line)

    def _keep(self, topic: str, text: str) -> "MQTTMessageInfo":
        return self._client.publish(topic, text, qos=1, retain=True)

    def _start(self) -> None:
        try:
            self._client.connect(self._address.host, self._address.port, keepalive=_KEEPALIVE_S)
        except (socket.gaierror, ssl.SSLError, UnicodeError) as error:
            raise SinkError(
                f"{self.name}: expected the address of an MQTT broker, got: {error}; check its "
                "spelling, the network and its certificate"
            ) from error
        except OSError as error:
            self._outage.lose(f"cannot connect ({error.strerror or error})", 0)
            self._client.loop_start()
            return
        self._client.loop_start()
        answered = self._answered.wait(_CONNECT_S)
        if any(word in self._refusal for word in _REFUSALS):
            self._stop()
            raise SinkError(
                f"{self.name}: expected a login the broker takes, got: {self._refusal}; check user "
                "and password: mqtt://USER:PASSWORD@HOST/TOPIC"
            )
        if not self._is_online:
            reason = self._refusal if answered else f"no answer within {_CONNECT_S:g} s"
            self._outage.lose(f"cannot connect ({reason or 'it hung up'})", 0)

    def _stop(self) -> None:
        self._client.disconnect()
        # Its thread may be looking up a name, for as long as that takes.
        stopping = Thread(target=self._client.loop_stop, daemon=True)
        stopping.start()
        stopping.join(_PATIENCE_S)

    def _connected(self, code: "ReasonCode") -> None:
        """By paho's thread, as the next."""
        if code.is_failure:
            self._refusal = str(code)
        else:
            self._refusal, self._is_new = "", True
            self._keep(self._address.state_topic, _ONLINE)
            self._is_online = True
        self._answered.set()

    def _disconnected(self, code: "ReasonCode") -> None:
        self._is_online, self._ending = False, f" ({code})"
        self._answered.set()


def _client(address: MqttAddress, first_wait_s: int) -> "Client":
    """Not connected. Raises SinkError where paho is missing."""
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError as error:
        raise SinkError(
            f"{address}: expected paho-mqtt 2, found none; install it with: "
            "pip install 'sam3-edge[mqtt]'"
        ) from error
    name = f"sam3-edge-{secrets.token_hex(4)}"  # 23 letters are what every broker takes
    client = Client(CallbackAPIVersion.VERSION2, client_id=name)
    client.connect_timeout = _CONNECT_S
    client.reconnect_delay_set(first_wait_s, max(first_wait_s, _LONGEST_WAIT_S))
    client.will_set(address.state_topic, _OFFLINE, qos=1, retain=True)
    if address.user is not None:
        client.username_pw_set(address.user, address.password)
    if address.encrypted:
        client.tls_set()
    return client


def _wait_for(message: "MQTTMessageInfo") -> None:
    try:
        message.wait_for_publish(_PATIENCE_S)
    except (RuntimeError, ValueError):
        return  # lost with the connection, which is counted elsewhere


def _state_line(source: str, state: str, utc_ns: int) -> str:
    return one_line({"schema": SCHEMA, "source": source, "state": state, "utc_ns": utc_ns})
