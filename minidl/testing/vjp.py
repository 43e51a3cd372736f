"""`check_vjp`: gradients written by hand for functions of plain NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl.arguments import read_list
from minidl.errors import ArgumentError
from minidl.testing.findings import Problem
from minidl.testing.report import GradcheckReport
from minidl.testing.run import run_check
from minidl.testing.subject import METHODS, Found, Input, Options, Subject, working_dtype

Array = np.ndarray


def _read(op: str, value: Any) -> Array:
    try:
        return np.asarray(value)
    except Exception as error:
        # A stranger's `__array__` may raise anything.
        raise ArgumentError(f"{op}: arrays can't be read as arrays: {error}") from None


def check_vjp(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    arrays: Any,
    *,
    method: str = "auto",
    mode: str = "full",
    directions: int | None = None,
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    nondet_tol: float = 0.0,
    kinks: str = "detect",
    raise_exception: bool = True,
    generator: np.random.Generator | None = None,
    dtype: str | None = "float64",
    names: Sequence[str] | None = None,
) -> GradcheckReport:
    """Compare gradients written by hand, on plain NumPy arrays, with numeric ones.

    Parameters
    ----------
    forward : callable
        ``forward(*arrays)`` gives an array, or a tuple of arrays. It must give the same every time and leave its
        arguments as they are.
    backward : callable
        ``backward(upstream, *arrays)`` gives the gradients of ``sum(upstream * forward(*arrays))``, one for each
        array in their order; for a single array it may give the gradient itself. `upstream` has the output's shape
        (a tuple where `forward` gives one). None is right for arrays of integers alone.
    arrays : array or sequence of arrays
        Where to check; they stay as they are. The gradients of all floating ones are checked.
    method : {"auto", "central", "richardson", "complex"}
        As in `minidl.gradcheck`; "complex" takes the complex step, for functions that are analytic and whose
        `forward` takes complex arrays. It has no error but rounding.
    mode, directions, eps, atol, rtol, nondet_tol, kinks, raise_exception, generator, dtype
        As in `minidl.gradcheck`.
    names : sequence of str, optional
        What the report calls the arrays; "arrays[0]" and so on by default.

    Returns
    -------
    GradcheckReport
        True when all gradients agree.

    Raises
    ------
    GradcheckError
        If they don't, or there is nothing to check, as in `minidl.gradcheck`; its message is the report, which is also
        its attribute `report`.
    ArgumentError
        If an argument is not as described here.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.testing import check_vjp
    >>> x, w = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.5, -1.0])
    >>> def forward(x, w):
    ...     return np.tanh(x @ w)
    >>> def backward(upstream, x, w):
    ...     inner = upstream * (1 - np.tanh(x @ w) ** 2)
    ...     return np.outer(inner, w), x.T @ inner
    >>> bool(check_vjp(forward, backward, (x, w)))
    True
    >>> wrong = check_vjp(forward, lambda u, x, w: (backward(u, x, w)[0], x @ u), (x, w), raise_exception=False)
    >>> {(e.input, e.verdict) for e in wrong.failures}
    {('arrays[1]', 'wrong')}
    """
    op = "check_vjp"
    options = Options(method, mode, directions, eps, atol, rtol, nondet_tol, kinks, generator)
    options.check(op, (*METHODS, "complex"))
    if method == "complex" and mode == "random":
        raise ArgumentError(f"{op}: method='complex' is for mode='full'")
    for what, given in (("forward", forward), ("backward", backward)):
        if not callable(given):
            raise ArgumentError(f"{op}: {what} must be callable, got {type(given).__name__}")
    given_arrays = [_read(op, x) for x in (arrays if isinstance(arrays, tuple | list) else [arrays])]
    if names is not None:
        names = read_list(op, "names", names, "a sequence of names")
    if names is not None and len(names) != len(given_arrays):
        raise ArgumentError(f"{op}: {len(given_arrays)} arrays, but {len(names)} names")
    if any(x.dtype.kind not in "fiub" for x in given_arrays):
        kinds = sorted({str(x.dtype) for x in given_arrays})
        raise ArgumentError(f"{op}: arrays must be of real numbers, got {', '.join(kinds)}")
    report = GradcheckReport(op, 1, method, mode)
    work = [np.array(x, working_dtype(op, x.dtype, dtype), order="C") for x in given_arrays]
    checked = [i for i, x in enumerate(work) if x.dtype.kind == "f"]
    if not checked:
        raise ArgumentError(f"{op}: no array is of floating numbers")
    if any(given_arrays[i].dtype != work[i].dtype for i in checked):
        report.notes.append("float32 arrays were checked in float64 copies (dtype=None checks them as they are)")
    labels = list(names) if names is not None else [f"arrays[{i}]" for i in range(len(work))]
    inputs = [Input(labels[i], work[i], str(given_arrays[i].dtype)) for i in checked]
    is_tuple = False
    templates: list[Array] = []

    def run() -> list[tuple[str, Array]]:
        nonlocal is_tuple, templates
        found = forward(*work)
        is_tuple = isinstance(found, tuple | list)
        outputs = [np.asarray(y) for y in found] if is_tuple else [np.asarray(found)]
        for y in outputs:
            if y.dtype.kind not in "fiub":
                raise ArgumentError(f"{op}: forward must give arrays of real numbers, got {y.dtype}")
        templates = [np.empty(y.shape, y.dtype) for y in outputs]
        named = [(f"outputs[{k}]" if is_tuple else "output", y) for k, y in enumerate(outputs)]
        return [(name, y) for name, y in named if y.dtype.kind == "f"]

    def pull_back(upstream: list[Array | None]) -> list[Array | None]:
        places = [k for k, y in enumerate(templates) if y.dtype.kind == "f"]
        given = [np.zeros(y.shape, y.dtype if y.dtype.kind == "f" else np.float64) for y in templates]
        for k, u in zip(places, upstream, strict=True):
            if u is not None:
                given[k][...] = u
        kept = [u.copy() for u in given]
        found = backward(tuple(given) if is_tuple else given[0], *work)
        for k, (original, now) in enumerate(zip(kept, given, strict=True)):
            if not np.array_equal(original, now):
                name = f"upstream[{k}]" if is_tuple else "upstream"
                raise Found(Problem("modified input", f"backward changes its argument {name} in place"))
        gradients = list(found) if isinstance(found, tuple | list) else [found]
        if len(gradients) == len(checked) < len(work):
            positional = dict(zip(checked, gradients, strict=True))
        elif len(gradients) == len(work):
            positional = dict(enumerate(gradients))
        else:
            count = "1 gradient" if len(gradients) == 1 else f"{len(gradients)} gradients"
            many = "few" if len(gradients) < len(work) else "many"
            message = f"backward gives {count} for {len(work)} arrays: too {many}"
            raise Found(Problem("missing gradient", message))
        for i in checked:
            if positional[i] is None:
                message = f"backward gives None as the gradient of {labels[i]}"
                raise Found(Problem("missing gradient", message, labels[i]))
        # A copy, since a buffer of the user's may be used again.
        return [np.array(positional[i]) for i in checked]

    def complex_values(number: int, element: int, t: complex) -> Array:
        points = [x.astype(np.complex128) if i in checked else x for i, x in enumerate(work)]
        points[checked[number]].reshape(-1)[element] += t
        subject.evaluations += 1
        found = forward(*points)
        outputs = [np.asarray(y) for y in found] if isinstance(found, tuple | list) else [np.asarray(found)]
        parts = [y for y, template in zip(outputs, templates, strict=True) if template.dtype.kind == "f"]
        if any(y.dtype.kind == "f" for y in parts):
            raise ArgumentError(
                f"{op}: method='complex' needs a forward that computes with complex arrays; it gives real ones for them"
            )
        return np.concatenate([y.reshape(-1) for y in parts])

    subject = Subject(inputs, run, pull_back)
    return run_check(subject, options, report, raise_exception, complex_values if method == "complex" else None)
