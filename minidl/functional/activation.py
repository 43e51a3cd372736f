"""Activations that are smooth, element by element; `rectifiers` has those with a kink."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidl.autograd import TensorBase
from minidl.errors import ArgumentError, check_flag
from minidl.grad_mode import is_grad_enabled
from minidl.ops import activation
from minidl.ops._common import as_tensor, check_choice, check_floating, read_number

__all__ = ["gelu", "logsigmoid", "mish", "sigmoid", "silu", "softplus", "tanh"]


def read_floating(op: str, input: Any) -> Any:
    """The input as a tensor of floating dtype."""
    x = as_tensor(op, "input", input)
    check_floating(op, "input", x)
    return x


def apply_in_place(op: str, inplace: Any, function: Callable[..., Any], input: Any, *args: Any, **kwargs: Any) -> Any:
    """Apply `function` to the input, as a new tensor or (`inplace`) in the place of the input.

    PyTorch's functions change their input so; whatever reads it afterwards is to find the same here.
    """
    if not check_flag(op, "inplace", inplace) or not isinstance(input, TensorBase):
        return function(input, *args, **kwargs)
    # The gradient may be a function of what the input held before.
    is_recorded = is_grad_enabled() and input.requires_grad
    return input._assign(op, function(input.clone() if is_recorded else input, *args, **kwargs))  # type: ignore[attr-defined]


def tanh(input: Any) -> Any:
    """The hyperbolic tangent, element by element.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.

    Returns
    -------
    Tensor
        Of the same shape, between -1 and 1.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.tanh(minidl.tensor([0.0, 1.0]))
    tensor([0.    , 0.7616])
    """
    return activation.Tanh()(read_floating("tanh", input))


def sigmoid(input: Any) -> Any:
    """1 / (1 + exp(-input)), element by element; it does not overflow.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.

    Returns
    -------
    Tensor
        Of the same shape, between 0 and 1.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.sigmoid(minidl.tensor([-1000.0, 0.0, 1.0]))
    tensor([0.    , 0.5   , 0.7311])
    """
    return activation.Sigmoid()(read_floating("sigmoid", input))


def logsigmoid(input: Any) -> Any:
    """The logarithm of `sigmoid`, without taking the logarithm of something small.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.

    Returns
    -------
    Tensor
        Of the same shape, below 0.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.logsigmoid(minidl.tensor([-1000.0, 0.0, 1.0]))
    tensor([-1.0000e+03, -6.9315e-01, -3.1326e-01])
    """
    return activation.LogSigmoid()(read_floating("logsigmoid", input))


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta input)) / beta, a smooth `relu`; it does not overflow, whatever the threshold.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.
    beta : float
        How sharp the bend is; not 0.
    threshold : float
        Where beta input is above it, the result is input itself, and the gradient 1.

    Returns
    -------
    Tensor
        Of the same shape.

    Raises
    ------
    ArgumentError
        If beta or threshold is no number that input's dtype holds, or beta is 0.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.softplus(minidl.tensor([-1000.0, 0.0, 1000.0]))
    tensor([0.0000e+00, 6.9315e-01, 1.0000e+03])
    """
    x = read_floating("softplus", input)
    dtype = x.data.dtype
    sharpness = read_number("softplus", "beta", beta, dtype)
    if dtype.type(sharpness) == 0:
        raise ArgumentError(f"softplus: beta must not be 0, got {beta!r}")
    return activation.Softplus(sharpness, read_number("softplus", "threshold", threshold, dtype))(x)


def silu(input: Any, inplace: bool = False) -> Any:
    """input sigmoid(input), element by element; also called swish.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.
    inplace : bool
        Whether input itself is to hold the result and is returned, as in PyTorch; it saves no memory here.

    Returns
    -------
    Tensor
        Of the same shape; NaN at -inf, as in PyTorch.

    References
    ----------
    Elfwing et al., "Sigmoid-weighted linear units", Neural Networks 107, 2018.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.silu(minidl.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.2689,  0.    ,  1.7616])
    """
    if inplace is not False:
        return apply_in_place("silu", inplace, silu, input)
    return activation.SiLU()(read_floating("silu", input))


def mish(input: Any, inplace: bool = False) -> Any:
    """input tanh(softplus(input)), element by element.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.
    inplace : bool
        Whether input itself is to hold the result and is returned, as in PyTorch; it saves no memory here.

    Returns
    -------
    Tensor
        Of the same shape; NaN at -inf, as in PyTorch.

    References
    ----------
    Misra, "Mish: a self regularized non-monotonic activation function", BMVC 2020.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.mish(minidl.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.3034,  0.    ,  1.944 ])
    """
    if inplace is not False:
        return apply_in_place("mish", inplace, mish, input)
    return activation.Mish()(read_floating("mish", input))


def gelu(input: Any, approximate: str = "none") -> Any:
    """`input` times the share of a standard normal distribution that lies below it.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.
    approximate : {'none', 'tanh'}
        'tanh' takes (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 for the share.

    Returns
    -------
    Tensor
        Of the same shape.

    Raises
    ------
    ArgumentError
        If approximate is another word.

    References
    ----------
    Hendrycks and Gimpel, "Gaussian error linear units", arXiv:1606.08415, 2016.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.gelu(minidl.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.1587,  0.    ,  1.9545])
    """
    check_choice("gelu", "approximate", approximate, ("none", "tanh"))
    return (activation.GELU if approximate == "none" else activation.TanhGELU)()(read_floating("gelu", input))
