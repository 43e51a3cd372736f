"""Element-wise arithmetic with NumPy's broadcasting."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minidl import kernels
from minidl.autograd import Op, wrap
from minidl.errors import DTypeError
from minidl.ops._common import as_tensor, broadcast_shape, check_broadcast
from minidl.ops.casting import floating, promoted
from minidl.ops.shapes import sum_to

Array = np.ndarray


def sign(x: Array) -> Array:
    """1 above 0, -1 below, and 0 for 0 and for NaN, as in PyTorch; NumPy's is NaN for NaN."""
    return np.subtract(x > 0, x < 0, dtype=x.dtype)


class Binary(Op):
    """An element-wise operation of two inputs, which remembers their shapes.

    Large arrays go to a row of the table in `_ext/binary_table.h`, if there is one, and so do their gradients, without
    arrays for what was broadcast; NumPy is faster on small ones.
    """

    row: str = ""

    def forward(self, a: Array, b: Array) -> Array:
        check_broadcast(self.name.lower(), a.shape, b.shape)
        self.shapes = a.shape, b.shape
        self.keep(a, b)
        if self.row and kernels.is_large(a, b):
            return kernels.binary(self.row, a, b)
        # Infinities and NaN are results like any other here, as in PyTorch.
        with np.errstate(all="ignore"):
            return self.compute(a, b)

    def keep(self, a: Array, b: Array) -> None:
        """Save what the gradients are computed from."""

    def compute(self, a: Array, b: Array) -> Array:
        """The operation itself, by NumPy."""
        raise NotImplementedError

    def backward_arrays(self, grad: Array) -> Any:
        if self.row and kernels.is_large(grad, grad):
            return self.gradients(grad)
        return super().backward_arrays(grad)

    def gradients(self, grad: Array) -> tuple[Array | None, Array | None]:
        """Those of large arrays, by kernels."""
        raise NotImplementedError

    def reduced(self, grad_a: Any, grad_b: Any) -> tuple:
        """The gradients, summed over what was broadcast."""
        return (
            None if grad_a is None else sum_to(grad_a, self.shapes[0]),
            None if grad_b is None else sum_to(grad_b, self.shapes[1]),
        )


class Add(Binary):
    row = "add"

    def compute(self, a, b):
        return a + b

    def backward(self, grad):
        return self.reduced(grad if self.needs[0] else None, grad if self.needs[1] else None)

    def gradients(self, grad):
        return tuple(
            [kernels.sum_to(grad, shape) if need else None for shape, need in zip(self.shapes, self.needs, strict=True)]
        )


class Sub(Binary):
    row = "sub"

    def compute(self, a, b):
        return a - b

    def backward(self, grad):
        return self.reduced(grad if self.needs[0] else None, neg(grad) if self.needs[1] else None)

    def gradients(self, grad):
        return (
            kernels.sum_to(grad, self.shapes[0]) if self.needs[0] else None,
            kernels.elementwise("neg", kernels.sum_to(grad, self.shapes[1])) if self.needs[1] else None,
        )


class Mul(Binary):
    row = "mul"

    def keep(self, a, b):
        # A factor that no gradient reads may change in place.
        if self.needs:
            self.save(a if self.needs[1] else None, b if self.needs[0] else None)

    def compute(self, a, b):
        return a * b

    def backward(self, grad):
        a, b = self.saved
        return self.reduced(mul(grad, b) if self.needs[0] else None, mul(grad, a) if self.needs[1] else None)

    def gradients(self, grad):
        a, b = self.saved_arrays()
        return (
            kernels.sum_to(grad, self.shapes[0], b) if self.needs[0] else None,
            kernels.sum_to(grad, self.shapes[1], a) if self.needs[1] else None,
        )


class Div(Binary):
    row = "div"

    def keep(self, a, b):
        if self.needs:
            self.save(a if self.needs[1] else None, b)

    def compute(self, a, b):
        return a / b

    def backward(self, grad):
        a, b = self.saved
        return self.reduced(
            div(grad, b) if self.needs[0] else None,
            # Not a / b^2, whose square may be 0 or infinite where b is neither.
            neg(mul(grad, div(div(a, b), b))) if self.needs[1] else None,
        )

    def gradients(self, grad):
        a, b = self.saved_arrays()
        return (
            kernels.sum_to(kernels.binary("div", grad, b), self.shapes[0]) if self.needs[0] else None,
            kernels.sum_to(kernels.binary("div_other", a, b, grad), self.shapes[1]) if self.needs[1] else None,
        )


class Extreme(Binary):
    """The larger (or smaller) of two, NaN if one is; equal inputs share the gradient, and beside NaN both get it."""

    def __init__(self, choose: Any) -> None:
        self.choose = choose

    @property
    def name(self) -> str:
        return self.choose.__name__

    @property
    def row(self) -> str:  # type: ignore[override]
        return self.choose.__name__

    def keep(self, a, b):
        self.save(a, b)

    def compute(self, a, b):
        return self.choose(a, b)

    def gradients(self, grad):
        a, b = self.saved_arrays()
        return tuple(
            [
                kernels.sum_to(kernels.binary(f"{self.row}_{operand}", a, b, grad), shape) if need else None
                for operand, shape, need in zip(("input", "other"), self.shapes, self.needs, strict=True)
            ]
        )

    def backward(self, grad):
        a, b = self.saved_arrays()
        zero = wrap(np.zeros((), grad.data.dtype))
        # Comparisons are false beside NaN, so that both get the gradient there.
        smaller, larger = (a < b, a > b) if self.choose is np.maximum else (a > b, a < b)
        shared = mul(grad, wrap(np.where(a == b, 0.5, 1).astype(grad.data.dtype)))
        return self.reduced(
            Where(smaller)(zero, shared) if self.needs[0] else None,
            Where(larger)(zero, shared) if self.needs[1] else None,
        )


class Unary(Op):
    """y = f(x), element by element: the gradient is that of the result times the slope dy/dx.

    f and its fused gradient are a row of the table in `_ext/elementwise_table.h`, which says what the slope is a
    function of: "x", "y" (tanh: 1 - y^2), or nothing. A subclass names the row, sets the row's numbers a and b if it
    has any, and writes `slope` with tensors in differentiable operations, so that gradients of gradients work.
    """

    owns_gradients = True
    row: ClassVar[str]
    a: float = 0.0
    b: float = 0.0

    def forward(self, x: Array) -> Array:
        y = kernels.elementwise(self.row, x, self.a, self.b) if x.dtype.kind == "f" else self.integer_forward(x)
        keeps = kernels.ELEMENTWISE[self.row].keeps
        if keeps:
            self.save(x if keeps == "x" else y)
        return y

    def integer_forward(self, x: Array) -> Array:
        """f(x) for integers or booleans, which the table has not; for ops that take them."""
        raise NotImplementedError

    def slope(self, kept: Any) -> Any:
        """dy/dx from what is kept."""
        raise NotImplementedError

    def backward(self, grad: Any) -> Any:
        return mul(grad, self.slope(*self.saved))

    def backward_arrays(self, grad: Array) -> Any:
        kept = self.saved_arrays()
        return kernels.elementwise_gradient(self.row, grad, kept[0] if kept else grad, self.a, self.b)


class Gate(Unary):
    """A function with slopes 1 and 0 alone; the gradient passes where the slope is 1, and is 0 elsewhere."""

    def passes(self, kept: Array) -> Array:
        """Tell where the slope is 1, from what is kept."""
        raise NotImplementedError

    def backward(self, grad):
        # Not a product, which would be NaN for an infinite gradient that does not pass.
        return Where(self.passes(*self.saved_arrays()))(grad, wrap(np.zeros((), grad.data.dtype)))


class Neg(Unary):
    row = "neg"

    def integer_forward(self, x):
        return np.negative(x)

    def backward(self, grad):
        return neg(grad)


class Exp(Unary):
    row = "exp"

    def slope(self, y):
        return y


class Log(Unary):
    row = "log"

    def backward(self, grad):
        (x,) = self.saved
        return div(grad, x)


class Sqrt(Unary):
    row = "sqrt"

    def backward(self, grad):
        (y,) = self.saved
        return div(grad, mul(y, 2))


class Abs(Unary):
    """|x|; the gradient at 0 is 0, and so it is at NaN."""

    row = "abs"

    def integer_forward(self, x):
        return np.asarray(np.abs(x))

    def slope(self, x):
        return wrap(sign(x.data))


class Where(Op):
    """a where the condition holds, else b."""

    def __init__(self, condition: Array) -> None:
        self.condition = condition

    def forward(self, a, b):
        self.shapes = a.shape, b.shape
        return np.where(self.condition, a, b)

    def backward(self, grad):
        zero = wrap(np.zeros((), grad.data.dtype))
        return (
            sum_to(where(self.condition, grad, zero), self.shapes[0]) if self.needs[0] else None,
            sum_to(where(self.condition, zero, grad), self.shapes[1]) if self.needs[1] else None,
        )


def add(input: Any, other: Any) -> Any:
    """input + other, broadcast."""
    return Add()(*promoted("add", input, other))


def sub(input: Any, other: Any) -> Any:
    """input - other, broadcast."""
    a, b = promoted("sub", input, other)
    if a.data.dtype.kind == "b":
        raise DTypeError("sub: booleans can't be subtracted; convert one with astype()")
    return Sub()(a, b)


def mul(input: Any, other: Any) -> Any:
    """input * other, broadcast."""
    return Mul()(*promoted("mul", input, other))


def div(input: Any, other: Any) -> Any:
    """input / other, broadcast; integers become the default float dtype."""
    a, b = promoted("div", input, other)
    return Div()(floating("div", a), floating("div", b))


def maximum(input: Any, other: Any) -> Any:
    """The larger of two, element by element; NaN if one is."""
    return Extreme(np.maximum)(*promoted("maximum", input, other))


def minimum(input: Any, other: Any) -> Any:
    """The smaller of two, element by element; NaN if one is."""
    return Extreme(np.minimum)(*promoted("minimum", input, other))


def neg(input: Any) -> Any:
    """-input."""
    x = as_tensor("neg", "input", input)
    if x.data.dtype.kind == "b":
        raise DTypeError("neg: booleans have no negative; use ~, or convert with astype()")
    return Neg()(x)


def exp(input: Any) -> Any:
    """e to the power of input."""
    return Exp()(floating("exp", input))


def log(input: Any) -> Any:
    """The natural logarithm: -inf at 0, NaN below."""
    return Log()(floating("log", input))


def sqrt(input: Any) -> Any:
    """The square root: NaN below 0."""
    return Sqrt()(floating("sqrt", input))


def absolute(input: Any) -> Any:
    """The absolute value."""
    return Abs()(as_tensor("abs", "input", input))


def where(condition: Any, input: Any, other: Any) -> Any:
    """`input` where the condition holds, `other` elsewhere, all broadcast together."""
    mask = as_tensor("where", "condition", condition).data
    if mask.dtype.kind != "b":
        raise DTypeError(f"where: condition must be boolean, got {mask.dtype}")
    a, b = promoted("where", input, other)
    check_broadcast("where", a.data.shape, b.data.shape)
    check_broadcast("where", mask.shape, broadcast_shape(a.data.shape, b.data.shape) or ())
    # A copy, since the mask may be changed before the backward pass.
    return Where(mask.copy())(a, b)
