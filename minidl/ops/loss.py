"""Losses of single elements and rows; what reduces them to one number is in the functional layer."""

from __future__ import annotations

from math import inf, nan

import numpy as np

from minidl import kernels
from minidl.autograd import Op, wrap
from minidl.ops._common import rounded
from minidl.ops.activation import LogSigmoid, Sigmoid, Softmax
from minidl.ops.arithmetic import Binary, Unary, absolute, add, div, log, maximum, mul, neg, sign, sub, where
from minidl.ops.clip import Clip
from minidl.ops.powers import power
from minidl.ops.shapes import Reshape

Array = np.ndarray

# A gradient is divided by no less.
EPSILON = kernels.LEAST_VARIANCE


class SquaredDistance(Op):
    """The sum of (x - t)^2 over `divisor`, in one go; nothing of the size of x is kept."""

    owns_gradients = True

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor

    def forward(self, x, t):
        self.save(x, t)
        total = kernels.squared_distance(x, t)
        return rounded(total / self.divisor if self.divisor else nan, x.dtype)

    def backward(self, grad):
        x, t = self.saved
        grad_x = mul(mul(sub(x, t), 2), div(grad, self.divisor))
        return grad_x if self.needs[0] else None, neg(grad_x) if self.needs[1] else None

    def backward_arrays(self, grad):
        x, t = self.saved_arrays()
        # Without elements, whose mean it would be, there is nothing to multiply.
        grad_x = kernels.squared_distance_gradient(x, t, float(grad) * (2 / max(self.divisor, 1)))
        return grad_x if self.needs[0] else None, -grad_x if self.needs[1] else None


class Limited(Clip):
    """`Clip`, whose gradient at the limits is 0."""

    row = "hardtanh"

    def passes(self, x):
        return (x > self.low) & (x < self.high)


class Huber(Unary):
    """y = x^2 / 2 up to delta on both sides, then on along the tangent."""

    row = "huber"

    def __init__(self, delta: float) -> None:
        self.a = delta

    def slope(self, x):
        return Limited(-self.a, self.a)(x)


class SmoothL1(Unary):
    """y = x^2 / (2 beta) up to beta on both sides, then |x| - beta / 2: Huber's divided by beta, without overflow."""

    row = "smooth_l1"

    def __init__(self, beta: float) -> None:
        self.a = beta

    def slope(self, x):
        return Limited(-1.0, 1.0)(div(x, self.a))


class BinaryCrossEntropy(Binary):
    """-t log(x) - (1 - t) log(1 - x) for probabilities x and t, with logarithms from -100 up.

    The gradient is that of unlimited logarithms, with x (1 - x) from 1e-12 up.
    """

    row = "cross_entropy"

    def keep(self, x, t):
        self.save(x, t)

    def compute(self, x, t):
        return kernels.BINARY[self.row](x, t, x)

    def gradients(self, grad):
        x, t = self.saved_arrays()
        return (
            kernels.binary(f"{self.row}_input", x, t, grad) if self.needs[0] else None,
            kernels.binary(f"{self.row}_other", x, t, grad) if self.needs[1] else None,
        )

    def backward(self, grad):
        x, t = self.saved
        rest = sub(1, x)
        return (
            mul(grad, div(sub(x, t), maximum(mul(x, rest), EPSILON))) if self.needs[0] else None,
            mul(grad, sub(log(rest), log(x))) if self.needs[1] else None,
        )


class BinaryCrossEntropyWithLogits(BinaryCrossEntropy):
    """-t log(sigmoid(x)) - (1 - t) log(sigmoid(-x))."""

    row = "logit_cross_entropy"

    def backward(self, grad):
        x, t = self.saved
        return (
            mul(grad, sub(Sigmoid()(x), t)) if self.needs[0] else None,
            mul(grad, neg(x)) if self.needs[1] else None,
        )


class WeightedCrossEntropyWithLogits(Op):
    """-p t log(sigmoid(x)) - (1 - t) log(sigmoid(-x)), where p, an array, is the weight of what is positive."""

    def __init__(self, positive: Array) -> None:
        self.positive = positive

    def forward(self, x, t):
        self.save(x, t)
        # log(sigmoid(-x)) is log(sigmoid(x)) - x; the weight of the logarithm that both have is 1 - t + p t.
        with np.errstate(all="ignore"):
            weight = kernels.binary("mul", self.positive - 1, t) + 1
            weighted = kernels.binary("mul", LogSigmoid().forward(x), weight)
            return kernels.binary("sub", kernels.binary("mul", 1 - t, x), weighted)

    def backward(self, grad):
        x, t = self.saved
        p = wrap(self.positive)
        weighted = mul(p, t)
        return (
            mul(grad, sub(mul(add(sub(1, t), weighted), Sigmoid()(x)), weighted)) if self.needs[0] else None,
            mul(grad, sub(LogSigmoid()(neg(x)), mul(p, LogSigmoid()(x)))) if self.needs[1] else None,
        )


class Norm(Op):
    """(sum |x|^p)^(1/p) along the last axis, the largest |x| for p = inf, the count of what is not 0 for p = 0.

    The gradient is 0 where x is 0, so at the norm's kink too, and for p = inf is shared by equal largest values.
    """

    def __init__(self, p: float) -> None:
        self.p = p

    def forward(self, x):
        far = np.abs(x)
        largest = far.max(axis=-1, keepdims=True, initial=0)
        if self.p == inf:
            y = largest
        elif self.p == 0:
            y = np.count_nonzero(x, axis=-1, keepdims=True).astype(x.dtype)
        else:
            # Powers of values up to 1 don't overflow.
            unit = np.where((largest > 0) & np.isfinite(largest), largest, 1).astype(x.dtype)
            with np.errstate(all="ignore"):
                y = unit * ((far / unit) ** self.p).sum(axis=-1, keepdims=True) ** (1 / self.p)
        y = np.asarray(y[..., 0])
        self.save(x, y)
        return y

    def backward(self, grad):
        x, y = self.saved
        kept = (*y.data.shape, 1)
        grad, y = Reshape(kept)(grad), Reshape(kept)(y)
        signs = sign(x.data)
        if self.p in (0, 1):
            return mul(grad, wrap(signs if self.p else np.zeros_like(signs)))
        if self.p == inf:
            wins = np.abs(x.data) == y.data
            count = np.maximum(wins.sum(axis=-1, keepdims=True), 1)
            return mul(grad, wrap((signs * wins / count).astype(signs.dtype)))
        one = wrap(np.ones((), signs.dtype))
        y = where(y.data == 0, one, y)
        if self.p == 2:
            return mul(grad, div(x, y))
        return mul(mul(grad, wrap(signs)), power(div(where(x.data == 0, one, absolute(x)), y), self.p - 1))


class CrossEntropy(Op):
    """-log softmax(x)[target] for rows x (R, C); the gradient is (softmax(x) - onehot(target)) * scale.

    scale is the weight of each row in the result: 1 over the number of rows that count for "mean", else 1. With class
    weights w and smoothing s, a row's loss is -sum(q log softmax(x)), q = w ((1 - s) onehot(target) + s / C), and the
    mean is divided by the sum of the targets' weights.
    """

    owns_gradients = True

    def __init__(
        self,
        target: Array,
        ignore_index: int,
        reduction: str,
        weight: Array | None = None,
        smoothing: float = 0.0,
    ) -> None:
        self.target, self.ignore_index, self.reduction = target, ignore_index, reduction
        self.weight, self.smoothing = weight, smoothing
        self.factor = 1.0
        self.share: Array | None = None
        self.class_share: Array | None = None

    def forward(self, x):
        self.save(x)
        divisor = None
        if self.weight is not None or self.smoothing:
            kept = self.target != self.ignore_index
            weight = np.ones(x.shape[1], x.dtype) if self.weight is None else self.weight
            # Any class does for the rows that are ignored.
            own = weight[np.where(kept, self.target, 0)]
            divisor = float(own[kept].sum())
            self.share = own * x.dtype.type(1 - self.smoothing)
            self.class_share = weight * x.dtype.type(self.smoothing / x.shape[1]) if self.smoothing else None
        loss, self.log_probability, total, count = kernels.cross_entropy(
            x, self.target, self.ignore_index, self.share, self.class_share, self.reduction == "none"
        )
        if self.reduction == "none":
            return loss
        if self.reduction == "mean":
            # Smoothing leaves nothing but NaN in PyTorch where weights sum to 0, and no smoothing infinity too.
            divisor = count if divisor is None else divisor
            self.factor = 1 / divisor if divisor else nan if self.smoothing else inf
        return rounded(total * self.factor, x.dtype)

    def backward(self, grad):
        (x,) = self.saved
        kept = self.target != self.ignore_index
        rows = x.data.shape[0]
        wanted = np.zeros(x.data.shape, x.data.dtype)
        wanted[np.arange(rows), np.where(kept, self.target, 0)] = 1 if self.share is None else self.share
        if self.class_share is not None:
            wanted += self.class_share
        scale = np.where(kept, x.data.dtype.type(self.factor), 0)
        if not kept.all():
            # Chosen, not multiplied by 0: what stands in an ignored row may be NaN.
            zero = wrap(np.zeros((), x.data.dtype))
            x, grad = where(kept[:, None], x, zero), where(kept, grad, zero)
        found = Softmax(1)(x)
        if self.share is not None:
            found = mul(found, wrap(wanted.sum(axis=1, keepdims=True)))
        return mul(sub(found, wrap(wanted)), Reshape((-1, 1))(mul(grad, wrap(scale))))

    def backward_arrays(self, grad):
        self.saved_arrays()
        scale = grad if self.reduction == "none" else float(grad) * self.factor
        return kernels.cross_entropy_gradient(
            self.log_probability, self.target, self.ignore_index, scale, self.share, self.class_share
        )
