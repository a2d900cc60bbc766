"""Addresses and pipelines as they may be shown: without the passwords in them."""

import re

# Also with a slash forgotten: who mistypes an address wants it no more to be shown.
_SCHEME = r"[a-z][a-z0-9+.-]*(?::/{1,2}|//)"
# Greedy to the last @ before a space or quote: a password that was not escaped may hold / and @.
_USER = re.compile(rf"({_SCHEME})(?:\\.|[^\s\"'])*@", re.IGNORECASE)
_QUOTED_USER = re.compile(
    rf"((?P<quote>[\"'])(?:(?!(?P=quote)).)*?{_SCHEME})(?:(?!(?P=quote)).)*@", re.IGNORECASE
)
_WHOLE_USER = re.compile(r"^([a-z][a-z0-9+.-]*:?/*).*@", re.IGNORECASE)
# "user=me_password=word_channel=1" is how some cameras have it.
_SECRET = re.compile(
    r"((?:password|passwd|pwd|(?<![a-z])(?:pass|pw|token|secret|auth|key))\s*=\s*)"
    r"(?:\"(?:\\.|[^\"])*\"|'(?:\\.|[^'])*'|(?:(?!_[a-z]+=)(?:\\.|[^&\s\"']))+)",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """`text` on one line, without users and passwords: rtsp://me:word@host/a is rtsp://host/a."""
    line = " ".join(text.split())
    return _SECRET.sub(r"\1***", _USER.sub(r"\1", _QUOTED_USER.sub(r"\1", line)))


def shown_address(url: str) -> str:
    """The same of what is one address and nothing else: quotes and spaces are the password's own."""
    return without_secrets(_WHOLE_USER.sub(r"\1", " ".join(url.split())))


def escaped_user(url: str) -> str:
    """The user and password with their own / # ? escaped, which would end the host else."""
    scheme, _, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    # The second: host:port/path, and the @ is the path's.
    if not at or not re.match(r"[^/?#]*:", user) or re.match(r"[^/?#:@]*:\d+/", user):
        return url
    for sign in "/?#":
        user = user.replace(sign, f"%{ord(sign):02X}")
    return f"{scheme}://{user}@{host}"
