"""Dense layers with their activations, several one behind the other; see `_ext/dense.pyx`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minidl import _ext
from minidl.kernels._common import NOTHING, Array, all_contiguous, by_dtype, contiguous
from minidl.memory import new_array, workspace
from minidl.runtime import threads_for

__all__ = ["ACTIVATIONS", "DensePlan", "DenseState", "dense_plan", "dense_stack", "dense_stack_gradients"]

# As the kernel numbers them.
ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid")
_LANES = 16
# Fewer samples than fill half of a block go one by one, and have no lanes.
_FEW = 8
_NO_LANES = {dtype: np.empty((1, 0), dtype) for dtype in NOTHING}
# Without BLAS's packing and calls, so much more work is over before a second thread has woken up.
_PACE = 8


class DensePlan(NamedTuple):
    """Layers of some sizes; `outputs` and `rows` count a sample's features in all layers, and in all but the last."""

    # The input's size, then every layer's.
    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    packed: Array
    outputs: int
    rows: int
    widest: int
    weights: int


class DenseState(NamedTuple):
    """What the gradients need of a forward pass."""

    x: Array
    lanes: Array
    rows: Array


@lru_cache(maxsize=256)
def dense_plan(sizes: tuple[int, ...], activations: tuple[str, ...]) -> DensePlan:
    """Lay the layers out."""
    layers = zip(sizes, sizes[1:], map(ACTIVATIONS.index, activations), strict=False)
    packed = np.array(list(layers), np.intp)
    packed.setflags(write=False)
    outputs, weights = sum(sizes[1:]), sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))
    return DensePlan(sizes, activations, packed, outputs, outputs - sizes[-1], max(sizes), weights)


_forward = by_dtype(_ext.dense.forward)
_backward = by_dtype(_ext.dense.backward)


def dense_stack(
    x: Array, weights: Sequence[Array], biases: Sequence[Array | None], plan: DensePlan, keep: bool
) -> tuple[Array, DenseState | None]:
    """(N, I) through all layers, and (`keep`) what `dense_stack_gradients` needs."""
    N, dtype = x.shape[0], x.dtype
    x, arrays = contiguous(x), (all_contiguous(weights), all_contiguous(biases))
    output = new_array((N, plan.sizes[-1]), dtype)
    if N < _FEW and not keep:
        if N:
            rows, nothing = np.empty(N * plan.rows + 1, dtype), _NO_LANES[dtype]
            _forward[dtype](x, *arrays, plan.packed, nothing, rows, nothing, output, False, 1)
        return output, None
    blocks = -(-N // _LANES)
    threads = threads_for(N * plan.weights // _PACE)
    rows = new_array((max(N * plan.rows, 1),), dtype)
    lanes = new_array((blocks if keep else 2 * min(threads, blocks), plan.outputs * _LANES), dtype)
    if N:
        with workspace(threads, 2 * plan.sizes[0] * _LANES, dtype) as scratch:
            _forward[dtype](
                x, *arrays, plan.packed, lanes, rows, scratch, output, keep, threads if keep else min(threads, blocks),
            )  # fmt: skip
    return output, DenseState(x, lanes, rows) if keep else None


def dense_stack_gradients(
    grad: Array, weights: Sequence[Array], biases: Sequence[Array | None], plan: DensePlan, state: DenseState,
    wants_input: bool,
) -> tuple[Array | None, list[Array], list[Array]]:  # fmt: skip
    """The gradients of the input, if wanted, and of all weights and biases."""
    N, dtype = grad.shape[0], grad.dtype
    threads = threads_for(2 * N * plan.weights // _PACE)
    grad_input = new_array((N, plan.sizes[0]) if wants_input else (0, 0), dtype)
    total = new_array((plan.weights + plan.outputs,), dtype)
    if N:
        with (
            workspace(threads, 2 * plan.sizes[0] * _LANES, dtype) as scratch,
            workspace(state.lanes.shape[0], plan.outputs * _LANES, dtype) as grads,
        ):
            _backward[dtype](
                contiguous(grad), state.x, all_contiguous(weights), all_contiguous(biases), plan.packed, state.lanes,
                state.rows, grads, scratch, grad_input, wants_input, total, plan.weights, threads,
            )  # fmt: skip
    else:
        total.fill(0)
    grad_weights, grad_biases, at, bias_at = [], [], 0, plan.weights
    for weight in weights:
        grad_weights.append(total[at : at + weight.size].reshape(weight.shape))
        grad_biases.append(total[bias_at : bias_at + weight.shape[0]])
        at += weight.size
        bias_at += weight.shape[0]
    return grad_input if wants_input else None, grad_weights, grad_biases
