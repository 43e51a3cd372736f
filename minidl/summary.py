"""A model's summary: its layers, and the costs of a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minidl.arguments import check_room
from minidl.autograd import TensorBase
from minidl.dtypes import get_default_dtype, to_dtype
from minidl.errors import ArgumentError, DTypeError
from minidl.grad_mode import no_grad
from minidl.nn import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, Dense, Module
from minidl.tensor import Tensor

Shape = tuple[int, ...]
_NOT_CALLED = object()


def _conv(layer: Any, input_shape: Shape, output_shape: Shape) -> int:
    return prod(output_shape) * prod(layer.weight.shape[1:])


def _conv_transpose(layer: Any, input_shape: Shape, output_shape: Shape) -> int:
    return prod(input_shape) * prod(layer.weight.shape[1:])


def _dense(layer: Any, input_shape: Shape, output_shape: Shape) -> int:
    return prod(output_shape) * layer.weight.shape[1]


# The multiply-adds of a call, by the layer's class or a base class of it: f(layer, input shape, output shape). Classes
# that are not here count as free; add your own.
MULTIPLY_ADDS: dict[type, Callable[[Any, Shape, Shape], int]] = {
    Conv1d: _conv,
    Conv2d: _conv,
    ConvTranspose1d: _conv_transpose,
    ConvTranspose2d: _conv_transpose,
    Dense: _dense,
}


@dataclass(frozen=True)
class LayerSummary:
    """One call of a layer.

    Attributes
    ----------
    path : str
        Where the model has the layer; empty if it is the model itself.
    type : str
        The layer's class.
    output_shape : tuple
        The shape of the result; several such for a layer that returns several tensors; None if it was not called.
    parameters : int
        Its own parameters, not those of layers below it; 0 if an earlier row has counted them.
    is_shared : bool
        Whether an earlier row has counted parameters of this one.
    multiply_adds : int
        See `summary`.
    activation_bytes : int
        The memory of the result, 0 if it shares the memory of another one.
    """

    path: str
    type: str
    output_shape: Any
    parameters: int
    is_shared: bool
    multiply_adds: int
    activation_bytes: int


@dataclass(frozen=True, repr=False)
class ModelSummary:
    """The findings of `summary`; its text is a table.

    Attributes
    ----------
    model : str
        The model's class.
    input_shape, dtype
        The input's.
    rows : tuple of LayerSummary
        The layers, in the order in which they finished.
    total_parameters, trainable_parameters : int
        Each parameter counted once.
    multiply_adds : int
        Of all rows, for the whole batch.
    parameter_bytes : int
        The memory of the parameters.
    activation_bytes : int
        The memory of the input and of all results, which a training step keeps for its backward pass.
    """

    model: str
    input_shape: Shape
    dtype: np.dtype
    rows: tuple[LayerSummary, ...]
    total_parameters: int
    trainable_parameters: int
    multiply_adds: int
    parameter_bytes: int
    activation_bytes: int

    @property
    def frozen_parameters(self) -> int:
        """The number of parameters that are not trained."""
        return self.total_parameters - self.trainable_parameters

    def __str__(self) -> str:
        table = [("layer", "type", "output", "parameters", "multiply-adds")]
        for row in self.rows:
            parameters = "shared" if row.is_shared and not row.parameters else _number(row.parameters)
            output = "not called" if row.output_shape is None else _text(row.output_shape)
            table.append((row.path or "(model)", row.type, output, parameters, _number(row.multiply_adds)))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        formats = [f"{{:{side}{width}}}" for side, width in zip("<<<>>", widths, strict=True)]
        lines = ["  ".join(formats).format(*row) for row in table]
        rule = "-" * len(lines[0])
        return "\n".join(
            [
                f"{self.model}, input {self.input_shape} {self.dtype}",
                rule,
                lines[0],
                rule,
                *lines[1:],
                rule,
                f"parameters:    {self.total_parameters:,} "
                f"({self.trainable_parameters:,} trainable, {self.frozen_parameters:,} frozen)",
                f"multiply-adds: {self.multiply_adds:,}",
                f"memory:        {_bytes(self.parameter_bytes)} parameters, "
                f"{_bytes(self.activation_bytes)} activations",
            ]
        )

    __repr__ = __str__


def summary(model: Module, input_shape: Sequence[int], dtype: Any = None) -> ModelSummary:
    """Run a model once and tell what its layers return, hold and cost.

    The input is zeros, the model in evaluation mode and nothing recorded; afterwards the model is as it was, except
    that sizes given as None have been inferred.

    Parameters
    ----------
    model : Module
        A model that takes one tensor.
    input_shape : sequence of int
        The shape of its input, with the batch axis.
    dtype : numpy dtype, optional
        Of the input; that of the first floating parameter by default.

    Returns
    -------
    ModelSummary
        Print it, or read its fields.

    Raises
    ------
    ArgumentError
        If the shape is not made of non-negative integers.
    DTypeError
        If `model` is no Module.

    Notes
    -----
    A row is a call of a layer without layers below it, or of a module with parameters of its own. Multiply-adds are
    those of matrix products and convolutions (`minidl.summary.MULTIPLY_ADDS` has their formulas, for the layers
    only): biases, activations, pooling and functions that a `forward` calls itself count as nothing.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> lenet = nn.Sequential(
    ...     nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
    ...     nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    ...     nn.Dense(400, 120), nn.ReLU(), nn.Dense(120, 84), nn.ReLU(), nn.Dense(84, 10),
    ... )
    >>> summary(lenet, (1, 1, 28, 28))
    Sequential, input (1, 1, 28, 28) float32
    ------------------------------------------------------------
    layer  type       output           parameters  multiply-adds
    ------------------------------------------------------------
    0      Conv2d     (1, 6, 28, 28)          156        117,600
    1      ReLU       (1, 6, 28, 28)            -              -
    2      MaxPool2d  (1, 6, 14, 14)            -              -
    3      Conv2d     (1, 16, 10, 10)       2,416        240,000
    4      ReLU       (1, 16, 10, 10)           -              -
    5      MaxPool2d  (1, 16, 5, 5)             -              -
    6      Flatten    (1, 400)                  -              -
    7      Dense      (1, 120)             48,120         48,000
    8      ReLU       (1, 120)                  -              -
    9      Dense      (1, 84)              10,164         10,080
    10     ReLU       (1, 84)                   -              -
    11     Dense      (1, 10)                 850            840
    ------------------------------------------------------------
    parameters:    61,706 (61,706 trainable, 0 frozen)
    multiply-adds: 416,520
    memory:        241.0 KiB parameters, 60.1 KiB activations
    """
    if not isinstance(model, Module):
        raise DTypeError(f"summary: model must be a Module, got {type(model).__name__}")
    shape = _checked_shape(input_shape)
    wanted = _dtype_of(model) if dtype is None else to_dtype("summary", dtype)
    check_room("summary", shape, wanted.itemsize)
    modules = list(model.named_modules())
    modes = [(module, module.training) for _, module in modules]
    table = _Table(dict((id(module), path) for path, module in modules))
    zeros = Tensor(np.zeros(shape, wanted))
    input_bytes = table.new_bytes(zeros)
    hooks = [module.register_forward_hook(table.add_call) for _, module in modules if _has_row(module)]
    try:
        model.eval()
        with no_grad():
            model(zeros)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode
    for _, module in modules:
        if _has_row(module) and id(module) not in table.called:
            table.add_call(module, (), _NOT_CALLED)
    parameters = list(model.parameters())
    return ModelSummary(
        model=type(model).__name__,
        input_shape=shape,
        dtype=wanted,
        rows=tuple(table.rows),
        total_parameters=sum(p.numel() for p in parameters),
        trainable_parameters=sum(p.numel() for p in parameters if p.requires_grad),
        multiply_adds=sum(row.multiply_adds for row in table.rows),
        parameter_bytes=sum(p.data.nbytes for p in parameters),
        activation_bytes=input_bytes + sum(row.activation_bytes for row in table.rows),
    )


class _Table:
    """Takes down the calls of layers."""

    def __init__(self, paths: dict[int, str]) -> None:
        self.rows: list[LayerSummary] = []
        self.called: set[int] = set()
        self._paths = paths
        self._counted: set[int] = set()
        # Held until the end, so that no later array takes the place, and with it the id, of one that was counted.
        self._owners: dict[int, Any] = {}

    def add_call(self, module: Module, args: tuple, result: Any) -> None:
        self.called.add(id(module))
        own = list(module.parameters(recurse=False))
        fresh = [p for p in own if id(p) not in self._counted]
        self._counted.update(id(p) for p in fresh)
        outputs = [tensor.shape for tensor in _tensors(result)]
        inputs = [tensor.shape for tensor in _tensors(args)]
        count = next((MULTIPLY_ADDS[cls] for cls in type(module).__mro__ if cls in MULTIPLY_ADDS), None)
        row = LayerSummary(
            path=self._paths[id(module)],
            type=type(module).__name__,
            output_shape=None if result is _NOT_CALLED else outputs[0] if len(outputs) == 1 else tuple(outputs),
            parameters=sum(p.numel() for p in fresh),
            is_shared=len(fresh) < len(own),
            multiply_adds=count(module, inputs[0], outputs[0]) if count and inputs and outputs else 0,
            activation_bytes=sum(map(self.new_bytes, _tensors(result))),
        )
        self.rows.append(row)

    def new_bytes(self, tensor: Any) -> int:
        """The size of a tensor, or 0 if its memory has been counted."""
        owner = tensor.data
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        if id(owner) in self._owners:
            return 0
        self._owners[id(owner)] = owner
        return tensor.data.nbytes


def _has_row(module: Module) -> bool:
    return not any(True for _ in module.children()) or any(True for _ in module.parameters(recurse=False))


def _tensors(value: Any) -> Iterator[Any]:
    if isinstance(value, TensorBase):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))


def _checked_shape(input_shape: Any) -> Shape:
    sizes: list[Any] = list(input_shape) if isinstance(input_shape, list | tuple) else [None]
    if not all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 0 for n in sizes):
        raise ArgumentError(
            f"summary: input_shape must be a tuple of non-negative integers, the batch first, got {input_shape!r}"
        )
    return tuple(int(n) for n in sizes)


def _dtype_of(model: Module) -> np.dtype:
    known = (p.data.dtype for p in model.parameters() if p.is_initialised)
    return next(known, get_default_dtype())


def _number(value: int) -> str:
    return f"{value:,}" if value else "-"


def _text(shape: Any) -> str:
    return ", ".join(map(str, shape)) if shape and isinstance(shape[0], tuple) else str(shape)


def _bytes(count: int) -> str:
    if count < 1024:
        return f"{count} bytes"
    power = min((count.bit_length() - 1) // 10, 4)
    return f"{count / 1024**power:,.1f} {('KiB', 'MiB', 'GiB', 'TiB')[power - 1]}"
