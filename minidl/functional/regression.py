"""Losses of the difference between input and target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidl.functional._losses import check_settings, read_pair, reduced
from minidl.ops._common import check_choice
from minidl.ops.arithmetic import Abs, mul, sub
from minidl.ops.elementwise import square
from minidl.ops.loss import Huber, SmoothL1, SquaredDistance
from minidl.ops.reductions import sum as sum_of

__all__ = ["huber_loss", "l1_loss", "mse_loss", "smooth_l1_loss"]


def _loss_of_difference(
    op: str,
    curve: Callable[[Any], Any],
    input: Any,
    target: Any,
    reduction: str,
    weight: Any = None,
    weighted: bool = True,
) -> Any:
    """`curve`, element by element, of input - target, times the weight, reduced.

    The mean of weighted losses is divided by the sum of the weights, or their number if not `weighted`.
    """
    if weight is None:
        x, t = read_pair(op, input=input, target=target)
        return reduced(curve(sub(x, t)), reduction)
    x, t, w = read_pair(op, input=input, target=target, weight=weight)
    return reduced(mul(curve(sub(x, t)), w), reduction, sum_of(w) if weighted else None)


def mse_loss(input: Any, target: Any, *, reduction: str = "mean", weight: Any = None) -> Any:
    """The squared error, ``weight * (input - target) ** 2``, element by element.

    Input and target must have the same shape: PyTorch warns and broadcasts, which is a mistake as a rule.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.
    target : Tensor
        Of the same shape and dtype; it gets a gradient too.
    reduction : {'mean', 'sum', 'none'}
        The mean over all elements (NaN if there are none), their sum, or a loss an element.
    weight : Tensor, optional
        Of the same shape and dtype; the mean is then divided by the sum of the weights.

    Returns
    -------
    Tensor () or of input's shape
        The loss.

    Raises
    ------
    ShapeError
        If the shapes differ.
    DTypeError
        If one is not floating, or the dtypes differ.
    ArgumentError
        If reduction is another word.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.mse_loss(minidl.tensor([1.0, 2.0]), [0.0, 4.0])
    tensor(2.5)
    """
    check_choice("mse_loss", "reduction", reduction, ("mean", "sum", "none"))
    if weight is None and reduction != "none":
        x, t = read_pair("mse_loss", input=input, target=target)
        return SquaredDistance(x.data.size if reduction == "mean" else 1)(x, t)
    return _loss_of_difference("mse_loss", square, input, target, reduction, weight)


def l1_loss(input: Any, target: Any, *, reduction: str = "mean", weight: Any = None) -> Any:
    """The absolute error, ``weight * |input - target|``, element by element; its gradient at 0 is 0.

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.
    target : Tensor
        Of the same shape and dtype; it gets a gradient too.
    reduction : {'mean', 'sum', 'none'}
        The mean over all elements (NaN if there are none), their sum, or a loss an element.
    weight : Tensor, optional
        Of the same shape and dtype; the mean is then divided by the sum of the weights.

    Returns
    -------
    Tensor () or of input's shape
        The loss.

    Raises
    ------
    ShapeError
        If the shapes differ; nothing is broadcast.
    DTypeError
        If one is not floating, or the dtypes differ.
    ArgumentError
        If reduction is another word.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.l1_loss(minidl.tensor([1.0, 2.0]), [0.0, 4.0])
    tensor(1.5)
    """
    check_settings("l1_loss", {"reduction": reduction})
    return _loss_of_difference("l1_loss", Abs(), input, target, reduction, weight)


def smooth_l1_loss(input: Any, target: Any, *, reduction: str = "mean", beta: float = 1.0) -> Any:
    """The absolute error, rounded off near 0, element by element, for a difference d of input and target.

    ``loss = d ** 2 / (2 * beta)`` where ``|d| < beta``, else ``|d| - beta / 2``

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.
    target : Tensor
        Of the same shape and dtype; it gets a gradient too.
    reduction : {'mean', 'sum', 'none'}
        The mean over all elements (NaN if there are none), their sum, or a loss an element.
    beta : float
        Where the square ends, at least 0; for 0 this is `l1_loss`.

    Returns
    -------
    Tensor () or of input's shape
        The loss.

    Raises
    ------
    ShapeError
        If the shapes differ; nothing is broadcast.
    DTypeError
        If one is not floating, or the dtypes differ.
    ArgumentError
        If reduction is another word, or beta no number of at least 0.

    References
    ----------
    Girshick, "Fast R-CNN", ICCV 2015, equation 3.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.smooth_l1_loss(minidl.tensor([0.5, 2.0]), [0.0, 4.0], reduction="none")
    tensor([0.125, 1.5  ])
    """
    check_settings("smooth_l1_loss", {"reduction": reduction, "beta": beta})
    return _loss_of_difference("smooth_l1_loss", SmoothL1(float(beta)) if beta else Abs(), input, target, reduction)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    """The squared error near 0 and the absolute one beyond, element by element, for a difference d.

    ``loss = weight * d ** 2 / 2`` where ``|d| < delta``, else ``weight * delta * (|d| - delta / 2)``

    Parameters
    ----------
    input : Tensor
        Float32 or float64, any shape.
    target : Tensor
        Of the same shape and dtype; it gets a gradient too.
    reduction : {'mean', 'sum', 'none'}
        The mean over all elements (NaN if there are none), their sum, or a loss an element.
    delta : float
        Where the square ends, above 0.
    weight : Tensor, optional
        Of the same shape and dtype. The mean is divided by the number of elements, not by the sum of the weights as
        that of `mse_loss` is.

    Returns
    -------
    Tensor () or of input's shape
        The loss.

    Raises
    ------
    ShapeError
        If the shapes differ; nothing is broadcast.
    DTypeError
        If one is not floating, or the dtypes differ.
    ArgumentError
        If reduction is another word, or delta no number above 0.

    References
    ----------
    Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.huber_loss(minidl.tensor([0.5, 2.0]), [0.0, 5.0], reduction="none", delta=2.0)
    tensor([0.125, 4.   ])
    """
    check_settings("huber_loss", {"reduction": reduction, "delta": delta})
    return _loss_of_difference("huber_loss", Huber(float(delta)), input, target, reduction, weight, weighted=False)
