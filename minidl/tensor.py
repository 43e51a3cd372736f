"""`Tensor`: an array with a gradient, and the operators and methods that act on it."""

from __future__ import annotations

import warnings
from copy import deepcopy
from typing import Any

import numpy as np

from minidl import dtypes
from minidl.autograd import TensorBase, set_tensor_class, wrap
from minidl.backward import run_backward, tensors_of
from minidl.copies import leaf_state, restore_leaf
from minidl.errors import DTypeError, GraphError, OutOfRangeError, ShapeError, check_flag
from minidl.grad_mode import is_grad_enabled
from minidl.ops import arithmetic, elementwise, reductions, shapes
from minidl.ops._common import as_tensor, normal_dim
from minidl.ops.casting import Cast, cast
from minidl.ops.clip import clip
from minidl.ops.matmul import matmul as _matmul
from minidl.ops.powers import power


class Tensor(TensorBase):
    """An array of numbers that remembers how it was computed.

    Parameters
    ----------
    data : array_like
        An array's memory is shared (`minidl.tensor` copies) and its dtype kept, as far as minidl has it: bool,
        integers, float32, float64. Lists and Python floats take the default dtype. An int is refused, since it may be
        meant as a size, as PyTorch's constructor takes it: `minidl.tensor` makes a tensor of the number, and
        `minidl.zeros` one of that size. Without data there are no elements.
    dtype : numpy dtype or str, optional
        Convert to this one.
    requires_grad : bool
        Whether gradients are to flow to this tensor.

    Attributes
    ----------
    data : numpy.ndarray
        The values. Writing to them goes unnoticed by the graph, as does writing to an array that a tensor shares. What
        is assigned is a tensor or an array, whose memory is shared from then on; its shape and dtype may be others.
    grad : Tensor or None
        The sum of the gradients that `backward` brought here; what is assigned has the tensor's shape and dtype.

    Raises
    ------
    DTypeError
        If the data are not real numbers or booleans.
    ArgumentError
        If they are a single int, or sizes.

    Examples
    --------
    >>> import minidl
    >>> x = minidl.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """

    __slots__ = ()
    __hash__ = object.__hash__
    # NumPy leaves array + tensor to Tensor.__radd__, instead of adding the tensor's elements one by one.
    __array_ufunc__ = None

    # Properties

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each dimension."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.data.ndim

    @property
    def dtype(self) -> np.dtype:
        """The type of the elements."""
        return self.data.dtype

    @property
    def T(self) -> Tensor:
        """The dimensions in reverse order."""
        return shapes.permute(self, tuple(range(self.data.ndim))[::-1])

    @property
    def mT(self) -> Tensor:
        """The last two dimensions exchanged."""
        return shapes.transpose(self, -2, -1)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        if dim is None:
            return self.data.shape
        if self.data.ndim == 0:
            raise OutOfRangeError(f"size: dim {dim!r} is out of range for a tensor of 0 dimensions")
        return self.data.shape[normal_dim("size", dim, self.data.ndim)]

    def dim(self) -> int:
        """The number of dimensions."""
        return self.data.ndim

    def numel(self) -> int:
        """The number of elements."""
        return self.data.size

    def __len__(self) -> int:
        if self.data.ndim == 0:
            raise DTypeError("len: a tensor without dimensions has no length")
        return len(self.data)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        text = np.array2string(self.data, separator=", ", prefix="tensor(", precision=4, threshold=1000)
        if self.data.dtype not in (dtypes.get_default_dtype(), np.int64, np.bool_):
            text += f", dtype={self.data.dtype}"
        return f"tensor({text}{', requires_grad=True' if self._requires_grad else ''})"

    def item(self) -> Any:
        """The value of a tensor with one element as a Python number."""
        if self.data.size != 1:
            raise ShapeError(f"item: only a tensor of one element is a number, this one has shape {self.data.shape}")
        return self.data.item()

    def tolist(self) -> Any:
        """The values as nested lists."""
        return self.data.tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.data.dtype.kind not in "iu" or self.data.size != 1:
            raise DTypeError(f"index: only an integer tensor of one element is an index, got {self.data.dtype}")
        return int(self.data.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self.data.ndim == 0 else format(repr(self), spec)

    def __bool__(self) -> bool:
        if self.data.size != 1:
            raise ShapeError(f"bool: the truth of a tensor of shape {self.data.shape} is ambiguous; use any() or all()")
        return bool(self.data.item())

    # To and from other libraries

    def numpy(self) -> np.ndarray:
        """The values as an array that shares memory: read-only if the tensor requires gradients."""
        view = self.data.view()
        if self._requires_grad:
            view.flags.writeable = False
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is not None:
            copy = check_flag("__array__", "copy", copy)
        if dtype is not None:
            try:
                wanted = np.dtype(dtype)
            except (TypeError, ValueError):
                raise DTypeError(f"__array__: dtype must name a NumPy dtype, got {dtype!r}") from None
            if wanted != self.data.dtype:
                if copy is False:
                    raise DTypeError(f"__array__: {self.data.dtype} as {wanted} needs a copy")
                return dtypes.converted(self.data, wanted)
        return self.data.copy() if copy else self.numpy()

    def __dlpack__(self, **options: Any) -> Any:
        if self._requires_grad:
            raise GraphError("__dlpack__: a tensor that requires gradients is not handed out; use detach()")
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    # Copies

    def detach(self) -> Tensor:
        """Share the memory, without history."""
        return wrap(self.data, None, self._version)

    def clone(self) -> Tensor:
        """A copy of the values, with history."""
        return Cast(self.data.dtype)(self) if self.data.dtype.kind == "f" else wrap(self.data.copy())

    def astype(self, dtype: Any) -> Tensor:
        """The values in another dtype; gradients flow between floating ones."""
        return cast(self, dtypes.to_dtype("astype", dtype))

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad` in place."""
        self.requires_grad = requires_grad
        return self

    def __copy__(self) -> Tensor:
        return self.__deepcopy__({})

    def __deepcopy__(self, memo: dict) -> Tensor:
        state = leaf_state(self, "deepcopy", "copied; use detach() or clone()")
        twin = memo[id(self)] = type(self).__new__(type(self))
        restore_leaf(twin, deepcopy(state, memo))
        return twin

    def __getstate__(self) -> dict[str, Any]:
        if self._hooks:
            warnings.warn("pickle: the hooks of a tensor stay behind; register them again", stacklevel=2)
        return leaf_state(self, "pickle", "pickled with its history; use detach()")

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore_leaf(self, state)

    # Gradients

    def backward(
        self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None
    ) -> None:
        """Add the gradient of this tensor to `grad` of every leaf that it was computed from.

        Parameters
        ----------
        gradient : Tensor, optional
            The gradient of the final result with respect to this tensor, of its shape; 1 for a single number.
        retain_graph : bool, optional
            Keep what was saved, so that backward can run again (default: `create_graph`).
        create_graph : bool
            Record the backward pass, so that gradients can be differentiated again.
        inputs : Tensor or sequence of Tensor, optional
            Only these leaves get gradients; all by default.

        Raises
        ------
        GraphError
            If nothing was recorded, or the graph was used and freed.
        ShapeError
            If `gradient` has another shape, or is missing for more than one number.
        """
        only = None if inputs is None else tensors_of("backward", "inputs", inputs)
        run_backward([self], [gradient], "backward", retain_graph, create_graph, accumulate=True, targets=only)

    # Changes in place

    def _assign(self, op: str, result: Any) -> Tensor:
        """Take over the values and the history of `result`, computed from this tensor."""
        recorded = is_grad_enabled() and (self._requires_grad or result._requires_grad)
        if recorded and self._op is None and self._requires_grad:
            raise GraphError(f"{op}: a leaf that requires gradients can't be changed in place; do it under no_grad()")
        if recorded and self._version[1]:
            raise GraphError(f"{op}: memory that recorded views share can't be changed in place; clone() first")
        if result.data.shape != self.data.shape:
            raise ShapeError(f"{op}: a result of shape {result.data.shape} doesn't fit in place of {self.data.shape}")
        if not np.can_cast(result.data.dtype, self.data.dtype, "same_kind"):
            raise DTypeError(f"{op}: a result of {result.data.dtype} doesn't fit in place of {self.data.dtype}")
        if not self.data.flags.writeable:
            raise GraphError(f"{op}: the memory of this tensor is read-only")
        np.copyto(self.data, result.data, casting="same_kind")
        self._version[0] += 1
        if recorded:
            self._op = result._op
            self._requires_grad = True
        return self

    def add_(self, other: Any) -> Tensor:
        """Add in place."""
        return self._assign("add_", arithmetic.add(self, other))

    def sub_(self, other: Any) -> Tensor:
        """Subtract in place."""
        return self._assign("sub_", arithmetic.sub(self, other))

    def mul_(self, other: Any) -> Tensor:
        """Multiply in place."""
        return self._assign("mul_", arithmetic.mul(self, other))

    def div_(self, other: Any) -> Tensor:
        """Divide in place."""
        return self._assign("div_", arithmetic.div(self, other))

    def copy_(self, other: Any) -> Tensor:
        """Take over the values of another tensor, broadcast."""
        source = as_tensor("copy_", "other", other)
        return self._assign("copy_", shapes.broadcast_to(cast(source, self.data.dtype), self.data.shape))

    def fill_(self, value: float) -> Tensor:
        """Set every element."""
        return self.copy_(value)

    def zero_(self) -> Tensor:
        """Set every element to 0."""
        return self.copy_(0)

    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_

    def __setitem__(self, index: Any, value: Any) -> None:
        source = cast(as_tensor("indexing", "value", value), self.data.dtype)
        self._assign("indexing", shapes.set_item(self, index, source))

    def __getitem__(self, index: Any) -> Tensor:
        return shapes.get_item(self, index)

    # Comparisons, which have no gradient

    def __eq__(self, other: Any) -> Any:
        return _compare("eq", np.equal, self, other)

    def __ne__(self, other: Any) -> Any:
        return _compare("ne", np.not_equal, self, other)

    def __lt__(self, other: Any) -> Tensor:
        return _compare("lt", np.less, self, other)

    def __le__(self, other: Any) -> Tensor:
        return _compare("le", np.less_equal, self, other)

    def __gt__(self, other: Any) -> Tensor:
        return _compare("gt", np.greater, self, other)

    def __ge__(self, other: Any) -> Tensor:
        return _compare("ge", np.greater_equal, self, other)

    def __invert__(self) -> Tensor:
        return _logical("invert", np.logical_not, self)

    def __and__(self, other: Any) -> Tensor:
        return _logical("and", np.logical_and, self, other)

    def __or__(self, other: Any) -> Tensor:
        return _logical("or", np.logical_or, self, other)

    def __xor__(self, other: Any) -> Tensor:
        return _logical("xor", np.logical_xor, self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def any(self) -> Tensor:
        """Whether any element is not 0."""
        return wrap(np.asarray(self.data.any()))

    def all(self) -> Tensor:
        """Whether no element is 0."""
        return wrap(np.asarray(self.data.all()))

    def max(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The largest element, NaN if one is; along `dim`, the largest values and where the first of each stands."""
        return _extremum(reductions.largest, reductions.argmax, self, dim, keepdim)

    def min(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The smallest element, NaN if one is; along `dim`, the smallest values and where the first of each stands."""
        return _extremum(reductions.smallest, reductions.argmin, self, dim, keepdim)

    # Arithmetic

    __add__ = __radd__ = add = arithmetic.add
    __mul__ = __rmul__ = mul = arithmetic.mul
    __sub__ = sub = arithmetic.sub
    __truediv__ = div = arithmetic.div
    __pow__ = pow = power
    __matmul__ = matmul = _matmul
    __neg__ = neg = arithmetic.neg
    __abs__ = abs = arithmetic.absolute
    exp, log, sqrt, clip = arithmetic.exp, arithmetic.log, arithmetic.sqrt, clip
    sum, mean, var, std = reductions.sum, reductions.mean, reductions.var, reductions.std
    amax, amin, argmax, argmin = reductions.amax, reductions.amin, reductions.argmax, reductions.argmin
    reshape = view = shapes.reshape
    permute, transpose = shapes.permute, shapes.transpose
    flatten, unflatten = shapes.flatten, shapes.unflatten
    squeeze, unsqueeze, expand = shapes.squeeze, shapes.unsqueeze, shapes.broadcast_to

    def __rsub__(self, other: Any) -> Tensor:
        return arithmetic.sub(other, self)

    def __rtruediv__(self, other: Any) -> Tensor:
        return arithmetic.div(other, self)

    def __rpow__(self, other: Any) -> Tensor:
        return power(other, self)

    def __rmatmul__(self, other: Any) -> Tensor:
        return _matmul(other, self)


for _name in elementwise.__all__:
    setattr(Tensor, _name, elementwise.FUNCTIONS[_name])
set_tensor_class(Tensor)


def _compare(op: str, function: Any, a: Tensor, b: Any) -> Any:
    if not isinstance(b, TensorBase | np.ndarray | np.generic | bool | int | float | list):
        return NotImplemented
    left, right = arithmetic.promoted(op, a.detach(), b.detach() if isinstance(b, Tensor) else b)
    arithmetic.check_broadcast(op, left.data.shape, right.data.shape)
    return wrap(np.asarray(function(left.data, right.data)))


def _logical(op: str, function: Any, *operands: Any) -> Tensor:
    arrays = [as_tensor(op, "other", x).data for x in operands]
    for array in arrays:
        if array.dtype.kind != "b":
            raise DTypeError(f"{op}: only booleans combine, got {array.dtype}")
    if len(arrays) == 2:
        arithmetic.check_broadcast(op, arrays[0].shape, arrays[1].shape)
    return wrap(np.asarray(function(*arrays)))


def _extremum(value: Any, position: Any, x: Tensor, dim: int | None, keepdim: bool) -> Any:
    if dim is None:
        return value(x)
    keepdim = check_flag(position.__name__.removeprefix("arg"), "keepdim", keepdim)
    chosen = position(x, dim, True)
    picked = take_along_dim(x, chosen, dim)
    return (picked, chosen) if keepdim else (shapes.squeeze(picked, dim), shapes.squeeze(chosen, dim))


def take_along_dim(input: Any, indices: Any, dim: int) -> Tensor:
    """The elements at `indices` along a dimension; indices has the shape of input in all others."""
    x, chosen = as_tensor("take_along_dim", "input", input), as_tensor("take_along_dim", "indices", indices).data
    if x.data.ndim == 0:
        return x
    axis = shapes.normal_dim("take_along_dim", dim, x.data.ndim)
    if chosen.dtype.kind not in "iu":
        raise DTypeError(f"take_along_dim: indices must be integers, got {chosen.dtype}")
    if chosen.ndim != x.data.ndim:
        raise ShapeError(f"take_along_dim: indices has {chosen.ndim} dimensions, input {x.data.ndim}")
    index = [
        np.arange(n).reshape([-1 if d == a else 1 for a in range(chosen.ndim)]) for d, n in enumerate(chosen.shape)
    ]
    index[axis] = chosen
    return shapes.get_item(x, tuple(index))
