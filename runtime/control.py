"""Prompts changed from outside while frames go by: one JSON object a line, each answered by one.

    {"prompts": ["fish", "crab:0.4"]}    ask these instead
    {"add": ["starfish"]}                these too
    {"remove": ["fish"]}                 these no longer
    {}                                   what is asked now?

    {"ok": true, "prompts": ["crab:0.4", "starfish:0.27"]}
    {"ok": false, "error": "expected at least one prompt, got none; ..."}

A change takes effect with the first frame after its answer; a refused one changes nothing.
"""

import json
from collections.abc import Sequence

from sam3_edge.engines.strict_json import parse_json
from sam3_edge.errors import PromptError, Sam3EdgeError, UsageError
from sam3_edge.runtime.asking import Asking
from sam3_edge.runtime.prompts import Prompt, join_threshold, short, split_threshold

MOST_BYTES = 64 * 1024  # of a line: nobody asks that much
_KEYS = ("prompts", "add", "remove")


def answer(asking: Asking, line: str | bytes, threshold: float | None = None) -> str:
    """One line without its end -> the answer, without its end. Never raises for what it was told.

    threshold: of new prompts that bring none; None: what the bundle found best.
    """
    try:
        change, request = _read(line), asking.current
        if change:
            request = asking.change(lambda now: _changed(now, change), threshold)
    except Sam3EdgeError as error:
        return _line({"ok": False, "error": " ".join(str(error).split())})
    return _line({"ok": True, "prompts": [join_threshold(prompt) for prompt in request.prompts]})


def _changed(prompts: Sequence[Prompt], change: dict[str, list[str]]) -> list[str]:
    wanted = list(change.get("prompts", map(join_threshold, prompts)))
    phrases = [split_threshold(text)[0] for text in wanted]
    for text in change.get("remove", []):
        if text not in phrases:
            raise PromptError(
                f"remove: expected one of {', '.join(map(repr, phrases))}, got {short(text)!r}"
            )
        del wanted[phrases.index(text)]
        phrases.remove(text)
    return [*wanted, *change.get("add", [])]


def _read(line: str | bytes) -> dict[str, list[str]]:
    if len(line) > MOST_BYTES:
        raise UsageError(f"expected a line of at most {MOST_BYTES} bytes, got a longer one")
    try:
        change = parse_json(line if isinstance(line, str) else line.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"expected a JSON object, got another text: {error}") from error
    if not isinstance(change, dict):
        raise UsageError(f"expected a JSON object, got {type(change).__name__}")
    for key, texts in change.items():
        if key not in _KEYS:
            raise UsageError(f"expected {', '.join(_KEYS)}, got {short(key)!r}")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise UsageError(f"{key}: expected a list of texts, got {json.dumps(texts)[:60]}")
    return change


def _line(reply: dict[str, object]) -> str:
    return json.dumps(reply, ensure_ascii=False, separators=(",", ":"))
