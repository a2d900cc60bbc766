"""One model for all elements of a process that ask for the same."""

from collections.abc import Callable
from threading import Lock

from sam3_edge.runtime.gstreamer.element.model import Model, ModelKey

_lock = Lock()
_models: dict[ModelKey, Model] = {}
_num_users: dict[ModelKey, int] = {}


def open_model(key: ModelKey, warn: Callable[[str], None]) -> Model:
    """Loads it where nobody has it open; to be given back to `close_model`. warn: the loader's."""
    with _lock:  # also while it loads: the next one waits and shares it
        if key not in _models:
            _models[key] = Model(key, warn)
        _num_users[key] = _num_users.get(key, 0) + 1
        return _models[key]


def close_model(model: Model) -> None:
    """The last of its users frees it."""
    with _lock:
        _num_users[model.key] -= 1
        if _num_users[model.key]:
            return
        del _num_users[model.key], _models[model.key]
        model.close()
