"""Layers as one operation: convolution, ReLU and max pooling; dense layers and activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import minidl.functional as F
from minidl import reference
from minidl.geometry import sliding_window
from minidl.kernels import Stage, dense_plan, stack_plan
from minidl.ops.stack import ConvStack, DenseStack
from op_cases._case import *

# Filters, kernel, stride, padding, dilation, ReLU, pooling
Layer = tuple[int, Any, Any, Any, Any, bool, tuple[int, int]]


def stages_of(channels: int, size: tuple[int, int], layers: Sequence[Layer]) -> tuple[Stage, ...]:
    """The layers as the operation takes them."""
    stages = []
    for filters, kernel, stride, padding, dilation, relu, pool in layers:
        window = sliding_window("conv2d", size, kernel, stride, padding, dilation)
        stages.append(Stage(window, channels, filters, relu, pool))
        channels, size = filters, stages[-1].output_size
    return tuple(stages)


def _reference(stages: tuple[Stage, ...]) -> Callable[..., Array]:
    def run(x: Array, *parameters: Array | None) -> Array:
        for i, stage in enumerate(stages):
            x = reference.conv2d(x, parameters[2 * i], parameters[2 * i + 1], stage.window, 1)  # type: ignore[arg-type]
            x = reference.relu(x) if stage.relu else x
            pooling = sliding_window("max_pool2d", stage.window.output_size, stage.pool, stage.pool)
            x = reference.max_pool2d(x, pooling)[0]
        return x

    return run


def _peer(stages: tuple[Stage, ...]) -> Callable[[Any], Callable[..., Any]]:
    def run(torch: Any) -> Callable[..., Any]:
        def compute(x: Any, *parameters: Any) -> Any:
            for i, stage in enumerate(stages):
                window = stage.window
                x = torch.nn.functional.conv2d(
                    x, parameters[2 * i], parameters[2 * i + 1], window.stride,
                    (window.padding.top, window.padding.left), window.dilation,
                )  # fmt: skip
                x = torch.relu(x) if stage.relu else x
                x = torch.nn.functional.max_pool2d(x, stage.pool)
            return x

        return compute

    return run


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "relu": reference.relu,
    "tanh": np.tanh,
    "sigmoid": reference.sigmoid,
}


def _dense_reference(activations: Sequence[str]) -> Callable[..., Array]:
    def run(x: Array, *parameters: Array | None) -> Array:
        x = x.reshape(len(x), np.prod(x.shape[1:], dtype=int))
        for i, activation in enumerate(activations):
            x = _ACTIVATIONS[activation](reference.linear(x, parameters[2 * i], parameters[2 * i + 1]))  # type: ignore[arg-type]
        return x

    return run


def _dense_peer(activations: Sequence[str]) -> Callable[[Any], Callable[..., Any]]:
    def run(torch: Any) -> Callable[..., Any]:
        def compute(x: Any, *parameters: Any) -> Any:
            x = x.flatten(1)
            for i, activation in enumerate(activations):
                x = torch.nn.functional.linear(x, parameters[2 * i], parameters[2 * i + 1])
                x = x if activation == "linear" else getattr(torch, activation)(x)
            return x

        return compute

    return run


def dense_rows() -> list[Case]:
    """Of dense layers and activations."""
    table = []
    for shape, bias, layers in [
        ((3, 4), True, [(5, "relu")]),
        ((9, 2, 3, 1), True, [(3, "tanh"), (2, "sigmoid")]),
        ((17, 3), False, [(4, "sigmoid"), (3, "linear"), (2, "tanh")]),
        ((1, 7), True, [(9, "tanh"), (1, "linear")]),
        # Blocks that are full and one that isn't, groups of outputs and of inputs of every size.
        ((37, 83), True, [(47, "relu"), (29, "tanh"), (10, "linear")]),
        ((64, 16, 5, 5), True, [(120, "relu"), (84, "relu"), (10, "linear")]),
        ((5, 70), True, [(21, "sigmoid"), (16, "linear")]),
    ]:
        x = normal(*shape)
        inputs: list[Array | None] = [x]
        sizes = [x[0].size]
        for features, _ in layers:
            inputs.append(other(features, sizes[-1]) / np.sqrt(sizes[-1]))
            inputs.append(normal(features) if bias else None)
            sizes.append(features)
        activations = tuple(activation for _, activation in layers)
        plan = dense_plan(tuple(sizes), activations)
        table.append(
            Case(
                lambda *inputs, plan=plan: DenseStack(plan)(*inputs), inputs, {}, _dense_reference(activations),
                covers=F.linear, name=f"DenseStack{[*activations]}".replace(" ", ""), batched=(0,),
                peer=_dense_peer(activations), numeric=x.size < 60,
                tolerance={"float32": 1e-5, "float64": 1e-13},
            )
        )  # fmt: skip
    return table


def rows() -> list[Case]:
    """Of the family."""
    return conv_rows() + dense_rows()


def conv_rows() -> list[Case]:
    """Of convolution, ReLU and max pooling."""
    plain = (1, 1)
    table = []
    for shape, bias, layers in [
        ((2, 1, 5, 6), True, [(2, (2, 3), 1, 0, 1, True, (2, 2))]),
        ((3, 2, 4, 5), False, [(3, 2, 1, 1, 1, False, plain)]),
        ((2, 2, 6, 5), True, [(2, (3, 2), (2, 1), (1, 2), 1, True, plain)]),
        ((1, 1, 7, 6), True, [(2, 2, 1, (2, 1), (2, 3), False, (1, 2))]),
        ((2, 1, 7, 8), True, [(2, 2, (2, 3), 1, (3, 2), True, plain)]),
        ((2, 1, 7, 6), True, [(3, 2, 1, 1, 1, True, (2, 2)), (2, (1, 2), 1, (0, 1), 1, True, (1, 3))]),
        ((1, 1, 9, 8), True, [(2, 3, 1, 0, 1, True, (3, 2)), (7, 2, 1, 1, 1, False, plain)]),
        # The gradient of the input goes by Winograd's method along rows.
        ((1, 3, 3, 8), True, [(6, (3, 5), 1, (1, 2), 1, True, (2, 3))]),
    ]:
        stages = stages_of(shape[1], shape[2:], layers)
        inputs: list[Array | None] = [normal(*shape)]
        for stage in stages:
            inputs.append(other(stage.filters, stage.channels, *stage.window.kernel_size))
            inputs.append(normal(stage.filters) if bias else None)
        table.append(
            Case(
                lambda *inputs, stages=stages: ConvStack(stack_plan(stages, "default"))(*inputs), inputs, {},
                _reference(stages),
                covers=F.conv2d, name=f"ConvStack{[layer[1:] for layer in layers]}".replace(" ", ""), batched=(0,),
                peer=_peer(stages),
            )
        )  # fmt: skip
    # Blocks that are full, and one that isn't; tiles of every size.
    for shape, layers in [
        ((33, 1, 28, 27), [(6, 5, 1, 2, 1, True, (2, 2)), (16, 5, 1, 0, 1, True, (2, 2))]),
        ((17, 9, 12, 11), [(21, (3, 7), 1, 1, 1, False, plain)]),
        # By Winograd's method along rows, with rows and columns left over by pooling.
        ((18, 4, 13, 12), [(16, (7, 5), 1, (3, 2), 1, True, (3, 2)), (17, (3, 5), 1, (1, 2), 1, True, (1, 2))]),
        ((16, 3, 19, 30), [(5, (11, 9), (4, 2), 2, 1, True, plain), (8, 3, 1, 1, 1, True, plain)]),
    ]:
        stages = stages_of(shape[1], shape[2:], layers)
        inputs = [normal(*shape)]
        for stage in stages:
            inputs += [other(stage.filters, stage.channels, *stage.window.kernel_size), normal(stage.filters)]
        table.append(
            Case(
                lambda *inputs, stages=stages: ConvStack(stack_plan(stages, "default"))(*inputs), inputs, {},
                _reference(stages),
                covers=F.conv2d, name=f"ConvStack[large]{shape}".replace(" ", ""), batched=(0,), numeric=False,
                peer=_peer(stages), tolerance={"float32": 3e-5, "float64": 1e-12},
            )
        )  # fmt: skip
    return table
