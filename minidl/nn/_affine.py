"""Layers with a weight and a bias share this base."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from minidl.arguments import check_generator, check_room, is_int
from minidl.dtypes import get_default_dtype, to_dtype
from minidl.errors import ArgumentError, DTypeError, check_flag
from minidl.nn._filling import fans_of
from minidl.nn.init import kaiming_uniform_, uniform_
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter
from minidl.runtime import fork_safe, locks
from minidl.tensor import Tensor


def check_size(layer: str, name: str, value: Any, optional: bool = False) -> int | None:
    if value is None and optional:
        return None
    if not is_int(value) or not 1 <= value < 2**63:
        raise ArgumentError(
            f"{layer}: {name} must be an int of at least 1{' or None' if optional else ''}, got {value!r}"
        )
    return int(value)


class Affine(Module):
    """The base of convolution and dense layers: a weight, a bias, and an input size that may be inferred.

    The parameters exist from the start. While the input size is open, the weight has no shape; it and the bias are
    drawn once the size is known.
    """

    # The attribute that holds the input size.
    _input_name = ""
    # Whether the size is known and the parameters are drawn; set last, since other threads call the layer meanwhile.
    _is_sized = False

    def _create(self, out: int, bias: bool, dtype: Any, generator: np.random.Generator | None) -> None:
        dtype = get_default_dtype() if dtype is None else to_dtype(type(self).__name__, dtype)
        if dtype.kind != "f":
            raise DTypeError(f"{type(self).__name__}: dtype must be float32 or float64, got {dtype}")
        self._generator = fork_safe(check_generator(type(self).__name__, generator))
        shape = self._weight_shape()
        check_room(type(self).__name__, [1 if size is None else size for size in shape], dtype.itemsize)
        self.weight = Parameter(None)
        # Its dtype, until it has a shape; Module.to may change it meanwhile.
        self.weight._data = np.empty(0, dtype)
        self.bias = Parameter(np.zeros(out, dtype)) if check_flag(type(self).__name__, "bias", bias) else None
        if getattr(self, self._input_name) is not None:
            self.weight.initialise(np.empty(shape, dtype))  # type: ignore[arg-type]
            self.reset_parameters()
            self._is_sized = True

    def _weight_shape(self) -> tuple[int | None, ...]:
        raise NotImplementedError

    def _input_size_from(self, weight_shape: tuple[int, ...]) -> int:
        return weight_shape[1]

    def reset_parameters(self) -> None:
        """Draw weight and bias evenly from +-1 / sqrt(fan_in), as PyTorch does."""
        kaiming_uniform_(self.weight, sqrt(5), generator=self._generator)
        if self.bias is not None:
            bound = 1 / sqrt(max(fans_of(type(self).__name__, self.weight.data.shape)[0], 1))
            uniform_(self.bias, -bound, bound, self._generator)

    def _set_input_size(self, size: int) -> None:
        """Draw the parameters for an input of this size, unless another thread has just done so."""
        with locks.sizes:
            if self._is_sized:
                return
            # An interrupt, or a fork in the midst of this, leaves a size, and numbers that are not drawn yet.
            is_fresh = getattr(self, self._input_name) is None
            if is_fresh:
                setattr(self, self._input_name, size)
            if is_fresh or not self.weight.is_initialised:
                shape: Any = self._weight_shape()
                self.weight.initialise(np.empty(shape, self.weight.data.dtype))
            self.reset_parameters()
            self._is_sized = True

    def _infer_sizes(self, arrays: dict[str, np.ndarray]) -> None:
        if "weight" in arrays and not self.weight.is_initialised:
            self._set_input_size(self._input_size_from(arrays["weight"].shape))

    def _shape_of(self, name: str, tensor: Tensor) -> tuple[int | None, ...]:
        return self._weight_shape() if name == "weight" and not self.weight.is_initialised else tensor.data.shape
