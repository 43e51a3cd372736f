"""Normalising by mean and variance: one operation for batch, layer, group and instance normalisation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minidl import kernels
from minidl.autograd import Op, wrap
from minidl.ops.arithmetic import add, mul, sub
from minidl.ops.reductions import mean
from minidl.ops.shapes import Reshape, sum_to


class Layout(NamedTuple):
    """An input's sizes, seen as (shared, rows, groups, runs, positions).

    Each of rows and groups has statistics of its own, over all the rest. Each of groups and runs has a weight and a
    bias of its own, the same for all the rest.
    """

    shared: int
    rows: int
    groups: int
    runs: int
    positions: int

    @property
    def set_size(self) -> int:
        """The number of values that share their statistics."""
        return self.shared * self.runs * self.positions

    @property
    def parameter(self) -> tuple[int, ...]:
        """The shape of weight and bias."""
        return (1, 1, self.groups, self.runs, 1)


# The axes of a layout that statistics are over.
SHARED = (0, 3, 4)

# Mean and variance, one of each for each of rows and groups, in float64.
Statistics = tuple[np.ndarray, np.ndarray]


def _inverse_deviation(layout: Layout, eps: float, statistics: Statistics, dtype: np.dtype) -> np.ndarray:
    with np.errstate(all="ignore"):
        inverse = 1 / np.sqrt(statistics[1] + eps)
    return inverse.astype(dtype).reshape(1, layout.rows, layout.groups, 1, 1)


class Normalise(Op):
    """y = x' weight + bias, where x' = (x - mean) / sqrt(variance + eps).

    Statistics that are not constant are those of x: kept here after the first computation, and part of the gradient.
    With h = grad weight it is (h - mean(h) - x' mean(h x')) / sqrt(variance + eps) (Ioffe and Szegedy 2015).
    """

    owns_gradients = True

    def __init__(
        self, layout: Layout, eps: float, statistics: Statistics | None = None, is_constant: bool = False
    ) -> None:
        self.layout, self.eps, self.is_constant = layout, eps, is_constant
        self.statistics: Any = statistics

    def _run_parameter(self, parameter: np.ndarray | None) -> np.ndarray | None:
        return None if parameter is None else parameter.reshape(self.layout.groups, self.layout.runs)

    def forward(self, x, weight, bias):
        self.save(x, weight)
        self.parameter_shape = () if weight is None and bias is None else (bias if weight is None else weight).shape
        mean, variance = self.statistics or (None, None)
        y, *self.statistics = kernels.normalise(
            x.reshape(self.layout), self._run_parameter(weight), self._run_parameter(bias), self.eps, mean, variance
        )
        return y.reshape(x.shape)

    def backward(self, grad):
        x, weight = self.saved
        grad = Reshape(self.layout)(grad)
        grad_x = grad_weight = grad_bias = standard = None
        if self.needs[1] or not self.is_constant:
            again = Normalise(self.layout, self.eps, self.statistics, self.is_constant)
            standard = Reshape(self.layout)(again(x, None, None))
        if self.needs[0]:
            h = grad if weight is None else mul(grad, Reshape(self.layout.parameter)(weight))
            if self.is_constant:
                inverse = wrap(_inverse_deviation(self.layout, self.eps, self.statistics, x.data.dtype))
            else:
                inverse = InverseDeviation(self.layout, self.eps, self.statistics)(x)
                shared = mean(mul(h, standard), SHARED, True)
                h = sub(h, add(mean(h, SHARED, True), mul(standard, shared)))
            grad_x = Reshape(x.data.shape)(mul(h, inverse))
        if self.needs[1]:
            grad_weight = Reshape(self.parameter_shape)(sum_to(mul(grad, standard), self.layout.parameter))
        if self.needs[2]:
            grad_bias = Reshape(self.parameter_shape)(sum_to(grad, self.layout.parameter))
        return grad_x, grad_weight, grad_bias

    def backward_arrays(self, grad):
        x, weight = self.saved_arrays()
        mean, variance = self.statistics
        grad_x, *grads = kernels.normalise_gradient(
            grad.reshape(self.layout), x.reshape(self.layout), self._run_parameter(weight), self.eps, mean, variance,
            self.is_constant, self.needs,
        )  # fmt: skip
        return (
            None if grad_x is None else grad_x.reshape(x.shape),
            *(None if g is None else g.reshape(self.parameter_shape) for g in grads),
        )


class InverseDeviation(Op):
    """1 / sqrt(variance + eps) from the statistics of x; its slope is -x' / (n (variance + eps)) for n values."""

    owns_gradients = True

    def __init__(self, layout: Layout, eps: float, statistics: Statistics) -> None:
        self.layout, self.eps, self.statistics = layout, eps, statistics

    def forward(self, x):
        self.save(x)
        return _inverse_deviation(self.layout, self.eps, self.statistics, x.dtype)

    def backward(self, grad):
        (x,) = self.saved
        standard = Reshape(self.layout)(Normalise(self.layout, self.eps, self.statistics)(x, None, None))
        inverse = InverseDeviation(self.layout, self.eps, self.statistics)(x)
        slope = mul(mul(inverse, inverse), mul(standard, -1 / max(self.layout.set_size, 1)))
        return Reshape(x.data.shape)(mul(grad, slope))
