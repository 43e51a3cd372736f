"""Activations, softmax and dropout."""

from __future__ import annotations

import numpy as np

from minidl import kernels
from minidl.autograd import Op, wrap
from minidl.ops.arithmetic import exp, mul, sub
from minidl.ops.shapes import Sum


class ReLU(Op):
    """y = max(x, 0). The gradient at 0 is 0, as in PyTorch."""

    owns_gradients = True

    def forward(self, x):
        y = kernels.relu(x)
        self.save(y)
        return y

    def backward(self, grad):
        (y,) = self.saved_arrays()
        return ReLUGradient(y)(grad)

    def backward_arrays(self, grad):
        return kernels.relu_gradient(grad, self.saved_arrays()[0])


class ReLUGradient(Op):
    """grad where y is positive: linear in grad, so its own gradient is itself."""

    owns_gradients = True

    def __init__(self, y: np.ndarray) -> None:
        self.y = y

    def forward(self, grad):
        return kernels.relu_gradient(grad, self.y)

    def backward(self, grad):
        return ReLUGradient(self.y)(grad)


class Tanh(Op):
    """y = tanh(x); dy/dx = 1 - y^2."""

    owns_gradients = True

    def forward(self, x):
        y = np.asarray(np.tanh(x))
        self.save(y)
        return y

    def backward(self, grad):
        (y,) = self.saved
        return mul(grad, sub(1, mul(y, y)))


class Sigmoid(Op):
    """y = 1 / (1 + exp(-x)); dy/dx = y (1 - y). Of exp(x) and exp(-x) the one that can't overflow is taken."""

    owns_gradients = True

    def forward(self, x):
        small = np.exp(-np.abs(x))
        y = np.asarray(np.where(x >= 0, 1, small) / (1 + small), x.dtype)
        self.save(y)
        return y

    def backward(self, grad):
        (y,) = self.saved
        return mul(grad, mul(y, sub(1, y)))


class LogSoftmax(Op):
    """y = x - log(sum(exp(x))) along dim; the gradient is grad - exp(y) sum(grad)."""

    owns_gradients = True

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, x):
        y = np.moveaxis(kernels.log_softmax(np.moveaxis(x, self.dim, -1)), -1, self.dim)
        self.save(y)
        return y

    def backward(self, grad):
        (y,) = self.saved
        return sub(grad, mul(exp(y), Sum((self.dim,), True)(grad)))


class Softmax(Op):
    """y = exp(log_softmax(x)) along dim; the gradient is y (grad - sum(grad y))."""

    owns_gradients = True

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, x):
        y = kernels.log_softmax(np.moveaxis(x, self.dim, -1))
        y = np.moveaxis(np.exp(y, out=y), -1, self.dim)
        self.save(y)
        return y

    def backward(self, grad):
        (y,) = self.saved
        return mul(y, sub(grad, Sum((self.dim,), True)(mul(grad, y))))


class Dropout(Op):
    """Zeros with probability p, the rest divided by 1 - p (inverted dropout; Srivastava et al. 2014)."""

    owns_gradients = True

    def __init__(self, p: float, generator: np.random.Generator) -> None:
        self.p, self.generator = p, generator

    def forward(self, x):
        # Drawn in float32 whatever the dtype, so that both dtypes drop the same elements.
        kept = self.generator.random(x.shape, np.float32) >= self.p
        self.scale = kept.astype(x.dtype) / x.dtype.type(1 - self.p) if self.p < 1 else np.zeros(x.shape, x.dtype)
        return x * self.scale

    def backward(self, grad):
        return mul(grad, wrap(self.scale))
