"""What the fuzzer puts in the place of valid arguments, and how it writes values down."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np

import minidl
from minidl import nn
from minidl.autograd import TensorBase
from minidl.errors import MinidlError

DTYPES = ("bool", "int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64")


def _nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def _cyclic() -> list:
    value: list = [1.0]
    value.append(value)
    return value


class Unreadable:
    """An array to NumPy's eye, until it is asked for."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("no array here")


def nothing(*args: Any, **kwargs: Any) -> None:
    """What takes anything and gives nothing."""


def same(*args: Any, **kwargs: Any) -> Any:
    """What gives back what it gets."""
    return args[0] if len(args) == 1 else args


class Quiet(nn.Module):
    """A model that takes anything and gives nothing."""

    def __init__(self) -> None:
        self.layer = nn.Dense(3, 2)

    def forward(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""


# Makers, since some of the values are used up or changed by a call.
HOSTILE: list[Callable[[], Any]] = [
    *(lambda v=v: v for v in (
        None, True, False, 0, 1, -1, 2, 3, 7, -5, 100, 2**31 - 1, 2**31, -(2**31), 2**32, 2**63 - 1, 2**63, -(2**63),
        2**70, 0.0, 0.5, 1.0, -1.0, 1.5, 1e-45, 1e-300, 1e30, 1e39, 1e308, math.nan, math.inf, -math.inf, 1j, 2 + 0j,
        Fraction(1, 2), "", "mean", "none", "float32", "cpu", "inf", "no such", "1", b"1", "\0", (), (0,), (1,), (-1,),
        (2, 3), (1, 2, 3, 4), (None,), (1.5, 2), (True, 1), (2**31, 2), (2**70,), ("a", "b"), ((1, 2), (3, 4)),
        frozenset({1}), slice(None), slice(0, 2), ..., NotImplemented, range(3), nothing, same, np,
    )),
    list, dict, set, object, Unreadable, _cyclic,
    *(lambda v=v: list(v) for v in (
        [0], [1, 2], [1.0, 2.0, 3.0], [[1.0], [2.0]], [[1.0], [2.0, 3.0]], [None], ["a"], [True], [1, "a"],
    )),
    lambda: [2**70], lambda: _nested(70), lambda: _nested(3), lambda: {"a": 1}, lambda: {1: 2.0},
    lambda: {"params": []}, lambda: iter([1, 2]), lambda: (i for i in range(3)), lambda: (v for v in [minidl.ones(2)]),
    lambda: bytearray(b"12"), lambda: memoryview(b"12"), lambda: np.random.default_rng(0),
    lambda: np.random.RandomState(0), lambda: Random(0), lambda: np.int64(1), lambda: np.int32(-1), lambda: np.uint8(3),
    lambda: np.float32(0.5), lambda: np.float64("nan"), lambda: np.bool_(True), lambda: np.str_("mean"),
    lambda: np.complex64(1), lambda: np.datetime64("2020-01-01"), lambda: np.array(1), lambda: np.array(0.5),
    lambda: np.array(True), lambda: np.array([True, False]), lambda: np.array([1, 2]), lambda: np.array([0.1, 0.2]),
    lambda: np.array(None), lambda: np.array(["a", "b"]), lambda: np.array([1, "a"], object),
    lambda: np.array([1j, 2j]), lambda: np.zeros(0), lambda: np.zeros((0, 3), "float32"),
    lambda: np.array([2**63], "uint64"),
    lambda: np.zeros(2, "datetime64[s]"), lambda: np.zeros(2, [("a", "f4")]),
    lambda: np.ma.masked_array([1.0, 2.0], [0, 1]), lambda: np.array([np.nan, np.inf, -np.inf, 1e38], "float32"),
    lambda: np.array([np.nan, -np.inf, 1e308, -1e308]), lambda: np.zeros((1,) * 32, "float32"),
    lambda: np.zeros((1,) * 64, "float32"), lambda: np.dtype("float64"), lambda: minidl.tensor(1),
    lambda: minidl.tensor(0.5), lambda: minidl.tensor(True), lambda: minidl.tensor([1, 2]),
    lambda: minidl.tensor([True, False]), lambda: minidl.ones(2, 3), lambda: minidl.ones(2, 3, dtype="float64"),
    lambda: minidl.ones(2, 3, requires_grad=True), lambda: minidl.ones(2, 3, requires_grad=True) * 2,
    lambda: minidl.zeros(0), lambda: minidl.zeros(0, 3), lambda: minidl.zeros(2, 3, 8, 9),
    lambda: minidl.tensor([math.nan, 1.0]), lambda: nn.Parameter(), lambda: nn.Parameter([1.0, 2.0]),
    Quiet, lambda: [minidl.ones(2, 3), minidl.ones(2, 3)],
    lambda: [minidl.ones(2), None], lambda: [minidl.ones(2), minidl.ones(3)], lambda: (minidl.ones(2), np.ones(2)),
    lambda: {"x": minidl.ones(2)}, lambda: [np.ones(2), np.ones(3)],
    lambda: minidl.optim.SGD([nn.Parameter([1.0])], lr=0.1), lambda: minidl.Padding(1, 1, 1, 1),
    lambda: minidl.Padding(-1, 0, 0, 0),
]  # fmt: skip


def _reshaped(random: Random, array: np.ndarray) -> Any:
    shape = list(array.shape)
    way = random.randrange(6)
    at = random.randrange(len(shape)) if shape else 0
    if way == 0 or not shape:
        shape.insert(random.randrange(len(shape) + 1), random.choice((1, 2, 0)))
    elif way == 1:
        del shape[at]
    elif way == 2:
        shape[at] = 0
    elif way == 3:
        shape[at] = random.choice((1, shape[at] + 1, max(shape[at] - 1, 0), 2 * shape[at], 17))
    elif way == 4:
        random.shuffle(shape)
    else:
        shape = [1] * random.choice((1, 5, 12, 33))
    if math.prod(shape) > 2**16:
        shape = shape[:1]
    return np.resize(array, shape).astype(array.dtype) if array.size else np.zeros(shape, array.dtype)


def _laid_out(random: Random, array: np.ndarray) -> Any:
    way = random.randrange(5)
    if way == 0:
        return np.asfortranarray(array)
    if way == 1:
        array = array.copy()
        array.flags.writeable = False
        return array
    if way == 2:
        return array[tuple(slice(None, None, -1) for _ in array.shape)]
    if way == 3:
        return np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array
    return np.broadcast_to(array[:1], array.shape) if array.ndim and array.size else array


def _of_other_values(random: Random, array: np.ndarray) -> Any:
    value = random.choice((math.nan, math.inf, -math.inf, 0, -1, 1e30, -1e30, 2**31 - 1, 100))
    array = array.copy()
    with np.errstate(all="ignore"):
        if array.size:
            filler = np.asarray(value, np.float64).astype(array.dtype)
            if random.random() < 0.5:
                array[...] = filler
            else:
                array.flat[random.randrange(array.size)] = filler
    return array


def _of_other_dtype(random: Random, array: np.ndarray) -> Any:
    with np.errstate(all="ignore"):
        return array.astype(random.choice((*DTYPES, "complex64", "object", "str", ">f4", "longdouble")))


def _mutated_array(random: Random, value: Any) -> Any:
    is_tensor = isinstance(value, TensorBase)
    array = value.data if is_tensor else value
    way = random.randrange(10)
    if way < 4:
        array = _reshaped(random, array)
    elif way < 6:
        array = _laid_out(random, array)
    elif way == 6:
        array = _of_other_values(random, array)
    elif way == 7:
        array = _of_other_dtype(random, array)
    elif way == 8:
        return random.choice((
            array.tolist, lambda: list(array) if array.ndim else array, lambda: minidl.Tensor(array),
        ))()  # fmt: skip
    else:
        return minidl.Tensor(array, requires_grad=array.dtype.kind == "f")
    can_be = array.dtype.kind in "biuf" and array.dtype.itemsize <= 8
    if is_tensor and can_be and random.random() < 0.8:
        return minidl.Tensor(array, requires_grad=value._requires_grad and array.dtype.kind == "f")
    return array


def mutated(random: Random, value: Any) -> Any:
    """A value that is like a valid one, in some way."""
    try:
        return _mutated(random, value)
    except (ValueError, OverflowError, TypeError, RuntimeError, MinidlError):
        # Some values have no neighbours: there is no -b"1".
        return hostile(random)


def _mutated(random: Random, value: Any) -> Any:
    if isinstance(value, TensorBase | np.ndarray) and value.dtype.kind in "biuf":
        return _mutated_array(random, value)
    if isinstance(value, bool | np.bool_):
        return random.choice((int(value), float(value), not value, np.array([value]), np.bool_(value), str(value)))
    if isinstance(value, int | np.integer):
        value = int(value)
        return random.choice((
            -value, 0, value + 1, value - 1, float(value), value + 0.5, 2**31 + value, 2**63 + value,
            np.int64(value % 2**62), np.array(value % 2**62), np.array([value]), minidl.tensor(value % 2**62), (value,),
            [value, value], (value, value, value), str(value), value * 100,
        ))  # fmt: skip
    if isinstance(value, float | np.floating):
        with np.errstate(all="ignore"):
            return random.choice((
                -value, 0.0, math.nan, math.inf, -math.inf, 1e-300, 1e300, np.float32(value), np.array(value),
                minidl.tensor(value), [value], [value, value], str(value), 3, 2**1100, complex(value),
            ))  # fmt: skip
    if isinstance(value, str):
        return random.choice((value.upper(), value + "x", value.encode(), "", [value], np.str_(value), (value,)))
    if type(value) in (tuple, list):
        return _mutated_sequence(random, value)
    if isinstance(value, dict) and value:
        found = dict(value)
        key = random.choice(list(found))
        if random.random() < 0.3:
            del found[key]
        else:
            found[key] = mutated(random, found[key]) if random.random() < 0.5 else hostile(random)
        return found
    return hostile(random)


def _mutated_sequence(random: Random, value: Any) -> Any:
    items = list(value)
    way = random.randrange(6)
    if items and way < 3:
        at = random.randrange(len(items))
        items[at] = mutated(random, items[at]) if way < 2 else hostile(random)
    elif way == 3:
        items.append(items[-1] if items else hostile(random))
    elif way == 4:
        items = items[:-1]
    else:
        return random.choice((list, tuple, iter, lambda v: np.array(v, object), lambda v: dict(enumerate(v))))(items)
    return type(value)(items)


def hostile(random: Random) -> Any:
    """Any of the hostile values."""
    return random.choice(HOSTILE)()


def described(value: Any, depth: int = 0) -> str:
    """A value in few words."""
    if isinstance(value, TensorBase):
        return f"Tensor({described(value.data, depth)}{', requires_grad=True' if value._requires_grad else ''})"
    if isinstance(value, np.ndarray):
        flags = "" if value.flags.c_contiguous else " strided"
        flags += "" if value.flags.writeable else " read-only"
        small = value.tolist() if value.size <= 4 and value.ndim < 3 and value.dtype.kind != "O" else ""
        return f"array{small}<{value.dtype} {value.shape}{flags}>"
    if type(value) in (list, tuple) and depth < 3:
        inner = ", ".join(described(item, depth + 1) for item in value[:5])
        return f"[{inner}]" if isinstance(value, list) else f"({inner},)"
    if type(value) is dict and depth < 3:
        return "{" + ", ".join(f"{k!r}: {described(v, depth + 1)}" for k, v in list(value.items())[:8]) + "}"
    if isinstance(value, np.generic):
        return f"np.{type(value).__name__}({value})"
    try:
        return f"{value!r:.60}".replace("\n", " ")
    except Exception as error:
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
