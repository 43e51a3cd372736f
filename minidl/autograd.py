"""The graph: tensors, operations, and the backward pass.

A `Tensor` is an array that may have been computed by an `Op`. An `Op` that was recorded holds an edge to the source
of each input (the op that computed it, or the leaf tensor itself) and what it saved for its gradient, but never its
own output, so nothing here refers to itself and memory goes as soon as the last tensor does.

Ops are numbered in the order of their recording, and an op is always recorded after those that made its inputs.
The backward pass therefore takes the op with the highest number that has a gradient waiting: all those that use its
result have been done. It needs no recursion and no counting.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, ClassVar

import numpy as np

from minidl.dtypes import to_array
from minidl.errors import ArgumentError, DTypeError, GraphError, ShapeError

Array = np.ndarray


class _Mode(threading.local):
    recording = True


_mode = _Mode()
_order = itertools.count()


class RemovableHandle:
    """What registering a hook returns; `remove` takes the hook away again."""

    def __init__(self, hooks: list[Callable], hook: Callable) -> None:
        self._hooks = hooks
        self._hook = hook

    def remove(self) -> None:
        """Take the hook away; doing so twice is no error."""
        self._hooks[:] = [hook for hook in self._hooks if hook is not self._hook]


class set_grad_enabled:
    """Turn recording on or off in this Python thread, at once and as a context manager or decorator.

    Parameters
    ----------
    mode : bool
        Whether operations are recorded.

    Examples
    --------
    >>> import minidl
    >>> with minidl.set_grad_enabled(False):
    ...     minidl.is_grad_enabled()
    False
    """

    _at_once = True

    def __init__(self, mode: bool) -> None:
        self._wanted = bool(mode)
        self._before = [_mode.recording]
        if self._at_once:
            _mode.recording = self._wanted

    def __enter__(self) -> None:
        if not self._at_once:
            self._before.append(_mode.recording)
        _mode.recording = self._wanted

    def __exit__(self, *exc_info: object) -> None:
        _mode.recording = self._before.pop()

    def __call__(self, function: Callable) -> Callable:
        """Decorate a function, which then runs in this mode."""
        if self._at_once:
            _mode.recording = self._before.pop()

        @wraps(function)
        def decorated(*args: Any, **kwargs: Any) -> Any:
            before = _mode.recording
            _mode.recording = self._wanted
            try:
                return function(*args, **kwargs)
            finally:
                _mode.recording = before

        return decorated


class no_grad(set_grad_enabled):
    """A context manager and decorator under which nothing is recorded.

    Examples
    --------
    >>> import minidl
    >>> x = minidl.tensor([1.0, 2.0], requires_grad=True)
    >>> with minidl.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    _at_once = False

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(set_grad_enabled):
    """A context manager and decorator under which operations are recorded, inside `no_grad` too."""

    _at_once = False

    def __init__(self) -> None:
        super().__init__(True)


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this Python thread."""
    return _mode.recording


class TensorBase:
    """What the graph needs of a tensor; `minidl.Tensor` adds operators and methods."""

    __slots__ = ("__weakref__", "_hooks", "_op", "_requires_grad", "_version", "data", "grad")

    data: Array
    grad: Any
    _op: Op | None
    _hooks: list[Callable] | None
    # [number of in-place changes, whether a recorded view shares the memory]; views share the list itself.
    _version: list

    def __init__(self, data: Any, dtype: Any = None, requires_grad: bool = False) -> None:
        self.data = to_array("Tensor", data.data if isinstance(data, TensorBase) else data, dtype)
        self.grad = None
        self._op = None
        self._hooks = None
        self._version = [0, False]
        self._requires_grad = False
        if requires_grad:
            self.requires_grad = True

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self.data.dtype.kind != "f":
            raise DTypeError(f"requires_grad: only float32 and float64 tensors have gradients, got {self.data.dtype}")
        if self._op is not None and not value:
            raise GraphError("requires_grad: a recorded result can't stop requiring gradients; use detach()")
        self._requires_grad = bool(value)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation computed this tensor."""
        return self._op is None

    def register_hook(self, hook: Callable[[Any], Any]) -> RemovableHandle:
        """Call `hook(grad)` whenever the gradient of this tensor is computed; what it returns, if anything, replaces it.

        Raises
        ------
        GraphError
            If the tensor does not require gradients.
        """
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
                    tensor.grad = grad if tensor.grad is None else tensor.grad + grad

            self.register_hook(keep)

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
        only = None if inputs is None else ([inputs] if isinstance(inputs, TensorBase) else list(inputs))
        _run_backward([self], [gradient], "backward", retain_graph, create_graph, accumulate=True, targets=only)


# The class of results; `minidl.tensor` puts the one with operators here.
_tensor_class: type = TensorBase


def set_tensor_class(cls: type) -> None:
    """Make `cls` the class of all results."""
    global _tensor_class
    _tensor_class = cls


def wrap(data: Array, op: Op | None = None, version: list | None = None) -> Any:
    """A tensor around an array that is known to be fit, without the checks of the constructor."""
    tensor = _tensor_class.__new__(_tensor_class)
    tensor.data = data if type(data) is Array else np.asarray(data)
    tensor.grad = None
    tensor._op = op
    tensor._hooks = None
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

    needs: tuple[bool, ...] = ()
    hooks: list[Callable] | None = None
    edges: tuple[Op | TensorBase | None, ...] = ()
    shape: tuple[int, ...] = ()
    order = -1
    _to_save: tuple[Array | None, ...] | None = ()
    _saved_sources: list[tuple[int | None, list | None, int]] = []

    @property
    def name(self) -> str:
        """How messages call this operation."""
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
            return tuple([None if g is None else g.data for g in grads])
        return grads.data

    def save(self, *arrays: Array | None) -> None:
        """Keep arrays (inputs, the result, or others) for the backward pass."""
        if self.needs:
            self._to_save = arrays

    def __call__(self, *inputs: Any) -> Any:
        """Compute, and record the call if an input wants gradients."""
        arrays = [None if t is None else t.data for t in inputs]
        if _mode.recording:
            needs = tuple([t is not None and t._requires_grad for t in inputs])
            if True in needs:
                self.needs = needs
                return self._record(inputs, arrays, self.forward(*arrays))
        result = wrap(self.forward(*arrays))
        if self.is_view and np.may_share_memory(result.data, arrays[0]):
            result._version = inputs[0]._version
        return result

    def _record(self, inputs: tuple, arrays: list, data: Array) -> Any:
        self.edges = tuple([(t._op or t) if need else None for t, need in zip(inputs, self.needs, strict=True)])
        self.order = next(_order)
        self.shape = data.shape
        result = wrap(data, self)
        if self.is_view and np.may_share_memory(data, arrays[0]):
            result._version = inputs[0]._version
            result._version[1] = True
        sources = []
        for array in self._to_save or ():
            source, version = None, None
            if array is data:
                source, version = -1, result._version
            else:
                for i, candidate in enumerate(arrays):
                    if array is candidate and array is not None:
                        source, version = i, inputs[i]._version
                        break
            sources.append((source, version, version[0] if version is not None else 0))
        self._saved_sources = sources
        return result

    def saved_arrays(self) -> tuple:
        """What `save` kept, as arrays.

        Raises
        ------
        GraphError
            If it was freed, or modified in place since.
        """
        if self._to_save is None:
            raise GraphError(
                f"{self.name}: backward through this graph a second time, after what it saved was freed; "
                "pass retain_graph=True to the first backward"
            )
        for _, version, count in self._saved_sources:
            if version is not None and version[0] != count:
                raise GraphError(
                    f"{self.name}: a value saved for the backward pass was modified in place afterwards "
                    f"(it was at version {count}, it is at {version[0]}); clone() it first"
                )
        return self._to_save

    @property
    def saved(self) -> tuple:
        """What `save` kept, as tensors with their history."""
        arrays = self.saved_arrays()
        if not _mode.recording:
            return tuple([None if array is None else wrap(array) for array in arrays])
        tensors = []
        for array, (source, version, _) in zip(arrays, self._saved_sources, strict=True):
            edge = self if source == -1 else None if source is None else self.edges[source]
            if array is None:
                tensors.append(None)
            elif edge is None:
                tensors.append(wrap(array, None, version))
            else:
                tensors.append(wrap(array, edge, version) if isinstance(edge, Op) else edge)
        return tuple(tensors)

    def free(self) -> None:
        """Let go of what was saved."""
        if self._to_save:
            self._to_save = None


def _start_gradient(op: str, output: TensorBase, gradient: Any) -> Array | TensorBase:
    if gradient is None:
        if output.data.size != 1:
            raise ShapeError(
                f"{op}: a gradient must be given for a result of shape {output.data.shape}; only a single number has 1"
            )
        return np.ones(output.data.shape, output.data.dtype)
    given = gradient if isinstance(gradient, TensorBase) else wrap(to_array(op, gradient, output.data.dtype))
    if given.data.shape != output.data.shape:
        raise ShapeError(f"{op}: gradient has shape {given.data.shape}, the result {output.data.shape}")
    if given.data.dtype != output.data.dtype:
        raise DTypeError(f"{op}: gradient has dtype {given.data.dtype}, the result {output.data.dtype}")
    return given


def _needed(roots: Iterable[Op], targets: Iterable[Op | TensorBase]) -> set[int]:
    """The ids of the ops through which a target is reached."""
    reached: dict[int, Op] = {}
    waiting = list(roots)
    while waiting:
        op = waiting.pop()
        if id(op) not in reached:
            reached[id(op)] = op
            waiting += [edge for edge in op.edges if isinstance(edge, Op)]
    wanted = {id(target) for target in targets}
    for op in sorted(reached.values(), key=lambda op: op.order):
        if any(edge is not None and id(edge) in wanted for edge in op.edges):
            wanted.add(id(op))
    return wanted


def _call_hooks(hooks: list[Callable] | None, grad: Any) -> Any:
    for hook in list(hooks or ()):
        tensor = grad if isinstance(grad, TensorBase) else wrap(grad)
        replaced = hook(tensor)
        if replaced is not None:
            grad = replaced if isinstance(grad, TensorBase) else replaced.data
    return grad


def _run_backward(
    outputs: Sequence[TensorBase],
    gradients: Sequence[Any],
    name: str,
    retain_graph: bool | None,
    create_graph: bool,
    *,
    accumulate: bool,
    targets: Sequence[TensorBase] | None = None,
) -> dict[int, Any]:
    """Carry gradients from outputs to leaves, or to `targets` alone; returns them by id of their op or leaf.

    Gradients are arrays, or tensors where the pass itself is recorded.
    """
    retain = create_graph if retain_graph is None else retain_graph
    pending: dict[int, Any] = {}
    owned: set[int] = set()
    finished: dict[int, Any] = {}
    queue: list[tuple[int, Op]] = []
    leaves: dict[int, TensorBase] = {}

    def send(edge: Op | TensorBase, grad: Any, is_new: bool) -> None:
        key = id(edge)
        if key in pending:
            total = pending[key] + grad
            pending[key] = np.asarray(total) if isinstance(total, np.generic) else total
            owned.add(key)
            return
        pending[key] = grad
        if is_new:
            owned.add(key)
        if isinstance(edge, Op):
            heapq.heappush(queue, (-edge.order, edge))
        else:
            leaves[key] = edge

    for output, gradient in zip(outputs, gradients, strict=True):
        if not output._requires_grad:
            raise GraphError(f"{name}: the result does not require gradients: nothing was recorded for it")
        start = _start_gradient(name, output, gradient)
        if create_graph:
            start = start if isinstance(start, TensorBase) else wrap(start)
        else:
            start = start.data if isinstance(start, TensorBase) else start
        send(output._op or output, start, False)

    wanted_ids = None
    target_keys: set[int] = set()
    if targets is not None:
        target_keys = {id(t._op or t) for t in targets}
        roots = [o._op for o in outputs if o._op is not None]
        wanted_ids = _needed(roots, [t._op or t for t in targets])

    before = _mode.recording
    _mode.recording = create_graph
    try:
        while queue:
            op = heapq.heappop(queue)[1]
            grad = pending.pop(id(op))
            if op.hooks:
                grad = _call_hooks(op.hooks, grad)
            if id(op) in target_keys:
                finished[id(op)] = grad
            if wanted_ids is not None and not any(e is not None and id(e) in wanted_ids for e in op.edges):
                continue
            grads = op.backward(grad) if create_graph else op.backward_arrays(grad)
            if type(grads) is not tuple:
                grads = (grads,)
            for edge, part in zip(op.edges, grads, strict=True):
                if edge is None or part is None or (wanted_ids is not None and id(edge) not in wanted_ids):
                    continue
                if isinstance(edge, Op) and edge.shape != (part.data if create_graph else part).shape:
                    raise GraphError(f"{op.name}: backward gave a gradient of shape {part.shape} for {edge.shape}")
                send(edge, part, op.owns_gradients)
            if not retain:
                op.free()
        for key, leaf in leaves.items():
            if wanted_ids is not None and key not in target_keys:
                continue
            grad = _call_hooks(leaf._hooks, pending[key]) if leaf._hooks else pending[key]
            if accumulate:
                _accumulate(leaf, grad, key in owned and not leaf._hooks)
            finished[key] = grad
    finally:
        _mode.recording = before
    if accumulate and targets is not None:
        for target in targets:
            if target._op is not None and id(target._op) in finished:
                _accumulate(target, finished[id(target._op)], False)
    return finished


def _accumulate(leaf: TensorBase, grad: Any, owned: bool) -> None:
    shape = (grad.data if isinstance(grad, TensorBase) else grad).shape
    if shape != leaf.data.shape:
        raise GraphError(f"backward: a gradient of shape {shape} came to a tensor of shape {leaf.data.shape}")
    if isinstance(grad, TensorBase):
        leaf.grad = grad if leaf.grad is None else leaf.grad + grad
    elif leaf.grad is None:
        leaf.grad = wrap(grad if owned else grad.copy())
    elif leaf.grad._op is None and leaf.grad.data.flags.writeable:
        leaf.grad.data += grad
        leaf.grad._version[0] += 1
    else:
        leaf.grad = wrap(leaf.grad.data + grad)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple:
    """Compute the gradients of outputs with respect to inputs, and return them.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        What to differentiate.
    inputs : Tensor or sequence of Tensor
        With respect to what; leaves or results.
    grad_outputs : Tensor or sequence of Tensor, optional
        The gradients of the outputs, of their shapes; 1 for single numbers.
    retain_graph : bool, optional
        Keep the graph for another pass (default: `create_graph`).
    create_graph : bool
        Record the pass, so that the gradients can be differentiated again.
    allow_unused : bool
        Give None for an input that the outputs don't depend on, instead of raising.

    Returns
    -------
    tuple of Tensor
        One an input.

    Raises
    ------
    GraphError
        If an input was not used, does not require gradients, or nothing was recorded.

    Examples
    --------
    >>> import minidl
    >>> x = minidl.tensor(3.0, requires_grad=True)
    >>> (slope,) = minidl.grad(x**3, x, create_graph=True)
    >>> slope
    tensor(27., requires_grad=True)
    >>> minidl.grad(slope, x)
    (tensor(18.),)
    """
    outs = [outputs] if isinstance(outputs, TensorBase) else list(outputs)
    ins = [inputs] if isinstance(inputs, TensorBase) else list(inputs)
    if grad_outputs is None:
        grads: list = [None] * len(outs)
    else:
        grads = [grad_outputs] if isinstance(grad_outputs, TensorBase | Array) else list(grad_outputs)
    if len(grads) != len(outs):
        raise ArgumentError(f"grad: {len(outs)} outputs, but {len(grads)} grad_outputs")
    for i, tensor in enumerate(ins):
        if not isinstance(tensor, TensorBase) or not tensor._requires_grad:
            raise GraphError(f"grad: inputs[{i}] does not require gradients")
    found = _run_backward(outs, grads, "grad", retain_graph, create_graph, accumulate=False, targets=ins)
    results = []
    for i, tensor in enumerate(ins):
        result = found.get(id(tensor._op or tensor))
        if result is None and not allow_unused:
            raise GraphError(f"grad: inputs[{i}] was not used in computing the outputs; allow_unused=True gives None")
        results.append(result if result is None or isinstance(result, TensorBase) else wrap(result))
    return tuple(results)
