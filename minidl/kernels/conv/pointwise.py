"""implicit_gemm for 1 x 1 kernels with stride 1: forward and input gradient; see `_ext/pointwise.pyx`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minidl import _ext
from minidl.geometry import Window
from minidl.kernels._common import NOTHING, Array, shaped
from minidl.memory import workspace
from minidl.runtime import threads_for

__all__ = ["is_pointwise", "pointwise_product"]

# Steps of the inner dimension, after which sums are written down and taken up again, and of the columns that are
# gathered together, times their panels: so much stays in the L1 cache, or nearly so. (The kernel knows at most 12
# panels.)
_K_BLOCK = 192
_MOST_TOGETHER = 12


class _Plan(NamedTuple):
    """A product as the kernel computes it, and the numbers of memory that it needs."""

    compiled: Any
    packed: int
    columns: int
    work: int


@lru_cache(maxsize=1024)
def is_pointwise(window: Window, itemsize: int) -> bool:
    """Whether each output sees the one pixel at its place, and no vector of positions more than two images."""
    return (
        window.taps == 1
        # No stride leaves as many; a transposed convolution's windows may be as many or fewer and see other pixels.
        and window.input_size == window.output_size
        and not any(window.padding)
        and window.output_size[0] * window.output_size[1] >= _ext.implicit_gemm[itemsize].tile_sizes()[1] // 3
    )


@lru_cache(maxsize=1024)
def _plan(N: int, K: int, F: int, P: int, turned: bool, itemsize: int) -> _Plan:
    rows, lanes = _ext.implicit_gemm[itemsize].tile_sizes()[:2]
    k_block = -(-K // -(-K // _K_BLOCK))
    together = max(1, min(_K_BLOCK // k_block, _MOST_TOGETHER))
    row_step, k_step = (1, F) if turned else (K, 1)
    product = dict(
        N=N, K=K, F=F, P=P, Q=N * P, panels=-(-F // rows), row_step=row_step, k_step=k_step, k_block=k_block,
        together=together,
    )  # fmt: skip
    return _Plan(
        _ext.pointwise[itemsize].Plan(product),
        -(-F // rows) * rows * K, lanes * k_block * together, N * K * F * P,
    )  # fmt: skip


def pointwise_product(N: int, K: int, F: int, P: int, turned: bool, dtype: np.dtype) -> Callable[..., None]:
    """A function that writes (N, F, H, W) from (N, K, H, W) and (F, K, 1, 1); `turned`, (K, F, 1, 1). P is H W."""
    plan, nothing = _plan(N, K, F, P, turned, dtype.itemsize), NOTHING[dtype]

    def write(x: Array, weight: Array, output: Array, bias: Array | None = None) -> None:
        threads = threads_for(plan.work)
        with workspace(1, plan.packed, dtype) as packed, workspace(threads, plan.columns, dtype) as columns:
            plan.compiled.correlate(
                shaped(x, N * K * P), shaped(weight, F * K), nothing if bias is None else shaped(bias, F),
                output.reshape(-1), packed[0], columns, threads,
            )  # fmt: skip

    return write
