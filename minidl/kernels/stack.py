"""Convolution, bias, ReLU and max pooling, several times over, on blocks of 16 samples; see `_ext/stack.pyx`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from minidl import _ext
from minidl.geometry import Pair, Window
from minidl.kernels._common import Array, all_contiguous, by_dtype, contiguous
from minidl.kernels.choice import by_rows
from minidl.kernels.row_winograd import ROW_POINTS, row_scratch, rows_together
from minidl.memory import new_array, workspace
from minidl.runtime import threads_for

__all__ = ["LANES", "Stage", "StackPlan", "conv_stack", "conv_stack_gradients", "conv_stack_samples", "stack_plan"]

# Samples in a block.
LANES = 16
_MOST_FILTERS = 6


class Stage(NamedTuple):
    """A convolution of C channels to F, and what follows it: ReLU or nothing, max pooling with its window as stride."""

    window: Window
    channels: int
    filters: int
    relu: bool
    pool: Pair

    @property
    def output_size(self) -> Pair:
        """The height and width of what comes out."""
        return self.window.output_size[0] // self.pool[0], self.window.output_size[1] // self.pool[1]


class StackPlan(NamedTuple):
    """Where everything lies; sizes are in elements."""

    stages: tuple[Stage, ...]
    packed: Array
    # Of each stage, where its packed weights begin, and whether they are transformed.
    forward: tuple[tuple[int, bool], ...]
    by_channel: tuple[tuple[int, bool], ...]
    weights: int
    biases: int
    # As the kernels read them, forward and for the inputs' gradients.
    packed_weights: int
    packed_by_channel: int
    # Of a block.
    images: int
    places: int
    # Scratch, and where in it the stages' own begins: behind a block's outputs; behind the gradient of what a stage
    # gives, which that of its convolution's outputs follows.
    scratch: int
    work_at: int
    gradient_scratch: int
    gradient: int
    gradient_work_at: int
    work: int
    # Of a sample that goes alone: behind its padded input, where rows of a convolution's output begin, 16 filters'
    # pooled one, an image, weights and biases as such a sample reads them, and where they end.
    sample: tuple[int, ...]
    # (F, QH, QW) of the last stage.
    output_shape: tuple[int, int, int]


class _Methods(NamedTuple):
    """Which directions of a stage go by "winograd_rows"; the others go directly."""

    forward: bool
    input: bool
    weight: bool


def stack_plan(stages: tuple[Stage, ...]) -> StackPlan:
    """Lay the stages out."""
    # Outside of the cache, since they depend on the precision that is asked for.
    methods = [
        _Methods(*(by_rows(direction, C, F, window) for direction in ("forward", "input", "weight")))
        for window, C, F, _, _ in stages
    ]
    return _laid_out(stages, tuple(methods))


@lru_cache(maxsize=256)
def _laid_out(stages: tuple[Stage, ...], methods: tuple[_Methods, ...]) -> StackPlan:
    packed = np.zeros((len(stages), 26), np.intp)
    sample = [0, 0, 0, 0]
    weight = bias = x = index = scratch = gradient = dy = work = by_filters = forward = by_channel = 0
    gradient_scratch = outputs = 0
    forward_packs: list[tuple[int, bool]] = []
    by_channel_packs: list[tuple[int, bool]] = []
    for i, ((window, C, F, relu, pool), method) in enumerate(zip(stages, methods, strict=True)):
        together = rows_together("input", window.output_size) if method.input else 0
        packed[i] = (
            *window.packed, C, F, relu, *pool, weight, bias, x, index, forward, by_channel, method.forward,
            method.weight, together,
        )  # fmt: skip
        rows, columns, _, grad_columns = _ext.stack.sizes(window.packed)
        OH, OW = window.output_size
        outputs = F * (OH // pool[0]) * (OW // pool[1])
        weight += F * C * window.taps
        bias += F
        x += C * rows * columns * LANES
        index += outputs * LANES
        KH, KW = window.kernel_size
        of_rows = C, F, KH, (OH, OW)
        forward_packs.append((forward, method.forward))
        by_channel_packs.append((by_channel, method.input))
        forward += F * C * KH * (ROW_POINTS["forward"] if method.forward else KW)
        by_channel += F * C * KH * (ROW_POINTS["input"] if method.input else KW)
        if method.forward:
            scratch = max(scratch, row_scratch("forward", *of_rows, pool[0]) + pool[0] * OW * LANES)
        else:
            scratch = max(scratch, _MOST_FILTERS * pool[0] * OW * LANES)
        if method.input:
            gradient_scratch = max(gradient_scratch, row_scratch("input", *of_rows, together))
        if method.weight:
            gradient_scratch = max(gradient_scratch, row_scratch("weight", *of_rows, 0))
        gradient = max(gradient, outputs * LANES, C * window.input_size[0] * window.input_size[1] * LANES)
        dy = max(dy, F * OH * grad_columns * LANES)
        work += F * C * window.taps * window.positions
        pooled = (OH // pool[0]) * (OW // pool[1]) * LANES
        parts = C * _ext.stack.sample_size(window.packed), pool[0] * OW * LANES, pooled, outputs
        sample = [max(pair) for pair in zip(sample, parts, strict=True)]
        by_filters += -(-F // LANES) * LANES * (C * window.taps + 1)
    packed.setflags(write=False)
    return StackPlan(
        stages, packed, tuple(forward_packs), tuple(by_channel_packs), weight, bias, forward, by_channel, x, index,
        outputs * LANES + scratch, outputs * LANES, gradient + dy + gradient_scratch, gradient, gradient + dy, work,
        tuple(accumulate((*sample, by_filters))), (stages[-1].filters, *stages[-1].output_size),
    )  # fmt: skip


_forward = by_dtype(_ext.stack.forward)
_backward = by_dtype(_ext.stack.backward)
_forward_samples = by_dtype(_ext.stack.forward_samples)
_pack_weight = by_dtype(_ext.stack.pack_weight)


def _packed_weights(weights: Sequence[Array], plan: StackPlan, by_channel: bool, transformed: bool = True) -> Array:
    dtype = weights[0].dtype
    packed = np.empty(plan.packed_by_channel if by_channel else plan.packed_weights, dtype)
    for weight, (start, by_points) in zip(weights, plan.by_channel if by_channel else plan.forward, strict=True):
        F, C = weight.shape[:2]
        _pack_weight[dtype](contiguous(weight).reshape(F, C, -1), packed[start:], by_channel, by_points and transformed)
    return packed


def conv_stack(
    x: Array, weights: Sequence[Array], biases: Sequence[Array | None], plan: StackPlan, keep: bool
) -> tuple[Array, Array | None, Array | None]:
    """(N, C, H, W) through all stages, and (`keep`) what `conv_stack_gradients` needs: blocks of images, places.

    Without, no stage goes by Winograd's method, so that a sample's bits are those of `conv_stack_samples`.
    """
    N, dtype = x.shape[0], x.dtype
    blocks = -(-N // LANES)
    threads = threads_for(N * plan.work)
    output = new_array((N, *plan.output_shape), dtype)
    rows = blocks if keep else min(threads, blocks)
    images, index = new_array((rows, plan.images), dtype), new_array((rows, plan.places), dtype)
    together = np.zeros(plan.biases, dtype)
    at = 0
    for stage, bias in zip(plan.stages, biases, strict=True):
        if bias is not None:
            together[at : at + stage.filters] = bias
        at += stage.filters
    if N:
        with workspace(threads, plan.scratch, dtype) as scratch:
            _forward[dtype](
                contiguous(x), plan.packed, _packed_weights(weights, plan, False, keep), together, images, index,
                scratch, plan.work_at, output.reshape(N, -1), keep, min(threads, rows) if not keep else threads,
            )  # fmt: skip
    return (output, images, index) if keep else (output, None, None)


def conv_stack_samples(x: Array, weights: Sequence[Array], biases: Sequence[Array | None], plan: StackPlan) -> Array:
    """`conv_stack` for a few samples, none of which fills a block, without what the gradients need."""
    N, dtype = x.shape[0], x.dtype
    threads = min(threads_for(N * plan.work), N) if N > 1 else 1
    output = new_array((N, *plan.output_shape), dtype)
    if N:
        y_at, pooled_at, image_at, packed_at, elements = plan.sample
        with workspace(threads, elements, dtype) as scratch:
            _forward_samples[dtype](
                contiguous(x), plan.packed, all_contiguous(weights), all_contiguous(biases), scratch, y_at, pooled_at,
                image_at, packed_at, output, threads,
            )  # fmt: skip
    return output


def conv_stack_gradients(
    grad: Array, weights: Sequence[Array], plan: StackPlan, images: Any, index: Any, wants_image: bool
) -> tuple[Array | None, list[Array], list[Array]]:
    """The gradients of the images, if wanted, and of all weights and biases."""
    N, dtype = grad.shape[0], grad.dtype
    threads = threads_for(3 * N * plan.work)
    first = plan.stages[0]
    image = new_array((N, first.channels, *first.window.input_size) if wants_image else (0, 0, 0, 0), dtype)
    total = np.zeros(plan.weights + plan.biases, dtype)
    if N:
        with (
            workspace(threads, plan.gradient_scratch, dtype) as scratch,
            workspace(images.shape[0], plan.weights + plan.biases, dtype) as partial,
        ):
            _backward[dtype](
                contiguous(grad).reshape(N, -1), plan.packed, _packed_weights(weights, plan, True), images, index,
                scratch, partial, plan.weights, plan.gradient, plan.gradient_work_at, image, wants_image, total,
                threads,
            )  # fmt: skip
    grad_weights, grad_biases, at, bias_at = [], [], 0, plan.weights
    for weight, stage in zip(weights, plan.stages, strict=True):
        grad_weights.append(total[at : at + weight.size].reshape(weight.shape))
        grad_biases.append(total[bias_at : bias_at + stage.filters])
        at += weight.size
        bias_at += stage.filters
    return image if wants_image else None, grad_weights, grad_biases
