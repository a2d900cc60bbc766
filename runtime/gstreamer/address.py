"""Addresses and pipelines as they may be shown: without the passwords in them."""

import re

# Greedy to the last @ before a space or quote: a password that was not escaped may hold / and @.
_USER = re.compile(r"([a-z][a-z0-9+.-]*://)[^\s\"']*@", re.IGNORECASE)
# "user=me_password=word_channel=1" is how some cameras have it.
_SECRET = re.compile(
    r"(?<![a-z])((?:user-|proxy-)?(?:password|passwd|pass|pwd|pw|token|secret)=)"
    r"(?:\"[^\"]*\"|'[^']*'|(?:(?!_[a-z]+=)[^&\s\"'])+)",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """`text` on one line, without users and passwords: rtsp://me:word@host/a is rtsp://host/a."""
    line = " ".join(text.split())
    return _SECRET.sub(r"\1***", _USER.sub(r"\1", line))
