import pytest

from sam3_edge.runtime.address import escaped_user, shown_address, without_secrets


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
        ("rtspsrc user-pw = w0rd ! x", "rtspsrc user-pw = *** ! x"),
        (r"rtspsrc user-pw=w0\ rd ! x", "rtspsrc user-pw=*** ! x"),
        (r'rtspsrc user-pw="w0\" rd" ! x', "rtspsrc user-pw=*** ! x"),
        ('a location="rtsp://me:w0 rd@h/a" ! b name="c@d"', 'a location="rtsp://h/a" ! b name="c@d"'),
        ("rtsp://host/a?auth=bWU6dzByZA==&x=1", "rtsp://host/a?auth=***&x=1"),
        ("two\nlines  and spaces", "two lines and spaces"),
        ("x264enc key-int-max=15 ! a@b", "x264enc key-int-max=15 ! a@b"),
    ],
)  # fmt: skip
def test_without_secrets(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://me:w0 rd@host/live", "rtsp://me:w0'rd@host/live", 'rtsp://me:"w0rd@host/live',
        "rtsp:/me:w0rd@host/live", "rtsp//me:w0rd@host/live", "http:me:w0rd@host/live",
    ],
)  # fmt: skip
def test_of_an_address_all_before_the_host_is_the_users(url: str) -> None:
    shown = shown_address(url)
    assert "rd" not in shown
    assert shown.endswith("host/live")
    assert shown_address("rtsp://host:554/live?x=1") == "rtsp://host:554/live?x=1"


@pytest.mark.parametrize(
    ("url", "escaped"),
    [
        ("http://me:p/w#?@host/a", "http://me:p%2Fw%23%3F@host/a"),
        ("http://me:p@w@host/a", "http://me:p@w@host/a"),
        ("http://host/a@b", "http://host/a@b"),
        ("http://host:80/a@b:c", "http://host:80/a@b:c"),
    ],
)
def test_only_what_is_the_users_is_escaped(url: str, escaped: str) -> None:
    assert escaped_user(url) == escaped
