"""Functions of mathematics, element by element, by a line each.

A line has the name of a row of `_ext/elementwise_table.h`, its slope in differentiable operations, of what the row
keeps (x or the result y), and what its example prints. The function, its documentation, the `Tensor` method (in
`minidl.tensor`) and the rows of the op tests are made from it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log as logarithm
from math import pi, sqrt
from typing import Any

import numpy as np

from minidl import kernels
from minidl.autograd import wrap
from minidl.ops._common import as_tensor
from minidl.ops.arithmetic import Unary, add, div, exp, mul, neg
from minidl.ops.casting import floating

__all__ = [
    "ceil",
    "cos",
    "erf",
    "exp2",
    "expm1",
    "floor",
    "log10",
    "log1p",
    "log2",
    "reciprocal",
    "round",
    "rsqrt",
    "sign",
    "sin",
    "square",
    "tan",
    "trunc",
]

Function = Callable[[Any], Any]
# The public functions, by their names.
FUNCTIONS: dict[str, Function] = {}

_DOCUMENTATION = """{about}, element by element, as `{torch}`.

    Parameters
    ----------
    input : Tensor
        Any shape. {integers}

    Returns
    -------
    Tensor
        Of the same shape.

    Examples
    --------
    >>> import minidl
    >>> minidl.{name}(minidl.tensor({example}))
    {prints}
    """


class _Flat(Unary):
    """A function that is constant but for jumps: no gradient passes. By default integers are their own values."""

    def integer_forward(self, x):
        return x.copy()

    def backward(self, grad):
        return wrap(np.zeros_like(grad.data))


def _as_it_is(op: str, input: Any) -> Any:
    return as_tensor(op, "input", input)


def _made(
    name: str, base: type[Unary], body: dict[str, Any], read: Callable[[str, Any], Any], integers: str, example: str,
    prints: str,
) -> Function:  # fmt: skip
    operation = type(name.capitalize(), (base,), {"row": name, "__module__": __name__, **body})

    def function(input: Any) -> Any:
        return operation()(read(name, input))

    row = kernels.ELEMENTWISE[name]
    sentence = row.documentation[0].upper() + row.documentation[1:]
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{sentence}."
    if name in __all__:
        function.__doc__ = _DOCUMENTATION.format(
            name=name, about=sentence, torch=row.torch, integers=integers, example=example, prints=f"tensor({prints})"
        )
        FUNCTIONS[name] = function
    return function


def _smooth(
    name: str, slope: Function, prints: str = "", integer_forward: Callable[..., Any] | None = None
) -> Function:
    body: dict[str, Any] = {"slope": staticmethod(slope)}
    if integer_forward is None:
        integers = "Integers and booleans become the default float dtype."
        return _made(name, Unary, body, floating, integers, "[0.25, 1.0]", prints)
    body["integer_forward"] = integer_forward
    return _made(name, Unary, body, _as_it_is, "Integers keep their dtype.", "[0.25, 1.0]", prints)


def _flat(name: str, prints: str, integer_forward: Callable[..., Any] | None = None) -> Function:
    body = {} if integer_forward is None else {"integer_forward": integer_forward}
    return _made(name, _Flat, body, _as_it_is, "Integers and booleans keep their dtype.", "[-1.5, 0.5, 2.5]", prints)


sin: Function = _smooth("sin", lambda x: cos(x), "[0.2474, 0.8415]")
cos: Function = _smooth("cos", lambda x: neg(sin(x)), "[0.9689, 0.5403]")
tan: Function = _smooth("tan", lambda x: add(square(tan(x)), 1), "[0.2553, 1.5574]")
exp2: Function = _smooth("exp2", lambda y: mul(y, logarithm(2)), "[1.1892, 2.    ]")
expm1: Function = _smooth("expm1", lambda y: add(y, 1), "[0.284 , 1.7183]")
log2: Function = _smooth("log2", lambda x: div(1 / logarithm(2), x), "[-2.,  0.]")
log10: Function = _smooth("log10", lambda x: div(1 / logarithm(10), x), "[-0.6021,  0.    ]")
log1p: Function = _smooth("log1p", lambda x: div(1, add(x, 1)), "[0.2231, 0.6931]")
erf: Function = _smooth("erf", lambda x: mul(exp(neg(square(x))), 2 / sqrt(pi)), "[0.2763, 0.8427]")
square: Function = _smooth("square", lambda x: mul(x, 2), "[0.0625, 1.    ]", lambda self, x: x * x)
reciprocal: Function = _smooth("reciprocal", lambda y: neg(square(y)), "[4., 1.]")
rsqrt: Function = _smooth("rsqrt", lambda y: mul(mul(y, square(y)), -0.5), "[2., 1.]")
floor: Function = _flat("floor", "[-2.,  0.,  2.]")
ceil: Function = _flat("ceil", "[-1.,  1.,  3.]")
round: Function = _flat("round", "[-2.,  0.,  2.]")
trunc: Function = _flat("trunc", "[-1.,  0.,  2.]")
sign: Function = _flat("sign", "[-1.,  1.,  1.]", lambda self, x: np.sign(x) if x.dtype.kind == "i" else x.copy())
# PyTorch has a function for the second power alone; `power` uses this one.
cube: Function = _smooth("cube", lambda x: mul(square(x), 3))
