"""mqtt://[USER:PASSWORD@]HOST[:PORT]/TOPIC, and the topics below it."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from sam3_edge.errors import UsageError
from sam3_edge.runtime.address import without_secrets

_PORTS = {"mqtt": 1883, "mqtts": 8883}
# They separate levels, are wildcards, or are forbidden in a topic.
_NOT_IN_A_LEVEL = re.compile(r"[/+#\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_LONGEST_LEVEL = 200  # of the 65,535 bytes a topic may have


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttAddress:
    """encrypted: TLS, with the certificates the system trusts. user, password: None for none."""

    host: str
    port: int
    topic: str
    encrypted: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Without user and password: for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt{'s' if self.encrypted else ''}://{host}:{self.port}/{self.topic}"

    @property
    def state_topic(self) -> str:
        """Of this program: online, offline."""
        return f"{self.topic}/state"

    def source_topic(self, source: str) -> str:
        level = _NOT_IN_A_LEVEL.sub("_", source)[:_LONGEST_LEVEL] or "_"
        return f"{self.topic}/{level}{'_' if level == 'state' else ''}"


def is_mqtt_address(text: str) -> bool:
    return text.lower().startswith(("mqtt:", "mqtts:"))


def parse_mqtt_address(text: str) -> MqttAddress:
    """Raises UsageError."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _is_wrong(text) from error
    topic = unquote(parts.path).strip("/")
    if parts.scheme not in _PORTS or not host or port == 0 or not _is_topic(topic):
        raise _is_wrong(text)
    if "?" in text.rpartition("@")[2] or "#" in text.rpartition("@")[2]:
        raise _is_wrong(text)
    return MqttAddress(
        host=host,
        port=port or _PORTS[parts.scheme],
        topic=topic,
        encrypted=parts.scheme == "mqtts",
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


def _is_topic(topic: str) -> bool:
    levels = topic.split("/")
    return (
        len(topic.encode("utf-8", "replace")) <= 1000
        and not topic.startswith("$")
        and all(level and not _NOT_IN_A_LEVEL.search(level) for level in levels)
    )


def _is_wrong(text: str) -> UsageError:
    return UsageError(
        f"expected mqtt://[USER:PASSWORD@]HOST[:PORT]/TOPIC, got {without_secrets(text)!r}; "
        "a topic has no # or +, and other signs than letters and digits in a password are "
        "written as %40 is for @"
    )
