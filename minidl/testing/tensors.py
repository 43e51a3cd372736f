"""`gradcheck` and `gradgradcheck`: gradients of functions of Tensors, and of whole models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minidl.autograd import TensorBase
from minidl.backward import grad
from minidl.errors import ArgumentError, GraphError
from minidl.grad_mode import enable_grad, no_grad
from minidl.nn import Module
from minidl.tensor import Tensor
from minidl.testing.findings import NOTHING_TO_CHECK, Problem
from minidl.testing.report import GradcheckReport
from minidl.testing.run import finished, run_check
from minidl.testing.subject import Found, Input, Options, Subject, working_dtype

Array = np.ndarray
_DEEPEST = 100


def gradcheck(
    fn: Callable[..., Any],
    inputs: Any,
    *,
    params: Any = None,
    order: int = 1,
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
    grad_outputs: Any = None,
) -> GradcheckReport:
    """Compare the gradients of a function with numeric ones.

    Parameters
    ----------
    fn : callable
        Takes the inputs and returns a Tensor, or a tuple, list or dict of them; it must give the same every time.
    inputs : Tensor, sequence or dict
        Where to check: the arguments of `fn`, by position, or by name if it is a dict. Tensors may also be inside of
        tuples, lists and dicts among them. The gradients of those that require them are checked. They stay as they
        are: the function gets copies. What is not a Tensor is handed on.
    params : Module, dict of Tensor, or sequence of Tensor, optional
        More tensors to check, which `fn` does not get as arguments because it has them already: all parameters of a
        model that require gradients, under their names. They get other values during the check and their own ones
        back after it, whatever happens; so do a model's buffers. Gradients that they have are not touched.
    order : {1, 2}
        2 checks the gradients of the gradients, with respect to the inputs, the parameters and the upstream gradients
        that the first backward pass starts from. It does not check the first ones again.
    method : {"auto", "central", "richardson"}
        "auto" takes one pair of values where that agrees closely and little noise is in it, and extrapolates
        everywhere else; "richardson" extrapolates everywhere; "central" takes two pairs of a fixed step.
    mode : {"full", "random"}
        Every entry of the Jacobian, or derivatives along random directions, for inputs of millions of elements.
    directions : int, optional
        How many random directions for each group of inputs; see `minidl.testing.miss_probability`.
    eps : float, optional
        The first step; chosen by the element's scale and dtype by default.
    atol, rtol : float, optional
        What may lie between the two: ``|analytic - numeric| <= atol + rtol |numeric|``; one that is not given is 0 if
        the other is. By default a value is judged against the estimated error of the numeric side: a relative error of
        1e-4 of an element is a failure wherever the numeric side can tell, and listed as unresolved where it can't.
    nondet_tol : float
        By how much the outputs of two calls at the same point may differ.
    kinks : {"detect", "fail", "skip"}
        Where one-sided derivatives differ: list them and ask that the gradient lies between; fail; or don't judge.
    raise_exception : bool
        Raise on a disagreement, or return the report.
    generator : numpy.random.Generator, optional
        Where random directions come from; one of a fixed seed by default. Global generators are never used.
    dtype : {"float64", None}
        Check float32 tensors in float64 copies, or as they are.
    grad_outputs : Tensor, sequence or dict of Tensor, optional
        With ``order=2``, the upstream gradients to start from, of the outputs' structure; random ones by default.

    Returns
    -------
    GradcheckReport
        True when all gradients agree and at least one was compared; it prints as a table.

    Raises
    ------
    GradcheckError
        If they don't, or there is nothing to check: no output is of floating numbers, or all outputs or all inputs are
        empty. Its message is the report, which is also its attribute `report`.
    ArgumentError
        If nothing requires gradients, `fn` returns anything but Tensors, or an argument is not as described here.

    Examples
    --------
    >>> import minidl
    >>> x = minidl.tensor([0.5, -1.0, 2.0], requires_grad=True)
    >>> bool(minidl.gradcheck(lambda x: minidl.exp(x) * x, x))
    True
    >>> report = minidl.gradcheck(lambda x: x * x.detach(), x, raise_exception=False)
    >>> bool(report), report.failures[0].analytic, round(report.failures[0].numeric, 6)
    (False, 2.0, 4.0)

    A model with its loss:

    >>> model = minidl.nn.Dense(3, 2)
    >>> target = minidl.zeros(1, 2)
    >>> bool(minidl.gradcheck(lambda x: ((model(x) - target) ** 2).mean(), x.reshape(1, 3).detach(), params=model))
    True
    """
    if order not in (1, 2):
        raise ArgumentError(f"gradcheck: order must be 1 or 2, got {order!r}")
    name = "gradcheck" if order == 1 else "gradgradcheck"
    options = Options(method, mode, directions, eps, atol, rtol, nondet_tol, kinks, generator)
    options.check(name)
    if not callable(fn):
        raise ArgumentError(f"{name}: fn must be callable, got {type(fn).__name__}")
    if order == 1 and grad_outputs is not None:
        raise ArgumentError("gradcheck: grad_outputs are for order=2")
    report = GradcheckReport(name, order, method, mode)
    function = _Function(name, fn, inputs, params, dtype)
    with enable_grad(), function.borrowed():
        if any(each.dtype != str(each.array.dtype) for each in function.checked):
            report.notes.append("float32 tensors were checked in float64 copies (dtype=None checks them as they are)")
        if order == 2:
            function = _Gradients(function, grad_outputs, options)
            if not function.has_gradients:
                subject = Subject(function.checked, lambda: [], lambda upstream: [])
                subject.report_inputs(report)
                report.problems.append(Problem(NOTHING_TO_CHECK, "no output has a gradient to take the gradient of"))
                return finished(report, raise_exception)
        return run_check(Subject(function.checked, function.run, function.pull_back), options, report, raise_exception)


def gradgradcheck(
    fn: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    **options: Any,
) -> GradcheckReport:
    """Compare the gradients of a function's gradients with numeric ones: `gradcheck` with ``order=2``.

    Parameters
    ----------
    fn, inputs
        As in `gradcheck`.
    grad_outputs : Tensor, sequence or dict of Tensor, optional
        The gradients that the first backward pass starts from, of the outputs' structure; random ones by default.
    **options
        As in `gradcheck`.

    Returns
    -------
    GradcheckReport
        True when all second gradients agree.

    Raises
    ------
    GradcheckError, ArgumentError
        As `gradcheck` does.

    Examples
    --------
    >>> import minidl
    >>> bool(minidl.gradgradcheck(lambda x: x**3, minidl.tensor([0.5, -1.0], requires_grad=True)))
    True
    """
    return gradcheck(fn, inputs, grad_outputs=grad_outputs, order=2, **options)


def _leaves(value: Any, name: str, depth: int = 0) -> Iterator[tuple[str, TensorBase]]:
    """The tensors inside of tuples, lists and dicts, with their names."""
    if depth > _DEEPEST:
        raise ArgumentError(f"gradcheck: {name:.80}... is nested more than {_DEEPEST} deep; does it hold itself?")
    if isinstance(value, TensorBase):
        yield name, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, f"{name}[{key!r}]", depth + 1)
    elif isinstance(value, tuple | list):
        for i, each in enumerate(value):
            yield from _leaves(each, f"{name}[{i}]", depth + 1)


def _rebuilt(value: Any, tensors: Iterator[TensorBase]) -> Any:
    """Rebuild tuples, lists and dicts around other tensors."""
    if isinstance(value, TensorBase):
        return next(tensors)
    if isinstance(value, Mapping):
        return {key: _rebuilt(each, tensors) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_rebuilt(each, tensors) for each in value))
    if isinstance(value, tuple | list):
        return type(value)(_rebuilt(each, tensors) for each in value)
    return value


class _Function:
    """A function of Tensors, as arrays that are stepped in place."""

    def __init__(self, name: str, fn: Callable[..., Any], inputs: Any, params: Any, dtype: Any) -> None:
        self.name, self._fn = name, fn
        self._are_named = isinstance(inputs, Mapping)
        self._arguments: Any = dict(inputs) if self._are_named else inputs
        if not self._are_named and not isinstance(inputs, tuple | list):
            self._arguments = (inputs,)
        named = []
        for key, value in self._arguments.items() if self._are_named else enumerate(self._arguments):
            named += list(_leaves(value, str(key) if self._are_named else f"inputs[{key}]"))
        self._work = [np.array(t.data, working_dtype(name, t.data.dtype, dtype), order="C") for _, t in named]
        self._requires = [t._requires_grad for _, t in named]
        self.checked = [
            Input(label, work, str(t.data.dtype))
            for (label, t), work in zip(named, self._work, strict=True)
            if t._requires_grad
        ]
        self._module = params if isinstance(params, Module) else None
        self._params = _named_parameters(name, params)
        self._param_work = [
            np.array(p.data, working_dtype(name, p.data.dtype, dtype), order="C") for _, p in self._params
        ]
        self.checked += [
            Input(label, work, str(p.data.dtype))
            for (label, p), work in zip(self._params, self._param_work, strict=True)
        ]
        self._dtype = dtype
        if not self.checked:
            raise ArgumentError(f"{name}: no input requires gradients")
        self._buffers: list[tuple[Module, str, TensorBase, Array]] = []
        self._recorded: tuple[list[Any], list[Any]] | None = None
        self._needs_recording = False

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Let the parameters and buffers hold copies, and give them back what they had."""
        owners = list(self._module.modules()) if self._module is not None else []
        held = [(owner, key, owner.__dict__[key]) for owner in owners for key in owner._buffers]
        held = [(owner, key, tensor) for owner, key, tensor in held if tensor is not None]
        # A model's frozen parameters compute in the same dtype as the others.
        frozen = [p for p in (self._module.parameters() if self._module is not None else ()) if not p._requires_grad]
        tensors = [*(p for _, p in self._params), *frozen, *(tensor for _, _, tensor in held)]
        previous = [(t, t.data, t._version) for t in tensors]
        try:
            for (_, p), work in zip(self._params, self._param_work, strict=True):
                p.data, p._version = work, [0, False]
            for t in frozen:
                t.data, t._version = np.array(t.data, working_dtype(self.name, t.data.dtype, self._dtype)), [0, False]
            for owner, key, tensor in held:
                start = np.array(tensor.data, working_dtype(self.name, tensor.data.dtype, self._dtype))
                self._buffers.append((owner, key, tensor, start))
            self._reset_buffers()
            yield
        finally:
            for owner, key, tensor, _ in self._buffers:
                owner.__dict__[key] = tensor
            for tensor, data, version in previous:
                tensor.data, tensor._version = data, version

    def _reset_buffers(self) -> None:
        """Running statistics change with each call of the model; each call is to find the same."""
        for owner, key, tensor, start in self._buffers:
            owner.__dict__[key] = tensor
            tensor.data, tensor._version = start.copy(), [0, False]

    def call(self) -> tuple[list[Any], list[tuple[str, Any]]]:
        """Give what gradients are taken of, and the outputs by name, at what the arrays hold now."""
        self._reset_buffers()
        leaves = [Tensor(work, requires_grad=r) for work, r in zip(self._work, self._requires, strict=True)]
        arguments = _rebuilt(self._arguments, iter(leaves))
        found = self._fn(**arguments) if self._are_named else self._fn(*arguments)
        wanted = [leaf for leaf, r in zip(leaves, self._requires, strict=True) if r]
        return [*wanted, *(p for _, p in self._params)], self._named(found)

    def _named(self, found: Any) -> list[tuple[str, Any]]:
        if isinstance(found, Mapping):
            named = [(str(key), y) for key, y in found.items()]
        elif isinstance(found, tuple | list):
            named = [(f"outputs[{k}]", y) for k, y in enumerate(found)]
        else:
            named = [("output", found)]
        for _, y in named:
            if not isinstance(y, TensorBase):
                raise ArgumentError(f"{self.name}: fn must return Tensors, got {type(y).__name__}")
        return [(key, y) for key, y in named if y.data.dtype.kind == "f"]

    def run(self) -> list[tuple[str, Array]]:
        """The outputs as arrays."""
        if not self._needs_recording:
            try:
                with no_grad():
                    return [(key, y.data) for key, y in self.call()[1]]
            except GraphError:
                # It differentiates something itself.
                self._needs_recording = True
        return [(key, y.data) for key, y in self.call()[1]]

    def pull_back(self, upstream: list[Array | None]) -> list[Array | None]:
        """Gradients of all that is checked."""
        if self._recorded is None:
            wanted, named = self.call()
            self._recorded = wanted, [y for _, y in named]
        wanted, outputs = self._recorded
        pairs = [
            (y, Tensor(np.asarray(u, y.data.dtype)))
            for y, u in zip(outputs, upstream, strict=True)
            if u is not None and y._requires_grad
        ]
        if not pairs:
            return [None] * len(wanted)
        try:
            found = grad([y for y, _ in pairs], wanted, [u for _, u in pairs], retain_graph=True, allow_unused=True)
        except GraphError as error:
            if "shape" in error.message:
                raise Found(Problem("shape", error.message)) from error
            raise
        return [None if g is None else g.data for g in found]


def _named_parameters(name: str, params: Any) -> list[tuple[str, Any]]:
    if params is None:
        return []
    if isinstance(params, Module):
        named: list[tuple[str, Any]] = [(key, p) for key, p in params.named_parameters() if p._requires_grad]
    elif isinstance(params, Mapping):
        named = [(str(key), p) for key, p in params.items()]
    elif isinstance(params, Sequence):
        named = [(f"params[{i}]", p) for i, p in enumerate(params)]
    else:
        raise ArgumentError(
            f"{name}: params must be a Module, or a dict or list of Tensors, got {type(params).__name__}"
        )
    for key, p in named:
        if not isinstance(p, TensorBase):
            raise ArgumentError(f"{name}: params must hold Tensors, {key} is {type(p).__name__}")
        if not p._requires_grad or p._op is not None:
            raise ArgumentError(f"{name}: {key} of params must be a leaf that requires gradients")
        if not getattr(p, "is_initialised", True):
            raise ArgumentError(f"{name}: the shape of the parameter {key} is not known yet; call the model once")
    return named


class _Gradients(_Function):
    """The gradients of a function as a function of the same and of its upstream gradients."""

    def __init__(self, function: _Function, grad_outputs: Any, options: Options) -> None:
        self.__dict__.update(function.__dict__)
        self._needs_recording = True
        outputs = _Function.call(self)[1]
        self.recorded = [k for k, (_, y) in enumerate(outputs) if y._requires_grad]
        if grad_outputs is None:
            starts = [options.random.uniform(0.5, 1.5, outputs[k][1].data.shape) for k in self.recorded]
        else:
            given = [t for _, t in _leaves(grad_outputs, "")]
            if len(given) != len(outputs):
                raise ArgumentError(f"{self.name}: {len(outputs)} outputs, but {len(given)} grad_outputs")
            for (key, y), t in zip(outputs, given, strict=True):
                if t.data.shape != y.data.shape:
                    raise ArgumentError(
                        f"{self.name}: grad_outputs of {key} have shape {t.data.shape}, the output {y.data.shape}"
                    )
            starts = [given[k].data for k in self.recorded]
        dtypes = [outputs[k][1].data.dtype for k in self.recorded]
        self._starts = [np.array(u, dtype, order="C") for u, dtype in zip(starts, dtypes, strict=True)]
        # An empty output has one only because of an empty input.
        is_explained = any(each.array.size == 0 for each in self.checked)
        self.has_gradients = any(u.size for u in self._starts) or (bool(self._starts) and is_explained)
        self._names = [each.name for each in self.checked]
        self.checked = [
            *self.checked,
            *(
                Input(f"grad_outputs of {outputs[k][0]}", u, str(u.dtype))
                for k, u in zip(self.recorded, self._starts, strict=True)
            ),
        ]

    def call(self) -> tuple[list[Any], list[tuple[str, Any]]]:
        wanted, named = super().call()
        starts = [Tensor(u, requires_grad=True) for u in self._starts]
        outputs = [named[k][1] for k in self.recorded]
        found = grad(outputs, wanted, starts, create_graph=True, allow_unused=True)
        gradients = [Tensor(np.zeros_like(x.data)) if g is None else g for x, g in zip(wanted, found, strict=True)]
        return [*wanted, *starts], [(f"d {key}", g) for key, g in zip(self._names, gradients, strict=True)]
