"""The graph: tensors and the operations that computed them.

A `Tensor` is an array that may have been computed by an `Op`. An `Op` that was recorded holds an edge to the source
of each input (the op that computed it, or the leaf tensor itself) and what it saved for its gradient, but never its
own output, so nothing here refers to itself and memory goes as soon as the last tensor does. `minidl.backward` walks
the edges.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from itertools import takewhile
from operator import attrgetter
from typing import Any, ClassVar

import numpy as np

from minidl.arguments import check_callable
from minidl.dtypes import to_array
from minidl.errors import ArgumentError, DTypeError, GraphError, ShapeError, check_flag
from minidl.grad_mode import state
from minidl.runtime import locks

Array = np.ndarray

_order = itertools.count()
# An array that was saved and is neither an input nor the result is noted by its place, its version and its count.
_NO_SOURCE: tuple[int | None, list | None, int] = (None, None, 0)


class RemovableHandle:
    """A hook that was registered; `remove` takes it away again."""

    def __init__(self, hooks: list[Callable], hook: Callable) -> None:
        self._hooks = hooks
        self._hook: Callable | None = hook

    def remove(self) -> None:
        """Take the hook away; doing so twice is no error."""
        position = next((i for i, hook in enumerate(self._hooks) if hook is self._hook), None)
        if position is not None:
            del self._hooks[position]
        # One registration, one removal: the same function may have been registered again.
        self._hook = None


class TensorBase:
    """A tensor as the graph needs it; `minidl.Tensor` adds operators and methods.

    `data` and `grad` are what users see of `_data` and `_grad`, and check what is assigned: kernels trust an array's
    type, and optimisers the shape of a gradient. Within minidl `_data` is quicker, and the way around the checks.
    """

    __slots__ = ("__weakref__", "_data", "_grad", "_hooks", "_op", "_requires_grad", "_version")

    _data: Array
    _grad: Any
    _op: Op | None
    _hooks: list[Callable] | None
    # [number of in-place changes, whether a view shares the memory]; views share the list itself.
    _version: list

    def __init__(self, data: Any = (), dtype: Any = None, requires_grad: bool = False, *sizes: Any) -> None:
        if sizes or (isinstance(data, int | np.integer) and not isinstance(data, bool)):
            raise self._refused((data, dtype, requires_grad, *sizes))
        self._data = to_array("Tensor", data._data if isinstance(data, TensorBase) else data, dtype)
        self._grad = None
        self._op = None
        self._hooks = None
        is_shared = isinstance(data, TensorBase) and np.may_share_memory(self._data, data._data)
        self._version = data._version if is_shared else [0, False]
        self._requires_grad = False
        if requires_grad is not False and check_flag("Tensor", "requires_grad", requires_grad):
            self.requires_grad = True

    def _refused(self, given: tuple) -> ArgumentError:
        """The error for an int in the place of data: PyTorch's constructor takes it for a size, NumPy's for a value."""
        sizes = list(takewhile(lambda value: type(value) is int or isinstance(value, np.integer), given))
        text, name = ", ".join(map(str, sizes)), type(self).__name__
        if not sizes:
            return ArgumentError(f"{name}: the arguments are data, dtype and requires_grad, got {len(given)}")
        if len(sizes) > 1:
            return ArgumentError(f"{name}: data must be values, got the sizes {text}; write minidl.zeros({text})")
        return ArgumentError(
            f"{name}: data must be values, but {text} may be a size; write minidl.tensor({text}) for the number, or "
            f"minidl.zeros({text}) for so many elements"
        )

    def _set_data(self, value: Any) -> None:
        if value is self._data:
            # This is what `x.data += 1` assigns.
            return
        if isinstance(value, TensorBase):
            array, version = value._data, value._version
        elif isinstance(value, np.ndarray | np.generic):
            array = to_array("Tensor.data", value)
            version = self._version if np.may_share_memory(array, self._data) else [0, False]
        else:
            raise DTypeError(f"Tensor.data: only a tensor or an array can be assigned, got {type(value).__name__}")
        if self._requires_grad and array.dtype.kind != "f":
            raise DTypeError(
                f"Tensor.data: a tensor that requires gradients must be float32 or float64, got {array.dtype}; "
                "convert it with astype()"
            )
        self._data, self._version = array, version

    def _set_grad(self, value: Any) -> None:
        if value is not None:
            if not isinstance(value, TensorBase):
                raise DTypeError(
                    f"Tensor.grad: only a tensor or None can be assigned, got {type(value).__name__}; "
                    "minidl.tensor() makes a tensor of an array"
                )
            if value is self:
                raise GraphError("Tensor.grad: a tensor can't be its own gradient; use clone()")
            found, own = value._data, self._data
            if found.shape != own.shape:
                raise ShapeError(f"Tensor.grad: a tensor of shape {own.shape} can't have a gradient of {found.shape}")
            if found.dtype != own.dtype:
                raise DTypeError(
                    f"Tensor.grad: a tensor of {own.dtype} can't have a gradient of {found.dtype}; "
                    "convert it with astype()"
                )
        self._grad = value

    # Read by C code, since a getter in Python would take twice as long.
    data = property(
        attrgetter("_data"),
        lambda self, value: self._set_data(value),
        doc="The values, as an array that shares the tensor's memory.",
    )
    grad = property(attrgetter("_grad"), _set_grad, doc="The sum of the gradients that came here, or None.")

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        value = check_flag("requires_grad", "its value", value)
        if value and self._data.dtype.kind != "f":
            raise DTypeError(f"requires_grad: only float32 and float64 tensors have gradients, got {self._data.dtype}")
        if self._op is not None and not value:
            raise GraphError("requires_grad: a recorded result can't stop requiring gradients; use detach()")
        self._requires_grad = value

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation computed this tensor."""
        return self._op is None

    def register_hook(self, hook: Callable[[Any], Any]) -> RemovableHandle:
        """Call `hook(grad)` whenever this tensor's gradient is computed; what it returns, if anything, replaces it.

        Raises
        ------
        GraphError
            If the tensor does not require gradients.
        """
        check_callable("register_hook", "hook", hook)
        if not self._requires_grad:
            raise GraphError("register_hook: the tensor does not require gradients")
        if self._op is None:
            self._hooks = hooks = self._hooks if self._hooks is not None else []
        else:
            self._op.hooks = hooks = self._op.hooks if self._op.hooks is not None else []
        hooks.append(hook)
        return RemovableHandle(hooks, hook)

    def retain_grad(self) -> None:
        """Keep `grad` of this tensor too, although an operation computed it."""
        if self._op is not None:
            target = weakref.ref(self)

            def keep(grad: TensorBase) -> None:
                tensor = target()
                if tensor is not None:
                    # A copy, since the gradients of views of each other share memory on their way.
                    own = grad if grad._op is not None else wrap(grad._data.copy())
                    with locks.gradients:
                        tensor._grad = own if tensor._grad is None else tensor._grad + own

            self.register_hook(keep)


# The class of results; `minidl.tensor` puts the one with operators here.
_tensor_class: Any = TensorBase
# Found at once: to look it up through a class takes a third of the time that a tensor does.
_new: Any = object.__new__


def set_tensor_class(cls: type) -> None:
    """Make `cls` the class of all results."""
    global _tensor_class
    _tensor_class = cls


def wrap(data: Array, op: Op | None = None, version: list | None = None) -> Any:
    """A tensor around an array that is known to be fit, without the checks of the constructor."""
    tensor = _new(_tensor_class)
    tensor._data = data if type(data) is Array else np.asarray(data)
    tensor._grad = tensor._hooks = None
    tensor._op = op
    tensor._version = [0, False] if version is None else version
    tensor._requires_grad = op is not None
    return tensor


class Op:
    """An operation on arrays with a gradient. An instance is one call, and the graph's node if it is recorded.

    A subclass writes `forward`, from arrays to an array, and `backward`, from the gradient of the result (a tensor)
    to those of the inputs, in terms of differentiable operations: that is what makes gradients of gradients work.
    Where nothing is recorded, `backward_arrays` may do the same with fewer passes over memory.

    `needs` says which inputs want a gradient (empty if the call is not recorded). What `backward` reads is handed to
    `save` in `forward`, and comes back as tensors from `saved`.
    """

    # Whether the result shares the memory of the first input.
    is_view: ClassVar[bool] = False
    # Whether the arrays from backward_arrays are new and nobody else's, so that a leaf may keep them uncopied.
    owns_gradients: ClassVar[bool] = False
    # Whether arrays that were saved are refused where their shape or dtype has changed since.
    checks_saved: ClassVar[bool] = True

    needs: tuple[bool, ...] = ()
    hooks: list[Callable] | None = None
    edges: tuple[Op | TensorBase | None, ...] = ()
    # The result's version has this count when it is recorded.
    shape: tuple[int, ...] = ()
    _dtype: np.dtype | None = None
    order = -1
    _pending_saves: tuple[Array | None, ...] | None = ()
    _saved_sources: list[tuple[int | None, list | None, int]] = []
    # The shapes and dtypes that those which are checked had.
    _saved_kinds: list[tuple[Array, tuple[int, ...], np.dtype]] = []
    # A backward pass may work with a twin in place of a node of the graph; this is the node then.
    _node: Op | None = None

    @property
    def name(self) -> str:
        """The operation's name in messages."""
        return type(self).__name__

    def forward(self, *arrays: Any) -> Array:
        """Compute the result."""
        raise NotImplementedError

    def backward(self, grad: Any) -> Any:
        """Compute the gradients of the inputs, as one tensor or a tuple with one or None for each."""
        raise NotImplementedError

    def backward_arrays(self, grad: Array) -> Any:
        """Do what `backward` does, with arrays and unrecorded."""
        grads = self.backward(wrap(grad))
        if type(grads) is tuple:
            return tuple([None if g is None else g._data for g in grads])
        return grads._data

    def save(self, *arrays: Array | None) -> None:
        """Keep arrays (inputs, the result, or others) for the backward pass."""
        if self.needs:
            self._pending_saves = arrays

    def __call__(self, *inputs: Any) -> Any:
        """Compute, and record the call if an input wants gradients."""
        arrays: list[Array | None] = []
        needs: list[bool] = []
        for t in inputs:
            if t is None:
                arrays.append(None)
                needs.append(False)
            else:
                arrays.append(t._data)
                needs.append(t._requires_grad)
        if True in needs and state.recording:
            self.needs = tuple(needs)
            return self._record(inputs, arrays, self.forward(*arrays))
        result = wrap(self.forward(*arrays))
        if self.is_view:
            self._share_version(result, inputs[0])
        return result

    def _record(self, inputs: tuple, arrays: list, data: Array) -> Any:
        self.edges = tuple([(t._op or t) if t is not None and t._requires_grad else None for t in inputs])
        self.order = next(_order)
        self.shape, self._dtype = data.shape, data.dtype
        result = wrap(data, self)
        if self.is_view:
            self._share_version(result, inputs[0])
        if self._pending_saves:
            self._saved_sources = sources = []
            count = len(arrays)
            if self.checks_saved:
                self._saved_kinds = kinds = []
                for array in self._pending_saves:
                    if array is not None:
                        kinds.append((array, array.shape, array.dtype))
            for position, array in enumerate(self._pending_saves):
                if array is None:
                    sources.append(_NO_SOURCE)
                    continue
                if array is data:
                    source, version = -1, result._version
                elif position < count and array is arrays[position]:
                    # All of the inputs are kept as a rule; those of a run of layers are many.
                    source, version = position, inputs[position]._version
                else:
                    for i, candidate in enumerate(arrays):
                        if array is candidate:
                            source, version = i, inputs[i]._version
                            break
                    else:
                        sources.append(_NO_SOURCE)
                        continue
                sources.append((source, version, version[0]))
        return result

    @staticmethod
    def _share_version(result: TensorBase, base: TensorBase) -> None:
        if np.may_share_memory(result._data, base._data):
            result._version = base._version
            # A recorded change to one of them would be missing from the history of the other.
            result._version[1] = True

    def pass_twin(self, needs: tuple[bool, ...]) -> Op:
        """Make a twin of the node for these gradients alone, since other threads may read the node's own `needs`."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.needs, twin._node = needs, self
        return twin

    def saved_arrays(self) -> tuple:
        """Give what `save` kept, as arrays.

        Raises
        ------
        GraphError
            If it was freed, modified in place since, or given another shape or dtype.
        """
        # Read once, since a pass in another thread may free it.
        arrays = self._pending_saves
        if arrays is None:
            raise self.freed()
        for _, version, count in self._saved_sources:
            if version is not None and version[0] != count:
                raise GraphError(
                    f"{self.name}: a value saved for the backward pass was modified in place afterwards "
                    f"(it was at version {count}, it is at {version[0]}); clone() it first"
                )
        # NumPy lets an array's shape and dtype be set in place, and its memory be resized.
        for array, shape, dtype in self._saved_kinds:
            if array.shape != shape or array.dtype is not dtype:
                raise GraphError(
                    f"{self.name}: a value saved for the backward pass was {dtype} of shape {shape}, and has been made "
                    f"{array.dtype} of shape {array.shape} in place; clone() it first"
                )
        return arrays

    def freed(self) -> GraphError:
        """The error of a pass that needs what another one has freed."""
        return GraphError(
            f"{self.name}: backward through this graph a second time, after what it saved was freed; "
            "pass retain_graph=True to the first backward"
        )

    @property
    def saved(self) -> tuple:
        """The values that `save` kept, as tensors with their history."""
        arrays = self.saved_arrays()
        if not state.recording:
            return tuple([None if array is None else wrap(array) for array in arrays])
        tensors: list[Any] = []
        for array, (source, version, _) in zip(arrays, self._saved_sources, strict=True):
            edge = (self._node or self) if source == -1 else None if source is None else self.edges[source]
            if array is None:
                tensors.append(None)
            elif edge is None:
                tensors.append(wrap(array, None, version))
            elif isinstance(edge, Op):
                tensors.append(wrap(array, edge, version))
            elif edge._data is array:
                tensors.append(edge)
            else:
                raise GraphError(f"{self.name}: the data of a leaf were replaced after the forward pass")
        return tuple(tensors)

    def free(self) -> None:
        """Let go of what was saved."""
        if self._pending_saves:
            self._pending_saves = None
            self._saved_kinds = []
