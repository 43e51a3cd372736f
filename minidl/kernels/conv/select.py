"""Plans for convolutions: the one way from a problem to what computes it, and the only reader of the precision."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minidl.geometry import Window
from minidl.kernels._common import Array
from minidl.kernels.conv.algorithm import Plan
from minidl.kernels.conv.autotune import is_measuring, measured_plan
from minidl.kernels.conv.problem import ConvProblem, Direction
from minidl.kernels.conv.registry import choose
from minidl.runtime import computed_once, get_precision

__all__ = ["ConvPlans", "conv2d", "conv2d_input_gradient", "conv2d_weight_gradient", "conv_plans", "plan_for"]


def plan_for(problem: ConvProblem, algorithm: str = "auto", measure: bool | None = None) -> Plan:
    """The plan of a problem, by an algorithm that is named or by the one that is estimated to be fastest.

    With `measure`, which `benchmark_algorithms` sets unless it is given, "auto" is the one that is measured to be so.
    """
    if algorithm == "auto" and (is_measuring() if measure is None else measure):
        return measured_plan(problem, _planned)
    return _planned(problem, algorithm)


@lru_cache(maxsize=4096)
def _planned(problem: ConvProblem, algorithm: str) -> Plan:
    return choose(problem, algorithm).plan(problem)


class ConvPlans:
    """The plans of one convolution in all directions, each made when it is first asked for.

    Whether algorithms are measured is settled when this is made, as the precision is, so that all directions agree.
    """

    def __init__(self, problem: ConvProblem, algorithm: str) -> None:
        self.problem, self.algorithm, self.measures = problem, algorithm, is_measuring()

    @computed_once
    def forward(self) -> Plan:
        """Takes the images, the filters and the bias or None."""
        return plan_for(self.problem.redirected("forward"), self.algorithm, self.measures)

    @computed_once
    def input_gradient(self) -> Plan:
        """Takes the output's gradient and the filters."""
        return plan_for(self.problem.redirected("input"), self.algorithm, self.measures)

    @computed_once
    def weight_gradient(self) -> Plan:
        """Takes the images and the output's gradient."""
        return plan_for(self.problem.redirected("weight"), self.algorithm, self.measures)


def conv_plans(
    N: int, C: int, F: int, groups: int, window: Window, dtype: np.dtype, algorithm: str = "auto",
    precision: str | None = None,
) -> ConvPlans:  # fmt: skip
    """Plans for N images of C channels and F filters, with the precision that is set unless one is given."""
    problem = ConvProblem("forward", N, C, F, groups, window, dtype, precision or get_precision())
    return ConvPlans(problem, algorithm)


def _plan(
    direction: Direction, N: int, C: int, F: int, groups: int, window: Window, dtype: np.dtype, algorithm: str,
    precision: str | None,
) -> Plan:  # fmt: skip
    problem = ConvProblem(direction, N, C, F, groups, window, dtype, precision or get_precision())
    return plan_for(problem, algorithm)


def conv2d(
    x: Array, weight: Array, bias: Array | None, window: Window, groups: int, algorithm: str = "auto",
    precision: str | None = None,
) -> Array:  # fmt: skip
    """(N, C, H, W) and (F, C / groups, KH, KW) to (N, F, OH, OW)."""
    N, C, _, _ = x.shape
    return _plan("forward", N, C, len(weight), groups, window, x.dtype, algorithm, precision)(x, weight, bias)


def conv2d_input_gradient(
    grad: Array, weight: Array, window: Window, groups: int, algorithm: str = "auto",
    precision: str | None = None,
) -> Array:  # fmt: skip
    """(N, F, OH, OW) and (F, C / groups, KH, KW) to (N, C, H, W)."""
    F, C, _, _ = weight.shape
    return _plan("input", len(grad), C * groups, F, groups, window, grad.dtype, algorithm, precision)(grad, weight)


def conv2d_weight_gradient(
    x: Array, grad: Array, window: Window, groups: int, algorithm: str = "auto",
    precision: str | None = None,
) -> Array:  # fmt: skip
    """(N, C, H, W) and (N, F, OH, OW) to (F, C / groups, KH, KW)."""
    N, C, _, _ = x.shape
    return _plan("weight", N, C, grad.shape[1], groups, window, x.dtype, algorithm, precision)(x, grad)
