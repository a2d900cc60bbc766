"""What goes wrong in a call of GStreamer's, told on the bus instead of printed and forgotten."""

import functools
import traceback
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from sam3_edge.errors import Sam3EdgeError
from sam3_edge.runtime.gstreamer.element.modules import GLib, Gst

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


def told(
    failed: _Answer,
) -> Callable[
    [Callable[Concatenate[Any, _Arguments], _Answer]],
    Callable[Concatenate[Any, _Arguments], _Answer],
]:
    """A method of an element that posts what it raises as an element error and answers `failed`.

    PyGObject prints what a method raises and answers zero, which is GST_FLOW_OK.
    """

    def decorate(
        method: Callable[Concatenate[Any, _Arguments], _Answer],
    ) -> Callable[Concatenate[Any, _Arguments], _Answer]:
        @functools.wraps(method)
        def call(
            element: Any, /, *arguments: _Arguments.args, **named: _Arguments.kwargs
        ) -> _Answer:
            try:
                return method(element, *arguments, **named)
            except Exception as error:  # nobody is above who could take it
                post_error(element, error)
                return failed

        return call

    return decorate


def post_warning(element: Any, text: str) -> None:
    element.post_message(Gst.Message.new_warning(element, _glib_error(text), ""))


def post_error(element: Any, error: Exception) -> None:
    """A user's error is one line; what cannot be one comes with the traceback."""
    text = " ".join(str(error).split())
    debug = type(error).__name__
    if error.__cause__ is not None:
        debug = f"{debug}, from {error.__cause__!r}"
    if not isinstance(error, Sam3EdgeError):
        text = f"{type(error).__name__}: {text}; this is a fault of sam3-edge: please report it"
        debug = "".join(traceback.format_exception(error))
    element.post_message(Gst.Message.new_error(element, _glib_error(text), debug))


def _glib_error(text: str) -> Any:
    return GLib.Error.new_literal(Gst.stream_error_quark(), text, Gst.StreamError.FAILED)
