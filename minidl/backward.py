"""The backward pass.

Ops are numbered in the order of their recording, and an op is always recorded after those that made its inputs. The
pass therefore takes the op with the highest number that has a gradient waiting: all those that use its result have
been done. It needs no recursion and no counting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from minidl.arguments import read_list
from minidl.autograd import Op, TensorBase, wrap
from minidl.dtypes import to_array
from minidl.errors import ArgumentError, DTypeError, GraphError, ShapeError, check_flag
from minidl.grad_mode import state
from minidl.runtime import locks

Array = np.ndarray


def _start_gradient(op: str, output: TensorBase, gradient: Any) -> Array | TensorBase:
    data = output._data
    if gradient is None:
        if data.size != 1:
            raise ShapeError(
                f"{op}: a gradient must be given for a result of shape {data.shape}; only a single number has 1"
            )
        start = np.empty(data.shape, data.dtype)
        start.fill(1)
        return start
    given = gradient if isinstance(gradient, TensorBase) else wrap(to_array(op, gradient, data.dtype))
    if given._data.shape != data.shape:
        raise ShapeError(f"{op}: gradient has shape {given._data.shape}, the result {data.shape}")
    if given._data.dtype != data.dtype:
        raise DTypeError(f"{op}: gradient has dtype {given._data.dtype}, the result {data.dtype}")
    return given


def _leading(waiting: list[Op], targets: set[int]) -> dict[int, tuple[bool, ...]]:
    """Find the ops through which a target is reached, by their ids, and which of their inputs lead to one.

    From the ops that are waiting (and are taken from there), to targets by their ids.
    """
    wanted = targets.copy()
    reached: dict[int, Op] = {}
    while waiting:
        op = waiting.pop()
        order = op.order
        if order not in reached:
            reached[order] = op
            for edge in op.edges:
                if isinstance(edge, Op):
                    waiting.append(edge)
    leading = {}
    for order in sorted(reached) if len(reached) > 1 else reached:
        op = reached[order]
        needs = tuple([id(edge) in wanted for edge in op.edges])
        if True in needs:
            leading[id(op)] = needs
            wanted.add(id(op))
    return leading


def _call_hooks(hooks: list[Callable] | None, grad: Any) -> Any:
    previous = grad._data if isinstance(grad, TensorBase) else grad
    # Taken before, since a hook may set both in place.
    shape, dtype = previous.shape, previous.dtype
    for hook in list(hooks or ()):
        tensor = grad if isinstance(grad, TensorBase) else wrap(grad)
        returned = hook(tensor)
        if returned is not None and not isinstance(returned, TensorBase):
            raise DTypeError(f"hook: must return a tensor or None, got {type(returned).__name__}")
        found = tensor if returned is None else returned
        # Kernels trust the shape and dtype of a gradient; the hook may have set the data of the one that it got.
        what = "made it" if returned is None else "returned"
        if found._data.shape != shape:
            raise ShapeError(f"hook: {what} shape {found._data.shape} for a gradient of {shape}")
        if found._data.dtype != dtype:
            raise DTypeError(f"hook: {what} {found._data.dtype} for a gradient of {dtype}")
        grad = found if isinstance(grad, TensorBase) else found._data
    return grad


def _sum(op: str, one: Any, other: Any) -> Any:
    if one.shape != other.shape:
        raise GraphError(f"{op}: a gradient of shape {other.shape} came to a value that has one of shape {one.shape}")
    total = one + other
    return np.asarray(total) if isinstance(total, np.generic) else total


def run_backward(
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
    check_flag(name, "create_graph", create_graph)
    retain = create_graph if retain_graph is None else check_flag(name, "retain_graph", retain_graph)
    pending: dict[int, Any] = {}
    # Whose gradient may be somebody else's array too.
    shared: set[int] = set()
    finished: dict[int, Any] = {}
    queue: list[tuple[int, Op]] = []
    leaves: list[TensorBase] = []
    # Messages tell which op gave the gradient of another.
    givers: dict[int, Op] = {}

    for output, gradient in zip(outputs, gradients, strict=True):
        if not output._requires_grad:
            raise GraphError(f"{name}: the result does not require gradients: nothing was recorded for it")
        start = _start_gradient(name, output, gradient)
        if create_graph:
            start = start if isinstance(start, TensorBase) else wrap(start)
        else:
            start = start._data if isinstance(start, TensorBase) else start
        edge: Any = output._op or output
        key = id(edge)
        if isinstance(edge, Op):
            now = output._data
            if edge.shape != now.shape:
                raise GraphError(f"{name}: a result of shape {edge.shape} has become one of {now.shape}")
            if edge._dtype != now.dtype:
                raise GraphError(f"{name}: a result of {edge._dtype} has become one of {now.dtype}")
        if key in pending:
            pending[key] = _sum(name, pending[key], start)
            shared.discard(key)
            continue
        pending[key] = start
        shared.add(key)
        if isinstance(edge, Op):
            heappush(queue, (-edge.order, edge))
        else:
            leaves.append(edge)

    leading = None
    target_keys: set[int] = set()
    if targets is not None:
        if not targets:
            raise ArgumentError(f"{name}: inputs is empty")
        for i, target in enumerate(targets):
            if not isinstance(target, TensorBase) or not target._requires_grad:
                raise GraphError(f"{name}: inputs[{i}] does not require gradients")
            target_keys.add(id(target._op or target))
        leading = _leading([op for _, op in queue], target_keys)

    previous = state.recording
    state.recording = create_graph
    try:
        while queue:
            op = heappop(queue)[1]
            grad = pending.pop(id(op))
            if op.hooks:
                grad = _call_hooks(op.hooks, grad)
            if id(op) in target_keys:
                finished[id(op)] = grad
            # Last of all, since any hook may have got hold of an array that several operations are to be given.
            array = grad._data if create_graph else grad
            if array.shape != op.shape or array.dtype is not op._dtype:
                grad = _fitted(givers.get(id(op), op).name, grad, f"{op.name}'s result", op.shape, op._dtype)
            needs, node = op.needs, op
            if leading is not None:
                # An op computes no gradient that leads to no target.
                wanted = leading.get(id(op), ())
                if not wanted:
                    continue
                if wanted != needs:
                    needs, node = wanted, op.pass_twin(wanted)
            grads = node.backward(grad) if create_graph else node.backward_arrays(grad)
            if type(grads) is not tuple:
                grads = (grads,)
            is_new, edges = op.owns_gradients, op.edges
            if len(grads) != len(edges):
                raise GraphError(f"{op.name}: backward gave {len(grads)} gradients for {len(edges)} inputs")
            for edge, part, need in zip(edges, grads, needs):  # noqa: B905 (as long as each other, and quicker so)
                if not need or part is None:
                    continue
                key = id(edge)
                if key in pending:
                    pending[key] = _sum(op.name, pending[key], part)
                    shared.discard(key)
                    continue
                pending[key] = part
                if not is_new:
                    shared.add(key)
                if isinstance(edge, Op):
                    givers[key] = op
                    heappush(queue, (-edge.order, edge))
                else:
                    leaves.append(edge)
            if not retain:
                op.free()
        if leading is not None:
            leaves = [leaf for leaf in leaves if id(leaf) in target_keys]
            finished |= {id(leaf): pending[id(leaf)] for leaf in leaves}
        for leaf in leaves:
            if leaf._hooks:
                key = id(leaf)
                pending[key] = finished[key] = _call_hooks(leaf._hooks, pending[key])
                shared.add(key)
        if accumulate:
            _accumulate(leaves, pending, shared, create_graph)
    finally:
        state.recording = previous
    if accumulate and targets is not None:
        for target in targets:
            key = id(target._op)
            if target._op is not None and key in finished:
                _accumulate([target], {id(target): finished[key]}, {id(target)}, create_graph)
    return finished


def tensors_of(op: str, name: str, value: Any) -> list[TensorBase]:
    """One tensor or a sequence of them, as a list."""
    if isinstance(value, TensorBase):
        return [value]
    found = read_list(op, name, value, "a tensor or a sequence of tensors")
    for i, each in enumerate(found):
        if not isinstance(each, TensorBase):
            raise DTypeError(f"{op}: {name}[{i}] must be a tensor, got {type(each).__name__}")
    return found


def _fitted(op: str, grad: Any, what: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """A gradient in the dtype that it must have, float32 or float64, if its shape is the right one."""
    found = grad._data if isinstance(grad, TensorBase) else grad
    if found.shape != shape:
        raise GraphError(f"{op}: a gradient of shape {found.shape} came to {what} of shape {shape}")
    if found.dtype == dtype:
        return grad
    if found.dtype.kind != "f" or dtype.kind != "f":
        raise GraphError(f"{op}: a gradient of {found.dtype} came to {what} of {dtype}")
    return grad.astype(dtype)


def _accumulate(leaves: list[TensorBase], grads: dict[int, Any], shared: set[int], are_tensors: bool) -> None:
    """Add to each leaf's gradient the one under its id; `shared` are those that may be somebody else's array too."""
    # Two passes in two threads may have a leaf in common.
    with locks.gradients:
        for leaf in leaves:
            grad, data, so_far = grads[id(leaf)], leaf._data, leaf._grad
            array = grad._data if are_tensors else grad
            if array.shape != data.shape or array.dtype is not data.dtype:
                grad = _fitted("backward", grad, "a tensor", data.shape, data.dtype)
            if so_far is None:
                # A copy, since the gradient of several leaves may be one.
                leaf._grad = grad.clone() if are_tensors else wrap(grad.copy() if id(leaf) in shared else grad)
                continue
            own = so_far._data
            if own.shape != data.shape or own.dtype != data.dtype:
                raise GraphError(
                    f"backward: a tensor of {data.dtype} of shape {data.shape} has a gradient of {own.dtype} of shape "
                    f"{own.shape}, which nothing can be added to; set it to None first"
                )
            if are_tensors:
                leaf._grad = so_far + grad
            elif so_far._op is None and own.flags.writeable:
                own += grad
                so_far._version[0] += 1
            else:
                leaf._grad = wrap(own + grad)


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
    outs, ins = tensors_of("grad", "outputs", outputs), tensors_of("grad", "inputs", inputs)
    check_flag("grad", "allow_unused", allow_unused)
    if grad_outputs is None:
        grads: list = [None] * len(outs)
    elif isinstance(grad_outputs, (TensorBase, Array)):
        grads = [grad_outputs]
    else:
        grads = read_list("grad", "grad_outputs", grad_outputs, "a tensor or a sequence of tensors")
    if len(grads) != len(outs):
        raise ArgumentError(f"grad: {len(outs)} outputs, but {len(grads)} grad_outputs")
    found = run_backward(outs, grads, "grad", retain_graph, create_graph, accumulate=False, targets=ins)
    results = []
    for i, tensor in enumerate(ins):
        result = found.get(id(tensor._op or tensor))
        if result is None and not allow_unused:
            raise GraphError(f"grad: inputs[{i}] was not used in computing the outputs; allow_unused=True gives None")
        results.append(result if result is None or isinstance(result, TensorBase) else wrap(result))
    return tuple(results)
