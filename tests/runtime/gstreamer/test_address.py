import pytest

from sam3_edge.runtime.gstreamer.address import without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://host:554/live", "rtsp://host:554/live"),
        ("rtsp://me:w0rd@host:554/live", "rtsp://host:554/live"),
        ("RTSPS://me:w@r/d#@host/live", "RTSPS://host/live"),
        ("http://host/a?user=me&password=w0rd&x=1", "http://host/a?user=me&password=***&x=1"),
        ("rtsp://host/user=me_password=w0_rd_channel=1", "rtsp://host/user=me_password=***_channel=1"),
        ("rtspsrc location=rtsp://me:w@h/a user-pw=w0rd ! x", "rtspsrc location=rtsp://h/a user-pw=*** ! x"),
        ('rtspsrc user-pw="w0 rd" ! x', "rtspsrc user-pw=*** ! x"),
        ("two\nlines  and spaces", "two lines and spaces"),
        ("x264enc key-int-max=15 ! a@b", "x264enc key-int-max=15 ! a@b"),
    ],
)  # fmt: skip
def test_without_secrets(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
