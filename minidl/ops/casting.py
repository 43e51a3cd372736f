"""The conversion of dtypes as an operation, and the rules by which operands get one dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.autograd import Op, TensorBase, wrap
from minidl.dtypes import converted, get_default_dtype, result_dtype, scalar_dtype
from minidl.errors import ArgumentError
from minidl.ops._common import as_tensor, rounded

Array = np.ndarray


class Cast(Op):
    """A cast: equal values in another dtype."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype

    def forward(self, x):
        self.input_dtype = x.dtype
        return converted(x, self.dtype)

    def __call__(self, *inputs):
        # Numbers that are not floating have no gradient.
        if self.dtype.kind != "f" or inputs[0].data.dtype.kind != "f":
            return wrap(self.forward(inputs[0].data))
        return super().__call__(*inputs)

    def backward(self, grad):
        return Cast(self.input_dtype)(grad)


def cast(x: Any, dtype: np.dtype) -> Any:
    """`x` in another dtype, itself if it has it."""
    return x if x._data.dtype == dtype else Cast(dtype)(x)


def _scalar(op: str, value: bool | int | float, other_dtype: np.dtype) -> Any:
    dtype = scalar_dtype(value, other_dtype)
    try:
        if dtype.kind == "f":
            return wrap(rounded(value, dtype))
        return wrap(np.asarray(value, dtype))
    except OverflowError:
        raise ArgumentError(f"{op}: the number {value} does not fit {dtype}; use astype()") from None


def promoted(op: str, a: Any, b: Any) -> tuple[Any, Any]:
    """Two operands as tensors of one dtype. Python numbers take the other's dtype where that holds their kind."""
    if isinstance(a, TensorBase) and isinstance(b, TensorBase):
        if a._data.dtype == b._data.dtype:
            return a, b
    elif isinstance(b, bool | int | float) and not isinstance(b, np.generic):
        a = as_tensor(op, "input", a)
        b = _scalar(op, b, a._data.dtype)
    elif isinstance(a, bool | int | float) and not isinstance(a, np.generic):
        b = as_tensor(op, "other", b)
        a = _scalar(op, a, b._data.dtype)
    a, b = as_tensor(op, "input", a), as_tensor(op, "other", b)
    dtype = result_dtype(op, a._data.dtype, a._data.ndim == 0, b._data.dtype, b._data.ndim == 0)
    return cast(a, dtype), cast(b, dtype)


def floating(op: str, x: Any) -> Any:
    """The input as a tensor of floating dtype, the default one where it has integers or booleans."""
    x = as_tensor(op, "input", x)
    return x if x.data.dtype.kind == "f" else cast(x, get_default_dtype())
