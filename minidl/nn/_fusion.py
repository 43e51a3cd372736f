"""Runs of layers that `Sequential` computes as one operation, because nobody can see what lies between them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from minidl.autograd import TensorBase
from minidl.errors import MinidlError
from minidl.geometry import pair, sliding_window
from minidl.kernels import LANES, Stage
from minidl.nn.activation import ReLU
from minidl.nn.conv import Conv2d
from minidl.nn.module import Module
from minidl.nn.pooling import MaxPool2d
from minidl.ops._common import as_tensor
from minidl.ops.stack import ConvStack

# Beyond these, im2col and BLAS are ahead, or a block does not stay in the cache.
_MOST_CHANNELS = 16
_MOST_BYTES = 1024**2


def _is_plain(module: Module, kind: type) -> bool:
    """Whether it is that layer and nothing else: no subclass, no hook, no forward of its own."""
    return (
        type(module) is kind
        and not module._forward_hooks
        and not module._forward_pre_hooks
        and "forward" not in module.__dict__
    )


@lru_cache(maxsize=256)
def _stages(channels: int, size: tuple[int, int], itemsize: int, layers: tuple) -> tuple[Stage, ...]:
    """As many stages as fit one behind the other and are worth it; none if the first one isn't."""
    stages: list[Stage] = []
    for filters, in_channels, kernel_size, stride, padding, dilation, relu, pool in layers:
        try:
            window = sliding_window("conv2d", size, kernel_size, stride, padding, dilation)
            step = pair("max_pool2d", "kernel_size", pool, 1)
        except MinidlError:
            # The layers themselves say what is wrong.
            break
        stage = Stage(window, channels, filters, relu, step)
        bytes_in_block = LANES * itemsize * max(
            channels * (size[0] + 2) * (size[1] + 2), filters * window.positions
        )  # fmt: skip
        if (
            in_channels != channels
            or min(channels, filters) > _MOST_CHANNELS
            or min(stage.output_size) < 1
            or bytes_in_block > _MOST_BYTES
        ):
            break
        stages.append(stage)
        channels, size = filters, stage.output_size
    return tuple(stages)


def run_stack(modules: list[Any], start: int, input: Any) -> tuple[int, Any]:
    """How many modules from `start` on were computed as one operation (0 if none), and its result."""
    if isinstance(input, np.ndarray):
        input = as_tensor("conv2d", "input", input)
    if not isinstance(input, TensorBase) or input.data.ndim != 4 or input.data.shape[0] < LANES // 2:
        return 0, None
    dtype = input.data.dtype
    layers, ends, parameters = [], [], []
    at = start
    while at < len(modules) and _is_plain(conv := modules[at], Conv2d):
        if conv.groups != 1 or conv.padding_mode != "zeros" or not conv.weight.is_initialised:
            break
        if conv.weight.data.dtype != dtype:
            break
        if conv.bias is not None and conv.bias.data.dtype != dtype:
            break
        at += 1
        relu = at < len(modules) and _is_plain(modules[at], ReLU)
        at += relu
        pool: Any = 1
        if at < len(modules) and _is_plain(modules[at], MaxPool2d):
            layer = modules[at]
            plain = layer.padding in (0, (0, 0)) and layer.dilation in (1, (1, 1)) and not layer.ceil_mode
            if plain and layer.stride in (None, layer.kernel_size) and not layer.return_indices:
                pool = layer.kernel_size
                at += 1
        layers.append(
            (
                conv.out_channels,
                conv.in_channels,
                conv.kernel_size,
                conv.stride,
                conv.padding,
                conv.dilation,
                relu,
                pool,
            )
        )
        ends.append(at)
        parameters += [conv.weight, conv.bias]
    if not layers or dtype.kind != "f":
        return 0, None
    stages = _stages(input.data.shape[1], input.data.shape[2:], dtype.itemsize, tuple(layers))
    if not stages:
        return 0, None
    return ends[len(stages) - 1] - start, ConvStack(stages)(input, *parameters[: 2 * len(stages)])
