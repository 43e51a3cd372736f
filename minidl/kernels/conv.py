"""Convolution and its two gradients, each by one of several algorithms."""

from __future__ import annotations

from minidl.geometry import Window
from minidl.kernels._common import Array
from minidl.kernels.choice import WINOGRAD_TILES, chosen
from minidl.kernels.depthwise import depthwise2d, depthwise2d_input_gradient, depthwise2d_weight_gradient
from minidl.kernels.direct import direct_conv2d, direct_input_gradient, direct_weight_gradient
from minidl.kernels.fft import fft_conv2d, fft_input_gradient, fft_weight_gradient
from minidl.kernels.im2col import im2col_conv2d, im2col_input_gradient, im2col_weight_gradient
from minidl.kernels.implicit_gemm import (
    implicit_gemm_conv2d,
    implicit_gemm_input_gradient,
    implicit_gemm_weight_gradient,
)
from minidl.kernels.row_winograd import (
    row_winograd_conv2d,
    row_winograd_input_gradient,
    row_winograd_weight_gradient,
)
from minidl.kernels.timing import is_measuring, measured
from minidl.kernels.winograd import winograd_conv2d, winograd_input_gradient, winograd_weight_gradient

__all__ = ["conv2d", "conv2d_input_gradient", "conv2d_weight_gradient"]


def conv2d(x: Array, weight: Array, bias: Array | None, window: Window, groups: int, algorithm: str = "auto") -> Array:
    """(N, C, H, W) and (F, C / groups, KH, KW) to (N, F, OH, OW)."""
    how = (x.shape[0], x.shape[1], weight.shape[0], groups, window, x.dtype.itemsize)
    if algorithm == "auto" and is_measuring():
        algorithm = measured("forward", *how, lambda name: conv2d(x, weight, bias, window, groups, name))
    name = chosen("forward", algorithm, *how)
    if name == "direct":
        return direct_conv2d(x, weight, bias, window) if groups == 1 else depthwise2d(x, weight, bias, window)
    if name == "fft":
        return fft_conv2d(x, weight, bias, window)
    if name == "implicit_gemm":
        return implicit_gemm_conv2d(x, weight, bias, window)
    if name in WINOGRAD_TILES:
        return winograd_conv2d(x, weight, bias, window, WINOGRAD_TILES[name])
    if name == "winograd_rows":
        return row_winograd_conv2d(x, weight, bias, window)
    return im2col_conv2d(x, weight, bias, window, groups)


def conv2d_input_gradient(grad: Array, weight: Array, window: Window, groups: int, algorithm: str = "auto") -> Array:
    """(N, F, OH, OW) and (F, C / groups, KH, KW) to (N, C, H, W)."""
    how = (grad.shape[0], weight.shape[1] * groups, grad.shape[1], groups, window, grad.dtype.itemsize)
    if algorithm == "auto" and is_measuring():
        algorithm = measured("input", *how, lambda name: conv2d_input_gradient(grad, weight, window, groups, name))
    name = chosen("input", algorithm, *how)
    if name == "direct":
        return (
            direct_input_gradient(grad, weight, window)
            if groups == 1
            else depthwise2d_input_gradient(grad, weight, window, groups)
        )
    if name == "fft":
        return fft_input_gradient(grad, weight, window)
    if name == "implicit_gemm":
        return implicit_gemm_input_gradient(grad, weight, window)
    if name in WINOGRAD_TILES:
        return winograd_input_gradient(grad, weight, window, WINOGRAD_TILES[name])
    if name == "winograd_rows":
        return row_winograd_input_gradient(grad, weight, window)
    return im2col_input_gradient(grad, weight, window, groups)


def conv2d_weight_gradient(x: Array, grad: Array, window: Window, groups: int, algorithm: str = "auto") -> Array:
    """(N, C, H, W) and (N, F, OH, OW) to (F, C / groups, KH, KW)."""
    how = (x.shape[0], x.shape[1], grad.shape[1], groups, window, x.dtype.itemsize)
    if algorithm == "auto" and is_measuring():
        algorithm = measured("weight", *how, lambda name: conv2d_weight_gradient(x, grad, window, groups, name))
    name = chosen("weight", algorithm, *how)
    if name == "direct":
        return direct_weight_gradient(x, grad, window) if groups == 1 else depthwise2d_weight_gradient(x, grad, window)
    if name == "fft":
        return fft_weight_gradient(x, grad, window)
    if name == "implicit_gemm":
        return implicit_gemm_weight_gradient(x, grad, window)
    if name in WINOGRAD_TILES:
        return winograd_weight_gradient(x, grad, window, WINOGRAD_TILES[name])
    if name == "winograd_rows":
        return row_winograd_weight_gradient(x, grad, window)
    return im2col_weight_gradient(x, grad, window, groups)
