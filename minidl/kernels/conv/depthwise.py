"""Depthwise convolution and its gradients: how planes lie in the workspace, and how work is cut."""

from __future__ import annotations

from functools import lru_cache, partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from minidl import _ext
from minidl.errors import ShapeError
from minidl.geometry import Pair, Window
from minidl.kernels._common import NOTHING, Array, shaped
from minidl.kernels.conv.algorithm import Algorithm, Plan, lanes
from minidl.kernels.conv.direct import why_too_wide
from minidl.kernels.conv.problem import ConvProblem
from minidl.memory import new_array, workspace
from minidl.runtime import threads_for

__all__ = ["DEPTHWISE", "depthwise2d", "depthwise2d_input_gradient", "depthwise2d_weight_gradient"]

# Bytes of the L1 cache that a band of padded rows may take.
_BAND_BYTES = 16 * 1024
# Neighbouring planes that the weight gradient reads before it goes on to the next sample.
_BLOCK_BYTES = 16 * 1024
_MOST_BLOCK = 16
_FEWEST_ITEMS = 16
# Planes that are copied before the first of them is computed.
_MOST_AHEAD = 8


class Layout(NamedTuple):
    """The way planes are read, as the kernel does it, and what Python needs of that. Sizes are in elements."""

    compiled: Any
    lanes: int
    plane_step: int
    elements: int


class WeightPlan(NamedTuple):
    """The weight gradient: blocks of channels times chunks of the batch."""

    compiled: Any
    elements: int
    chunks: int


def _layout(
    size: Pair, padding: Pair, gap: Pair, kernel: Pair, stride: Pair, dilation: Pair, output: Pair, planes: int,
    itemsize: int, rows_of_kernel: int | None = None,
) -> Layout:  # fmt: skip
    """Planes of `size` with `padding` and zeros between (`gap`), as a window over them reads them."""
    wide, narrow = (width // itemsize for width in _ext.depthwise.either.vector_bytes())
    use_narrow = -(-output[1] // narrow) * narrow < -(-output[1] // wide) * wide
    lanes = narrow if use_narrow else wide
    kernel_height = kernel[0] if rows_of_kernel is None else rows_of_kernel
    split = stride[1]
    columns = (output[1] - 1) * split + (kernel[1] - 1) * dilation[1] + 1
    part = -(-columns // split)
    # Rows begin where vectors do, so that one of the taps is aligned.
    pitch = -(-part * split // lanes) * lanes

    def seen(rows: int) -> int:
        return (rows - 1) * stride[0] + (kernel_height - 1) * dilation[0] + 1

    # Bands of as many rows of the output as fit, but at least as many as make up for the rows that two bands share.
    fitting = (_BAND_BYTES // (pitch * itemsize * planes) - seen(1)) // stride[0] + 1
    band = max(fitting, 2 * (kernel_height - 1) * dilation[0] // stride[0], 7)
    bands = -(-output[0] // band)
    plane_step = seen(-(-output[0] // bands)) * pitch
    square = planes == 1 and stride[0] == stride[1] and dilation == (1, 1)
    # A few small planes at once, if whole ones fit.
    ahead = min(max(_BAND_BYTES // (plane_step * planes * itemsize), 1), _MOST_AHEAD) if bands == 1 else 1
    begin = -max(padding[1], 0) % lanes if split == 1 else 0
    column = [k * dilation[1] % split * part + k * dilation[1] // split for k in range(kernel[1])]
    layout = dict(
        height=size[0], width=size[1], top=padding[0], left=padding[1], gap_height=gap[0], gap_width=gap[1],
        columns=columns, split=split, part=part, pitch=pitch, plane_step=plane_step, planes=planes,
        kernel_height=kernel_height, kernel_width=kernel[1], stride=stride[0], dilation=dilation[0], square=square,
        out_height=output[0], out_width=output[1], bands=bands, narrow=use_narrow, ahead=ahead, begin=begin,
    )  # fmt: skip
    # The last row's loads may reach a vector beyond it.
    elements = begin + ahead * planes * plane_step + wide
    compiled = _ext.depthwise[itemsize].Plan(layout, np.array(column, np.intp), elements)
    return Layout(compiled, lanes, plane_step, elements)


@lru_cache(maxsize=1024)
def _forward_layout(window: Window, itemsize: int) -> Layout:
    return _layout(
        window.input_size, (window.padding.top, window.padding.left), (1, 1), window.kernel_size, window.stride,
        window.dilation, window.output_size, 1, itemsize,
    )  # fmt: skip


def _halves(window: Window, multiplier: int) -> bool:
    """Whether the input gradient has a kernel of its own: stride 2, and one parity of both paddings."""
    return (
        multiplier == 1
        and window.kernel_size in ((3, 3), (5, 5))
        and window.stride == (2, 2)
        and window.dilation == (1, 1)
        and window.padding.top % 2 == window.padding.left % 2
    )


@lru_cache(maxsize=1024)
def _gradient_layout(window: Window, multiplier: int, itemsize: int) -> Layout:
    """The way the output's gradient is read for the input gradient, of whose planes `multiplier` are summed."""
    (KH, KW), (DH, DW) = window.kernel_size, window.dilation
    top, left = window.padding.top, window.padding.left
    if _halves(window, multiplier):
        # Output row oh sees pixels of block m through tap kh where 2 oh + kh = 2 m + (0 or 1) + top.
        odd = top % 2
        last = (KH - 1 - odd) // 2
        blocks = -(-window.input_size[0] // 2), -(-window.input_size[1] // 2)
        return _layout(
            window.output_size, (last - top // 2, last - left // 2), (1, 1), (KH, KW), (1, 1), (1, 1), blocks,
            multiplier, itemsize, last + odd + 1,
        )  # fmt: skip
    return _layout(
        window.output_size, ((KH - 1) * DH - top, (KW - 1) * DW - left), window.stride, window.kernel_size, (1, 1),
        window.dilation, window.input_size, multiplier, itemsize,
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _weight_plan(window: Window, N: int, C: int, multiplier: int, itemsize: int) -> WeightPlan:
    layout = _forward_layout(window, itemsize)
    H, W = window.input_size
    block = min(max(_BLOCK_BYTES // (H * W * itemsize), 1), _MOST_BLOCK, max(C // _FEWEST_ITEMS, 1))
    chunks = max(min(N, -(-_FEWEST_ITEMS // -(-C // block))), 1)
    line = 64 // itemsize
    grad_at = -(-(layout.elements + block * layout.plane_step) // line) * line
    copied = block * multiplier * window.output_size[0] * layout.lanes if window.output_size[1] < layout.lanes else 0
    sums_at = -(-(grad_at + copied) // line) * line
    elements = sums_at + block * multiplier * window.taps * layout.lanes
    cut = dict(block=block, grad_at=grad_at, sums_at=sums_at, lanes=layout.lanes)
    compiled = _ext.depthwise[itemsize].WeightGradient(layout.compiled, cut, elements)
    return WeightPlan(compiled, elements, chunks)


def _check_filters(F: int, C: int) -> None:
    if not C or F % C:
        raise ShapeError(f"kernels: each of {C} channels has as many filters as any other, there are {F}")


def depthwise2d(x: Array, weight: Array, bias: Array | None, window: Window) -> Array:
    """(N, C, H, W) and (F, 1, KH, KW), F a multiple of C, to (N, F, OH, OW): F / C filters see each channel."""
    N, C = x.shape[:2]
    F, dtype = weight.shape[0], x.dtype
    _check_filters(F, C)
    layout = _forward_layout(window, dtype.itemsize)
    output = new_array((N, F, *window.output_size), dtype)
    if not N:
        return output
    threads = threads_for(N * F * window.positions * window.taps)
    with workspace(threads, layout.elements, dtype) as rows:
        layout.compiled.correlate(
            shaped(x, N * C, prod(window.input_size)), shaped(weight, F, window.taps),
            NOTHING[dtype] if bias is None else shaped(bias, F),
            output.reshape(N * F, window.positions), rows, threads,
        )  # fmt: skip
    return output


def depthwise2d_input_gradient(grad: Array, weight: Array, window: Window, channels: int) -> Array:
    """(N, F, OH, OW) and (F, 1, KH, KW) to (N, C, H, W)."""
    N, F = grad.shape[:2]
    dtype = grad.dtype
    _check_filters(F, channels)
    layout = _gradient_layout(window, F // channels, dtype.itemsize)
    output = new_array((N, channels, *window.input_size), dtype)
    if not N:
        return output
    threads = threads_for(N * F * window.positions * window.taps)
    planes = shaped(grad, N * F, window.positions)
    with workspace(threads, layout.elements, dtype) as rows:
        if _halves(window, F // channels):
            layout.compiled.spread(
                planes, shaped(weight, F, window.taps), output.reshape(N * channels, *window.input_size),
                bool(window.padding.top % 2), rows, threads,
            )  # fmt: skip
        else:
            turned = shaped(weight[:, :, ::-1, ::-1], F, window.taps)
            layout.compiled.correlate(planes, turned, NOTHING[dtype], output.reshape(N * channels, -1), rows, threads)
    return output


def depthwise2d_weight_gradient(x: Array, grad: Array, window: Window) -> Array:
    """(N, C, H, W) and (N, F, OH, OW) to (F, 1, KH, KW)."""
    N, C = x.shape[:2]
    F, dtype = grad.shape[1], x.dtype
    _check_filters(F, C)
    plan = _weight_plan(window, N, C, F // C, dtype.itemsize)
    if not N:
        return np.zeros((F, 1, *window.kernel_size), dtype)
    threads = threads_for(N * F * window.positions * window.taps)
    partial = new_array((plan.chunks, F, window.taps), dtype)
    with workspace(threads, plan.elements, dtype) as rows:
        plan.compiled.run(
            shaped(x, N * C, prod(window.input_size)), shaped(grad, N * F, window.positions), C, partial, rows, threads
        )
    total = partial[0].reshape(F, 1, *window.kernel_size)
    # Not a view of all partial sums, which would live as long as the gradient.
    return total if plan.chunks == 1 else total.copy()


def _why_unsupported(problem: ConvProblem) -> str | None:
    if not problem.is_depthwise:
        return f"it takes a group for each channel, got {problem.groups} for {problem.C} channels"
    return why_too_wide(problem.window)


def _cost(problem: ConvProblem) -> float:
    """An estimate of time, in vector multiply-adds."""
    return 2.0 * problem.products / lanes(problem.itemsize) + 0.5 * problem.moved


def _plan(problem: ConvProblem) -> Plan:
    if problem.direction == "input":
        return partial(depthwise2d_input_gradient, window=problem.window, channels=problem.C)
    function = depthwise2d if problem.direction == "forward" else depthwise2d_weight_gradient
    return partial(function, window=problem.window)


DEPTHWISE = Algorithm("depthwise", "direct", _why_unsupported, _cost, _plan)
