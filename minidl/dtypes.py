"""The dtypes that there are, the one that new values take, and the one that two of them become together."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from minidl.errors import DTypeError

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
INT64, BOOL = np.dtype(np.int64), np.dtype(np.bool_)
_SUPPORTED = frozenset(np.dtype(code) for code in "?bBhHiIlLqQfd")
_RANK = {"b": 0, "u": 1, "i": 1, "f": 2}


class _Default(threading.local):
    dtype = FLOAT32


_default = _Default()


def get_default_dtype() -> np.dtype:
    """The dtype that Python floats, lists and new parameters take (float32 unless set)."""
    return _default.dtype


def set_default_dtype(dtype: Any) -> None:
    """Set the dtype that Python floats, lists and new parameters take, in this Python thread.

    Parameters
    ----------
    dtype : numpy dtype or str
        float32 or float64.

    Raises
    ------
    DTypeError
        If it is another one.

    Examples
    --------
    >>> import minidl
    >>> minidl.set_default_dtype("float64")
    >>> minidl.tensor([0.5]).dtype
    dtype('float64')
    >>> minidl.set_default_dtype("float32")
    """
    wanted = to_dtype("set_default_dtype", dtype)
    if wanted.kind != "f":
        raise DTypeError(f"set_default_dtype: dtype must be float32 or float64, got {wanted}")
    _default.dtype = wanted


def to_dtype(op: str, dtype: Any) -> np.dtype:
    """Read a dtype argument; only those that minidl supports pass."""
    try:
        # NumPy would read None as float64, and warn of its old names for bytes, which are none of ours.
        if dtype is None or isinstance(dtype, tuple | list | dict) or (isinstance(dtype, str) and dtype[:1] == "a"):
            raise TypeError
        found = np.dtype(dtype)
    except (TypeError, ValueError):
        raise DTypeError(f"{op}: dtype must name a NumPy dtype, got {dtype!r}") from None
    if found.newbyteorder("=") not in _SUPPORTED:
        raise DTypeError(f"{op}: dtype must be bool, an integer, float32 or float64, got {found}")
    return found.newbyteorder("=")


def converted(array: np.ndarray, dtype: np.dtype, copy: bool = True) -> np.ndarray:
    """An array in another dtype; values that this can't hold become infinite, or any integers, without a warning."""
    if array.dtype.kind == "f" and array.dtype != dtype:
        with np.errstate(all="ignore"):
            return array.astype(dtype, copy=copy)
    return array.astype(dtype, copy=copy)


def to_array(op: str, data: Any, dtype: Any = None, copy: bool = False) -> np.ndarray:
    """Turn what a user passes into an array of a supported dtype, sharing memory where that is possible.

    Arrays and NumPy scalars keep their dtype where minidl has it (float16 becomes float32, longdouble float64, and
    foreign byte orders the native one, each by copying). Lists and Python floats take the default dtype, Python
    integers int64.
    """
    if dtype is not None:
        dtype = to_dtype(op, dtype)
    try:
        array = np.asarray(data)
    except Exception as error:
        # A stranger's `__array__` may raise anything.
        raise DTypeError(f"{op}: data can't be read as an array: {error}") from None
    if dtype is None:
        dtype = array.dtype
        if dtype.kind == "f":
            has_own_dtype = isinstance(data, np.ndarray | np.generic) or hasattr(data, "__array__")
            dtype = get_default_dtype() if not has_own_dtype else (FLOAT32 if dtype.itemsize <= 4 else FLOAT64)
        elif array.size == 0 and isinstance(data, list | tuple):
            dtype = get_default_dtype()
        elif dtype.newbyteorder("=") not in _SUPPORTED:
            raise DTypeError(f"{op}: data must be real numbers or booleans, got dtype {dtype}")
        dtype = dtype.newbyteorder("=")
    elif array.dtype.kind not in "biuf":
        raise DTypeError(f"{op}: data must be real numbers or booleans, got dtype {array.dtype}")
    # Compiled code may rely on the alignment of its elements.
    result = converted(array, dtype, copy or not array.flags.aligned)
    return result if type(result) is np.ndarray else np.asarray(result)


def scalar_dtype(value: bool | int | float, other: np.dtype) -> np.dtype:
    """The dtype of a Python number beside an array: the array's, unless the number is of a higher kind."""
    if isinstance(value, bool):
        return other
    if isinstance(value, int):
        return other if other.kind != "b" else INT64
    return other if other.kind == "f" else get_default_dtype()


def result_dtype(op: str, a: np.dtype, a_is_0d: bool, b: np.dtype, b_is_0d: bool) -> np.dtype:
    """Find the dtype that two arrays become together, as in PyTorch.

    A higher kind wins over a lower one (bool, integer, float), whatever the sizes; within a kind the array with
    axes wins over the one without; else the larger dtype.
    """
    if a == b:
        return a
    rank_a, rank_b = _RANK[a.kind], _RANK[b.kind]
    if rank_a != rank_b:
        return a if rank_a > rank_b else b
    if a_is_0d != b_is_0d:
        return b if a_is_0d else a
    result = np.promote_types(a, b)
    if result.kind == "f" and rank_a < 2:
        raise DTypeError(f"{op}: there is no integer dtype that holds both {a} and {b}; convert one with astype()")
    return result
