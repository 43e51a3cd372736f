"""Powers: a function of two inputs, and faster ones for the exponents that programs write down."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import kernels
from minidl.autograd import wrap
from minidl.errors import DTypeError
from minidl.ops._common import broadcast_shape
from minidl.ops.arithmetic import Binary, log, mul, sqrt, sub, where
from minidl.ops.casting import promoted
from minidl.ops.elementwise import cube, reciprocal, square


class Pow(Binary):
    """a ** b; the gradient of b is 0 where a is 0 and b is not negative, as in PyTorch."""

    row = "pow"

    def keep(self, a, b):
        self.save(a, b)

    def compute(self, a, b):
        return a**b

    def gradients(self, grad):
        a, b = self.saved_arrays()
        return tuple(
            [
                kernels.sum_to(kernels.binary(f"pow_{operand}", a, b, grad), shape) if need else None
                for operand, shape, need in zip(("input", "other"), self.shapes, self.needs, strict=True)
            ]
        )

    def backward(self, grad):
        a, b = self.saved
        grad_a = grad_b = None
        if self.needs[0]:
            # At b = 0 the slope is 0 even where a ** -1 is infinite.
            slope = mul(b, power(a, sub(b, 1)))
            grad_a = mul(grad, where(b.data == 0, wrap(np.zeros((), a.data.dtype)), slope))
        if self.needs[1]:
            flat = np.broadcast_to(a.data == 0, broadcast_shape(*self.shapes) or ()) & (b.data >= 0)
            zero = wrap(np.zeros((), a.data.dtype))
            slope = where(flat, zero, mul(power(a, b), log(where(flat, wrap(np.ones((), a.data.dtype)), a))))
            grad_b = mul(grad, slope)
        return self.reduced(grad_a, grad_b)


# As PyTorch has them: the square root of -0 is -0, and that of minus infinity NaN.
_FAST = {3: cube, 2: square, 0.5: sqrt, -1: reciprocal}


def power(input: Any, exponent: Any) -> Any:
    """input ** exponent, broadcast."""
    a, b = promoted("pow", input, exponent)
    if isinstance(exponent, int | float) and exponent in _FAST and a.data.dtype.kind == "f":
        return _FAST[exponent](a)
    if a.data.dtype.kind == "b":
        raise DTypeError("pow: booleans have no powers; convert input with astype()")
    if a.data.dtype.kind in "iu" and (b.data < 0).any():
        raise DTypeError("pow: integers to negative integer powers are not integers; convert input with astype()")
    return Pow()(a, b)
