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

Array = np.ndarray


def _start_gradient(op: str, output: TensorBase, gradient: Any) -> Array | TensorBase:
    if gradient is None:
        if output.data.size != 1:
            raise ShapeError(
                f"{op}: a gradient must be given for a result of shape {output.data.shape}; only a single number has 1"
            )
        start = np.empty(output.data.shape, output.data.dtype)
        start.fill(1)
        return start
    given = gradient if isinstance(gradient, TensorBase) else wrap(to_array(op, gradient, output.data.dtype))
    if given.data.shape != output.data.shape:
        raise ShapeError(f"{op}: gradient has shape {given.data.shape}, the result {output.data.shape}")
    if given.data.dtype != output.data.dtype:
        raise DTypeError(f"{op}: gradient has dtype {given.data.dtype}, the result {output.data.dtype}")
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
    for hook in list(hooks or ()):
        tensor = grad if isinstance(grad, TensorBase) else wrap(grad)
        replaced = hook(tensor)
        if replaced is not None:
            # Kernels trust the shape and dtype of a gradient.
            if not isinstance(replaced, TensorBase):
                raise DTypeError(f"hook: must return a tensor or None, got {type(replaced).__name__}")
            if replaced.data.shape != tensor.data.shape:
                raise ShapeError(f"hook: returned shape {replaced.data.shape} for a gradient of {tensor.data.shape}")
            if replaced.data.dtype != tensor.data.dtype:
                raise DTypeError(f"hook: returned {replaced.data.dtype} for a gradient of {tensor.data.dtype}")
            grad = replaced if isinstance(grad, TensorBase) else replaced.data
    return grad


def _sum(one: Any, other: Any) -> Any:
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
            start = start.data if isinstance(start, TensorBase) else start
        edge: Any = output._op or output
        key = id(edge)
        if isinstance(edge, Op) and edge.shape != output.data.shape:
            raise GraphError(f"{name}: a result of shape {edge.shape} has become one of {output.data.shape}")
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
            needs = recorded = op.needs
            if leading is not None:
                # An op computes no gradient that leads to no target.
                needs = leading.get(id(op), ())
                if not needs:
                    continue
            op.needs = needs
            try:
                grads = op.backward(grad) if create_graph else op.backward_arrays(grad)
            finally:
                op.needs = recorded
            if type(grads) is not tuple:
                grads = (grads,)
            is_new, edges = op.owns_gradients, op.edges
            if len(grads) != len(edges):
                raise GraphError(f"{op.name}: backward gave {len(grads)} gradients for {len(edges)} inputs")
            for edge, part, need in zip(edges, grads, needs):  # noqa: B905 (as long as each other, and quicker so)
                if not need or part is None:
                    continue
                key, is_op = id(edge), isinstance(edge, Op)
                if is_op and edge.shape != (part.data if create_graph else part).shape:
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


def _accumulate(leaf: TensorBase, grad: Any, owned: bool) -> None:
    is_tensor = isinstance(grad, TensorBase)
    shape = grad.data.shape if is_tensor else grad.shape
    if shape != leaf.data.shape:
        raise GraphError(f"backward: a gradient of shape {shape} came to a tensor of shape {leaf.data.shape}")
    if is_tensor:
        # A copy, since the gradient of several leaves may be one tensor.
        leaf.grad = grad.clone() if leaf.grad is None else leaf.grad + grad
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
