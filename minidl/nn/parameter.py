"""`Parameter`: a tensor that a module learns."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.autograd import TensorBase
from minidl.dtypes import get_default_dtype, to_array
from minidl.errors import DTypeError, GraphError
from minidl.tensor import Tensor


class Parameter(Tensor):
    """A tensor that is a parameter of the module that it is an attribute of.

    Parameters
    ----------
    data : array_like or None
        The first values, float32 or float64; integers become the default dtype. A single int is refused, since it may
        be meant as a size. None makes a parameter whose shape is not known yet: an optimiser may hold it, and its
        module fills it in at the first call.
    requires_grad : bool
        Whether it is learned (True) or frozen.

    Examples
    --------
    >>> import minidl
    >>> minidl.nn.Parameter([1.0, 2.0])
    Parameter([1., 2.], requires_grad=True)
    """

    __slots__ = ("is_initialised",)

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        self.is_initialised = data is not None
        if data is None:
            data = np.empty(0, get_default_dtype())
        elif isinstance(data, bool) or not isinstance(data, int | np.integer):
            data = self._read(data)
        super().__init__(data, requires_grad=requires_grad)

    @staticmethod
    def _read(data: Any) -> np.ndarray:
        array = to_array("Parameter", data._data if isinstance(data, TensorBase) else data)
        if array.dtype.kind != "f":
            array = array.astype(get_default_dtype())
        # Optimiser steps write to it, as one run of memory.
        if not (array.flags.c_contiguous and array.flags.writeable and array.flags.aligned):
            array = array.copy(order="C")
        return array

    def initialise(self, array: np.ndarray) -> None:
        """Give a parameter without a shape its values."""
        if self.is_initialised:
            raise GraphError("Parameter: it has values already; use copy_() under no_grad()")
        self._data = self._read(array)
        self.is_initialised = True

    def _set_data(self, value: Any) -> None:
        if not self.is_initialised:
            raise DTypeError(
                "Parameter.data: the parameter has no shape yet; call its module once, or load a state dict"
            )
        super()._set_data(value)

    def _assign(self, op: str, result: Any) -> Tensor:
        if not self.is_initialised:
            raise DTypeError(f"{op}: the parameter has no shape yet; call its module once, or load a state dict")
        return super()._assign(op, result)

    def __repr__(self) -> str:
        if not self.is_initialised:
            return "Parameter(shape not known yet)"
        return "Parameter" + super().__repr__().removeprefix("tensor").replace("\n ", "\n    ")
