"""Convolution, bias, ReLU and max pooling, several times over, on blocks of 16 samples; see `_ext/stack.pyx`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from minidl import _ext
from minidl.geometry import Pair, Window
from minidl.kernels._common import Array, ByDtype, PlanByDtype, all_contiguous, contiguous, gradient_layout
from minidl.kernels.conv.direct import direct_cost, why_too_wide
from minidl.kernels.conv.problem import DIRECTIONS, ConvProblem, Direction
from minidl.kernels.conv.row_winograd import ROW_POINTS, WINOGRAD_ROWS, row_scratch, rows_together
from minidl.memory import new_array
from minidl.runtime import threads_for

__all__ = [
    "LANES",
    "Stage",
    "StackPlan",
    "takes_winograd_rows",
    "conv_stack",
    "conv_stack_gradients",
    "conv_stack_samples",
    "fused_stages",
    "stack_plan",
]

# Samples in a block.
LANES = 16
_MOST_FILTERS = 6
# The kernel knows no more stages.
_MOST_STAGES = 16
# Channels or filters, whichever are fewer, beyond which tiles of channels and BLAS are ahead of lanes of samples.
_MOST_CHANNELS = 16
# Bytes that a block's images or outputs take, at most, to stay in the cache from stage to stage.
_BLOCK_BYTES = 1024**2


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
    """The layout of stages one behind the other."""

    stages: tuple[Stage, ...]
    # The precision that the gradients were asked for with.
    precision: str
    # The plan as the kernels have it, with the places of everything.
    compiled: PlanByDtype
    # The place of each gradient among all, weights' and biases' in turn, and its shape.
    gradients: tuple[tuple[slice, tuple[int, ...]], ...]
    size: int
    # As `threads_for` counts it, of a sample.
    work: int
    # (F, QH, QW) of the last stage.
    output_shape: tuple[int, int, int]


class _Methods(NamedTuple):
    """The directions of a stage that go by "winograd_rows"; the others go directly."""

    forward: bool
    input: bool
    weight: bool


def _why_unsupported(stage: Stage) -> str | None:
    """Why the kernel takes no such stage, or None."""
    return why_too_wide(stage.window)


def _is_worthwhile(stage: Stage, itemsize: int) -> bool:
    """Whether blocks of samples are expected to be faster than the layers one by one."""
    (H, W), window = stage.window.input_size, stage.window
    numbers = max(stage.channels * (H + 2) * (W + 2), stage.filters * window.positions)
    return min(stage.channels, stage.filters) <= _MOST_CHANNELS and numbers * LANES * itemsize <= _BLOCK_BYTES


def fused_stages(stages: Sequence[Stage], itemsize: int) -> int:
    """Count the first stages that the kernel takes as one operation, and faster than one by one."""
    count = 0
    for stage in stages[:_MOST_STAGES]:
        if _why_unsupported(stage) is not None or not _is_worthwhile(stage, itemsize):
            break
        count += 1
    return count


def takes_winograd_rows(direction: Direction, C: int, F: int, window: Window, precision: str) -> bool:
    """Whether blocks of samples side by side go by "winograd_rows", not by "direct"."""
    problem = ConvProblem(direction, LANES, C, F, 1, window, np.dtype(np.float32), precision)
    if WINOGRAD_ROWS.why_unsupported(problem) is not None or not WINOGRAD_ROWS.within_precision(problem):
        return False
    return WINOGRAD_ROWS.cost(problem) < direct_cost(problem)


def stack_plan(stages: tuple[Stage, ...], precision: str) -> StackPlan:
    """Lay the stages out, for gradients with a precision."""
    methods = [
        _Methods(*(takes_winograd_rows(direction, C, F, window, precision) for direction in DIRECTIONS))
        for window, C, F, _, _ in stages
    ]
    return _laid_out(stages, tuple(methods), precision)


@lru_cache(maxsize=256)
def _laid_out(stages: tuple[Stage, ...], methods: tuple[_Methods, ...], precision: str) -> StackPlan:
    laid_out = []
    sample = [0, 0, 0, 0, 0]
    weight = bias = x = index = scratch = gradient = dy = work = sample_weights = forward = channel_packed = 0
    gradient_scratch = outputs = 0
    for (window, C, F, relu, pool), method in zip(stages, methods, strict=True):
        together = rows_together("input", window.output_size) if method.input else 0
        layout = dict(
            C=C, F=F, relu=relu, PH=pool[0], PW=pool[1], weight=weight, bias=bias, x=x, index=index, packed=forward,
            packed_by_channel=channel_packed, by_points=method.forward, weight_by_points=method.weight,
            input_by_points=together,
        )  # fmt: skip
        laid_out.append((window.packed, layout))
        rows, columns, _, grad_columns = _ext.stack.either.sizes(window.packed)
        (KH, KW), (OH, OW) = window.kernel_size, window.output_size
        outputs = F * (OH // pool[0]) * (OW // pool[1])
        weight += F * C * window.taps
        bias += F
        x += C * rows * columns * LANES
        index += outputs * LANES
        row_sizes = C, F, KH, (OH, OW)
        forward += F * C * KH * (ROW_POINTS["forward"] if method.forward else KW)
        channel_packed += F * C * KH * (ROW_POINTS["input"] if method.input else KW)
        if method.forward:
            scratch = max(scratch, row_scratch("forward", *row_sizes, pool[0]) + pool[0] * OW * LANES)
        else:
            scratch = max(scratch, _MOST_FILTERS * pool[0] * OW * LANES)
        if method.input:
            gradient_scratch = max(gradient_scratch, row_scratch("input", *row_sizes, together))
        if method.weight:
            gradient_scratch = max(gradient_scratch, row_scratch("weight", *row_sizes, 0))
        gradient = max(gradient, outputs * LANES, C * window.input_size[0] * window.input_size[1] * LANES)
        dy = max(dy, F * OH * grad_columns * LANES)
        work += F * C * window.taps * window.positions
        pooled = (OH // pool[0]) * (OW // pool[1]) * LANES
        parts = C * _ext.stack.either.sample_size(window.packed), pool[0] * OW * LANES, pooled, outputs, outputs
        sample = [max(pair) for pair in zip(sample, parts, strict=True)]
        sample_weights += -(-F // LANES) * LANES * (C * window.taps + 1)
    # Behind a block's outputs the stages' own scratch; behind the gradient of what a stage gives that of its
    # convolution's outputs. Of a sample alone: its padded input, rows of a convolution's output, 16 filters' pooled
    # one, two images, since a stage without padding reads one while it writes the other, and the weights and biases as
    # such a sample reads them.
    y_at, pooled_at, even_image_at, odd_image_at, filters_at, sample_scratch = accumulate((*sample, sample_weights))
    memory = dict(
        weights=weight, biases=bias, packed=forward, packed_by_channel=channel_packed, images=x, places=index,
        scratch=outputs * LANES + scratch, work_at=outputs * LANES,
        gradient_scratch=gradient + dy + gradient_scratch, dy_at=gradient, gradient_work_at=gradient + dy,
        y_at=y_at, pooled_at=pooled_at, even_image_at=even_image_at, odd_image_at=odd_image_at,
        by_filters_at=filters_at, sample_scratch=sample_scratch,
    )  # fmt: skip
    compiled = PlanByDtype(_ext.stack, laid_out, memory)
    last = stages[-1]
    gradients = gradient_layout([(F, C, *window.kernel_size) for window, C, F, _, _ in stages])
    return StackPlan(stages, precision, compiled, gradients, weight + bias, work, (last.filters, *last.output_size))


_forward = ByDtype(_ext.stack, "forward")
_backward = ByDtype(_ext.stack, "backward")
_forward_samples = ByDtype(_ext.stack, "forward_samples")


def conv_stack(
    x: Array, weights: Sequence[Array], biases: Sequence[Array | None], plan: StackPlan, keep: bool
) -> tuple[Array, Any]:
    """(N, C, H, W) through all stages, and (`keep`) what `conv_stack_gradients` needs.

    Without, no stage goes by Winograd's method, so that a sample's bits are those of `conv_stack_samples`.
    """
    N, dtype, kept = x.shape[0], x.dtype, None
    output = new_array((N, *plan.output_shape), dtype)
    if N:
        kept = _forward[dtype](
            plan.compiled[dtype], contiguous(x), all_contiguous(weights), all_contiguous(biases), output, keep,
            threads_for(N * plan.work),
        )  # fmt: skip
    return output, kept


def conv_stack_samples(x: Array, weights: Sequence[Array], biases: Sequence[Array | None], plan: StackPlan) -> Array:
    """`conv_stack` for a few samples, none of which fills a block, without what the gradients need."""
    N, dtype = x.shape[0], x.dtype
    output = new_array((N, *plan.output_shape), dtype)
    if N:
        threads = min(threads_for(N * plan.work), N) if N > 1 else 1
        _forward_samples[dtype](
            plan.compiled[dtype], contiguous(x), all_contiguous(weights), all_contiguous(biases), output, threads
        )  # fmt: skip
    return output


def conv_stack_gradients(
    grad: Array, weights: Sequence[Array], plan: StackPlan, kept: Any, wants_image: bool
) -> tuple[Array | None, list[Array]]:
    """The gradients of the images, if wanted, and of each weight and bias in turn."""
    N, dtype, first = grad.shape[0], grad.dtype, plan.stages[0]
    image = new_array((N, first.channels, *first.window.input_size) if wants_image else (0, 0, 0, 0), dtype)
    total = np.empty(plan.size, dtype)
    if N:
        _backward[dtype](
            plan.compiled[dtype],
            contiguous(grad),
            all_contiguous(weights),
            kept,
            image,
            total,
            threads_for(3 * N * plan.work),
        )
    else:
        total.fill(0)
    return image if wants_image else None, [total[part].reshape(shape) for part, shape in plan.gradients]
