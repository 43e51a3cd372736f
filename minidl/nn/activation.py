"""Activation layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from minidl import functional as F
from minidl.arguments import check_room
from minidl.dtypes import get_default_dtype, to_dtype
from minidl.errors import MinidlError
from minidl.nn._affine import check_size
from minidl.nn.init import constant_
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter
from minidl.ops._common import check_floating, read_number
from minidl.tensor import Tensor

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "Hardswish",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]


class Activation(Module):
    """The base of activations: a function, and attributes that are its arguments under the same names."""

    function: ClassVar[Callable[..., Any]]
    # PyTorch can compute these in place: whoever else holds the input finds the result there.
    inplace: bool = False
    _settings: tuple[str, ...] = ()

    def _set(self, **settings: Any) -> None:
        # The function's own checks refuse a setting now and not at the first call: on an input of nothing, with
        # more dimensions than any has, for those that name one.
        try:
            type(self).function(np.empty((0,) * 32, np.float32), **settings)
        except MinidlError as error:
            # The message has the name that the user wrote, not the function's.
            reason = error.message.partition(": ")[2]
            raise type(error)(f"{type(self).__name__}: {reason}") from None
        self._settings = tuple([name for name in settings if name != "inplace"])
        for name, value in settings.items():
            setattr(self, name, value)

    def forward(self, input: Any) -> Any:
        """Apply the function."""
        settings = {name: getattr(self, name) for name in self._settings}
        if self.inplace:
            settings["inplace"] = self.inplace
        return type(self).function(input, **settings)

    def extra_repr(self) -> str:
        """The settings."""
        shown = (*self._settings, *(("inplace",) if self.inplace else ()))
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)


class _Rectifier(Activation):
    """An activation with no setting but `inplace`."""

    def __init__(self, inplace: bool = False) -> None:
        self._set(inplace=inplace)


class ReLU(_Rectifier):
    """max(x, 0); see `minidl.functional.relu`.

    Parameters
    ----------
    inplace : bool
        Whether the input itself is to hold the result, as in PyTorch; it saves no memory here.
    """

    _is_fusible = True

    function = staticmethod(F.relu)


class ReLU6(_Rectifier):
    """min(max(x, 0), 6); see `minidl.functional.relu6`."""

    function = staticmethod(F.relu6)


class LeakyReLU(Activation):
    """x, or negative_slope x for x up to 0; see `minidl.functional.leaky_relu`.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> layer = nn.LeakyReLU(0.1)
    >>> layer, layer(minidl.tensor([-1.0, 2.0]))
    (LeakyReLU(negative_slope=0.1), tensor([-0.1,  2. ]))
    """

    function = staticmethod(F.leaky_relu)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self._set(negative_slope=negative_slope, inplace=inplace)


class ELU(Activation):
    """x, or alpha (exp(x) - 1) for x up to 0; see `minidl.functional.elu`."""

    function = staticmethod(F.elu)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self._set(alpha=alpha, inplace=inplace)


class SELU(_Rectifier):
    """ELU that keeps mean 0 and variance 1 from layer to layer; see `minidl.functional.selu`."""

    function = staticmethod(F.selu)


class GELU(Activation):
    """x times the share of a standard normal distribution below x; see `minidl.functional.gelu`."""

    function = staticmethod(F.gelu)

    def __init__(self, approximate: str = "none") -> None:
        self._set(approximate=approximate)


class SiLU(_Rectifier):
    """x sigmoid(x); see `minidl.functional.silu`."""

    function = staticmethod(F.silu)


class Mish(_Rectifier):
    """x tanh(softplus(x)); see `minidl.functional.mish`."""

    function = staticmethod(F.mish)


class Hardswish(_Rectifier):
    """x min(max(x + 3, 0), 6) / 6; see `minidl.functional.hardswish`."""

    function = staticmethod(F.hardswish)


class Softplus(Activation):
    """log(1 + exp(beta x)) / beta; see `minidl.functional.softplus`."""

    function = staticmethod(F.softplus)

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self._set(beta=beta, threshold=threshold)


class Tanh(Activation):
    """The hyperbolic tangent; see `minidl.functional.tanh`."""

    _is_fusible = True

    function = staticmethod(F.tanh)


class Sigmoid(Activation):
    """1 / (1 + exp(-x)); see `minidl.functional.sigmoid`."""

    _is_fusible = True

    function = staticmethod(F.sigmoid)


class LogSigmoid(Activation):
    """The logarithm of sigmoid(x); see `minidl.functional.logsigmoid`."""

    function = staticmethod(F.logsigmoid)


class Softmax(Activation):
    """exp(x) / sum(exp(x)) along a dimension; see `minidl.functional.softmax`.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.Softmax(dim=1)(minidl.zeros(2, 4))
    tensor([[0.25, 0.25, 0.25, 0.25],
            [0.25, 0.25, 0.25, 0.25]])
    """

    function = staticmethod(F.softmax)

    def __init__(self, dim: int) -> None:
        self._set(dim=dim)


class LogSoftmax(Activation):
    """The logarithm of softmax along a dimension; see `minidl.functional.log_softmax`."""

    function = staticmethod(F.log_softmax)

    def __init__(self, dim: int) -> None:
        self._set(dim=dim)


class PReLU(Module):
    """Leaky ReLU whose slope is learned; see `minidl.functional.prelu`.

    Parameters
    ----------
    num_parameters : int
        1, or the number of channels, which then have a slope each.
    init : float
        The slope to start from.
    dtype : numpy dtype, optional
        Of the slope; the default dtype if not given.

    Attributes
    ----------
    weight : Parameter (num_parameters,)
        The slope for x up to 0.

    Raises
    ------
    ArgumentError
        If num_parameters is less than 1, or init no number.
    DTypeError
        If dtype is neither float32 nor float64.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.PReLU()(minidl.tensor([-1.0, 2.0]))
    tensor([-0.25,  2.  ], requires_grad=True)
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, dtype: Any = None) -> None:
        dtype = get_default_dtype() if dtype is None else to_dtype("PReLU", dtype)
        self.num_parameters: int = check_size("PReLU", "num_parameters", num_parameters)  # type: ignore[assignment]
        check_room("PReLU", (self.num_parameters,), dtype.itemsize)
        values = Tensor(np.empty(self.num_parameters, dtype))
        check_floating("PReLU", "dtype", values)
        self.init = read_number("PReLU", "init", init, dtype)
        self.weight = Parameter(values)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the slopes to where they start from."""
        constant_(self.weight, self.init)

    def forward(self, input: Any) -> Any:
        """Apply it to (N, C, ...), or to any shape if there is one slope."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The number of slopes."""
        return f"num_parameters={self.num_parameters}"
