"""Losses of classes and probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.autograd import wrap
from minidl.errors import ArgumentError, DTypeError
from minidl.functional._losses import (
    as_rows,
    check_settings,
    constant,
    read_classes,
    read_pair,
    read_scores,
    read_weight,
    reduced,
)
from minidl.ops._common import as_tensor
from minidl.ops.activation import LogSoftmax
from minidl.ops.arithmetic import add, exp, log, mul, neg, sub, where
from minidl.ops.loss import (
    BinaryCrossEntropy,
    BinaryCrossEntropyWithLogits,
    CrossEntropy,
    WeightedCrossEntropyWithLogits,
)
from minidl.ops.shapes import GetItem, PutItem, Reshape, Sum

__all__ = ["binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "kl_div", "nll_loss"]


def nll_loss(input: Any, target: Any, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """The negative log-likelihood of the right class, from log-probabilities.

    ``loss[n] = -weight[target[n]] * input[n, target[n]]``

    Parameters
    ----------
    input : Tensor (N, C), (C,) or (N, C, d1, ...)
        The log-probability of each class, float32 or float64, as `log_softmax` gives it.
    target : Tensor (N,), () or (N, d1, ...)
        The number of the right class, from 0 to C - 1, of an integer dtype.
    weight : Tensor (C,), optional
        The weight of each class; 1 by default. It gets no gradient.
    ignore_index : int
        Positions with this target count for nothing.
    reduction : {'mean', 'sum', 'none'}
        The mean over the positions that count, divided by the sum of their weights (NaN if there are none), their sum,
        or a loss a position.

    Returns
    -------
    Tensor () or of target's shape
        The loss.

    Raises
    ------
    ShapeError
        If the shapes don't fit.
    DTypeError
        If target is not of an integer dtype, input not floating, or weight of another dtype than input.
    OutOfRangeError
        If a target is no class and not `ignore_index`.
    ArgumentError
        If another argument has no value that it can have, or weight requires a gradient.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.nll_loss(minidl.tensor([[-0.5, -1.0], [-2.0, -0.25]]), [1, 0])
    tensor(1.5)
    """
    check_settings("nll_loss", {"ignore_index": ignore_index, "reduction": reduction})
    x = read_scores("nll_loss", input)
    t = read_classes("nll_loss", x, target, ignore_index)
    w = _class_weight("nll_loss", weight, x, differentiable=False)
    shape = t.shape
    if not shape:
        x, t = as_rows(x), t.reshape(1)
    # Only what counts is read, so that the rest may be NaN.
    counted = np.nonzero(t != ignore_index)
    classes = t[counted]
    losses = neg(GetItem((counted[0], classes, *counted[1:]))(x))
    total: Any = len(classes)
    if w is not None:
        own = w.data[classes]
        losses, total = mul(losses, wrap(own)), wrap(own.sum())
    if reduction == "none":
        return Reshape(shape)(PutItem(t.shape, counted)(losses))
    return reduced(losses, reduction, total)


def _class_weight(op: str, weight: Any, x: Any, differentiable: bool) -> Any:
    """A weight a class as a tensor, or None."""
    if weight is None:
        return None
    classes = x.data.shape[min(1, x.data.ndim - 1)]
    w = read_weight(op, "weight", weight, x, (classes,), "one a class")
    return w if differentiable else wrap(constant(op, "weight", w))


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """The negative log-probability of the right class, from unnormalised scores (logits).

    ``loss[n] = log(sum over c of exp(input[n, c])) - input[n, target[n]]``

    With class probabilities p as target it is ``-sum over c of weight[c] * p[n, c] * log_softmax(input)[n, c]``, and a
    class number is a probability of 1 for that class. Label smoothing s replaces p by ``(1 - s) * p + s / C``.

    Parameters
    ----------
    input : Tensor (N, C), (C,) or (N, C, d1, ...)
        The score of each class, float32 or float64.
    target : Tensor (N,), () or (N, d1, ...), or of input's shape
        The number of the right class, from 0 to C - 1, of an integer dtype; or the probability of each class, of
        input's shape and dtype.
    weight : Tensor (C,), optional
        The weight of each class; 1 by default. It gets a gradient only where target has probabilities.
    ignore_index : int
        Positions with this target count for nothing: their loss is 0 and so is their gradient, also where the scores
        are NaN. Not for probabilities.
    reduction : {'mean', 'sum', 'none'}
        The mean over the positions that count (NaN if there are none), their sum, or a loss a position. For class
        numbers the mean is divided by the sum of the targets' weights.
    label_smoothing : float
        From 0 to 1: how much of the probability is spread evenly over all classes.

    Returns
    -------
    Tensor () or (N,) or (N, d1, ...)
        The loss.

    Raises
    ------
    ShapeError
        If the shapes don't fit.
    DTypeError
        If target is neither of an integer dtype nor of input's shape and dtype, input not floating, or weight of
        another dtype than input.
    OutOfRangeError
        If a target is no class and not `ignore_index`.
    ArgumentError
        If another argument has no value that it can have, or weight requires a gradient with class numbers.

    References
    ----------
    Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016, section 7 (label smoothing).

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.cross_entropy(minidl.tensor([[0.0, 0.0], [0.0, 1000.0]]), [1, 1])
    tensor(0.3466)
    >>> F.cross_entropy(minidl.tensor([[0.0, 0.0], [0.0, 4.0]]), [[0.5, 0.5], [0.0, 1.0]])
    tensor(0.3556)
    """
    check_settings(
        "cross_entropy",
        {"ignore_index": ignore_index, "reduction": reduction, "label_smoothing": label_smoothing},
    )
    x, t = read_scores("cross_entropy", input), as_tensor("cross_entropy", "target", target)
    if t._data.shape == x._data.shape:
        return _soft_cross_entropy(x, t, weight, ignore_index, reduction, float(label_smoothing))
    numbers = read_classes("cross_entropy", x, t, ignore_index)
    w = _class_weight("cross_entropy", weight, x, differentiable=False)
    loss = CrossEntropy(
        numbers.reshape(-1), ignore_index, reduction, None if w is None else w.data, float(label_smoothing)
    )(as_rows(x))
    return loss if reduction != "none" or numbers.ndim == 1 else Reshape(numbers.shape)(loss)


def _soft_cross_entropy(x: Any, target: Any, weight: Any, ignore_index: int, reduction: str, smoothing: float) -> Any:
    if target.data.dtype.kind in "iub":
        # PyTorch refuses it too: class numbers have no axis for the classes.
        target_is = "class probabilities, of floating dtype, where it has input's shape"
        raise DTypeError(f"cross_entropy: target must be {target_is} {x.data.shape}, got {target.data.dtype}")
    _, p = read_pair("cross_entropy", input=x, target=target)
    if ignore_index >= 0:
        raise ArgumentError(f"cross_entropy: ignore_index {ignore_index} has no meaning for class probabilities")
    w = _class_weight("cross_entropy", weight, x, differentiable=True)
    axis = min(1, x.data.ndim - 1)
    classes = x.data.shape[axis]
    if smoothing > 0:
        p = add(mul(p, 1 - smoothing), smoothing / classes)
    wanted = mul(LogSoftmax(axis)(x), p)
    if w is not None:
        wanted = mul(wanted, Reshape((classes, *(1,) * (x.data.ndim - 1 - axis)))(w))
    return reduced(neg(Sum((axis,), False)(wanted)), reduction)


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, *, reduction: str = "mean") -> Any:
    """The cross-entropy of probabilities with probabilities, element by element.

    ``loss = -weight * (target * log(input) + (1 - target) * log(1 - input))``, where logarithms end at -100, so that
    the loss is finite, and the gradient's denominator ``input * (1 - input)`` at 1e-12.
    `binary_cross_entropy_with_logits` is more accurate.

    Parameters
    ----------
    input : Tensor
        Probabilities from 0 to 1, float32 or float64, any shape.
    target : Tensor
        Probabilities from 0 to 1 of the same shape and dtype, 0 and 1 as a rule.
    weight : Tensor, optional
        Multiplies the losses; it broadcasts to input's shape, and gets no gradient.
    reduction : {'mean', 'sum', 'none'}
        The mean over all elements, their sum, or a loss an element.

    Returns
    -------
    Tensor () or of input's shape
        The loss.

    Raises
    ------
    ShapeError
        If input and target differ in shape, or weight does not broadcast.
    DTypeError
        If one is not floating, or of another dtype than input.
    ArgumentError
        If a probability is not from 0 to 1, reduction another word, or weight requires a gradient.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.binary_cross_entropy(minidl.tensor([0.5, 0.25]), [1.0, 0.0], reduction="none")
    tensor([0.6931, 0.2877])
    """
    op = "binary_cross_entropy"
    check_settings(op, {"reduction": reduction})
    x, t = read_pair(op, input=input, target=target)
    for name, values in (("input", x.data), ("target", t.data)):
        outside = ~((values >= 0) & (values <= 1))
        if outside.any():
            raise ArgumentError(f"{op}: {name} must be from 0 to 1, got {values[outside].flat[0]}")
    return reduced(_weighted(op, BinaryCrossEntropy()(x, t), weight), reduction)


def _weighted(op: str, losses: Any, weight: Any) -> Any:
    """Losses times a weight that broadcasts to their shape."""
    if weight is None:
        return losses
    return mul(losses, wrap(constant(op, "weight", read_weight(op, "weight", weight, losses, None))))


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    """The cross-entropy of ``sigmoid(input)`` with probabilities, element by element, where nothing overflows.

    ``loss = -weight * (pos_weight * target * log(sigmoid(input)) + (1 - target) * log(sigmoid(-input)))``

    Parameters
    ----------
    input : Tensor
        Logits, float32 or float64, any shape.
    target : Tensor
        Probabilities of the same shape and dtype, 0 and 1 as a rule.
    weight : Tensor, optional
        Multiplies the losses; it broadcasts to input's shape, and gets no gradient.
    reduction : {'mean', 'sum', 'none'}
        The mean over all elements, their sum, or a loss an element.
    pos_weight : Tensor, optional
        Multiplies what is positive; it broadcasts to input's shape, as (C,) does to (N, C), and gets no gradient.

    Returns
    -------
    Tensor () or of input's shape
        The loss.

    Raises
    ------
    ShapeError
        If input and target differ in shape, or a weight does not broadcast.
    DTypeError
        If one is not floating, or of another dtype than input.
    ArgumentError
        If reduction is another word, or a weight requires a gradient.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.binary_cross_entropy_with_logits(minidl.tensor([0.0, 1000.0]), [1.0, 0.0], reduction="none")
    tensor([6.9315e-01, 1.0000e+03])
    """
    op = "binary_cross_entropy_with_logits"
    check_settings(op, {"reduction": reduction})
    x, t = read_pair(op, input=input, target=target)
    positive = None
    if pos_weight is not None:
        positive = constant(op, "pos_weight", read_weight(op, "pos_weight", pos_weight, x, None))
    operation = BinaryCrossEntropyWithLogits() if positive is None else WeightedCrossEntropyWithLogits(positive)
    return reduced(_weighted(op, operation(x, t), weight), reduction)


def kl_div(input: Any, target: Any, *, reduction: str = "mean", log_target: bool = False) -> Any:
    """The Kullback-Leibler divergence of probabilities (target) from log-probabilities (input), element by element.

    ``loss = target * (log(target) - input)``, which is 0 where target is 0, or with log-probabilities as target
    ``loss = exp(target) * (target - input)``

    Parameters
    ----------
    input : Tensor
        Log-probabilities, float32 or float64, any shape.
    target : Tensor
        Probabilities of the same shape and dtype; their logarithms if `log_target`.
    reduction : {'mean', 'batchmean', 'sum', 'none'}
        The mean over all elements, the sum divided by the size of the first dimension (which is the divergence of a
        batch of distributions), the sum, or a loss an element.
    log_target : bool
        Whether target holds logarithms.

    Returns
    -------
    Tensor () or of input's shape
        The loss.

    Raises
    ------
    ShapeError
        If input and target differ in shape.
    DTypeError
        If one is not floating, or they differ in dtype.
    ArgumentError
        If reduction is another word, or log_target not a boolean.

    References
    ----------
    Kullback and Leibler, "On information and sufficiency", Annals of Mathematical Statistics 22, 1951.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> p = minidl.tensor([[0.5, 0.5], [1.0, 0.0]])
    >>> F.kl_div(F.log_softmax(minidl.zeros(2, 2), dim=1), p, reduction="batchmean")
    tensor(0.3466)
    """
    check_settings("kl_div", {"reduction": reduction, "log_target": log_target})
    x, t = read_pair("kl_div", input=input, target=target)
    if log_target:
        losses = mul(exp(t), sub(t, x))
    else:
        zero = wrap(np.zeros((), t.data.dtype))
        losses = sub(where(t.data == 0, zero, mul(t, log(t))), mul(t, x))
    if reduction == "batchmean":
        return reduced(losses, "mean", x.data.shape[0] if x.data.ndim else 1)
    return reduced(losses, reduction)
