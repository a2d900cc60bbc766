"""RTSP cameras, with no more delay than the network and the decoder have.

rtspsrc would hold every picture for two seconds, to smooth a network that is uneven. Over TCP, which
is the default here, nothing is lost and nothing comes out of order: pictures are given as they come.
Without GStreamer's Python, OpenCV's FFmpeg reads the stream.
"""

import re
from typing import Any, Literal
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from sam3_edge.errors import UsageError
from sam3_edge.runtime.address import escaped_user, shown_address
from sam3_edge.runtime.gstreamer.appsink import parse_pipeline
from sam3_edge.runtime.gstreamer.load import has_gst, load_gst
from sam3_edge.runtime.sources.ffmpeg_stream import FFmpegStreamSource
from sam3_edge.runtime.sources.gstreamer import GStreamerSource, Manner

__all__ = ["open_rtsp"]

Transport = Literal["tcp", "udp"]
_ADVICE = "check the address, the network, and the camera's user and password"
_STALL_S = 5.0
_SOURCE = (
    "rtspsrc name=camera latency=0 drop-on-latency=true tcp-timeout=5000000 timeout=5000000 "
    "! application/x-rtp,media=video ! decodebin"
)
# A board's decoder leaves pictures where the CPU cannot see them.
_TO_CPU = " ! nvvidconv ! video/x-raw"
_TRANSPORT = re.compile(r"(?:^|&)transport=([^&]*)")


def open_rtsp(url: str, transport: Transport | None = None) -> GStreamerSource | FFmpegStreamSource:
    """url: rtsp://user:password@host:port/path, or rtsps://. transport: by default what the address
    asks for with ?transport=udp, else TCP.

    Raises SourceError where no picture comes, UsageError for an address that is none.
    """
    url, asked = _split_transport(url)
    transport = transport or asked or "tcp"
    parts = _parts(url)
    if not has_rtspsrc():
        return FFmpegStreamSource(url, advice=_ADVICE, options={"rtsp_transport": transport})
    pipeline, sink = parse_pipeline(pipeline_text())
    _address(pipeline.get_by_name("camera"), parts, transport)
    return GStreamerSource(
        pipeline,
        sink,
        Manner(
            name=shown_address(url),
            advice=_ADVICE,
            live=True,
            endless=True,
            stamped_by_sender=True,
            stall_s=_STALL_S,
        ),
    )


def has_rtspsrc() -> bool:
    """GStreamer may be there without the plugins that this needs."""
    return has_gst() and load_gst().ElementFactory.find("rtspsrc") is not None


def pipeline_text() -> str:
    """All but the address, which is set afterwards: nothing in it needs to be quoted."""
    is_on_jetson = load_gst().ElementFactory.find("nvvidconv") is not None
    return _SOURCE + (_TO_CPU if is_on_jetson else "")


def _address(source: Any, parts: SplitResult, transport: Transport) -> None:
    """The user and password go apart from the address, so that no message can hold them."""
    gst = load_gst()
    host = parts.netloc.rpartition("@")[2]
    source.set_property("location", urlunsplit(parts._replace(netloc=host)))
    gst.util_set_object_arg(source, "protocols", transport)
    if transport == "tcp":  # no packet is late or lost: the sender's own stamps are the best
        gst.util_set_object_arg(source, "buffer-mode", "none")
    if parts.username is not None:
        source.set_property("user-id", unquote(parts.username))
        source.set_property("user-pw", unquote(parts.password or ""))
    source.connect("select-stream", _is_video)


def _is_video(_source: Any, _number: int, caps: Any) -> bool:
    """Sound and metadata are not even asked for."""
    return bool(caps[0].get_string("media") == "video")


def _split_transport(url: str) -> tuple[str, Transport | None]:
    """The address without our own part of the query, and what that says."""
    address, mark, query = url.strip().partition("?")
    found = _TRANSPORT.search(query)
    if found is None:
        return url.strip(), None
    value = found[1].lower()
    if value not in ("tcp", "udp"):
        raise UsageError(
            f"{shown_address(url)}: expected transport=tcp or transport=udp, got {found[1]!r}"
        )
    rest = _TRANSPORT.sub("", query).lstrip("&")
    return address + (mark + rest if rest else ""), "udp" if value == "udp" else "tcp"


def _parts(url: str) -> SplitResult:
    """Raises UsageError for an address without a host or with a port that is none."""
    name = shown_address(url)
    try:
        parts = urlsplit(escaped_user(url))
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(
            f"{name}: expected rtsp://user:password@host:port/path, got an address of another form; "
            "write signs like @ : / # ? in a password as %40 %3A %2F %23 %3F"
        ) from error
    if parts.scheme.lower() not in ("rtsp", "rtsps") or not host:
        raise UsageError(f"{name}: expected rtsp://user:password@host:port/path, got no host")
    return parts
