"""The exceptions that minidl raises, and how they read.

Every message starts with the operation and names the argument, what was expected and what came:

    conv2d: input has 3 channels (axis 1 of (8, 3, 28, 28)), weight expects 4 (axis 1 of (6, 4, 5, 5))

Raised inside a model, the path of the layer follows. A layer that an error passes through adds itself to
it (`Module.__call__`), and its parent then adds the name it knows it by, so that a forward pass that succeeds
pays nothing for this.
"""

from __future__ import annotations

from typing import Any


class MinidlError(Exception):
    """Base class of all errors that minidl raises on purpose.

    They can be pickled and copied, as a worker of a process pool does with what it raises: message, path and attributes
    go along, the layer itself stays behind.
    """

    message = ""
    _path: tuple[str, ...] = ()
    _layer: object = None
    _layer_type = ""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def pass_through(self, layer: object, name_of_child: str | None) -> None:
        """Record that the error left `layer`, which knows the layer below it as `name_of_child`."""
        # An error that came from another process knows the type of the innermost layer, but none of the layers.
        if not self._layer_type:
            self._layer_type = type(layer).__name__
        elif name_of_child is not None:
            self._path = (name_of_child, *self._path)
        self._layer = layer

    def __reduce__(self) -> Any:
        attributes = {name: value for name, value in self.__dict__.items() if name != "_layer"}
        # OSError and ImportError keep these outside of the dictionary.
        for name in ("errno", "strerror", "filename", "filename2", "name", "path"):
            if getattr(self, name, None) is not None:
                attributes[name] = getattr(self, name)
        return _restored, (type(self), self.args), attributes

    @property
    def layer(self) -> object:
        """The outermost layer that the error has left so far, or None."""
        return self._layer

    def __str__(self) -> str:
        if not self._layer_type:
            return self.message
        return f"{self.message}\n  in layer {'.'.join(self._path) or '(the model itself)'} ({self._layer_type})"


def _restored(cls: type[MinidlError], args: tuple[Any, ...]) -> MinidlError:
    """An error as it was raised, whatever arguments the `__init__` of its class takes."""
    # The base whose fields in C the class has, such as those of OSError, makes its instances.
    base: Any = cls
    while "__new__" not in vars(base):
        base = base.__base__
    error = base.__new__(cls, *args)
    error.args = args
    return error


class ShapeError(MinidlError, ValueError):
    """An array has the wrong number of axes or a wrong size along one."""


class OutOfMemoryError(ShapeError, MemoryError):
    """An array of this shape takes more memory than there is."""


class DTypeError(MinidlError, TypeError):
    """An array has a dtype, or an argument a type, that the operation does not take."""


class ArgumentError(MinidlError, ValueError):
    """An argument has a value that the operation does not take."""


class OutOfRangeError(MinidlError, IndexError):
    """An index or a class number lies outside its range."""


class GraphError(MinidlError, RuntimeError):
    """The recorded graph can't do what was asked of it (freed, modified, or nothing recorded)."""


class StateDictError(MinidlError, ValueError):
    """A state dict does not fit the object that it is loaded into."""


class CheckpointError(MinidlError, ValueError):
    """A checkpoint file is damaged, or holds something other than what was asked for."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """There is no checkpoint file of this name."""


class DataFileError(MinidlError, ValueError):
    """A data file is truncated, altered, or not of the format that its name promises."""


class DataNotFoundError(MinidlError, FileNotFoundError):
    """A data set is neither on this machine nor to be downloaded."""


class GradcheckError(MinidlError, AssertionError):
    """An analytic gradient disagrees with the numeric one.

    Attributes
    ----------
    report : minidl.testing.GradcheckReport or None
        All that was found.
    """

    def __init__(self, message: str, report: object = None) -> None:
        super().__init__(message)
        self.report = report


class MissingExtraError(MinidlError, ImportError):
    """A package outside minidl's core is needed; the message names the extra that installs it."""


def import_extra(package: str, extra: str, purpose: str):
    """Import an optional package, or say which extra of minidl installs it."""
    from importlib import import_module

    try:
        return import_module(package)
    except ImportError as error:
        raise MissingExtraError(
            f"{purpose}: needs the package {package.partition('.')[0]}, which is not installed; "
            f'"pip install minidl[{extra}]" installs it'
        ) from error


def warn(message: str) -> None:
    """Warn at the line outside of minidl that led here, so that each such line is reported once, and by its place."""
    import sys
    import warnings

    level, frame = 2, sys._getframe().f_back
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "minidl":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


def check_flag(op: str, name: str, value: object) -> bool:
    """Refuse what is neither True nor False, such as a number that was meant for the argument before."""
    # NumPy's booleans are no instances of bool, and this module imports nothing.
    if not isinstance(value, bool) and type(value).__name__ != "bool":
        raise ArgumentError(f"{op}: {name} must be True or False, got {value!r}")
    return bool(value)
