"""Runs of layers that `Sequential` computes as one operation, because nobody can see what lies between them.

Which layers stand behind one another is looked at once and remembered until a module of these kinds is changed
(`structure_version`). What can change without that (parameters, the input's shape and dtype) is looked at in each call.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from minidl.autograd import TensorBase
from minidl.errors import MinidlError
from minidl.geometry import pair, sliding_window
from minidl.grad_mode import state
from minidl.kernels import LANES, StackPlan, Stage, dense_plan, fused_layers, fused_stages, stack_plan
from minidl.nn._copying import structure_version
from minidl.nn.activation import ReLU, Sigmoid, Tanh
from minidl.nn.conv import Conv2d
from minidl.nn.linear import Dense, Linear
from minidl.nn.module import Module
from minidl.nn.pooling import MaxPool2d
from minidl.nn.shapes import Flatten
from minidl.ops._common import as_tensor
from minidl.ops.stack import ConvStack, DenseStack
from minidl.runtime import get_precision

_ACTIVATIONS: dict[type, str] = {ReLU: "relu", Tanh: "tanh", Sigmoid: "sigmoid"}


def _is_plain(module: Module, *kinds: type) -> bool:
    """Whether it is one of those layers and nothing else: no subclass, no hook, no forward of its own."""
    return type(module) in kinds and not _is_watched(module)


def _is_watched(module: Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks) or "forward" in module.__dict__


class Run:
    """Some modules from one place on, and the layers among them that have parameters."""

    def __init__(self) -> None:
        # Each with the shapes that its weight and its bias must have, and where the modules that it stands for end.
        self.layers: list[tuple[Any, tuple[int, ...], tuple[int, ...]]] = []
        self.ends: list[int] = []

    def parameters(self, dtype: np.dtype) -> list[Any] | None:
        """Weights and biases, in turn; None if one is not as expected."""
        found: list[Any] = []
        for layer, shape, bias_shape in self.layers:
            weight, bias = layer.weight, layer.bias
            values = weight._data
            if values.shape != shape or values.dtype != dtype:
                return None
            if bias is not None:
                values = bias._data
                if values.shape != bias_shape or values.dtype != dtype:
                    return None
            found += (weight, bias)
        return found

    def __call__(self, start: int, input: Any) -> tuple[int, Any]:
        """Compute some modules as one operation; give how many they are (0 if none), and the result."""
        raise NotImplementedError


class _Convolution(NamedTuple):
    """A convolution and the layers that follow it, before the input's size is known."""

    arguments: tuple[Any, ...]
    relu: bool
    pool: Any


class ConvRun(Run):
    """Convolutions, each with a ReLU and a max pooling behind it or without."""

    def __init__(self, modules: list[Any], start: int) -> None:
        super().__init__()
        self._convolutions: list[_Convolution] = []
        self._plans: dict[tuple[Any, ...], tuple[int, StackPlan | None]] = {}
        position = start
        while position < len(modules) and _is_plain(conv := modules[position], Conv2d):
            if conv.groups != 1 or conv.padding_mode != "zeros" or not conv._is_sized:
                break
            position += 1
            relu = position < len(modules) and _is_plain(modules[position], ReLU)
            position += relu
            pool: Any = 1
            if position < len(modules) and _is_plain(modules[position], MaxPool2d):
                layer = modules[position]
                plain = layer.padding in (0, (0, 0)) and layer.dilation in (1, (1, 1)) and not layer.ceil_mode
                if plain and layer.stride in (None, layer.kernel_size) and not layer.return_indices:
                    pool = layer.kernel_size
                    position += 1
            arguments = (conv.kernel_size, conv.stride, conv.padding, conv.dilation)
            shape = (conv.out_channels, conv.in_channels, *pair("conv2d", "kernel_size", conv.kernel_size, 1))
            self._convolutions.append(_Convolution(arguments, relu, pool))
            self.layers.append((conv, shape, shape[:1]))
            self.ends.append(position)

    def _plan(
        self, channels: int, size: tuple[int, int], itemsize: int, precision: str
    ) -> tuple[int, StackPlan | None]:
        """As many stages as fit one behind the other and are worth it; what pays is the kernels' business."""
        stages: list[Stage] = []
        for (_, shape, _), (arguments, relu, pool) in zip(self.layers, self._convolutions, strict=True):
            filters = shape[0]
            try:
                window = sliding_window("conv2d", size, *arguments)
                step = pair("max_pool2d", "kernel_size", pool, 1)
            except MinidlError:
                # The layers themselves say what is wrong.
                break
            stage = Stage(window, channels, filters, relu, step)
            if shape[1] != channels or min(stage.output_size) < 1:
                break
            stages.append(stage)
            channels, size = filters, stage.output_size
        count = fused_stages(stages, itemsize)
        return count, stack_plan(tuple(stages[:count]), precision) if count else None

    def __call__(self, start: int, input: Any) -> tuple[int, Any]:
        x = input._data
        if x.ndim != 4 or x.dtype.kind != "f":
            return 0, None
        precision = get_precision()
        key = (x.shape[1:], x.dtype.itemsize, precision)
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = self._plan(x.shape[1], x.shape[2:], x.dtype.itemsize, precision)
        count, plan = found
        parameters = self.parameters(x.dtype)
        if plan is None or parameters is None:
            return 0, None
        # Blocks of samples keep what the gradients need; a few samples don't fill one.
        few = x.shape[0] < LANES // 2
        if few and state.recording and any(t is not None and t._requires_grad for t in (input, *parameters)):
            return 0, None
        return self.ends[count - 1] - start, ConvStack(plan)(input, *parameters[: 2 * count])


class DenseRun(Run):
    """Dense layers, each with an activation behind it or without; perhaps a flattening before the first."""

    def __init__(self, modules: list[Any], start: int) -> None:
        super().__init__()
        position = start
        self._flattens = type(modules[position]) is Flatten
        position += self._flattens
        sizes: list[int] = []
        activations: list[str] = []
        while position < len(modules) and _is_plain(dense := modules[position], Dense, Linear):
            features, outputs = dense.in_features, dense.out_features
            if not dense._is_sized or sizes and sizes[-1] != features:
                break
            longer = (*(sizes or [features]), outputs)
            if fused_layers(longer) < len(longer) - 1:
                break
            position += 1
            sizes = list(longer)
            activation = "linear"
            if (
                position < len(modules)
                and type(modules[position]) in _ACTIVATIONS
                and not _is_watched(modules[position])
            ):
                activation = _ACTIVATIONS[type(modules[position])]
                position += 1
            activations.append(activation)
            self.layers.append((dense, (outputs, features), (outputs,)))
            self.ends.append(position)
        self._plan = dense_plan(tuple(sizes), tuple(activations)) if self.layers else None

    def __call__(self, start: int, input: Any) -> tuple[int, Any]:
        x = input._data
        if self._plan is None or x.dtype.kind != "f" or (x.ndim < 2 if self._flattens else x.ndim != 2):
            return 0, None
        if prod(x.shape[1:]) != self._plan.sizes[0]:
            return 0, None
        parameters = self.parameters(x.dtype)
        if parameters is None:
            return 0, None
        return self.ends[-1] - start, DenseStack(self._plan)(input, *parameters)


class _Plan(NamedTuple):
    version: int
    modules: list[Any]
    runs: dict[int, Run]


_plans: WeakKeyDictionary[Module, _Plan] = WeakKeyDictionary()


def _starts_dense_run(modules: list[Any], position: int) -> bool:
    if _is_plain(modules[position], Flatten) and (modules[position].start_dim, modules[position].end_dim) == (1, -1):
        position += 1
    return position < len(modules) and _is_plain(modules[position], Dense, Linear)


def _find_runs(container: Module) -> _Plan:
    version = structure_version()
    modules = list(container.children())
    runs: dict[int, Run] = {}
    for position, module in enumerate(modules):
        if _is_plain(module, Conv2d):
            runs[position] = ConvRun(modules, position)
        elif _starts_dense_run(modules, position):
            runs[position] = DenseRun(modules, position)
    plan = _Plan(version, modules, runs)
    # Whether a hook is still there is looked at each time.
    if not any(_is_watched(module) for module in modules):
        _plans[container] = plan
    return plan


def run_modules(container: Module, input: Any) -> Any:
    """Run the container's modules one after the other, several at a time where that makes no difference."""
    plan = _plans.get(container)
    if plan is None or plan.version != structure_version():
        plan = _find_runs(container)
    modules, position = plan.modules, 0
    while position < len(modules):
        run = plan.runs.get(position)
        count = 0
        if run is not None:
            if isinstance(input, np.ndarray):
                input = as_tensor("Sequential", "input", input)
            if isinstance(input, TensorBase):
                count, result = run(position, input)
        input = result if count else modules[position](input)
        position += count or 1
    return input
