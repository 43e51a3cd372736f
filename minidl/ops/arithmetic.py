"""Element-wise arithmetic with NumPy's broadcasting."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.autograd import Op, wrap
from minidl.errors import ArgumentError, DTypeError
from minidl.ops._common import as_tensor, cast, check_broadcast, promoted
from minidl.ops.shapes import sum_to

Array = np.ndarray


class Binary(Op):
    """An element-wise operation of two inputs, which remembers their shapes."""

    def forward(self, a: Array, b: Array) -> Array:
        check_broadcast(self.name.lower(), a.shape, b.shape)
        self.shapes = a.shape, b.shape
        # Infinities and NaN are results like any other here, as in PyTorch.
        with np.errstate(all="ignore"):
            return self.compute(a, b)

    def compute(self, a: Array, b: Array) -> Array:
        """The operation itself."""
        raise NotImplementedError

    def reduced(self, grad_a: Any, grad_b: Any) -> tuple:
        """The gradients, summed over what was broadcast."""
        return (
            None if grad_a is None else sum_to(grad_a, self.shapes[0]),
            None if grad_b is None else sum_to(grad_b, self.shapes[1]),
        )


class Add(Binary):
    def compute(self, a, b):
        return a + b

    def backward(self, grad):
        return self.reduced(grad if self.needs[0] else None, grad if self.needs[1] else None)


class Sub(Binary):
    def compute(self, a, b):
        return a - b

    def backward(self, grad):
        return self.reduced(grad if self.needs[0] else None, neg(grad) if self.needs[1] else None)


class Mul(Binary):
    def compute(self, a, b):
        # A factor that no gradient reads may change in place.
        if self.needs:
            self.save(a if self.needs[1] else None, b if self.needs[0] else None)
        return a * b

    def backward(self, grad):
        a, b = self.saved
        return self.reduced(mul(grad, b) if self.needs[0] else None, mul(grad, a) if self.needs[1] else None)


class Div(Binary):
    def compute(self, a, b):
        if self.needs:
            self.save(a if self.needs[1] else None, b)
        return a / b

    def backward(self, grad):
        a, b = self.saved
        return self.reduced(
            div(grad, b) if self.needs[0] else None,
            neg(div(mul(grad, a), mul(b, b))) if self.needs[1] else None,
        )


class Pow(Binary):
    """a ** b; the gradient of b is 0 where a is 0 and b is not negative, as in PyTorch."""

    def compute(self, a, b):
        self.save(a, b)
        return a**b

    def backward(self, grad):
        a, b = self.saved
        grad_a = grad_b = None
        if self.needs[0]:
            # At b = 0 the slope is 0 even where a ** -1 is infinite.
            slope = mul(b, power(a, sub(b, 1)))
            grad_a = mul(grad, where(b.data == 0, wrap(np.zeros((), a.data.dtype)), slope))
        if self.needs[1]:
            flat = np.broadcast_to(a.data == 0, np.broadcast_shapes(*self.shapes)) & (b.data >= 0)
            zero = wrap(np.zeros((), a.data.dtype))
            slope = where(flat, zero, mul(power(a, b), log(where(a.data == 0, wrap(np.ones((), a.data.dtype)), a))))
            grad_b = mul(grad, slope)
        return self.reduced(grad_a, grad_b)


class Extreme(Binary):
    """The larger (or smaller) of two, NaN if one is; equal inputs share the gradient."""

    def __init__(self, choose: Any) -> None:
        self.choose = choose

    @property
    def name(self) -> str:
        return self.choose.__name__

    def compute(self, a, b):
        self.save(a, b)
        return self.choose(a, b)

    def backward(self, grad):
        a, b = self.saved_arrays()
        wins = a > b if self.choose is np.maximum else a < b
        share = np.where(a == b, 0.5, wins).astype(grad.data.dtype)
        return self.reduced(mul(grad, wrap(share)), mul(grad, wrap(1 - share)))


class Unary(Op):
    """An element-wise operation of one input."""


class Neg(Unary):
    def forward(self, x):
        return -x

    def backward(self, grad):
        return neg(grad)


class Exp(Unary):
    def forward(self, x):
        with np.errstate(over="ignore"):
            y = np.asarray(np.exp(x))
        self.save(y)
        return y

    def backward(self, grad):
        return mul(grad, self.saved[0])


class Log(Unary):
    def forward(self, x):
        self.save(x)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(x)

    def backward(self, grad):
        return div(grad, self.saved[0])


class Sqrt(Unary):
    def forward(self, x):
        with np.errstate(invalid="ignore"):
            y = np.asarray(np.sqrt(x))
        self.save(y)
        return y

    def backward(self, grad):
        return div(grad, mul(self.saved[0], 2))


class Abs(Unary):
    """|x|; the gradient at 0 is 0."""

    def forward(self, x):
        self.save(x)
        return np.abs(x)

    def backward(self, grad):
        return mul(grad, wrap(np.sign(self.saved_arrays()[0])))


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


class Clip(Op):
    """x limited to [low, high]; the gradient is 1 inside, limits included, and 0 outside."""

    def __init__(self, low: float | None, high: float | None) -> None:
        self.low, self.high = low, high

    def forward(self, x):
        self.save(x)
        return np.clip(x, self.low, self.high)

    def backward(self, grad):
        (x,) = self.saved_arrays()
        inside = np.ones(x.shape, grad.data.dtype)
        if self.low is not None:
            inside *= x >= self.low
        if self.high is not None:
            inside *= x <= self.high
        return mul(grad, wrap(inside))


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
    return Div()(_floating("div", a), _floating("div", b))


def power(input: Any, exponent: Any) -> Any:
    """input ** exponent, broadcast."""
    a, b = promoted("pow", input, exponent)
    if isinstance(exponent, int | float) and exponent == 2:
        return mul(a, a)
    if a.data.dtype.kind in "iu" and (b.data < 0).any():
        raise DTypeError("pow: integers to negative integer powers are not integers; convert input with astype()")
    return Pow()(a, b)


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
    return Exp()(_floating("exp", input))


def log(input: Any) -> Any:
    """The natural logarithm: -inf at 0, NaN below."""
    return Log()(_floating("log", input))


def sqrt(input: Any) -> Any:
    """The square root: NaN below 0."""
    return Sqrt()(_floating("sqrt", input))


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
    check_broadcast("where", mask.shape, np.broadcast_shapes(a.data.shape, b.data.shape))
    # A copy, since the mask may be changed before the backward pass.
    return Where(mask.copy())(a, b)


def clip(input: Any, min: float | None = None, max: float | None = None) -> Any:
    """`input` limited to [min, max]; None leaves a side open."""
    x = as_tensor("clip", "input", input)
    for name, limit in (("min", min), ("max", max)):
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float | np.number)):
            raise ArgumentError(f"clip: {name} must be a number or None, got {limit!r}")
    if min is None and max is None:
        return x
    # As numbers of Python's, which leave the dtype alone.
    low, high = (None if v is None else v if isinstance(v, int) else float(v) for v in (min, max))
    if x.data.dtype.kind != "f" and any(isinstance(v, float) for v in (low, high)):
        x = _floating("clip", x)
    return Clip(low, high)(x)


def _floating(op: str, x: Any) -> Any:
    from minidl.dtypes import get_default_dtype

    x = as_tensor(op, "input", x)
    return x if x.data.dtype.kind == "f" else cast(x, get_default_dtype())
