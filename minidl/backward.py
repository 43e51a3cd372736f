"""The backward pass.

Ops are numbered in the order of their recording, and an op is always recorded after those that made its inputs. The
pass therefore takes the op with the highest number that has a gradient waiting: all those that use its result have
been done. It needs no recursion and no counting.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl.autograd import Op, TensorBase, wrap
from minidl.dtypes import to_array
from minidl.errors import ArgumentError, DTypeError, GraphError, ShapeError
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
    """For each op through which a target is reached, by its id: which of its inputs lead to one.

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
    before = grad._data if isinstance(grad, TensorBase) else grad
    # Taken before, since a hook may set both in place.
    shape, dtype = before.shape, before.dtype
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


def _sum(one: Any, other: Any) -> Any:
    try:
        total = one + other
    except ValueError as error:
        raise GraphError(f"backward: gradients of one value have different shapes: {error}") from None
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
    retain = create_graph if retain_graph is None else retain_graph
    pending: dict[int, Any] = {}
    # Whose gradient may be somebody else's array too.
    shared: set[int] = set()
    finished: dict[int, Any] = {}
    queue: list[tuple[int, Op]] = []
    leaves: list[TensorBase] = []

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
            pending[key] = _sum(pending[key], start)
            shared.discard(key)
            continue
        pending[key] = start
        shared.add(key)
        if isinstance(edge, Op):
            heapq.heappush(queue, (-edge.order, edge))
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

    before = state.recording
    state.recording = create_graph
    try:
        while queue:
            op = heapq.heappop(queue)[1]
            grad = pending.pop(id(op))
            if op.hooks:
                grad = _call_hooks(op.hooks, grad)
            if id(op) in target_keys:
                finished[id(op)] = grad
            # Last of all, since any hook may have got hold of an array that several operations are to be given.
            array = grad._data if create_graph else grad
            if array.shape != op.shape or array.dtype != op._dtype:
                grad = _fitted(op.name, grad, "a result", op.shape, op._dtype)
            needs, node = op.needs, op
            if leading is not None:
                # An op computes no gradient that leads to no target.
                wanted = leading.get(id(op), ())
                if not wanted:
                    continue
                if wanted != needs:
                    needs, node = wanted, op.for_pass(wanted)
            grads = node.backward(grad) if create_graph else node.backward_arrays(grad)
            if type(grads) is not tuple:
                grads = (grads,)
            is_new, edges = op.owns_gradients, op.edges
            if len(grads) != len(edges):
                raise GraphError(f"{op.name}: backward gave {len(grads)} gradients for {len(edges)} inputs")
            for edge, part, need in zip(edges, grads, needs):  # noqa: B905 (as long as each other, and quicker so)
                if not need or part is None:
                    continue
                key, is_op = id(edge), isinstance(edge, Op)
                if is_op and edge.shape != (part._data if create_graph else part).shape:
                    raise GraphError(f"{op.name}: backward gave a gradient of shape {part.shape} for {edge.shape}")
                if key in pending:
                    pending[key] = _sum(pending[key], part)
                    shared.discard(key)
                    continue
                pending[key] = part
                if not is_new:
                    shared.add(key)
                if is_op:
                    heapq.heappush(queue, (-edge.order, edge))
                else:
                    leaves.append(edge)
            if not retain:
                op.free()
        for leaf in leaves:
            key = id(leaf)
            if leading is not None and key not in target_keys:
                continue
            grad = _call_hooks(leaf._hooks, pending[key]) if leaf._hooks else pending[key]
            if accumulate:
                _accumulate(leaf, grad, key not in shared and not leaf._hooks)
            if leading is not None:
                finished[key] = grad
    finally:
        state.recording = before
    if accumulate and targets is not None:
        for target in targets:
            if target._op is not None and id(target._op) in finished:
                _accumulate(target, finished[id(target._op)], False)
    return finished


def _fitted(op: str, grad: Any, what: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """A gradient in the dtype that it must have, float32 or float64, if its shape is the right one."""
    found = grad._data if isinstance(grad, TensorBase) else grad
    if found.shape != shape:
        raise GraphError(f"{op}: a gradient of shape {found.shape} came to {what} of shape {shape}")
    if found.dtype.kind != "f" or dtype.kind != "f":
        raise GraphError(f"{op}: a gradient of {found.dtype} came to {what} of {dtype}")
    return grad.astype(dtype)


def _accumulate(leaf: TensorBase, grad: Any, owned: bool) -> None:
    is_tensor = isinstance(grad, TensorBase)
    array, data = grad._data if is_tensor else grad, leaf._data
    shape, dtype = data.shape, data.dtype
    if array.shape != shape or array.dtype != dtype:
        grad, owned = _fitted("backward", grad, "a tensor", shape, dtype), True
    # Two passes in two threads may have a leaf in common.
    with locks.gradients:
        so_far = leaf._grad
        if so_far is not None and (so_far._data.shape != shape or so_far._data.dtype != dtype):
            raise GraphError(
                f"backward: a tensor of {dtype} of shape {shape} has a gradient of {so_far._data.dtype} of shape "
                f"{so_far._data.shape}, which nothing can be added to; set it to None first"
            )
        if is_tensor:
            # A copy, since the gradient of several leaves may be one tensor.
            leaf._grad = grad.clone() if so_far is None else so_far + grad
        elif so_far is None:
            leaf._grad = wrap(grad if owned else grad.copy())
        elif so_far._op is None and so_far._data.flags.writeable:
            so_far._data += grad
            so_far._version[0] += 1
        else:
            leaf._grad = wrap(so_far._data + grad)


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
        grads = [grad_outputs] if isinstance(grad_outputs, (TensorBase, Array)) else list(grad_outputs)
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
