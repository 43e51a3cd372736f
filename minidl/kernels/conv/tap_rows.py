"""implicit_gemm for the input's gradient of images with few channels; see `_ext/tap_rows.pyx`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minidl import _ext
from minidl.geometry import Window
from minidl.kernels._common import Array, shaped
from minidl.memory import workspace
from minidl.runtime import threads_for

__all__ = ["tap_rows_cost", "tap_rows_input_gradient"]

# Filters whose products are summed up in registers: their gradients stay in the L1 cache.
_K_BLOCK = 192
# Bytes of a band's pixels, a share of the L2 cache.
_BAND_BYTES = 256 * 1024
_FEWEST_BANDS = 8


class _Plan(NamedTuple):
    """A gradient as the kernel computes it, and the numbers of memory that it needs."""

    compiled: Any
    packed: int
    bands: tuple[int, int]
    scratch: int
    work: int


def _more(window: Window, axis: int) -> int:
    """Rows, or columns, of every stride-th pixel that are seen beyond those from the first tap."""
    return (window.kernel_size[axis] - 1) * window.dilation[axis] // window.stride[axis]


@lru_cache(maxsize=1024)
def _plan(N: int, C: int, F: int, window: Window, itemsize: int) -> _Plan:
    rows, lanes, _ = _ext.implicit_gemm[itemsize].tile_sizes()
    (H, W), (OH, OW), (SH, SW) = window.input_size, window.output_size, window.stride
    (KH, KW), (DH, DW), taps = window.kernel_size, window.dilation, window.taps
    more, pitch = _more(window, 0), OW + _more(window, 1)
    planes = C * SH * SW
    fitting = max(_BAND_BYTES // (planes * pitch * itemsize) - more, 1)
    bands = min(max(-(-OH // fitting), -(-_FEWEST_BANDS // N)), OH)
    plane = (-(-OH // bands) + more) * pitch
    # Neighbours in a plane are in tiles that are far apart: a number that was just written is not at hand at once.
    order = sorted(
        ((k * DH // SH, j * DW // SW, k * DH % SH, j * DW % SW, c, c * taps + k * KW + j)
         for c in range(C) for k in range(KH) for j in range(KW)),
        key=lambda row: (row[1], row[0], *row[2:]),
    )  # fmt: skip
    cut = dict(
        N=N, C=C, F=F, R=C * taps, OH=OH, OW=OW, H=H, W=W, SH=SH, SW=SW, top=window.padding.top,
        left=window.padding.left, bands=bands, more=more, pitch=pitch, plane=plane, size=planes * plane,
        k_block=_K_BLOCK,
    )  # fmt: skip
    column = np.array([row[-1] for row in order], np.intp)
    offset = np.array([((c * SH + a) * SW + b) * plane + i * pitch + j for i, j, a, b, c, _ in order], np.intp)
    return _Plan(
        _ext.tap_rows[itemsize].Plan(cut, column, offset),
        -(-C * taps // rows) * rows * F,
        # The last tile of a band adds zeros to what lies behind it.
        (N * bands, planes * plane + lanes + _more(window, 1)),
        max(min(F, _K_BLOCK) * lanes, 2 * SW * pitch),
        N * F * C * taps * OH * OW,
    )  # fmt: skip


def tap_rows_cost(N: int, C: int, F: int, window: Window, itemsize: int) -> float:
    """An estimate of time, in vector multiply-adds."""
    rows_of_tile, lanes, _ = _ext.implicit_gemm[itemsize].tile_sizes()
    (H, W), (OH, OW), rows = window.input_size, window.output_size, C * window.taps
    vectors = N * OH * (OW + _more(window, 1)) / (lanes // 3)
    filled = -(-rows // rows_of_tile) * rows_of_tile
    added = 6.0 if _ext.instruction_set == "v4" else 2.0
    return (
        vectors * (0.63 * F * filled + added * filled * -(-F // _K_BLOCK) + (2.0 * added + 8.0) * F)
        + 5.0 * N * C * H * W + 7.0 * rows * F
    )  # fmt: skip


def tap_rows_input_gradient(N: int, C: int, F: int, window: Window, dtype: np.dtype) -> Callable[..., None]:
    """A function that writes (N, C, H, W) from (N, F, OH, OW) and (F, C, KH, KW)."""
    plan = _plan(N, C, F, window, dtype.itemsize)
    run = plan.compiled.input_gradient

    def write(grad: Array, weight: Array, output: Array) -> None:
        threads = threads_for(plan.work)
        with (
            workspace(1, plan.packed, dtype) as packed,
            workspace(*plan.bands, dtype) as bands,
            workspace(threads, plan.scratch, dtype) as scratch,
        ):
            run(
                shaped(grad, N * F * window.positions), shaped(weight, F * C * window.taps), output.reshape(-1),
                packed[0], bands, scratch, threads,
            )  # fmt: skip

    return write
