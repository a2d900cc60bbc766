"""tcp://HOST:PORT and unix:/PATH: where a stream of lines goes, and how it is connected."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sam3_edge.errors import SinkError, UsageError
from sam3_edge.runtime.address import without_secrets

_CONNECT_S = 1.0
# Of what was sent and not confirmed: a partner whose cable was pulled is otherwise found out about
# in a quarter of an hour.
_UNCONFIRMED_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketAddress:
    """path: of a Unix socket; else host and port."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"

    def connect(self) -> socket.socket:
        """One that does not block. Raises OSError within a second, or when a name is not found."""
        if self.path:
            link = socket.socket(socket.AF_UNIX)
            try:
                link.settimeout(_CONNECT_S)
                link.connect(self.path)
            except BaseException:
                link.close()
                raise
        else:
            link = socket.create_connection((self.host, self.port), _CONNECT_S)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNCONFIRMED_MS)
        link.setblocking(False)
        return link

    def check(self, error: OSError) -> None:
        """Why the first connection failed: raises SinkError where waiting would not help."""
        if self.path:
            self._check_path(error)
        elif isinstance(error, socket.gaierror):
            raise SinkError(
                f"{self}: expected the name or address of a machine, got {self.host!r} "
                f"({error.strerror}); check its spelling, and the network"
            ) from error

    def _check_path(self, error: OSError) -> None:
        path = Path(self.path)
        if not path.parent.is_dir():
            raise SinkError(
                f"{self}: expected a socket in a folder that is there, got none at {path.parent}; "
                "check the path"
            ) from error
        may_come = isinstance(error, (ConnectionRefusedError, FileNotFoundError, BlockingIOError))
        is_other = path.exists() and not is_socket(path)
        if is_other or not (may_come or isinstance(error, TimeoutError)):
            raise SinkError(
                f"{self}: expected a stream socket that we may connect to, got: "
                f"{why(error)}; check the path, and who listens there"
            ) from error


def is_socket_address(text: str) -> bool:
    return text.lower().startswith(("tcp:", "unix:"))


def parse_socket_address(text: str) -> SocketAddress:
    """Raises UsageError."""
    scheme, _, rest = text.partition(":")
    if scheme.lower() == "unix":
        path = rest[2:] if rest.startswith("///") else rest
        if not path or path.endswith("/") or "\0" in path:
            raise _is_wrong(text)
        return SocketAddress(path=os.fspath(Path(path).absolute()))
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")  # or looking it up fails in a way of its own
    except ValueError as error:
        raise _is_wrong(text) from error
    if not host or not port or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _is_wrong(text)
    return SocketAddress(host=host, port=port)


def is_socket(path: Path) -> bool:
    try:
        return path.is_socket()
    except OSError:
        return False


def why(error: OSError) -> str:
    return error.strerror or str(error)


def _is_wrong(text: str) -> UsageError:
    return UsageError(
        f"expected tcp://HOST:PORT or unix:/PATH, got {without_secrets(text)!r}; "
        "a file of that name is written as ./NAME"
    )
