"""Matrix products and the dense layer's affine map."""

from __future__ import annotations

from math import prod
from typing import Any

from minidl import kernels
from minidl.autograd import Op
from minidl.errors import ShapeError
from minidl.ops._common import as_tensor, broadcast_shape, check_same_dtype
from minidl.ops.shapes import Permute, Reshape, Sum, broadcast_to


class MatMul(Op):
    """(M, K) by (K, N), or as many of both along a first dimension."""

    owns_gradients = True

    def forward(self, a, b):
        self.save(a if self.needs[1:] == (True,) else None, b if self.needs[:1] == (True,) else None)
        return kernels.matmul(a, b)

    def backward(self, grad):
        a, b = self.saved
        return (
            MatMul()(grad, matrix_transpose(b)) if self.needs[0] else None,
            MatMul()(matrix_transpose(a), grad) if self.needs[1] else None,
        )


class Linear(Op):
    """y = x weight^T + bias for rows x (M, K), weight (N, K)."""

    owns_gradients = True

    def forward(self, x, weight, bias):
        self.save(x if self.needs and self.needs[1] else None, weight if self.needs and self.needs[0] else None)
        return kernels.matmul(x, weight.T, bias)

    def backward(self, grad):
        x, weight = self.saved
        return (
            MatMul()(grad, weight) if self.needs[0] else None,
            MatMul()(matrix_transpose(grad), x) if self.needs[1] else None,
            Sum((0,), False)(grad) if self.needs[2] else None,
        )

    def backward_arrays(self, grad):
        x, weight = self.saved_arrays()
        return (
            kernels.matmul(grad, weight) if self.needs[0] else None,
            kernels.matmul(grad.T, x) if self.needs[1] else None,
            kernels.channel_sum(grad) if self.needs[2] else None,
        )


def matrix_transpose(x: Any) -> Any:
    """The last two dimensions exchanged."""
    order = (*range(x.data.ndim - 2), x.data.ndim - 1, x.data.ndim - 2)
    return Permute(order)(x)


def matmul(input: Any, other: Any) -> Any:
    """Matrix product, by the rules of `numpy.matmul`: leading dimensions broadcast, vectors act as rows or columns."""
    a, b = as_tensor("matmul", "input", input), as_tensor("matmul", "other", other)
    check_same_dtype("matmul", input=a, other=b)
    shape_a, shape_b = a.data.shape, b.data.shape
    if not shape_a or not shape_b:
        raise ShapeError(f"matmul: both must have at least 1 dimension, got {shape_a} and {shape_b}")
    inner = shape_b[-2] if len(shape_b) > 1 else shape_b[0]
    if shape_a[-1] != inner:
        raise ShapeError(
            f"matmul: input has {shape_a[-1]} columns (axis -1 of {shape_a}), other {inner} rows "
            f"(axis {-2 if len(shape_b) > 1 else 0} of {shape_b})"
        )
    left = Reshape((1, *shape_a))(a) if len(shape_a) == 1 else a
    right = Reshape((*shape_b, 1))(b) if len(shape_b) == 1 else b
    (M, K), N = left.data.shape[-2:], right.data.shape[-1]
    if right.data.ndim == 2:
        batch = left.data.shape[:-2]
        result = MatMul()(left if left.data.ndim == 2 else Reshape((M * prod(batch), K))(left), right)
    else:
        batch = broadcast_shape(left.data.shape[:-2], right.data.shape[:-2])
        if batch is None:
            raise ShapeError(f"matmul: the leading dimensions of {shape_a} and {shape_b} don't broadcast")
        count = prod(batch)
        result = MatMul()(_batch(left, batch, (count, M, K)), _batch(right, batch, (count, K, N)))
    shape = (*batch, *(() if len(shape_a) == 1 else (M,)), *(() if len(shape_b) == 1 else (N,)))
    return result if result.data.shape == shape else Reshape(shape)(result)


def _batch(x: Any, batch: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    if x.data.shape[:-2] != batch:
        x = broadcast_to(x, (*batch, *x.data.shape[-2:]))
    return x if x.data.shape == shape else Reshape(shape)(x)
