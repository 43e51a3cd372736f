"""Element-wise ops of two inputs that broadcast, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from minidl import _ext
from minidl.kernels._common import Array, ByDtype, shaped
from minidl.kernels.reduce import is_reducible, reduce
from minidl.memory import new_array
from minidl.runtime import threads_for

__all__ = ["BINARY", "LEAST_VARIANCE", "binary", "is_large", "sum_to"]

_binary = ByDtype(_ext.binary, "binary")
_ROWS = {name: number for number, name in enumerate(_ext.binary.either.names())}


def _log_sigmoid(x: Array) -> Array:
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def _sigmoid(x: Array) -> Array:
    power = np.exp(-np.abs(x))
    return np.where(x < 0, power, x.dtype.type(1)) / (1 + power)


def _cross_entropy(x: Array, y: Array) -> Array:
    return (y - 1) * np.maximum(np.log1p(-x), -100) - y * np.maximum(np.log(x), -100)


def _shared(grad: Array, x: Array, y: Array) -> Array:
    return grad * np.where(x == y, 0.5, 1).astype(grad.dtype)


# A gradient is divided by no less than 1e-12 in single precision, as PyTorch has it whatever the dtype.
LEAST_VARIANCE = float(np.float32(1e-12))
# The rows of `_ext/binary_table.h` in NumPy's passes.
BINARY: dict[str, Callable[..., Array]] = {
    "add": lambda x, y, grad: x + y,
    "sub": lambda x, y, grad: x - y,
    "mul": lambda x, y, grad: x * y,
    "div": lambda x, y, grad: x / y,
    "maximum": lambda x, y, grad: np.maximum(x, y),
    "minimum": lambda x, y, grad: np.minimum(x, y),
    "div_other": lambda x, y, grad: -(grad * (x / y / y)),
    "maximum_input": lambda x, y, grad: np.where(x < y, grad.dtype.type(0), _shared(grad, x, y)),
    "maximum_other": lambda x, y, grad: np.where(x > y, grad.dtype.type(0), _shared(grad, x, y)),
    "minimum_input": lambda x, y, grad: np.where(x > y, grad.dtype.type(0), _shared(grad, x, y)),
    "minimum_other": lambda x, y, grad: np.where(x < y, grad.dtype.type(0), _shared(grad, x, y)),
    "pow": lambda x, y, grad: x**y,
    "pow_input": lambda x, y, grad: np.where(y == 0, grad.dtype.type(0), grad * (y * x ** (y - 1))),
    "pow_other": lambda x, y, grad: np.where((x == 0) & (y >= 0), grad.dtype.type(0), grad * (x**y * np.log(x))),
    "equal": lambda x, y, grad: (x == y).astype(x.dtype),
    "same": lambda x, y, grad: ((x == y) | ((x != x) & (y != y))).astype(x.dtype),
    "chosen": lambda x, y, grad: np.where(x == 0, x.dtype.type(0), y),
    "cross_entropy": lambda x, y, grad: _cross_entropy(x, y),
    "cross_entropy_input": lambda x, y, grad: grad * ((x - y) / np.maximum(x * (1 - x), LEAST_VARIANCE)),
    "cross_entropy_other": lambda x, y, grad: grad * (np.log(1 - x) - np.log(x)),
    "logit_cross_entropy": lambda x, y, grad: (1 - y) * x - _log_sigmoid(x),
    "logit_cross_entropy_input": lambda x, y, grad: grad * (_sigmoid(x) - y),
    "logit_cross_entropy_other": lambda x, y, grad: -(grad * x),
    "prelu": lambda x, y, grad: np.where(x > 0, x, y * x),
    "prelu_input": lambda x, y, grad: np.where(x > 0, grad, grad * y),
    "prelu_other": lambda x, y, grad: np.where(x > 0, grad.dtype.type(0), grad * x),
}
# For fewer numbers NumPy, which takes 0.5 us for ten of them, is faster than a call and two threads.
_FEWEST_NUMBERS = 2**16

Moves = tuple[bool, bool, bool]


def _collapsed(shape: tuple[int, ...], x: tuple[int, ...], y: tuple[int, ...]) -> tuple[tuple, Moves, Moves] | None:
    """(outer, middle, inner), and along which of them two inputs move; None where that is not all.

    Neighbouring axes along which both inputs move, or one of them repeats, are one.
    """
    x, y = (1,) * (len(shape) - len(x)) + x, (1,) * (len(shape) - len(y)) + y
    sizes: list[int] = []
    moves: list[tuple[bool, bool]] = []
    for size, x_size, y_size in zip(shape, x, y, strict=True):
        if size == 1:
            continue
        how = x_size != 1, y_size != 1
        if moves and moves[-1] == how:
            sizes[-1] *= size
        else:
            sizes.append(size)
            moves.append(how)
    if len(sizes) > 3 or (moves and not any(moves[-1])):
        return None
    missing = 3 - len(sizes)
    sizes, moves = [1] * missing + sizes, [(False, False)] * missing + moves
    x_moves, y_moves = zip(*moves, strict=True)
    return tuple(sizes), x_moves, y_moves


def is_large(x: Array, y: Array) -> bool:
    """Whether a kernel may be faster than NumPy for two inputs."""
    return x.size >= _FEWEST_NUMBERS or y.size >= _FEWEST_NUMBERS


def binary(name: str, x: Array, y: Array, grad: Array | None = None) -> Array:
    """A row of the table for two inputs that broadcast, and for gradients the gradient of the result."""
    if is_large(x, y):
        found = _strided(name, x, y, grad)
        if found is not None:
            return found
    # Infinities and NaN are results like any other here, as in PyTorch.
    with np.errstate(all="ignore"):
        return BINARY[name](x, y, grad)


def _strided(name: str, x: Array, y: Array, grad: Array | None) -> Array | None:
    """By the kernel; None for what it does not take: integers, other layouts, or broadcasting in many places."""
    if x.dtype != y.dtype or x.dtype.kind != "f" or not (x.flags.c_contiguous and y.flags.c_contiguous):
        return None
    # NumPy's function for shapes takes no more dimensions.
    if max(x.ndim, y.ndim) > 32:
        return None
    shape = np.broadcast_shapes(x.shape, y.shape)
    if not prod(shape) or (grad is not None and grad.shape != shape):
        return None
    collapsed = _collapsed(shape, x.shape, y.shape)
    if collapsed is None:
        return None
    out = new_array(shape, x.dtype)
    sizes, x_moves, y_moves = collapsed
    x_size, y_size = (prod(s for s, m in zip(sizes, moves, strict=True) if m) for moves in (x_moves, y_moves))
    to = out.reshape(sizes)
    _binary[out.dtype](
        _ROWS[name], to if grad is None else shaped(grad, *sizes), shaped(x, x_size), shaped(y, y_size), x_moves,
        y_moves, to, threads_for(out.size // 2),
    )  # fmt: skip
    return out


def sum_to(x: Array, shape: tuple[int, ...], factor: Array | None = None) -> Array:
    """The sum over what broadcasting had repeated, so that x, or its product with a factor, has `shape`."""
    extra = x.ndim - len(shape)
    axes = tuple(d for d in range(x.ndim) if d < extra or (shape[d - extra] == 1 and x.shape[d] != 1))
    # Runs of neighbouring axes, the last of them first.
    while axes:
        first = len(axes) - 1
        while first > 0 and axes[first - 1] == axes[first] - 1:
            first -= 1
        run, axes = axes[first:], axes[:first]
        if not is_reducible("sum", x, run):
            with np.errstate(all="ignore"):
                x = (x if factor is None else x * factor).sum(axis=run, keepdims=True)
        elif factor is None or (factor.shape == x.shape and factor.dtype == x.dtype):
            x = reduce("sum", x, run, True, factor)
        else:
            x = reduce("sum", binary("mul", x, factor), run, True)
        factor = None
    return (x if factor is None else binary("mul", x, factor)).reshape(shape)
