"""What TensorRT says: on to Python's logging, and its error lines into our exceptions."""

import logging
from collections import deque
from collections.abc import Callable
from functools import lru_cache

from sam3_edge.engines.tensorrt_types import Module

LOGGER = logging.getLogger("sam3_edge.tensorrt")
# TensorRT warns a lot: where nobody asked for its messages, exceptions alone speak for it.
LOGGER.addHandler(logging.NullHandler())

_KEPT_LINES = 16
_MAX_LENGTH = 600


class TensorRTLog:
    """One for all of a module: TensorRT complains when it is given a second logger.

    native: the `ILogger` that builders, parsers and runtimes are made with.
    """

    def __init__(self, module: Module) -> None:
        self._errors: deque[str] = deque(maxlen=_KEPT_LINES)
        # ILogger can only be subclassed once the module is there.
        methods = {"log": _log_method(module, self._errors)}
        self.native: object = type("Log", (module.ILogger,), methods)()  # type: ignore[arg-type]

    def forget_errors(self) -> None:
        """Call before what may fail, so that `error_lines` are about that."""
        self._errors.clear()

    def remember(self, message: str) -> None:
        """An error that came another way than through the log."""
        self._errors.append(_one_line(message))

    @property
    def error_lines(self) -> tuple[str, ...]:
        """Since `forget_errors`, oldest first."""
        return tuple(self._errors)

    @property
    def last_errors(self) -> str:
        """The last two lines as one, at most 600 characters."""
        if not self._errors:
            return "TensorRT gave no reason"
        text = " | ".join(list(self._errors)[-2:])
        return text if len(text) <= _MAX_LENGTH else text[: _MAX_LENGTH - 3] + "..."


@lru_cache
def log_of(module: Module) -> TensorRTLog:
    return TensorRTLog(module)


def _log_method(module: Module, errors: deque[str]) -> Callable[[object, object, str], None]:
    severity = module.ILogger.Severity
    levels = {
        severity.INTERNAL_ERROR: logging.CRITICAL,
        severity.ERROR: logging.ERROR,
        severity.WARNING: logging.WARNING,
        severity.INFO: logging.INFO,
        severity.VERBOSE: logging.DEBUG,
    }

    def log(_: object, severity: object, message: str) -> None:
        level = levels[severity]
        if level >= logging.ERROR:
            errors.append(_one_line(message))
        LOGGER.log(level, "%s", message)

    return log


def _one_line(message: str) -> str:
    return " ".join(message.split())
