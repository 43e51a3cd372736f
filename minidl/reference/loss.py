"""Losses and their gradients."""

from __future__ import annotations

import numpy as np

from minidl.reference.activation import log_softmax

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "class_cross_entropy",
    "cosine_embedding_loss",
    "cross_entropy",
    "cross_entropy_gradient",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "mse_loss",
    "multi_margin_loss",
    "nll_loss",
    "reduced",
    "smooth_l1_loss",
    "soft_cross_entropy",
    "triplet_margin_loss",
]

Array = np.ndarray


def cross_entropy(
    x: Array, target: Array, ignore_index: int, share: Array | None = None, spread: Array | None = None
) -> tuple[Array, Array]:
    """The losses -share log(softmax(x))[target] - spread . log(softmax(x)), 0 for ignored rows, and log(softmax(x))."""
    log_probability = log_softmax(x.astype(np.float64))
    loss = np.zeros(x.shape[0])
    for row, label in enumerate(target):
        if label != ignore_index:
            loss[row] = -(1 if share is None else share[row]) * log_probability[row, label]
            if spread is not None:
                loss[row] -= (spread * log_probability[row]).sum()
    return loss.astype(x.dtype), log_probability.astype(x.dtype)


def cross_entropy_gradient(
    log_probability: Array,
    target: Array,
    ignore_index: int,
    scale: Array,
    share: Array | None = None,
    spread: Array | None = None,
) -> Array:
    """((share + sum(spread)) softmax - share onehot - spread) * scale, row by row, 0 for ignored rows."""
    grad = np.zeros(log_probability.shape)
    spread = np.zeros(log_probability.shape[1]) if spread is None else spread.astype(np.float64)
    for row, label in enumerate(target):
        if label != ignore_index:
            own = 1 if share is None else share[row]
            grad[row] = np.exp(log_probability[row].astype(np.float64)) * (own + spread.sum()) - spread
            grad[row, label] -= own
            grad[row] *= scale[row]
    return grad.astype(log_probability.dtype)


def reduced(losses: Array, reduction: str, total: float | None = None) -> Array:
    """The losses, their sum, or the sum over a total that is their number by default."""
    if reduction == "none":
        return losses
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(losses.sum() / (1 if reduction == "sum" else losses.size if total is None else total))


def soft_cross_entropy(
    x: Array, target: Array, weight: Array | None = None, reduction: str = "mean", label_smoothing: float = 0.0
) -> Array:
    """-sum of weight * p * log(softmax(x)) over the classes: axis 1, or the only one; p is the smoothed target."""
    axis = min(1, x.ndim - 1)
    classes = x.shape[axis]
    scores, wanted = np.moveaxis(x, axis, -1), np.moveaxis(target, axis, -1)
    smooth = (1 - label_smoothing) * wanted + label_smoothing / classes
    losses = -(smooth * (1 if weight is None else weight) * log_softmax(scores)).sum(axis=-1)
    return reduced(np.asarray(losses), reduction)


def _class_losses(
    log_probability: Array, target: Array, weight: Array | None, ignore_index: int, reduction: str, smoothing: float
) -> Array:
    """Position by position, from log-probabilities (N, C, ...) or (C,)."""
    axis = min(1, log_probability.ndim - 1)
    weight = np.ones(log_probability.shape[axis]) if weight is None else weight
    classes_last = np.moveaxis(log_probability, axis, -1)
    losses, total = np.zeros(target.shape), 0.0
    for position in np.ndindex(target.shape):
        label = int(target[position])
        if label != ignore_index:
            own = weight * classes_last[position]
            losses[position] = -(1 - smoothing) * own[label] - smoothing * own.mean()
            total += weight[label]
    return reduced(losses, reduction, total)


def nll_loss(
    x: Array, target: Array, weight: Array | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> Array:
    """-weight[target] * x[target], position by position, 0 where ignored; the mean is over the sum of the weights."""
    return _class_losses(x, target, weight, ignore_index, reduction, 0.0)


def class_cross_entropy(
    x: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    """`nll_loss` of log(softmax(x)), with a part of it spread over all classes."""
    axis = min(1, x.ndim - 1)
    log_probability = np.moveaxis(log_softmax(np.moveaxis(x, axis, -1)), -1, axis)
    return _class_losses(log_probability, target, weight, ignore_index, reduction, label_smoothing)


def binary_cross_entropy(x: Array, target: Array, weight: Array | float = 1.0, reduction: str = "mean") -> Array:
    """-weight * (t log(x) + (1 - t) log(1 - x)), with logarithms from -100 up."""
    with np.errstate(divide="ignore"):
        yes, no = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)
    return reduced(np.asarray(-weight * (target * yes + (1 - target) * no)), reduction)


def binary_cross_entropy_with_logits(
    x: Array, target: Array, weight: Array | float = 1.0, reduction: str = "mean", pos_weight: Array | float = 1.0
) -> Array:
    """weight * (pos_weight t log(1 + exp(-x)) + (1 - t) log(1 + exp(x)))."""
    yes, no = np.logaddexp(0, -x), np.logaddexp(0, x)
    return reduced(np.asarray(weight * (pos_weight * target * yes + (1 - target) * no)), reduction)


def kl_div(x: Array, target: Array, reduction: str = "mean", log_target: bool = False) -> Array:
    """t (log(t) - x), 0 where t is 0, or exp(t) (t - x); "batchmean" is the sum over the size of the first axis."""
    losses = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        t = np.exp(target[index]) if log_target else target[index]
        if t > 0:
            losses[index] = t * (np.log(t) - x[index])
    if reduction == "batchmean":
        return reduced(losses, "mean", x.shape[0] if x.ndim else 1)
    return reduced(losses, reduction)


def mse_loss(x: Array, target: Array, reduction: str = "mean", weight: Array | None = None) -> Array:
    """weight * (x - t)^2; the mean is over the sum of the weights."""
    losses = np.asarray((x - target) ** 2)
    return reduced(losses, reduction) if weight is None else reduced(losses * weight, reduction, weight.sum())


def l1_loss(x: Array, target: Array, reduction: str = "mean", weight: Array | None = None) -> Array:
    """weight * |x - t|; the mean is over the sum of the weights."""
    losses = np.asarray(np.abs(x - target))
    return reduced(losses, reduction) if weight is None else reduced(losses * weight, reduction, weight.sum())


def huber_loss(
    x: Array, target: Array, reduction: str = "mean", delta: float = 1.0, weight: Array | float = 1.0
) -> Array:
    """weight * d^2 / 2 up to |d| = delta, then weight * delta (|d| - delta / 2)."""
    far = np.abs(x - target)
    return reduced(np.asarray(weight * np.where(far < delta, far**2 / 2, delta * (far - delta / 2))), reduction)


def smooth_l1_loss(x: Array, target: Array, reduction: str = "mean", beta: float = 1.0) -> Array:
    """d^2 / (2 beta) up to |d| = beta, then |d| - beta / 2."""
    far = np.abs(x - target)
    near = far**2 / 2 / beta if beta else far
    return reduced(np.asarray(np.where(far < beta, near, far - beta / 2)), reduction)


def cosine_embedding_loss(a: Array, b: Array, target: Array, margin: float = 0, reduction: str = "mean") -> Array:
    """1 - cos where the target is 1, max(cos - margin, 0) where it is -1, else 0."""
    lengths = np.sqrt(((a * a).sum(axis=-1) + 1e-12) * ((b * b).sum(axis=-1) + 1e-12))
    cosine = (a * b).sum(axis=-1) / lengths
    far = np.where(target == -1, np.maximum(cosine - margin, 0), 0)
    return reduced(np.where(target == 1, 1 - cosine, far), reduction)


def hinge_embedding_loss(x: Array, target: Array, margin: float = 1.0, reduction: str = "mean") -> Array:
    """x where the target is 1, max(margin - x, 0) where it is -1, else their sum."""
    return reduced(np.where(target == -1, 0, x) + np.where(target == 1, 0, np.maximum(margin - x, 0)), reduction)


def margin_ranking_loss(a: Array, b: Array, target: Array, margin: float = 0, reduction: str = "mean") -> Array:
    """max(-t (a - b) + margin, 0)."""
    return reduced(np.asarray(np.maximum(-target * (a - b) + margin, 0)), reduction)


def multi_margin_loss(
    x: Array, target: Array, p: int = 1, margin: float = 1.0, weight: Array | None = None, reduction: str = "mean"
) -> Array:
    """weight[t] times the mean over all classes c of max(margin - x[t] + x[c], 0)^p, where t itself counts 0."""
    losses = np.zeros(target.shape)
    for row in np.ndindex(target.shape):
        label, scores = int(target[row]), x[row]
        for c in range(len(scores)):
            if c != label:
                losses[row] += max(margin - scores[label] + scores[c], 0) ** p
        losses[row] *= (1 if weight is None else weight[label]) / len(scores)
    return reduced(losses, reduction)


def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Array:
    """max(d(anchor, positive) - d(anchor, negative) + margin, 0), d the p-norm of the difference plus eps."""

    def distance(a: Array, b: Array) -> Array:
        d = np.abs(a - b + eps)
        if p == 0:
            return (d != 0).sum(axis=-1)
        return d.max(axis=-1) if p == np.inf else (d**p).sum(axis=-1) ** (1 / p)

    far = distance(anchor, negative)
    if swap:
        far = np.minimum(far, distance(positive, negative))
    return reduced(np.asarray(np.maximum(distance(anchor, positive) - far + margin, 0)), reduction)
