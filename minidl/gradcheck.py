"""Analytic gradients against numeric ones: central differences in float64.

``df/dx[j] = (f(x + eps e_j) - f(x - eps e_j)) / (2 eps) + O(eps^2)``, for every element of every input and output.
The whole Jacobian is compared: a numeric column an element of the inputs, an analytic row an element of the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl.autograd import TensorBase
from minidl.backward import grad
from minidl.errors import ArgumentError, GradcheckError
from minidl.grad_mode import enable_grad
from minidl.tensor import Tensor

Array = np.ndarray


def gradcheck(
    fn: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Compare the gradients of a function with numeric ones.

    Parameters
    ----------
    fn : callable
        Takes the inputs and returns a Tensor or a tuple of Tensors; it must give the same every time.
    inputs : Tensor or sequence of Tensor
        Where to check. The gradients of those that require them are checked. They stay as they are: the function
        gets copies, and float64 ones in place of float32. What is not a Tensor is handed on.
    eps : float
        How far to step in each direction.
    atol, rtol : float
        What may lie between the two: ``|analytic - numeric| <= atol + rtol |numeric|``.
    raise_exception : bool
        Raise on a disagreement, or return False.

    Returns
    -------
    bool
        Whether all gradients agree.

    Raises
    ------
    GradcheckError
        If they don't; the message names the input, the element and both values. Also if a value or gradient is not
        finite, a gradient has another shape than its input, or `fn` changes its inputs.
    ArgumentError
        If no input requires gradients, or `fn` returns no Tensor.

    Examples
    --------
    >>> import minidl
    >>> from minidl.gradcheck import gradcheck
    >>> x = minidl.tensor([0.5, -1.0, 2.0], requires_grad=True)
    >>> gradcheck(lambda x: minidl.exp(x) * x, x)
    True
    >>> gradcheck(lambda x: x * x.detach(), x, raise_exception=False)
    False
    """
    try:
        with enable_grad():
            _check("gradcheck", fn, _as_list(inputs), eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    fn: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Compare the gradients of a function's gradients with numeric ones.

    Parameters
    ----------
    fn : callable
        As in `gradcheck`.
    inputs : Tensor or sequence of Tensor
        As in `gradcheck`.
    grad_outputs : Tensor or sequence of Tensor, optional
        The gradients that the first backward pass starts from, of the outputs' shapes; fixed random ones by default.
        The gradients with respect to them are checked too.
    eps, atol, rtol, raise_exception
        As in `gradcheck`.

    Returns
    -------
    bool
        Whether all second gradients agree.

    Raises
    ------
    GradcheckError, ArgumentError
        As `gradcheck` does.

    Examples
    --------
    >>> import minidl
    >>> from minidl.gradcheck import gradgradcheck
    >>> gradgradcheck(lambda x: x**3, minidl.tensor([0.5, -1.0], requires_grad=True))
    True
    """
    points = _as_list(inputs)
    with enable_grad():
        outputs = _call("gradgradcheck", fn, *_copies(points))
    recorded = [i for i, y in enumerate(outputs) if y.requires_grad]
    if grad_outputs is None:
        # A generator of its own, so that nobody's random numbers change.
        generator = np.random.default_rng(0)
        starts = [Tensor(generator.uniform(0.5, 1.5, outputs[i].shape), requires_grad=True) for i in recorded]
    else:
        given = _as_list(grad_outputs)
        if len(given) != len(outputs):
            raise ArgumentError(f"gradgradcheck: {len(outputs)} outputs, but {len(given)} grad_outputs")
        starts = [Tensor(given[i].data, requires_grad=True) for i in recorded]
    split = len(points)

    def gradients(*arguments: Any) -> tuple:
        xs, starting = arguments[:split], arguments[split:]
        ys = _call("gradgradcheck", fn, *xs)
        wanted = [x for x in xs if isinstance(x, TensorBase) and x.requires_grad]
        found = grad([ys[i] for i in recorded], wanted, starting, create_graph=True, allow_unused=True)
        return tuple(Tensor(np.zeros_like(x.data)) if g is None else g for x, g in zip(wanted, found, strict=True))

    return not recorded or gradcheck(
        gradients, [*points, *starts], eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception
    )


def _as_list(inputs: Any) -> list:
    return list(inputs) if isinstance(inputs, Sequence) else [inputs]


def _copies(inputs: Sequence[Any], arrays: Sequence[Array] | None = None) -> list[Any]:
    """Leaves of their own in place of the inputs, float64 where they are floating, or with the values of `arrays`."""
    copies = []
    for i, x in enumerate(inputs):
        if isinstance(x, TensorBase):
            array = x.data if arrays is None else arrays[i]
            dtype = np.float64 if array.dtype.kind == "f" else array.dtype
            x = Tensor(np.array(array, dtype), requires_grad=x.requires_grad)
        copies.append(x)
    return copies


def _call(name: str, fn: Callable[..., Any], *inputs: Any) -> tuple[Any, ...]:
    outputs = fn(*inputs)
    outputs = tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)
    for y in outputs:
        if not isinstance(y, TensorBase):
            raise ArgumentError(f"{name}: fn must return Tensors, got {type(y).__name__}")
    return tuple(y for y in outputs if y.data.dtype.kind == "f")


def _check(name: str, fn: Callable[..., Any], inputs: list[Any], eps: float, atol: float, rtol: float) -> None:
    start = _copies(inputs)
    nothing = np.empty(0)
    arrays = [x.data.copy() if isinstance(x, TensorBase) else nothing for x in start]
    checked = [i for i, x in enumerate(start) if isinstance(x, TensorBase) and x.requires_grad]
    if not checked:
        raise ArgumentError(f"{name}: no input requires gradients")

    def values() -> list[Array]:
        """The outputs' values at `arrays`, flat."""
        return [y.data.reshape(-1).copy() for y in run(_copies(inputs, arrays))]

    def run(leaves: list[Any]) -> tuple[Any, ...]:
        outputs = _call(name, fn, *leaves)
        for i, (leaf, array) in enumerate(zip(leaves, arrays, strict=True)):
            if array is not nothing and not np.array_equal(leaf.data, array, equal_nan=array.dtype.kind == "f"):
                raise GradcheckError(f"{name}: fn changes inputs[{i}] in place")
        return outputs

    outputs = run(start)
    for k, y in enumerate(outputs):
        if not np.isfinite(y.data).all():
            at = tuple(int(a) for a in np.argwhere(~np.isfinite(y.data))[0])
            raise GradcheckError(f"{name}: outputs[{k}]{list(at)} is {y.data[at]}, there is no slope to compare")
    analytic = [_jacobian(name, y, k, [start[i] for i in checked], checked) for k, y in enumerate(outputs)]

    for place, i in enumerate(checked):
        flat = arrays[i].reshape(-1)
        for j, before in enumerate(flat.tolist()):
            flat[j] = before + eps
            above, high = values(), flat[j]
            flat[j] = before - eps
            below, low = values(), flat[j]
            flat[j] = before
            for k in range(len(outputs)):
                # The step as it was taken, after rounding.
                numeric = (above[k] - below[k]) / (high - low)
                found = analytic[k][place][:, j]
                # Written so that NaN counts as wrong.
                wrong = ~(np.abs(found - numeric) <= atol + rtol * np.abs(numeric))
                if wrong.any():
                    o = int(np.argmax(wrong))
                    raise GradcheckError(
                        f"{name}: the gradient of outputs[{k}]{_at(o, outputs[k].data.shape)} with respect to "
                        f"inputs[{i}]{_at(j, arrays[i].shape)} is {found[o]:.9g}, numerically {numeric[o]:.9g} "
                        f"(eps={eps:g}, atol={atol:g}, rtol={rtol:g})"
                    )


def _at(flat: int, shape: tuple[int, ...]) -> list[int]:
    return [int(a) for a in np.unravel_index(flat, shape)] if shape else []


def _jacobian(name: str, y: Any, k: int, leaves: list[Any], numbers: list[int]) -> list[Array]:
    """The gradients of each element of an output, a row each, by one backward pass a row; 0 for what is not used."""
    rows = [np.zeros((y.data.size, leaf.data.size)) for leaf in leaves]
    if not y.requires_grad:
        return rows
    for o in range(y.data.size):
        unit = np.zeros(y.data.size)
        unit[o] = 1
        found = grad(y, leaves, Tensor(unit.reshape(y.data.shape)), retain_graph=True, allow_unused=True)
        for leaf, g, row, i in zip(leaves, found, rows, numbers, strict=True):
            if g is None:
                continue
            if g.data.shape != leaf.data.shape:
                raise GradcheckError(
                    f"{name}: the gradient of inputs[{i}] has shape {g.data.shape}, the input {leaf.data.shape}"
                )
            row[o] = g.data.reshape(-1)
            if not np.isfinite(row[o]).all():
                j = int(np.argmax(~np.isfinite(row[o])))
                raise GradcheckError(
                    f"{name}: the gradient of outputs[{k}]{_at(o, y.data.shape)} with respect to "
                    f"inputs[{i}]{_at(j, leaf.data.shape)} is {row[o][j]}"
                )
    return rows
