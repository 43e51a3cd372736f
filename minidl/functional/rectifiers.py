"""Activations in pieces, element by element: ReLU and its kin."""

from __future__ import annotations

from typing import Any

from minidl.errors import ShapeError
from minidl.functional.activation import apply_in_place, read_floating
from minidl.ops import activation
from minidl.ops._common import as_tensor, check_same_dtype, read_number
from minidl.ops.shapes import Reshape

__all__ = ["elu", "hardswish", "leaky_relu", "prelu", "relu", "relu6", "selu"]


def relu(input: Any, inplace: bool = False) -> Any:
    """max(input, 0), element by element; NaN stays NaN, and the gradient at 0 is 0.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.
    inplace : bool
        Whether input itself is to hold the result and is returned, as in PyTorch; it saves no memory here.

    Returns
    -------
    Tensor
        Of the same shape.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.relu(minidl.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    if inplace is not False:
        return apply_in_place("relu", inplace, relu, input)
    return activation.ReLU()(read_floating("relu", input))


def relu6(input: Any, inplace: bool = False) -> Any:
    """min(max(input, 0), 6), element by element; the gradient at 0 and 6 is 0.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.
    inplace : bool
        Whether input itself is to hold the result and is returned, as in PyTorch; it saves no memory here.

    Returns
    -------
    Tensor
        Of the same shape, from 0 to 6.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.relu6(minidl.tensor([-1.0, 2.0, 7.0]))
    tensor([0., 2., 6.])
    """
    if inplace is not False:
        return apply_in_place("relu6", inplace, relu6, input)
    return activation.ReLU6()(read_floating("relu6", input))


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """`input` where it is positive, negative_slope times it elsewhere; the gradient at 0 is negative_slope.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.
    negative_slope : float
        The slope for input up to 0.
    inplace : bool
        Whether input itself is to hold the result and is returned, as in PyTorch; it saves no memory here.

    Returns
    -------
    Tensor
        Of the same shape.

    Raises
    ------
    ArgumentError
        If negative_slope is no number that input's dtype holds.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.leaky_relu(minidl.tensor([-1.0, 0.0, 2.0]), 0.1)
    tensor([-0.1,  0. ,  2. ])
    """
    if inplace is not False:
        return apply_in_place("leaky_relu", inplace, leaky_relu, input, negative_slope)
    x = read_floating("leaky_relu", input)
    return activation.LeakyReLU(read_number("leaky_relu", "negative_slope", negative_slope, x.data.dtype))(x)


def prelu(input: Any, weight: Any) -> Any:
    """`leaky_relu` whose slope is learned, for all channels or each on its own.

    Parameters
    ----------
    input : Tensor (N, C, ...) or any other shape
        Float32 or float64. The channels are dimension 1; an input of one dimension has one channel.
    weight : Tensor (), (1,) or (C,)
        The slope for input up to 0, of input's dtype.

    Returns
    -------
    Tensor
        Of the shape of input.

    Raises
    ------
    ShapeError
        If weight is neither one number nor one for each channel.

    References
    ----------
    He et al., "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.prelu(minidl.tensor([[-1.0, -1.0], [2.0, -2.0]]), minidl.tensor([0.25, 0.5]))
    tensor([[-0.25, -0.5 ],
           [ 2.  , -1.  ]])
    """
    x, slope = as_tensor("prelu", "input", input), as_tensor("prelu", "weight", weight)
    check_same_dtype("prelu", input=x, weight=slope)
    shape, sizes = x.data.shape, slope.data.shape
    if len(sizes) > 1:
        raise ShapeError(f"prelu: weight must have 1 dimension or none, got shape {sizes}")
    if slope.data.size == 1:
        return activation.PReLU()(x, Reshape(())(slope))
    channels = shape[1] if len(shape) > 1 else 1
    if sizes != (channels,):
        raise ShapeError(
            f"prelu: weight must have 1 value or one for each of {channels} channels (dimension 1 of {shape}), "
            f"got shape {sizes}"
        )
    return activation.PReLU()(x, Reshape((channels,) + (1,) * (len(shape) - 2))(slope))


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """`input` where it is positive, alpha (exp(input) - 1) elsewhere; the gradient at 0 is alpha.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.
    alpha : float
        The result goes to -alpha for input far below 0.
    inplace : bool
        Whether input itself is to hold the result and is returned, as in PyTorch; it saves no memory here.

    Returns
    -------
    Tensor
        Of the same shape.

    Raises
    ------
    ArgumentError
        If alpha is no number that input's dtype holds.

    References
    ----------
    Clevert et al., "Fast and accurate deep network learning by exponential linear units", ICLR 2016.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.elu(minidl.tensor([-1000.0, -1.0, 2.0]))
    tensor([-1.    , -0.6321,  2.    ])
    """
    if inplace is not False:
        return apply_in_place("elu", inplace, elu, input, alpha)
    x = read_floating("elu", input)
    return activation.ELU(read_number("elu", "alpha", alpha, x.data.dtype))(x)


def selu(input: Any, inplace: bool = False) -> Any:
    """1.0507 times `elu` with alpha = 1.6733, which keeps mean 0 and variance 1 from layer to layer.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.
    inplace : bool
        Whether input itself is to hold the result and is returned, as in PyTorch; it saves no memory here.

    Returns
    -------
    Tensor
        Of the same shape.

    References
    ----------
    Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.selu(minidl.tensor([-1.0, 0.0, 2.0]))
    tensor([-1.1113,  0.    ,  2.1014])
    """
    if inplace is not False:
        return apply_in_place("selu", inplace, selu, input)
    return activation.ELU(activation.SELU_ALPHA, activation.SELU_SCALE)(read_floating("selu", input))


def hardswish(input: Any, inplace: bool = False) -> Any:
    """input min(max(input + 3, 0), 6) / 6, element by element; the gradient at -3 is 0, and at 3 it is 1.

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
    Howard et al., "Searching for MobileNetV3", ICCV 2019.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.hardswish(minidl.tensor([-4.0, 1.0, 4.0]))
    tensor([-0.    ,  0.6667,  4.    ])
    """
    if inplace is not False:
        return apply_in_place("hardswish", inplace, hardswish, input)
    return activation.Hardswish()(read_floating("hardswish", input))
