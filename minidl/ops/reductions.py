"""Sums, means, variances and extremes over dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from minidl import kernels
from minidl.autograd import Op, wrap
from minidl.errors import ShapeError, check_flag
from minidl.ops._common import as_tensor, check_floating, normal_dim, normal_dims, read_number
from minidl.ops.arithmetic import Sqrt, Where, div, mul
from minidl.ops.shapes import Reshape, Sum

Array = np.ndarray


def _kept(shape: tuple[int, ...], dims: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with sizes of 1 for the dimensions that were reduced."""
    return tuple([1 if d in dims else size for d, size in enumerate(shape)])


class Centre(Op):
    """x less its mean over dimensions: a projection, which is its own transpose and so its own gradient.

    Equal values are exactly 0, whatever their sum is rounded to, since the first of them is subtracted beforehand.
    """

    owns_gradients = True

    def __init__(self, dims: tuple[int, ...]) -> None:
        self.dims = dims

    def forward(self, x):
        first = x[tuple([slice(1) if d in self.dims else slice(None) for d in range(x.ndim)])]
        count = prod(x.shape[d] for d in self.dims)
        # An infinite first value would make all the others infinite.
        shifted = kernels.binary("sub", x, np.where(np.isfinite(first), first, x.dtype.type(0)))
        with np.errstate(all="ignore"):
            mean = kernels.sum_to(shifted, _kept(x.shape, self.dims)) / count
        return np.asarray(kernels.binary("sub", shifted, mean))

    def backward(self, grad):
        return Centre(self.dims)(grad)


class Variance(Op):
    """The sum of the squares of x less its mean, divided by `divisor`; its slope is 2 (x - mean) / divisor.

    Where the divisor is 0, the variance is infinite and so is its slope, and both are NaN where x does not vary.
    """

    owns_gradients = True

    def __init__(self, dims: tuple[int, ...], divisor: float, keepdim: bool) -> None:
        self.dims, self.divisor, self.keepdim = dims, divisor, keepdim

    def forward(self, x):
        self.save(x)
        centred = Centre(self.dims).forward(x)
        total = kernels.sum_to(centred, _kept(x.shape, self.dims), centred)
        with np.errstate(all="ignore"):
            y = np.asarray(total / self.divisor)
        return y if self.keepdim else y.squeeze(self.dims)

    def backward(self, grad):
        (x,) = self.saved
        slope = Centre(self.dims)(x)
        if self.divisor:
            slope = mul(slope, 2 / self.divisor)
        else:
            slope = wrap(np.where(slope.data == 0, np.nan, np.inf).astype(x.data.dtype))
        return mul(slope, Reshape(_kept(x.data.shape, self.dims))(grad))


class Deviation(Sqrt):
    """The square root of a variance, whose gradient is 0 where nothing varies, although the root's slope is infinite.

    0 is a subgradient there, since nothing is less than 0; PyTorch chooses it too.
    """

    row = "deviation"

    def backward(self, grad):
        (y,) = self.saved
        flat, zero = y.data == 0, wrap(np.zeros((), y.data.dtype))
        return Where(flat)(zero, div(grad, mul(Where(flat)(wrap(np.ones((), y.data.dtype)), y), 2)))


class Extremum(Op):
    """The largest or smallest value over dimensions, NaN if one is; equal ones share the gradient evenly.

    Where it is NaN nothing is equal to it, and the gradient of all values is NaN, as in PyTorch.
    """

    owns_gradients = True
    # The row of the table that says who shares the gradient.
    winner = "equal"

    def __init__(self, choose: Any, dims: tuple[int, ...], keepdim: bool) -> None:
        self.choose, self.dims, self.keepdim = choose, dims, keepdim

    def forward(self, x):
        kind = "max" if self.choose is np.max else "min"
        if kernels.is_reducible(kind, x, self.dims):
            y = kernels.reduce(kind, x, self.dims, True)
        else:
            y = np.asarray(self.choose(x, axis=self.dims, keepdims=True))
        if self.needs:
            self.save(x)
            # A copy, since the result may be changed in place.
            self.y = y.copy()
        return y if self.keepdim else np.asarray(y.squeeze(self.dims))

    def winners(self) -> tuple[Array, Array]:
        """Tell which values share a gradient: 1 or 0, and how many of them there are."""
        (x,) = self.saved_arrays()
        wins = kernels.binary(self.winner, x, self.y)
        return wins, kernels.sum_to(wins, self.y.shape)

    def backward(self, grad):
        wins, count = self.winners()
        return mul(Reshape(self.y.shape)(grad), wrap(kernels.binary("div", wins, count)))

    def backward_arrays(self, grad):
        wins, count = self.winners()
        return kernels.binary("mul", wins, kernels.binary("div", grad.reshape(self.y.shape), count))


class ExtremumOfAll(Extremum):
    """`Extremum`, where those that are NaN share the gradient if there are any, as in PyTorch's max() and min()."""

    winner = "same"

    def backward(self, grad):
        # Chosen, not multiplied by 0, which would make NaN of an infinite gradient.
        return Where(self.winners()[0] > 0)(super().backward(grad), wrap(np.zeros((), grad.data.dtype)))

    def backward_arrays(self, grad):
        wins, count = self.winners()
        share = kernels.binary("div", grad.reshape(self.y.shape), count)
        return kernels.binary("chosen", wins, share)


def sum(input: Any, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Any:
    """The sum over dimensions, all by default; integers and booleans become int64."""
    x = as_tensor("sum", "input", input)
    keepdim = check_flag("sum", "keepdim", keepdim)
    return Sum(normal_dims("sum", dim, x.data.ndim), keepdim)(x)


def mean(input: Any, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Any:
    """The mean over dimensions, all by default; NaN over nothing."""
    x = as_tensor("mean", "input", input)
    keepdim = check_flag("mean", "keepdim", keepdim)
    check_floating("mean", "input", x)
    dims = normal_dims("mean", dim, x.data.ndim)
    return div(Sum(dims, keepdim)(x), prod(x.data.shape[d] for d in dims))


def var(input: Any, dim: int | Sequence[int] | None = None, *, correction: float = 1, keepdim: bool = False) -> Any:
    """The variance over dimensions, divided by their count less `correction` (Bessel's, 1 by default)."""
    return _variance("var", input, dim, correction, keepdim)


def std(input: Any, dim: int | Sequence[int] | None = None, *, correction: float = 1, keepdim: bool = False) -> Any:
    """The standard deviation over dimensions; see `var`. Its gradient is 0 where nothing varies."""
    return Deviation()(_variance("std", input, dim, correction, keepdim))


def _variance(op: str, input: Any, dim: Any, correction: float, keepdim: bool) -> Any:
    x = as_tensor(op, "input", input)
    check_floating(op, "input", x)
    keepdim, less = check_flag(op, "keepdim", keepdim), read_number(op, "correction", correction)
    dims = normal_dims(op, dim, x.data.ndim)
    return Variance(dims, max(prod(x.data.shape[d] for d in dims) - less, 0), keepdim)(x)


def amax(input: Any, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Any:
    """The largest value over dimensions, all by default; equal ones share the gradient evenly."""
    return _extremum("amax", np.max, input, dim, keepdim)


def amin(input: Any, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Any:
    """The smallest value over dimensions, all by default; equal ones share the gradient evenly."""
    return _extremum("amin", np.min, input, dim, keepdim)


def largest(input: Any) -> Any:
    """The largest value of all; equal ones share the gradient evenly, and so do those that are NaN, if any."""
    return _extremum("max", np.max, input, None, False, ExtremumOfAll)


def smallest(input: Any) -> Any:
    """The smallest value of all; equal ones share the gradient evenly, and so do those that are NaN, if any."""
    return _extremum("min", np.min, input, None, False, ExtremumOfAll)


def _extremum(op: str, choose: Any, input: Any, dim: Any, keepdim: bool, kind: type[Extremum] = Extremum) -> Any:
    x = as_tensor(op, "input", input)
    keepdim = check_flag(op, "keepdim", keepdim)
    dims = normal_dims(op, dim, x.data.ndim)
    if prod(x.data.shape[d] for d in dims) == 0:
        raise ShapeError(f"{op}: no value to choose over dimensions {dims} of an input of shape {x.data.shape}")
    return kind(choose, dims, keepdim)(x)


def argmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The position of the first largest value, in the flattened tensor or along `dim`, as int64."""
    return _position("argmax", np.argmax, input, dim, keepdim)


def argmin(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The position of the first smallest value, in the flattened tensor or along `dim`, as int64."""
    return _position("argmin", np.argmin, input, dim, keepdim)


def _position(op: str, find: Any, input: Any, dim: int | None, keepdim: bool) -> Any:
    x = as_tensor(op, "input", input)
    keepdim = check_flag(op, "keepdim", keepdim)
    axis = None if dim is None else normal_dim(op, dim, x.data.ndim)
    if (x.data.size if axis is None or x.data.ndim == 0 else x.data.shape[axis]) == 0:
        raise ShapeError(f"{op}: no value to choose in an input of shape {x.data.shape}")
    if x.data.ndim == 0:
        return wrap(np.zeros((), np.int64))
    return wrap(np.asarray(find(x.data, axis=axis, keepdims=keepdim)))
