"""Activations, softmax and dropout."""

from __future__ import annotations

from math import inf, pi, sqrt

import numpy as np

from minidl import kernels
from minidl.autograd import Op, wrap
from minidl.ops.arithmetic import Binary, Gate, Unary, Where, add, div, exp, mul, neg, sub, where
from minidl.ops.clip import Clip, clip
from minidl.ops.shapes import Sum

Array = np.ndarray

# SELU has these numbers, for which mean 0 and variance 1 are a fixed point (Klambauer et al. 2017).
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def steps(condition: Array, no: float, yes: float, dtype: np.dtype) -> Array:
    """One number where a condition holds, and another elsewhere; np.where would guess the next condition each time."""
    return np.asarray(np.take(np.asarray([no, yes], dtype), condition))


class ReLU(Gate):
    """y = max(x, 0). The gradient at 0 is 0, as in PyTorch."""

    row = "relu"

    def passes(self, y):
        # Not y > 0, since NaN passes.
        return ~(y <= 0)


class ReLU6(Clip):
    """y = min(max(x, 0), 6). The gradient at 0 and 6 is 0, as in PyTorch, and that at NaN passes, as ReLU's does."""

    row = "relu6"

    def __init__(self) -> None:
        super().__init__(0.0, 6.0)

    def passes(self, x):
        # Not the other way round, since NaN passes.
        return ~((x <= 0) | (x >= 6))


class LeakyReLU(Unary):
    """y = x, or negative_slope x for x up to 0."""

    row = "leaky_relu"

    def __init__(self, negative_slope: float) -> None:
        self.a = negative_slope

    def slope(self, x):
        return wrap(steps(x.data > 0, self.a, 1, x.data.dtype))


class PReLU(Binary):
    """y = x, or weight x for x up to 0; the weight broadcasts."""

    row = "prelu"

    def keep(self, x, weight):
        self.save(x, weight)

    def compute(self, x, weight):
        return np.where(x > 0, x, weight * x)

    def gradients(self, grad):
        x, weight = self.saved_arrays()
        return (
            kernels.sum_to(kernels.binary("prelu_input", x, weight, grad), self.shapes[0]) if self.needs[0] else None,
            kernels.sum_to(kernels.binary("prelu_other", x, weight, grad), self.shapes[1]) if self.needs[1] else None,
        )

    def backward(self, grad):
        x, weight = self.saved
        positive, zero = x.data > 0, wrap(np.zeros((), x.data.dtype))
        return self.reduced(
            where(positive, grad, mul(grad, weight)) if self.needs[0] else None,
            mul(grad, where(positive, zero, x)) if self.needs[1] else None,
        )


class ELU(Unary):
    """y = scale x, or scale alpha (exp(x) - 1) for x up to 0. The slope at 0 is that of the left side."""

    row = "elu"

    def __init__(self, alpha: float, scale: float = 1.0) -> None:
        self.a, self.b = scale * alpha, scale

    def slope(self, x):
        constant = wrap(steps(x.data > 0, self.a, self.b, x.data.dtype))
        # Not <=: PyTorch has no second gradient at 0. NaN is kept by the exponential.
        return where(~(x.data >= 0), mul(exp(clip(x, max=0.0)), self.a), constant)


class Tanh(Unary):
    """y = tanh(x); dy/dx = 1 - y^2."""

    row = "tanh"

    def slope(self, y):
        return sub(1, mul(y, y))


class Sigmoid(Unary):
    """y = 1 / (1 + exp(-x)); dy/dx = y (1 - y)."""

    row = "sigmoid"

    def slope(self, y):
        return mul(y, sub(1, y))


class LogSigmoid(Unary):
    """y = min(x, 0) - log(1 + exp(-|x|)); dy/dx = sigmoid(-x)."""

    row = "logsigmoid"

    def slope(self, x):
        return Sigmoid()(neg(x))


class Softplus(Unary):
    """y = log(1 + exp(beta x)) / beta, or x where beta x is above the threshold."""

    row = "softplus"

    def __init__(self, beta: float, threshold: float) -> None:
        self.a, self.b = beta, threshold

    def slope(self, x):
        scaled = mul(x, self.a)
        curve = Sigmoid()(scaled)
        # On the threshold the slope is still that of the curve, but PyTorch has no second gradient there.
        line = wrap(np.where(scaled.data > self.b, x.data.dtype.type(1), curve.data))
        return where(scaled.data >= self.b, line, curve)


class SiLU(Unary):
    """y = x / (1 + exp(-x))."""

    row = "silu"

    def slope(self, x):
        s = Sigmoid()(x)
        return mul(s, add(mul(x, sub(1, s)), 1))


class Mish(Unary):
    """y = x tanh(log(1 + exp(x)))."""

    row = "mish"

    def slope(self, x):
        t = Tanh()(Softplus(1.0, inf)(x))
        return add(t, mul(mul(x, Sigmoid()(x)), sub(1, mul(t, t))))


class Hardswish(Unary):
    """y = x min(max(x + 3, 0), 6) / 6; the slope is 0 at -3 and 1 at 3, as in PyTorch."""

    row = "hardswish"

    def slope(self, x):
        outside = wrap(steps(x.data >= 3, 0, 1, x.data.dtype))
        return where(np.abs(x.data) >= 3, outside, add(div(x, 3), 0.5))

    def backward(self, grad):
        # No gradient passes where the slope is 0, even an infinite one.
        flat = self.saved_arrays()[0] <= -3
        return Where(flat)(wrap(np.zeros((), grad.data.dtype)), super().backward(grad))


class NormalCDF(Unary):
    """The share of a standard normal distribution below x; the slope is its density."""

    row = "normal_cdf"

    def slope(self, x):
        return mul(exp(mul(mul(x, x), -0.5)), 1 / sqrt(2 * pi))


class GELU(Unary):
    """y = x times the share of a standard normal distribution below x."""

    row = "gelu"

    def slope(self, x):
        cdf = NormalCDF()
        return add(cdf(x), mul(x, cdf.slope(x)))


class TanhGELU(Unary):
    """y = x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3), close to GELU.

    It is computed as x sigmoid(2 u), which is the same, and accurate where tanh(u) is close to -1.
    """

    row = "gelu_tanh"

    def slope(self, x):
        square = mul(mul(x, x), 0.044715)
        s = Sigmoid()(mul(mul(x, add(square, 1)), 2 * sqrt(2 / pi)))
        inner = mul(add(mul(square, 3), 1), 2 * sqrt(2 / pi))
        return mul(s, add(mul(mul(x, sub(1, s)), inner), 1))


class LogSoftmax(Op):
    """y = x - log(sum(exp(x))) along dim; the gradient is grad - exp(y) sum(grad)."""

    owns_gradients = True

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, x):
        y = kernels.log_softmax(x, self.dim)
        self.save(y)
        return y

    def backward(self, grad):
        (y,) = self.saved
        return sub(grad, mul(exp(y), Sum((self.dim,), True)(grad)))

    def backward_arrays(self, grad):
        (y,) = self.saved_arrays()
        return kernels.log_softmax_gradient(grad, y, self.dim)


class Softmax(Op):
    """y = exp(x) / sum(exp(x)) along dim; the gradient is y (grad - sum(grad y))."""

    owns_gradients = True

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, x):
        y = kernels.softmax(x, self.dim)
        self.save(y)
        return y

    def backward(self, grad):
        (y,) = self.saved
        return mul(y, sub(grad, Sum((self.dim,), True)(mul(grad, y))))

    def backward_arrays(self, grad):
        (y,) = self.saved_arrays()
        return kernels.softmax_gradient(grad, y, self.dim)


class Dropout(Op):
    """Zeros with probability p, the rest divided by 1 - p (inverted dropout; Srivastava et al. 2014).

    What shares its first `together` indices is dropped together; by default each element is on its own.
    """

    owns_gradients = True

    def __init__(self, p: float, generator: np.random.Generator, shared_dims: int | None = None) -> None:
        self.p, self.generator, self.shared_dims = p, generator, shared_dims

    def forward(self, x):
        own = x.ndim if self.shared_dims is None else self.shared_dims
        # Drawn in float32 whatever the dtype, so that both dtypes drop the same elements.
        drawn = self.generator.random(x.shape[:own] + (1,) * (x.ndim - own), np.float32).astype(x.dtype, copy=False)
        scale = float(1 / x.dtype.type(1 - self.p)) if self.p < 1 else 0.0
        self.scale = kernels.elementwise("threshold", drawn, float(np.float32(self.p)), scale)
        return kernels.binary("mul", x, self.scale)

    def backward(self, grad):
        return mul(grad, wrap(self.scale))

    def backward_arrays(self, grad):
        return kernels.binary("mul", grad, self.scale)
