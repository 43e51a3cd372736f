"""Losses."""

from __future__ import annotations

import numpy as np

from minidl import kernels
from minidl.autograd import Op, wrap
from minidl.ops.activation import Softmax
from minidl.ops.arithmetic import mul, sub
from minidl.ops.shapes import Reshape


class CrossEntropy(Op):
    """-log softmax(x)[target] for rows x (R, C); the gradient is (softmax(x) - onehot(target)) * scale.

    scale is the weight of each row in the result: 1 over the number of rows that count for "mean", else 1.
    """

    owns_gradients = True

    def __init__(self, target: np.ndarray, ignore_index: int, reduction: str) -> None:
        self.target, self.ignore_index, self.reduction = target, ignore_index, reduction

    def forward(self, x):
        loss, self.log_probability = kernels.cross_entropy(x, self.target, self.ignore_index)
        self.save(x)
        if self.reduction == "none":
            self.factor = 1.0
            return loss
        counted = len(loss) - int(np.count_nonzero(self.target == self.ignore_index))
        self.factor = 1.0 if self.reduction == "sum" else 1 / counted if counted else float("nan")
        return np.asarray(loss.sum() * x.dtype.type(self.factor))

    def backward(self, grad):
        (x,) = self.saved
        kept = (self.target != self.ignore_index).astype(x.data.dtype)
        onehot = np.zeros(x.data.shape, x.data.dtype)
        onehot[np.arange(len(kept)), np.where(kept != 0, self.target, 0)] = 1
        scale = Reshape((-1, 1))(mul(grad, wrap(kept * x.data.dtype.type(self.factor))))
        return mul(sub(Softmax(1)(x), wrap(onehot)), scale)

    def backward_arrays(self, grad):
        self.saved_arrays()
        scale = np.broadcast_to(grad * grad.dtype.type(self.factor), self.target.shape)
        return kernels.cross_entropy_gradient(self.log_probability, self.target, self.ignore_index, scale)
