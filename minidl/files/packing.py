"""Values in terms of JSON, with a reference for each array: what a checkpoint's metadata holds."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from minidl.errors import CheckpointError, DTypeError
from minidl.files.strict_json import shortened
from minidl.files.tensors import TensorFile

# JSON is read and written by recursion, of up to three levels for one of ours, and Python allows a thousand in all.
_DEEPEST = 200
# Python reads no more digits than 4,300.
_LONGEST_INT = 14_000


def storable(array: np.ndarray, where: str) -> np.ndarray:
    """An array as safetensors takes it, of the same shape."""
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise DTypeError(f"{where} is an array of dtype {array.dtype}, which can't be stored")
    # safetensors copies the memory as it lies. Unlike ascontiguousarray, this leaves 0-d arrays 0-d.
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")


def pack(value: Any, where: str, tensors: dict[str, np.ndarray], op: str) -> Any:
    """`value` in terms of JSON; its arrays go into `tensors`. What JSON lacks becomes {"$kind": content}.

    Parameters
    ----------
    value : object
        None, a bool, a number, a string, an array, a tensor, or a list, tuple or mapping of them.
    where : str
        What it is, for messages and the names of arrays.
    tensors : dict
        Where arrays go.
    op : str
        Who asks.

    Raises
    ------
    DTypeError
        If something can't be written, naming it.
    """
    return _pack(value, where, tensors, op, 0)


def _pack(value: Any, where: str, tensors: dict[str, np.ndarray] | None, op: str, depth: int) -> Any:
    if depth > _DEEPEST:
        raise DTypeError(f"{op}: {where[:60]}... is nested more than {_DEEPEST} deep, or holds itself")
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        number = int(value)
        if number.bit_length() > _LONGEST_INT:
            raise DTypeError(f"{op}: {where} is an int of {number.bit_length()} bits, which can't be stored")
        return number
    if isinstance(value, float | np.floating):
        return float(value) if isfinite(value) else {"$float": repr(float(value))}
    array = value if isinstance(value, np.ndarray) else getattr(value, "data", None)
    if isinstance(array, np.ndarray) and tensors is not None:
        # Names are stored as UTF-8.
        key = where.encode("utf-8", "backslashreplace").decode()
        while key in tensors:
            key += "_"
        tensors[key] = storable(array, f"{op}: {where}")
        return {"$array": key}
    if isinstance(value, list | tuple):
        items = []
        for i, item in enumerate(value):
            items.append(_pack(item, f"{where}.{i}", tensors, op, depth + 1))
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, Mapping):
        pairs = []
        for key, item in value.items():
            # An array, or a list, would come back as one, and can't be a key.
            packed = _pack(key, f"a key of {where}", None, op, depth + 1)
            pairs.append((packed, _pack(item, f"{where}.{key}", tensors, op, depth + 1)))
        if all(isinstance(key, str) and not key.startswith("$") for key, _ in pairs):
            return dict(pairs)
        return {"$dict": pairs}
    raise DTypeError(f"{op}: {where} is a {type(value).__name__}, which can't be stored")


class Unpacker:
    """Reads what `pack` packed.

    Each array of the file is read once at most, however often it is referred to: `pack` gives each a name of its own,
    and a small file could otherwise ask for any amount of memory.
    """

    def __init__(self, file: TensorFile) -> None:
        self._file = file
        self._taken: set[str] = set()

    def array(self, name: Any) -> np.ndarray:
        """The array of this name, for the first and only time."""
        if not isinstance(name, str) or name not in self._file.entries:
            raise self._unreadable({"$array": name}, "there is no such array")
        if name in self._taken:
            raise self._unreadable({"$array": name}, "the array is referred to twice")
        self._taken.add(name)
        return self._file.array(name)

    def unpack(self, value: Any) -> Any:
        """The value that JSON stands for.

        Raises
        ------
        CheckpointError
            If nothing was packed like this, naming the file.
        """
        try:
            return self._unpack(value)
        except RecursionError:
            raise self._damaged("its metadata is nested too deeply") from None

    def _unpack(self, value: Any) -> Any:
        if isinstance(value, list):
            return self._items(value)
        if not isinstance(value, dict):
            return value
        kind = next(iter(value), "")
        if not kind.startswith("$"):
            read = {}
            for key, item in value.items():
                read[key] = self._unpack(item)
            return read
        content = value[kind]
        try:
            if len(value) > 1:
                raise ValueError("it has further names")
            if kind == "$float" and isinstance(content, str):
                return float(content)
            if kind == "$tuple" and isinstance(content, list):
                return tuple(self._items(content))
            if kind == "$dict" and isinstance(content, list):
                read = {}
                for key, item in content:
                    read[self._unpack(key)] = self._unpack(item)
                return read
        except (TypeError, ValueError) as error:
            # Errors of minidl are ValueErrors too.
            if isinstance(error, CheckpointError):
                raise
            raise self._unreadable(value, error) from error
        if kind == "$array":
            return self.array(content)
        if kind in ("$float", "$tuple", "$dict"):
            raise self._unreadable(value, "its content is of another type")
        raise self._damaged(f"its metadata holds the unknown {shortened(kind)}")

    def _items(self, values: list[Any]) -> list[Any]:
        read = []
        for item in values:
            read.append(self._unpack(item))
        return read

    def _unreadable(self, value: Any, reason: object) -> CheckpointError:
        return self._damaged(f"{shortened(value)} in its metadata can't be read ({reason})")

    def _damaged(self, reason: str) -> CheckpointError:
        return CheckpointError(f"{self._file.where}: is damaged: {reason}")
