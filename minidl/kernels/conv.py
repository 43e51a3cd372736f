"""Convolution and its two gradients, each by one of several algorithms.

A precision that is not given is the one that is set.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from minidl.geometry import Window
from minidl.kernels._common import Array
from minidl.kernels.choice import WINOGRAD_TILES, chosen
from minidl.kernels.depthwise import depthwise2d, depthwise2d_input_gradient, depthwise2d_weight_gradient
from minidl.kernels.direct import DIRECT
from minidl.kernels.fft import fft_conv2d, fft_input_gradient, fft_weight_gradient
from minidl.kernels.im2col import im2col_conv2d, im2col_input_gradient, im2col_weight_gradient
from minidl.kernels.implicit_gemm import IMPLICIT_GEMM
from minidl.kernels.row_winograd import (
    row_winograd_conv2d,
    row_winograd_input_gradient,
    row_winograd_weight_gradient,
)
from minidl.kernels.timing import is_measuring, measured
from minidl.kernels.winograd import WINOGRAD
from minidl.runtime import computed_once, get_precision

__all__ = ["Computing", "conv2d", "conv2d_input_gradient", "conv2d_weight_gradient"]

Directions = dict[str, Callable[..., Array]]


def _directions(forward: Callable[..., Array], of_input: Callable[..., Array], of_weight: Callable[..., Array]) -> Any:
    return {"forward": forward, "input": of_input, "weight": of_weight}


_DEPTHWISE: Directions = _directions(depthwise2d, depthwise2d_input_gradient, depthwise2d_weight_gradient)
_IM2COL: Directions = _directions(im2col_conv2d, im2col_input_gradient, im2col_weight_gradient)
_OTHERS: dict[str, Directions] = {
    "fft": _directions(fft_conv2d, fft_input_gradient, fft_weight_gradient),
    "winograd_rows": _directions(row_winograd_conv2d, row_winograd_input_gradient, row_winograd_weight_gradient),
}  # fmt: skip


@lru_cache(maxsize=4096)
def _computing(
    direction: str, algorithm: str, N: int, C: int, F: int, groups: int, window: Window, dtype: np.dtype,
    precision: str,
) -> Callable[..., Array]:  # fmt: skip
    """What computes a direction for these shapes, with this precision: a function of its arrays alone."""
    name = chosen(direction, algorithm, N, C, F, groups, window, dtype.itemsize, precision)
    if name == "direct" and groups == 1:
        # Small images take no longer than choosing, planning and looking up do.
        return DIRECT[direction](N, C, F, window, dtype)
    if name == "direct":
        return partial(_DEPTHWISE[direction], window=window, **({"channels": C} if direction == "input" else {}))
    if name in WINOGRAD_TILES:
        return WINOGRAD[direction](N, C, F, window, dtype, WINOGRAD_TILES[name])
    if name == "implicit_gemm":
        return IMPLICIT_GEMM[direction](N, C, F, window, dtype)
    if name in _OTHERS:
        return partial(_OTHERS[name][direction], window=window)
    return partial(_IM2COL[direction], window=window, groups=groups)


class Computing:
    """What computes the directions of a convolution of given shapes, but by the clock: functions of arrays alone.

    Each is looked up when it is first asked for, with the precision that this was made for.
    """

    def __init__(self, algorithm: str, x: Array, weight: Array, window: Window, groups: int, precision: str) -> None:
        N, C, _, _ = x.shape
        self.precision = precision
        self._how = algorithm, N, C, len(weight), groups, window, x.dtype, precision

    @computed_once
    def forward(self) -> Callable[..., Array]:
        """Of the images, the filters and the bias or None."""
        return _computing("forward", *self._how)

    @computed_once
    def input_gradient(self) -> Callable[..., Array]:
        """Of the output's gradient and the filters."""
        return _computing("input", *self._how)

    @computed_once
    def weight_gradient(self) -> Callable[..., Array]:
        """Of the images and the output's gradient."""
        return _computing("weight", *self._how)


def conv2d(
    x: Array, weight: Array, bias: Array | None, window: Window, groups: int, algorithm: str = "auto",
    precision: str | None = None,
) -> Array:  # fmt: skip
    """(N, C, H, W) and (F, C / groups, KH, KW) to (N, F, OH, OW)."""
    N, C, _, _ = x.shape
    how = (N, C, len(weight), groups, window)
    precision = precision or get_precision()
    if algorithm == "auto" and is_measuring():
        run = partial(conv2d, x, weight, bias, window, groups, precision=precision)
        algorithm = measured("forward", *how, x.itemsize, precision, run)
    return _computing("forward", algorithm, *how, x.dtype, precision)(x, weight, bias)


def conv2d_input_gradient(
    grad: Array, weight: Array, window: Window, groups: int, algorithm: str = "auto",
    precision: str | None = None,
) -> Array:  # fmt: skip
    """(N, F, OH, OW) and (F, C / groups, KH, KW) to (N, C, H, W)."""
    F, C, _, _ = weight.shape
    how = (len(grad), C * groups, F, groups, window)
    precision = precision or get_precision()
    if algorithm == "auto" and is_measuring():
        run = partial(conv2d_input_gradient, grad, weight, window, groups, precision=precision)
        algorithm = measured("input", *how, grad.itemsize, precision, run)
    return _computing("input", algorithm, *how, grad.dtype, precision)(grad, weight)


def conv2d_weight_gradient(
    x: Array, grad: Array, window: Window, groups: int, algorithm: str = "auto",
    precision: str | None = None,
) -> Array:  # fmt: skip
    """(N, C, H, W) and (N, F, OH, OW) to (F, C / groups, KH, KW)."""
    N, C, _, _ = x.shape
    how = (N, C, grad.shape[1], groups, window)
    precision = precision or get_precision()
    if algorithm == "auto" and is_measuring():
        run = partial(conv2d_weight_gradient, x, grad, window, groups, precision=precision)
        algorithm = measured("weight", *how, x.itemsize, precision, run)
    return _computing("weight", algorithm, *how, x.dtype, precision)(x, grad)
