"""Ops that move values without changing them: views, indexing, joining, broadcasting; and the sum, its transpose."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from minidl import kernels
from minidl.arguments import check_room, is_int, read_int, read_list
from minidl.autograd import Op, TensorBase, wrap
from minidl.dtypes import INT64, result_dtype
from minidl.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError
from minidl.ops._common import as_tensor, broadcast_shape, normal_dim, normal_dims
from minidl.ops.casting import cast

Array = np.ndarray
# NumPy's limit.
MAX_DIMENSIONS = 64


def _too_many(shape: tuple[int, ...]) -> str:
    return f"a shape has at most {MAX_DIMENSIONS} dimensions, got {len(shape)}"


class Reshape(Op):
    is_view = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.new_shape = shape

    def forward(self, x):
        self.input_shape = x.shape
        if len(self.new_shape) > MAX_DIMENSIONS:
            raise ShapeError(f"reshape: {_too_many(self.new_shape)}")
        return x.reshape(self.new_shape)

    def backward(self, grad):
        return Reshape(self.input_shape)(grad)


class Permute(Op):
    is_view = True

    def __init__(self, dims: tuple[int, ...]) -> None:
        self.dims = dims

    def forward(self, x):
        return x.transpose(self.dims)

    def backward(self, grad):
        return Permute(tuple(int(d) for d in np.argsort(self.dims)))(grad)


class BroadcastTo(Op):
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.new_shape = shape

    def forward(self, x):
        self.input_shape = x.shape
        # A copy: a view with stride 0 would let one write change many elements.
        return np.broadcast_to(x, self.new_shape).copy()

    def backward(self, grad):
        return sum_to(grad, self.input_shape)


class Sum(Op):
    def __init__(self, dims: tuple[int, ...], keepdim: bool) -> None:
        self.dims, self.keepdim = dims, keepdim

    def forward(self, x):
        self.input_shape = x.shape
        if kernels.is_reducible("sum", x, self.dims):
            return kernels.reduce("sum", x, self.dims, self.keepdim)
        # Integers and booleans in int64, as in PyTorch; NumPy's uint64 for unsigned ones has no negative differences.
        dtype = None if x.dtype.kind == "f" else INT64
        with np.errstate(all="ignore"):
            return np.asarray(x.sum(axis=self.dims, dtype=dtype, keepdims=self.keepdim))

    def backward(self, grad):
        kept = tuple(1 if d in self.dims else size for d, size in enumerate(self.input_shape))
        return BroadcastTo(self.input_shape)(Reshape(kept)(grad))


class GetItem(Op):
    is_view = True

    def __init__(self, index: Any) -> None:
        self.index = index

    def forward(self, x):
        self.input_shape = x.shape
        result = x[self.index]
        # A single element comes as a number of its own; with an ellipsis it is a view.
        if isinstance(result, np.generic):
            result = x[(*self.index, ...) if isinstance(self.index, tuple) else (self.index, ...)]
        return np.asarray(result)

    def backward(self, grad):
        return PutItem(self.input_shape, self.index)(grad)


class PutItem(Op):
    """Zeros of a shape, with the input added at an index: the transpose of GetItem."""

    def __init__(self, shape: tuple[int, ...], index: Any) -> None:
        self.new_shape, self.index = shape, index

    def forward(self, grad):
        result = np.zeros(self.new_shape, grad.dtype)
        if _is_basic(self.index):
            result[self.index] = grad
        else:
            np.add.at(result, self.index, grad)
        return result

    def backward(self, grad):
        return GetItem(self.index)(grad)


class SetItem(Op):
    """x with the values at an index replaced."""

    def __init__(self, index: Any) -> None:
        self.index = index

    def forward(self, x, values):
        self.shape_of_values = values.shape
        result = x.copy()
        result[self.index] = values
        return result

    def backward(self, grad):
        zero = wrap(np.zeros((), grad.data.dtype))
        return (
            SetItem(self.index)(grad, zero) if self.needs[0] else None,
            sum_to(GetItem(self.index)(grad), self.shape_of_values) if self.needs[1] else None,
        )


class Concatenate(Op):
    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, *arrays):
        self.ends = np.cumsum([a.shape[self.dim] for a in arrays]).tolist()
        return np.concatenate(arrays, axis=self.dim)

    def backward(self, grad):
        starts = [0, *self.ends[:-1]]
        prefix = (slice(None),) * self.dim
        return tuple(
            GetItem((*prefix, slice(start, end)))(grad) if need else None
            for start, end, need in zip(starts, self.ends, self.needs, strict=True)
        )


def _is_basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or isinstance(part, slice | int | np.integer) for part in parts)


def sum_to(x: Any, shape: tuple[int, ...]) -> Any:
    """Sum what broadcasting had repeated, so that `x` has `shape` again."""
    if x._data.shape == shape:
        return x
    extra = x._data.ndim - len(shape)
    dims = tuple(d for d in range(x._data.ndim) if d < extra or (shape[d - extra] == 1 and x._data.shape[d] != 1))
    return Reshape(shape)(Sum(dims, True)(x) if dims else x)


def size_argument(op: str, shape: tuple) -> tuple[int, ...]:
    values = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], Sequence) else shape
    if not all(is_int(v) for v in values):
        raise ArgumentError(f"{op}: sizes must be ints, got {values!r}")
    if len(values) > MAX_DIMENSIONS:
        raise ShapeError(f"{op}: {_too_many(values)}")
    return tuple([read_int(op, "each size", v) for v in values])


def reshape(input: Any, *shape: Any) -> Any:
    """Give the values another shape, sharing memory where that is possible; one size may be -1."""
    x = as_tensor("reshape", "input", input)
    sizes = size_argument("reshape", shape)
    known = prod(v for v in sizes if v != -1)
    if sizes.count(-1) > 1 or min(sizes, default=0) < -1:
        raise ShapeError(f"reshape: at most one size may be -1, and none less, got {sizes}")
    fits = x.data.size == known if -1 not in sizes else known != 0 and x.data.size % known == 0
    if not fits:
        raise ShapeError(f"reshape: input of shape {x.data.shape} has {x.data.size} values, which don't fit {sizes}")
    return Reshape(sizes)(x)


def permute(input: Any, *dims: Any) -> Any:
    """The dimensions in another order, as a view."""
    x = as_tensor("permute", "input", input)
    order = normal_dims("permute", size_argument("permute", dims), x.data.ndim)
    if len(order) != x.data.ndim:
        raise ShapeError(f"permute: input has {x.data.ndim} dimensions, but {len(order)} are named")
    return Permute(order)(x)


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Two dimensions exchanged, as a view."""
    x = as_tensor("transpose", "input", input)
    order = list(range(x.data.ndim))
    a, b = normal_dim("transpose", dim0, len(order)), normal_dim("transpose", dim1, len(order))
    if order:
        order[a], order[b] = order[b], order[a]
    return Permute(tuple(order))(x)


def broadcast_to(input: Any, *shape: Any) -> Any:
    """`input` repeated along dimensions of size 1, and along new ones in front."""
    x = as_tensor("broadcast_to", "input", input)
    sizes = size_argument("broadcast_to", shape)
    if min(sizes, default=0) < 0 or broadcast_shape(x.data.shape, sizes) != sizes:
        raise ShapeError(f"broadcast_to: input of shape {x.data.shape} does not broadcast to {sizes}")
    check_room("broadcast_to", sizes, x.data.itemsize)
    return BroadcastTo(sizes)(x)


def squeeze(input: Any, dim: int | Sequence[int] | None = None) -> Any:
    """Drop the dimensions of size 1: all, or those among `dim`."""
    x = as_tensor("squeeze", "input", input)
    dims = normal_dims("squeeze", dim, x.data.ndim)
    return Reshape(tuple(s for d, s in enumerate(x.data.shape) if s != 1 or d not in dims))(x)


def unsqueeze(input: Any, dim: int) -> Any:
    """Add a new dimension of size 1 at `dim`."""
    x = as_tensor("unsqueeze", "input", input)
    axis = normal_dim("unsqueeze", dim, x.data.ndim + 1)
    return Reshape((*x.data.shape[:axis], 1, *x.data.shape[axis:]))(x)


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """The dimensions from start_dim to end_dim, both included, as one."""
    x = as_tensor("flatten", "input", input)
    if x.data.ndim == 0:
        return Reshape((1,))(x)
    first = normal_dim("flatten", start_dim, x.data.ndim)
    last = normal_dim("flatten", end_dim, x.data.ndim)
    if first > last:
        raise ArgumentError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    shape = x.data.shape
    return Reshape((*shape[:first], prod(shape[first : last + 1]), *shape[last + 1 :]))(x)


def sizes_of_split(op: str, sizes: Any) -> tuple[int, ...]:
    """The sizes that a dimension is split into, of which one may be -1."""
    if not isinstance(sizes, Sequence) or len(sizes) == 0:
        raise ArgumentError(f"{op}: sizes must be a sequence of at least one int, got {sizes!r}")
    read = size_argument(op, (sizes,))
    if read.count(-1) > 1 or min(read) < -1:
        raise ShapeError(f"{op}: at most one size may be -1, and none less, got {read}")
    return read


def unflatten(input: Any, dim: int, sizes: Sequence[int]) -> Any:
    """A dimension split into several whose product it is; one size may be -1."""
    x = as_tensor("unflatten", "input", input)
    if x.data.ndim == 0:
        raise ShapeError("unflatten: input has no dimension to split")
    axis, split = normal_dim("unflatten", dim, x.data.ndim), sizes_of_split("unflatten", sizes)
    size, known = x.data.shape[axis], prod(v for v in split if v != -1)
    if not (size == known if -1 not in split else known != 0 and size % known == 0):
        raise ShapeError(f"unflatten: dimension {axis} has {size} positions, which don't fit {split}")
    inferred = tuple(size // known if v == -1 else v for v in split)
    return Reshape((*x.data.shape[:axis], *inferred, *x.data.shape[axis + 1 :]))(x)


def _read_index(index: Any) -> Any:
    """An index with its tensors and lists as arrays."""
    parts = index if isinstance(index, tuple) else (index,)
    # Copies, since indices and masks may be changed before the backward pass.
    read = tuple([np.array(part) if isinstance(part, TensorBase | Array) else part for part in parts])
    try:
        read = tuple([np.asarray(part, None if part else np.intp) if isinstance(part, list) else part for part in read])
    except ValueError as error:
        raise DTypeError(f"indexing: a list of indices can't be read as an array: {error}") from None
    for part in read:
        if isinstance(part, Array | np.generic):
            if part.dtype.kind not in "biu":
                raise DTypeError(f"indexing: indices must be integers or booleans, got {part.dtype}")
        elif not (part is None or part is Ellipsis or isinstance(part, slice) or hasattr(part, "__index__")):
            raise DTypeError(f"indexing: indices must be integers, slices or arrays, got {type(part).__name__}")
    return read if isinstance(index, tuple) else read[0]


def get_item(input: Any, index: Any) -> Any:
    """NumPy's indexing: a view for slices and ints, a copy for arrays of indices and masks."""
    x = as_tensor("indexing", "input", input)
    try:
        return GetItem(_read_index(index))(x)
    except (IndexError, OverflowError) as error:
        raise OutOfRangeError(f"indexing: {error} (the tensor has shape {x.data.shape})") from None


def set_item(input: Any, index: Any, value: Any) -> Any:
    """A copy of `input` with the values at an index, NumPy's, replaced."""
    try:
        return SetItem(_read_index(index))(input, value)
    except (IndexError, OverflowError) as error:
        raise OutOfRangeError(f"indexing: {error} (the tensor has shape {input.data.shape})") from None
    except ValueError as error:
        raise ShapeError(f"indexing: {error}") from None


def concatenate(tensors: Sequence[Any], dim: int = 0) -> Any:
    """Tensors joined along a dimension that they have; all other sizes agree."""
    parts = _read_several("concatenate", tensors)
    if not parts:
        raise ArgumentError("concatenate: tensors must hold at least one tensor")
    first = parts[0].data
    if first.ndim == 0:
        raise ShapeError("concatenate: tensors without dimensions can't be joined; stack() does it")
    axis = normal_dim("concatenate", dim, first.ndim)
    for i, part in enumerate(parts):
        shape = part.data.shape
        if len(shape) != first.ndim or shape[:axis] + shape[axis + 1 :] != first.shape[:axis] + first.shape[axis + 1 :]:
            raise ShapeError(
                f"concatenate: tensors[{i}] has shape {shape}, tensors[0] {first.shape}; only dimension {axis} may "
                "differ"
            )
    dtype = first.dtype
    for part in parts[1:]:
        dtype = result_dtype("concatenate", dtype, False, part.data.dtype, False)
    return Concatenate(axis)(*(cast(part, dtype) for part in parts))


def _read_several(op: str, tensors: Any) -> list[Any]:
    several = read_list(op, "tensors", tensors, "a sequence of tensors")
    return [as_tensor(op, f"tensors[{i}]", t) for i, t in enumerate(several)]


def stack(tensors: Sequence[Any], dim: int = 0) -> Any:
    """Tensors of one shape, joined along a new dimension."""
    parts = _read_several("stack", tensors)
    for i, part in enumerate(parts):
        if part.data.shape != parts[0].data.shape:
            raise ShapeError(f"stack: tensors[{i}] has shape {part.data.shape}, tensors[0] {parts[0].data.shape}")
    return concatenate([unsqueeze(part, dim) for part in parts], dim)
