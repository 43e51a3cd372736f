"""Convolution and its two gradients, three ops each of whose gradients are the other two; unfold and fold.

With columns(x) = unfold(x) of shape (K, P) a sample, the three are

    forward          y  = W columns(x) + b
    input gradient   dx = fold(W^T dy)
    weight gradient  dW = sum over samples of dy columns(x)^T

All are linear in each of their two arguments, which is why they close: the gradient of `dx` with respect to `dy` is a
forward convolution, with respect to `W` a weight gradient, and so on (Dumoulin and Visin 2016, chapter 4).
"""

from __future__ import annotations

import numpy as np

from minidl import kernels
from minidl.autograd import Op
from minidl.geometry import Window
from minidl.ops.shapes import Sum

Array = np.ndarray


class ConvOp(Op):
    """The base of the three, which holds the plans of one convolution in all directions.

    Gradients, and theirs, have the algorithm and the precision of the call that they belong to.
    """

    owns_gradients = True

    def __init__(self, plans: kernels.ConvPlans) -> None:
        self.plans = plans

    def save_factors(self, first, second) -> None:
        """Keep each factor of a product only if the other one wants a gradient."""
        if self.needs:
            self.save(first if self.needs[1] else None, second if self.needs[0] else None)

    def convolve(self, x, weight):
        """W columns(x)."""
        return Conv2d(self.plans)(x, weight, None)

    def input_gradient(self, grad, weight):
        """fold(W^T grad)."""
        return ConvInputGradient(self.plans)(grad, weight, None)

    def weight_gradient(self, x, grad):
        """The sum over samples of grad columns(x)^T."""
        return ConvWeightGradient(self.plans)(x, grad)


class Conv2d(ConvOp):
    """y = W columns(x) + b."""

    def forward(self, x, weight, bias):
        self.save_factors(x, weight)
        return self.plans.forward(x, weight, bias)

    def backward(self, grad):
        x, weight = self.saved
        return (
            self.input_gradient(grad, weight) if self.needs[0] else None,
            self.weight_gradient(x, grad) if self.needs[1] else None,
            Sum((0, 2, 3), False)(grad) if self.needs[2] else None,
        )

    def backward_arrays(self, grad):
        x, weight = self.saved_arrays()
        return (
            self.plans.input_gradient(grad, weight) if self.needs[0] else None,
            self.plans.weight_gradient(x, grad) if self.needs[1] else None,
            kernels.channel_sum(grad) if self.needs[2] else None,
        )


class ConvInputGradient(ConvOp):
    """dx = fold(W^T dy) + b; with the bias, a transposed convolution."""

    def forward(self, grad, weight, bias):
        self.save_factors(grad, weight)
        dx = self.plans.input_gradient(grad, weight)
        if bias is not None:
            # Infinities and NaN are results like any other here.
            with np.errstate(all="ignore"):
                dx += bias[:, None, None]
        return dx

    def backward(self, grad_input):
        grad, weight = self.saved
        return (
            self.convolve(grad_input, weight) if self.needs[0] else None,
            self.weight_gradient(grad_input, grad) if self.needs[1] else None,
            Sum((0, 2, 3), False)(grad_input) if self.needs[2] else None,
        )

    def backward_arrays(self, grad_input):
        grad, weight = self.saved_arrays()
        return (
            self.plans.forward(grad_input, weight, None) if self.needs[0] else None,
            self.plans.weight_gradient(grad_input, grad) if self.needs[1] else None,
            kernels.channel_sum(grad_input) if self.needs[2] else None,
        )


class ConvWeightGradient(ConvOp):
    """dW = sum over samples of dy columns(x)^T."""

    def forward(self, x, grad):
        self.save_factors(x, grad)
        return self.plans.weight_gradient(x, grad)

    def backward(self, grad_weight):
        x, grad = self.saved
        return (
            self.input_gradient(grad, grad_weight) if self.needs[0] else None,
            self.convolve(x, grad_weight) if self.needs[1] else None,
        )


class Unfold(Op):
    """columns[(c,kh,kw), (oh,ow)] = x[c, oh stride + kh dilation - top, ow stride + kw dilation - left]."""

    owns_gradients = True

    def __init__(self, window: Window) -> None:
        self.window = window

    def forward(self, x):
        self.channels = x.shape[1]
        return kernels.unfold(x, self.window)

    def backward(self, grad):
        return Fold(self.channels, self.window)(grad)


class Fold(Op):
    """The transpose of unfold: every entry of the columns is added to where it came from."""

    owns_gradients = True

    def __init__(self, channels: int, window: Window) -> None:
        self.channels, self.window = channels, window

    def forward(self, columns):
        return kernels.fold(columns, self.channels, self.window)

    def backward(self, grad):
        return Unfold(self.window)(grad)
