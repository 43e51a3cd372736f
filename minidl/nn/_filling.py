"""Initialisers share their checks, the fans of a weight, and writing."""

from __future__ import annotations

from math import isfinite, prod
from typing import Any

import numpy as np

from minidl.arguments import check_generator
from minidl.autograd import TensorBase
from minidl.dtypes import FLOAT64, converted
from minidl.errors import ArgumentError, DTypeError, ShapeError
from minidl.ops._common import check_floating, read_number
from minidl.runtime import default_generator

Array = np.ndarray
Generator = np.random.Generator


def fans_of(op: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """The number of inputs that an output of a weight (out, in, ...) sums over, and of outputs that an input goes to.

    Raises
    ------
    ShapeError
        If the weight has fewer than 2 dimensions.
    """
    if len(shape) < 2:
        raise ShapeError(f"{op}: a weight of shape {shape} has no fan; at least 2 dimensions are needed")
    return prod(shape[1:]), shape[0] * prod(shape[2:])


def number(op: str, name: str, value: Any, least: float = -np.inf, finite: bool = True) -> float:
    """A number as a float; NaN is none."""
    read = read_number(op, name, value, FLOAT64)
    if not read >= least or (finite and not isfinite(read)):
        kind = "finite number" if finite else "number"
        raise ArgumentError(
            f"{op}: {name} must be a {kind}{'' if least < 0 else f' of at least {least}'}, got {value!r}"
        )
    return read


def even(op: str, tensor: Any, low: float, high: float, generator: Any, ranks: tuple[int, ...] | None = ()) -> Any:
    """Draw evenly from [low, high), whose width must be finite."""
    if not isfinite(high - low):
        raise ArgumentError(f"{op}: numbers from {low:g} to {high:g} are too far apart to be drawn from")
    return fill(op, tensor, lambda shape, source: source.uniform(low, high, shape), generator, ranks)


def checked(op: str, tensor: Any) -> Array:
    """The tensor's array, if it can be filled."""
    if not isinstance(tensor, TensorBase):
        raise DTypeError(f"{op}: tensor must be a Tensor, got {type(tensor).__name__}")
    check_floating(op, "tensor", tensor)
    if not getattr(tensor, "is_initialised", True):
        raise DTypeError(f"{op}: the parameter has no shape yet; call its module once, or load a state dict")
    if not tensor.data.flags.writeable:
        raise ArgumentError(f"{op}: tensor must be writeable, this one's memory is read-only")
    return tensor.data


def fill(op: str, tensor: Any, draw: Any, generator: Any = None, ranks: tuple[int, ...] | None = ()) -> Any:
    """Write what `draw` gives for the tensor's shape, if it has one of these ranks (None: at least 2)."""
    array = checked(op, tensor)
    if (ranks is None and array.ndim < 2) or (ranks and array.ndim not in ranks):
        wanted = "at least 2" if ranks is None else " or ".join(map(str, ranks))
        raise ShapeError(f"{op}: tensor must have {wanted} dimensions, got shape {array.shape}")
    check_generator(op, generator)
    drawn = draw(array.shape, default_generator() if generator is None else generator)
    array[...] = converted(np.asarray(drawn), array.dtype)
    tensor._version[0] += 1
    return tensor
