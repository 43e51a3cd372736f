"""The dense layer's affine map."""

from __future__ import annotations

from typing import Any

from minidl.errors import ShapeError
from minidl.ops._common import as_tensor, check_same_dtype
from minidl.ops.matmul import Linear
from minidl.ops.shapes import Reshape

__all__ = ["linear"]


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input weight^T + bias.

    Parameters
    ----------
    input : Tensor (..., in_features)
        Float32 or float64; any leading dimensions.
    weight : Tensor (out_features, in_features)
        Of the same dtype.
    bias : Tensor (out_features,), optional
        Added to every row.

    Returns
    -------
    Tensor (..., out_features)
        The product.

    Raises
    ------
    ShapeError
        If the sizes don't fit.
    DTypeError
        If float32 and float64 are mixed, or an argument is not floating.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.linear(minidl.tensor([[1.0, 2.0]]), minidl.tensor([[1.0, 1.0], [0.0, 3.0]]), minidl.tensor([0.5, 0.0]))
    tensor([[3.5, 6. ]])
    """
    x, w = as_tensor("linear", "input", input), as_tensor("linear", "weight", weight)
    b = None if bias is None else as_tensor("linear", "bias", bias)
    check_same_dtype("linear", input=x, weight=w, bias=b)
    shape = x.data.shape
    if w.data.ndim != 2:
        raise ShapeError(f"linear: weight must have 2 dimensions (out_features, in_features), got shape {w.data.shape}")
    if not shape or shape[-1] != w.data.shape[1]:
        raise ShapeError(
            f"linear: input has {shape[-1] if shape else 'no'} features (axis -1 of {shape}), weight expects "
            f"{w.data.shape[1]} (axis 1 of {w.data.shape})"
        )
    out_features = w.data.shape[0]
    if b is not None and b.data.shape != (out_features,):
        raise ShapeError(f"linear: bias must have shape ({out_features},), one an output, got {b.data.shape}")
    if len(shape) == 2:
        return Linear()(x, w, b)
    rows = 1
    for size in shape[:-1]:
        rows *= size
    return Reshape((*shape[:-1], out_features))(Linear()(Reshape((rows, shape[-1]))(x), w, b))
