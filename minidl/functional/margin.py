"""Losses that are 0 from a margin on."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.autograd import wrap
from minidl.errors import ShapeError
from minidl.functional._losses import (
    as_rows,
    check_settings,
    constant,
    read_classes,
    read_pair,
    read_scores,
    read_signs,
    read_weight,
    reduced,
)
from minidl.ops.activation import ReLU
from minidl.ops.arithmetic import add, div, minimum, mul, neg, sqrt, sub, where
from minidl.ops.clip import clip
from minidl.ops.elementwise import square
from minidl.ops.loss import EPSILON, Norm
from minidl.ops.reductions import sum as sum_of
from minidl.ops.shapes import GetItem, Reshape

__all__ = [
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "triplet_margin_loss",
]


def _clamp_at_0(x: Any) -> Any:
    """max(x, 0), with the gradient 1 at 0."""
    return clip(x, min=0.0)


def cosine_embedding_loss(input1: Any, input2: Any, target: Any, margin: float = 0, *, reduction: str = "mean") -> Any:
    """Measure how far the cosine of two vectors is from 1 (target 1), or exceeds the margin (target -1).

    ``loss = 1 - cos`` where target is 1, ``max(cos - margin, 0)`` where it is -1, and 0 elsewhere;
    ``cos = sum(input1 * input2) / sqrt((sum(input1 ** 2) + 1e-12) * (sum(input2 ** 2) + 1e-12))``

    Parameters
    ----------
    input1 : Tensor (N, D) or (D,)
        The vectors, float32 or float64.
    input2 : Tensor
        The other vectors, of the same shape and dtype.
    target : Tensor (N,) or ()
        1 for vectors that shall be alike, -1 for others; of an integer dtype or the inputs'. It gets no gradient.
    margin : float
        Below which unlike vectors cost nothing.
    reduction : {'mean', 'sum', 'none'}
        The mean over all pairs (NaN if there are none), their sum, or a loss a pair.

    Returns
    -------
    Tensor () or (N,)
        The loss.

    Raises
    ------
    ShapeError
        If the shapes don't fit; nothing is broadcast.
    DTypeError
        If an input is not floating, the dtypes differ, or target is boolean.
    ArgumentError
        If margin is no number, or reduction another word.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.cosine_embedding_loss(minidl.tensor([[1.0, 0.0], [3.0, 4.0]]), [[0.0, 1.0], [4.0, 3.0]], [1, -1], 0.5)
    tensor(0.73)
    """
    op = "cosine_embedding_loss"
    check_settings(op, {"margin": margin, "reduction": reduction})
    a, b = read_pair(op, input1=input1, input2=input2)
    shape = a.data.shape
    if len(shape) not in (1, 2):
        raise ShapeError(f"{op}: input1 must have 2 dimensions (N, D) or 1 (D,), got shape {shape}")
    t = read_signs(op, target, a.data.dtype).data
    if t.shape != shape[:-1]:
        raise ShapeError(f"{op}: target must have shape {shape[:-1]}, one a vector of input1 {shape}, got {t.shape}")
    # The root of each before the product, which could overflow.
    lengths = [sqrt(add(sum_of(mul(v, v), -1), EPSILON)) for v in (a, b)]
    cosine = div(sum_of(mul(a, b), -1), mul(*lengths))
    zero = wrap(np.zeros((), a.data.dtype))
    unlike = where(t == -1, _clamp_at_0(sub(cosine, float(margin))), zero)
    return reduced(where(t == 1, sub(1, cosine), unlike), reduction)


def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, *, reduction: str = "mean") -> Any:
    """A distance where the target is 1, and what it lacks of the margin where it is -1, element by element.

    ``loss = input`` where target is 1, ``max(margin - input, 0)`` where it is -1, and the sum of both elsewhere

    Parameters
    ----------
    input : Tensor
        Distances, float32 or float64, any shape.
    target : Tensor
        1 for what shall be near, -1 for what shall be far; of the same shape, of an integer dtype or input's. It gets
        no gradient.
    margin : float
        From which on what shall be far costs nothing.
    reduction : {'mean', 'sum', 'none'}
        The mean over all elements (NaN if there are none), their sum, or a loss an element.

    Returns
    -------
    Tensor () or of input's shape
        The loss.

    Raises
    ------
    ShapeError
        If the shapes differ; nothing is broadcast.
    DTypeError
        If input is not floating, or target is boolean or of another floating dtype.
    ArgumentError
        If margin is no number, or reduction another word.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.hinge_embedding_loss(minidl.tensor([0.25, 0.25, 2.0]), [1, -1, -1], reduction="none")
    tensor([0.25, 0.75, 0.  ])
    """
    op = "hinge_embedding_loss"
    check_settings(op, {"margin": margin, "reduction": reduction})
    (x,) = read_pair(op, input=input)
    _, t = read_pair(op, input=x, target=read_signs(op, target, x.data.dtype))
    zero = wrap(np.zeros((), x.data.dtype))
    far = where(t.data == 1, zero, _clamp_at_0(sub(float(margin), x)))
    return reduced(add(far, where(t.data == -1, zero, x)), reduction)


def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: float = 0, *, reduction: str = "mean") -> Any:
    """Measure what one value lacks of being larger than another by a margin, element by element.

    ``loss = max(-target * (input1 - input2) + margin, 0)``

    Parameters
    ----------
    input1 : Tensor
        Float32 or float64, any shape.
    input2 : Tensor
        Of the same shape and dtype.
    target : Tensor
        1 where input1 shall be the larger, -1 where input2 shall; of the same shape, of an integer dtype or the
        inputs'. A floating one gets a gradient.
    margin : float
        By how much.
    reduction : {'mean', 'sum', 'none'}
        The mean over all elements (NaN if there are none), their sum, or a loss an element.

    Returns
    -------
    Tensor () or of input1's shape
        The loss.

    Raises
    ------
    ShapeError
        If the shapes differ; nothing is broadcast.
    DTypeError
        If an input is not floating, the dtypes differ, or target is boolean.
    ArgumentError
        If margin is no number, or reduction another word.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.margin_ranking_loss(minidl.tensor([1.0, 1.0]), [3.0, 3.0], [1, -1], reduction="none")
    tensor([2., 0.])
    """
    op = "margin_ranking_loss"
    check_settings(op, {"margin": margin, "reduction": reduction})
    a, b = read_pair(op, input1=input1, input2=input2)
    _, t = read_pair(op, input1=a, target=read_signs(op, target, a.data.dtype))
    return reduced(_clamp_at_0(add(mul(neg(t), sub(a, b)), float(margin))), reduction)


def multi_margin_loss(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, *, reduction: str = "mean"
) -> Any:
    """Measure what the right class's score lacks of exceeding each other one by a margin, to the power of p.

    ``loss[n] = weight[y] / C * sum over c != y of max(margin - input[n, y] + input[n, c], 0) ** p``, ``y = target[n]``

    Parameters
    ----------
    input : Tensor (N, C) or (C,)
        The score of each class, float32 or float64. NaN stays NaN; PyTorch reads it as a loss of 0.
    target : Tensor (N,) or ()
        The number of the right class, from 0 to C - 1, of an integer dtype.
    p : {1, 2}
        The power.
    margin : float
        From which on a difference of scores costs nothing.
    weight : Tensor (C,), optional
        The weight of each class; 1 by default. It gets no gradient.
    reduction : {'mean', 'sum', 'none'}
        The mean over all rows (NaN if there are none), whatever their weights, their sum, or a loss a row.

    Returns
    -------
    Tensor () or (N,)
        The loss.

    Raises
    ------
    ShapeError
        If the shapes don't fit.
    DTypeError
        If target is not of an integer dtype, input not floating, or weight of another dtype than input.
    OutOfRangeError
        If a target is no class.
    ArgumentError
        If another argument has no value that it can have, or weight requires a gradient.

    References
    ----------
    Crammer and Singer, "On the algorithmic implementation of multiclass kernel-based vector machines", JMLR 2, 2001.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.multi_margin_loss(minidl.tensor([[0.5, 0.25, 0.0, 0.5]]), [0])
    tensor(0.5625)
    """
    op = "multi_margin_loss"
    check_settings(op, {"p": p, "margin": margin, "reduction": reduction})
    x = read_scores(op, input, spatial=False)
    t = read_classes(op, x, target)
    shape, x, t = t.shape, as_rows(x), t.reshape(-1)
    rows, classes = x.data.shape
    right = (np.arange(rows), t)
    others = np.ones((rows, classes), bool)
    others[right] = False
    lack = add(sub(x, Reshape((-1, 1))(GetItem(right)(x))), float(margin))
    # The right class is left out first, since an infinite score less itself is NaN.
    lack = ReLU()(where(others, lack, wrap(np.zeros((), x.data.dtype))))
    losses = div(sum_of(square(lack) if p == 2 else lack, 1), classes)
    if weight is not None:
        w = constant(op, "weight", read_weight(op, "weight", weight, x, (classes,), "one a class"))
        losses = mul(losses, wrap(w[t]))
    return reduced(Reshape(shape)(losses), reduction)


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: str = "mean",
) -> Any:
    """Measure what the distance to a negative example lacks of exceeding that to a positive one by a margin.

    ``loss = max(d(anchor, positive) - d(anchor, negative) + margin, 0)``, where d is the norm
    ``sum(|a - b + eps| ** p) ** (1 / p)`` along the last dimension

    Parameters
    ----------
    anchor : Tensor (N, D) or (..., D)
        The vectors to compare with, float32 or float64.
    positive : Tensor
        Vectors that shall be near, of the same shape and dtype.
    negative : Tensor
        Vectors that shall be far, of the same shape and dtype.
    margin : float
        By how much they shall be farther, above 0.
    p : float
        The power of the norm, at least 0: the count of differences for 0, the largest one for ``float("inf")``.
    eps : float
        Added to differences, so that they are not 0, where the norm has a kink.
    swap : bool
        Whether the distance of positive and negative counts instead of that of anchor and negative, where it is less.
    reduction : {'mean', 'sum', 'none'}
        The mean over all triplets (NaN if there are none), their sum, or a loss a triplet.

    Returns
    -------
    Tensor () or (N,) or (...)
        The loss.

    Raises
    ------
    ShapeError
        If the shapes differ, or have no dimension; nothing is broadcast.
    DTypeError
        If one is not floating, or the dtypes differ.
    ArgumentError
        If another argument has no value that it can have.

    References
    ----------
    Balntas et al., "Learning local feature descriptors with triplets and shallow convolutional neural networks",
    BMVC 2016.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.triplet_margin_loss(minidl.tensor([[0.0, 0.0]]), [[3.0, 4.0]], [[0.0, 2.0]])
    tensor(4.)
    """
    op = "triplet_margin_loss"
    check_settings(op, {"margin": margin, "p": p, "eps": eps, "swap": swap, "reduction": reduction})
    a, b, c = read_pair(op, anchor=anchor, positive=positive, negative=negative)
    shape = a.data.shape
    if not shape or (p == float("inf") and shape[-1] == 0):
        raise ShapeError(f"{op}: anchor must have 1 or more dimensions (..., D), and features, got shape {shape}")

    def distance(one: Any, other: Any) -> Any:
        return Norm(float(p))(add(sub(one, other), float(eps)))

    far = distance(a, c)
    if swap:
        far = minimum(far, distance(b, c))
    return reduced(_clamp_at_0(add(sub(distance(a, b), far), float(margin))), reduction)
