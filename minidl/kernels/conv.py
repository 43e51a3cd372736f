"""Convolution and its two gradients, each by one of several algorithms."""

from __future__ import annotations

from minidl.geometry import Window
from minidl.kernels._common import Array
from minidl.kernels.choice import chosen
from minidl.kernels.direct import direct_conv2d, direct_input_gradient, direct_weight_gradient
from minidl.kernels.im2col import im2col_conv2d, im2col_input_gradient, im2col_weight_gradient

__all__ = ["conv2d", "conv2d_input_gradient", "conv2d_weight_gradient"]


def conv2d(x: Array, weight: Array, bias: Array | None, window: Window, groups: int, algorithm: str = "auto") -> Array:
    """(N, C, H, W) and (F, C / groups, KH, KW) to (N, F, OH, OW)."""
    N, C = x.shape[:2]
    name = chosen("forward", algorithm, N, C, weight.shape[0], groups, window, x.dtype.itemsize)
    if name == "direct":
        return direct_conv2d(x, weight, bias, window)
    return im2col_conv2d(x, weight, bias, window, groups)


def conv2d_input_gradient(grad: Array, weight: Array, window: Window, groups: int, algorithm: str = "auto") -> Array:
    """(N, F, OH, OW) and (F, C / groups, KH, KW) to (N, C, H, W)."""
    N, F = grad.shape[:2]
    name = chosen("input", algorithm, N, weight.shape[1] * groups, F, groups, window, grad.dtype.itemsize)
    if name == "direct":
        return direct_input_gradient(grad, weight, window)
    return im2col_input_gradient(grad, weight, window, groups)


def conv2d_weight_gradient(x: Array, grad: Array, window: Window, groups: int, algorithm: str = "auto") -> Array:
    """(N, C, H, W) and (N, F, OH, OW) to (F, C / groups, KH, KW)."""
    N, C = x.shape[:2]
    name = chosen("weight", algorithm, N, C, grad.shape[1], groups, window, x.dtype.itemsize)
    if name == "direct":
        return direct_weight_gradient(x, grad, window)
    return im2col_weight_gradient(x, grad, window, groups)
