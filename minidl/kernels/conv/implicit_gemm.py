"""Convolution as a matrix product of our own, whose operands are gathered tile by tile: four cuts of it.

Positions in the lanes (`correlation`), pixels of 1 x 1 kernels (`pointwise`), filters in the lanes (`filter_lanes`),
and a row for each tap (`tap_rows`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod

import numpy as np

from minidl.kernels._common import NOTHING, Array, shaped
from minidl.kernels.conv.algorithm import Algorithm, Plan
from minidl.kernels.conv.correlation import Correlation, forward_plan, input_plans, positions_cost, weight_plan
from minidl.kernels.conv.filter_lanes import (
    filter_lanes_conv2d,
    filter_lanes_cost,
    filter_lanes_weight_gradient,
)
from minidl.kernels.conv.pointwise import is_pointwise, pointwise_product
from minidl.kernels.conv.problem import ConvProblem
from minidl.kernels.conv.tap_rows import tap_rows_cost, tap_rows_input_gradient
from minidl.memory import new_array, workspace
from minidl.runtime import threads_for

__all__ = ["FILTERS", "POINTWISE", "POSITIONS", "TAPS"]


def _why_grouped(problem: ConvProblem) -> str | None:
    return None if problem.groups == 1 else f"it takes 1 group, got {problem.groups}"


def _why_empty(problem: ConvProblem) -> str | None:
    return "there is nothing to multiply" if problem.is_empty else _why_grouped(problem)


def _arguments(problem: ConvProblem) -> tuple[int, int, int]:
    return problem.N, problem.C, problem.F


# Positions in the lanes: every direction, and what is empty.


def _positions_cost(problem: ConvProblem) -> float:
    if problem.is_empty:
        return 0.0
    return positions_cost(problem.direction, *_arguments(problem), problem.window, problem.itemsize)


def _positions_plan(problem: ConvProblem) -> Plan:
    plan = _plan_of_nothing if problem.is_empty else _POSITIONS[problem.direction]
    return plan(problem)


def _plan_of_nothing(problem: ConvProblem) -> Plan:
    dtype = problem.dtype
    if problem.direction == "input":
        return lambda grad, weight: np.zeros(problem.image_shape, dtype)
    if problem.direction == "weight":
        return lambda x, grad: np.zeros(problem.filters_shape, dtype)

    def compute(x: Array, weight: Array, bias: Array | None) -> Array:
        output = new_array(problem.output_shape, dtype)
        output[...] = 0 if bias is None else bias[:, None, None]
        return output

    return compute


def _run(
    plan: Correlation, sizes: tuple[int, int, int], image: Array, weight: Array, output: Array,
    bias: Array | None = None,
) -> None:  # fmt: skip
    """The arrays have so many numbers; the bias is that of the rows."""
    dtype, (pixels, weights, biases) = output.dtype, sizes
    threads = threads_for(plan.work)
    with (
        workspace(1, plan.packed, dtype) as packed,
        workspace(1, plan.split, dtype) as split,
        workspace(threads, plan.columns, dtype) as columns,
    ):
        plan.compiled.run(
            shaped(image, pixels), shaped(weight, weights),
            NOTHING[dtype] if bias is None else shaped(bias, biases), output.reshape(-1), packed[0], split[0],
            columns, threads,
        )  # fmt: skip


def _writing(shape: tuple[int, ...], dtype: np.dtype, write: Callable[..., None]) -> Plan:
    """A plan for a direction with an optional bias behind its operands, from what writes into a new array."""

    def compute(first: Array, second: Array, bias: Array | None = None) -> Array:
        output = new_array(shape, dtype)
        write(first, second, output, bias)
        return output

    return compute


def _forward(problem: ConvProblem) -> Plan:
    (N, C, F), window = _arguments(problem), problem.window
    sizes = N * C * prod(window.input_size), F * C * window.taps, F
    plan = forward_plan(N, C, F, window, problem.itemsize)
    return _writing(problem.output_shape, problem.dtype, partial(_run, plan, sizes))


def _input_gradient(problem: ConvProblem) -> Plan:
    (N, C, F), window, shape, dtype = _arguments(problem), problem.window, problem.image_shape, problem.dtype
    plans, unseen = input_plans(N, C, F, window, problem.itemsize)
    sizes = N * F * window.positions, F * C * window.taps, C

    def compute(grad: Array, weight: Array) -> Array:
        output = new_array(shape, dtype)
        if unseen:
            output.fill(0)
        for plan in plans:
            _run(plan, sizes, grad, weight, output)
        return output

    return compute


def _weight_gradient(problem: ConvProblem) -> Plan:
    (N, C, F), window, shape, dtype = _arguments(problem), problem.window, problem.filters_shape, problem.dtype
    work = problem.products
    pixels, positions = N * C * prod(window.input_size), N * F * window.positions

    def compute(x: Array, grad: Array) -> Array:
        output, threads = new_array(shape, dtype), threads_for(work)
        plan = weight_plan(N, C, F, window, dtype.itemsize, threads)
        matrix, count = output.reshape(F, -1), prod(plan.sums)
        # A single sum of whole tiles goes straight to the result.
        is_in_place = plan.sums == (1, *matrix.shape)
        with (
            workspace(1, 0 if is_in_place else count, dtype) as rows,
            workspace(1, plan.split, dtype) as split,
            workspace(threads, plan.scratch, dtype) as scratch,
        ):
            sums = (output if is_in_place else rows[0, :count]).reshape(plan.sums)
            plan.compiled.run(shaped(x, pixels), shaped(grad, positions), sums, matrix, split[0], scratch, threads)
        return output

    return compute


_POSITIONS: dict[str, Callable[[ConvProblem], Plan]] = {
    "forward": _forward,
    "input": _input_gradient,
    "weight": _weight_gradient,
}


# 1 x 1 kernels: images are the other operand as they lie.


def _why_not_pointwise(problem: ConvProblem) -> str | None:
    if not is_pointwise(problem.window, problem.itemsize):
        return "it takes 1 x 1 kernels with stride 1 and without padding, on images of a vector's pixels or more"
    if problem.direction == "weight":
        return "it computes the forward pass and the input's gradient"
    return _why_empty(problem)


def _pointwise_cost(problem: ConvProblem) -> float:
    # It does what positions in the lanes do, without gathering; where it applies it has replaced rows for taps, too.
    cost = _positions_cost(problem)
    return min(cost, _taps_cost(problem)) if problem.direction == "input" else cost


def _pointwise_plan(problem: ConvProblem) -> Plan:
    (N, C, F), P = _arguments(problem), problem.window.positions
    if problem.direction == "forward":
        return _writing(problem.output_shape, problem.dtype, pointwise_product(N, C, F, P, False, problem.dtype))
    return _writing(problem.image_shape, problem.dtype, pointwise_product(N, F, C, P, True, problem.dtype))


# Filters in the lanes.


def _why_not_filters(problem: ConvProblem) -> str | None:
    reason = _why_empty(problem)
    if reason is None and problem.direction == "input":
        reason = "it computes the forward pass and the weight's gradient"
    return reason


def _filters_cost(problem: ConvProblem) -> float:
    return filter_lanes_cost(problem.direction, *_arguments(problem), problem.window, problem.itemsize)


def _filters_plan(problem: ConvProblem) -> Plan:
    function = filter_lanes_conv2d if problem.direction == "forward" else filter_lanes_weight_gradient
    return function(*_arguments(problem), problem.window, problem.dtype)


# A row for each channel and tap.


def _why_not_taps(problem: ConvProblem) -> str | None:
    reason = _why_empty(problem)
    if reason is None and problem.direction != "input":
        reason = "it computes the input's gradient alone"
    return reason


def _taps_cost(problem: ConvProblem) -> float:
    return tap_rows_cost(*_arguments(problem), problem.window, problem.itemsize)


def _taps_plan(problem: ConvProblem) -> Plan:
    write = tap_rows_input_gradient(*_arguments(problem), problem.window, problem.dtype)
    shape, dtype = problem.image_shape, problem.dtype

    def compute(grad: Array, weight: Array) -> Array:
        output = new_array(shape, dtype)
        write(grad, weight, output)
        return output

    return compute


_FAMILY = "implicit_gemm"
POINTWISE = Algorithm("implicit_gemm_pointwise", _FAMILY, _why_not_pointwise, _pointwise_cost, _pointwise_plan)
POSITIONS = Algorithm("implicit_gemm_positions", _FAMILY, _why_grouped, _positions_cost, _positions_plan)
FILTERS = Algorithm("implicit_gemm_filters", _FAMILY, _why_not_filters, _filters_cost, _filters_plan)
TAPS = Algorithm("implicit_gemm_taps", _FAMILY, _why_not_taps, _taps_cost, _taps_plan)
