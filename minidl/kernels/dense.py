"""Dense layers with their activations, several one behind the other; see `_ext/dense.pyx`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from minidl import _ext
from minidl.kernels._common import Array, ByDtype, PlanByDtype, all_contiguous, contiguous, gradient_layout
from minidl.memory import new_array
from minidl.runtime import threads_for

__all__ = ["ACTIVATIONS", "DensePlan", "dense_plan", "dense_stack", "dense_stack_gradients", "fused_layers"]

# As the kernel numbers them.
ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid")
# Without BLAS's packing and calls, so much more work is over before a second thread has woken up.
_PACE = 8
# The kernel knows no more layers.
_MOST_LAYERS = 16
# Weights of a layer, at most, that stay in the L2 cache; of larger ones BLAS's packed products are ahead.
_MOST_WEIGHTS = 2**17


class DensePlan(NamedTuple):
    """Layers of some sizes."""

    # The input's size, then every layer's.
    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    # The plan as the kernels have it.
    compiled: PlanByDtype
    # The place of each gradient among all, weights' and biases' in turn, and its shape.
    gradients: tuple[tuple[slice, tuple[int, ...]], ...]
    size: int
    # As `threads_for` counts it, of a sample.
    work: int


def fused_layers(sizes: Sequence[int]) -> int:
    """Count the first layers that are faster as one operation; sizes are the input's, then every layer's."""
    count = 0
    for inputs, outputs in itertools.pairwise(sizes):
        if count == _MOST_LAYERS or inputs * outputs > _MOST_WEIGHTS:
            break
        count += 1
    return count


@lru_cache(maxsize=256)
def dense_plan(sizes: tuple[int, ...], activations: tuple[str, ...]) -> DensePlan:
    """Lay the layers out."""
    layers = list(zip(sizes, sizes[1:], map(ACTIVATIONS.index, activations), strict=False))
    gradients = gradient_layout([(outputs, inputs) for inputs, outputs, _ in layers])
    weights = sum(inputs * outputs for inputs, outputs, _ in layers)
    size = weights + sum(sizes[1:])
    return DensePlan(sizes, activations, PlanByDtype(_ext.dense, layers), gradients, size, weights // _PACE)


_forward = ByDtype(_ext.dense, "forward")
_backward = ByDtype(_ext.dense, "backward")


def dense_stack(
    x: Array, weights: Sequence[Array], biases: Sequence[Array | None], plan: DensePlan, keep: bool
) -> tuple[Array, Any]:
    """(N, I) through all layers, and (`keep`) what `dense_stack_gradients` needs besides."""
    N, dtype, kept = x.shape[0], x.dtype, None
    output = new_array((N, plan.sizes[-1]), dtype)
    if N:
        kept = _forward[dtype](
            plan.compiled[dtype], contiguous(x), all_contiguous(weights), all_contiguous(biases), output, keep,
            threads_for(N * plan.work),
        )  # fmt: skip
    return output, kept


def dense_stack_gradients(
    grad: Array, x: Array, weights: Sequence[Array], biases: Sequence[Array | None], plan: DensePlan, kept: Any,
    wants_input: bool,
) -> tuple[Array | None, list[Array]]:  # fmt: skip
    """The gradients of the input, if wanted, and of each weight and bias in turn."""
    N, dtype = grad.shape[0], grad.dtype
    grad_input = new_array((N, plan.sizes[0]) if wants_input else (0, 0), dtype)
    total = new_array((plan.size,), dtype)
    if N:
        _backward[dtype](
            plan.compiled[dtype], contiguous(grad), contiguous(x), all_contiguous(weights), all_contiguous(biases),
            kept, grad_input, total, threads_for(2 * N * plan.work),
        )  # fmt: skip
    else:
        total.fill(0)
    return grad_input if wants_input else None, [total[part].reshape(shape) for part, shape in plan.gradients]
