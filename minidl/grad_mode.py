"""Whether operations are recorded: a switch for each Python thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from minidl.arguments import check_callable
from minidl.errors import check_flag


class _Mode(threading.local):
    recording = True


state = _Mode()


class set_grad_enabled:
    """Turn recording on or off in this Python thread, at once and as a context manager or decorator.

    Parameters
    ----------
    mode : bool
        Whether operations are recorded.

    Examples
    --------
    >>> import minidl
    >>> with minidl.set_grad_enabled(False):
    ...     minidl.is_grad_enabled()
    False
    """

    _switches_at_once = True

    def __init__(self, mode: bool) -> None:
        self._wanted = check_flag(type(self).__name__, "mode", mode)
        # It goes back to this; a constructor that switches already has noted what was before.
        self._previous: list[bool] = []
        self._has_switched = self._switches_at_once
        if self._switches_at_once:
            self._previous.append(state.recording)
            state.recording = self._wanted

    def __enter__(self) -> None:
        if not self._has_switched:
            self._previous.append(state.recording)
        self._has_switched = False
        state.recording = self._wanted

    def __exit__(self, *exc_info: object) -> None:
        state.recording = self._previous.pop()

    def __call__(self, function: Callable) -> Callable:
        """Decorate a function, which then runs in this mode."""
        check_callable(type(self).__name__, "function", function)
        if self._has_switched:
            state.recording = self._previous.pop()
            self._has_switched = False

        @wraps(function)
        def decorated(*args: Any, **kwargs: Any) -> Any:
            previous = state.recording
            state.recording = self._wanted
            try:
                return function(*args, **kwargs)
            finally:
                state.recording = previous

        return decorated


class no_grad(set_grad_enabled):
    """A context manager and decorator under which nothing is recorded.

    Examples
    --------
    >>> import minidl
    >>> x = minidl.tensor([1.0, 2.0], requires_grad=True)
    >>> with minidl.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    _switches_at_once = False

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(set_grad_enabled):
    """A context manager and decorator under which operations are recorded, inside `no_grad` too."""

    _switches_at_once = False

    def __init__(self) -> None:
        super().__init__(True)


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this Python thread."""
    return state.recording
