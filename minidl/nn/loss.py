"""Losses as layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from minidl import functional as F
from minidl.functional._losses import check_settings
from minidl.nn.module import Module
from minidl.ops._common import as_tensor
from minidl.tensor import Tensor

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "MarginRankingLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "SmoothL1Loss",
    "TripletMarginLoss",
]


class Loss(Module):
    """The base of losses: a function of `minidl.functional` and what it is called with besides its inputs.

    A subclass names the function, and hands its settings, named as the function's arguments, to `_set`.
    """

    _compute: ClassVar[Callable[..., Any]]
    # The function is called with these attributes, of which the weights are buffers.
    _settings: tuple[str, ...] = ()

    def __init__(self, *, reduction: str = "mean") -> None:
        self._set(reduction=reduction)

    def _set(self, weights: dict[str, Any] | None = None, **settings: Any) -> None:
        check_settings(self._compute.__name__, settings, type(self).__name__)
        for name, weight in (weights or {}).items():
            own = None if weight is None else Tensor(np.array(as_tensor(type(self).__name__, name, weight).data))
            self.register_buffer(name, own)
        for name, value in settings.items():
            setattr(self, name, value)
        self._settings = (*(weights or {}), *settings)

    def forward(self, input: Any, target: Any) -> Any:
        """The loss of the input for the target."""
        return self._loss_of(input, target)

    def _loss_of(self, *inputs: Any) -> Any:
        return self._compute(*inputs, **{name: getattr(self, name) for name in self._settings})

    def extra_repr(self) -> str:
        """The settings, without the weights."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self._settings if name not in self._buffers)


class NLLLoss(Loss):
    """The negative log-likelihood of the right class; see `minidl.functional.nll_loss`."""

    _compute = staticmethod(F.nll_loss)

    def __init__(self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        self._set({"weight": weight}, ignore_index=ignore_index, reduction=reduction)


class CrossEntropyLoss(Loss):
    """The negative log-probability of the right class, from logits; see `minidl.functional.cross_entropy`."""

    _compute = staticmethod(F.cross_entropy)

    def __init__(
        self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
    ) -> None:
        self._set(
            {"weight": weight}, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
        )  # fmt: skip


class BCELoss(Loss):
    """The cross-entropy of probabilities, element by element; see `minidl.functional.binary_cross_entropy`."""

    _compute = staticmethod(F.binary_cross_entropy)

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        self._set({"weight": weight}, reduction=reduction)


class BCEWithLogitsLoss(Loss):
    """Binary cross-entropy from logits; see `minidl.functional.binary_cross_entropy_with_logits`."""

    _compute = staticmethod(F.binary_cross_entropy_with_logits)

    def __init__(self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None) -> None:
        self._set({"weight": weight, "pos_weight": pos_weight}, reduction=reduction)


class KLDivLoss(Loss):
    """The Kullback-Leibler divergence from log-probabilities; see `minidl.functional.kl_div`."""

    _compute = staticmethod(F.kl_div)

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        self._set(reduction=reduction, log_target=log_target)


class MSELoss(Loss):
    """The squared error; see `minidl.functional.mse_loss`."""

    _compute = staticmethod(F.mse_loss)


class L1Loss(Loss):
    """The absolute error; see `minidl.functional.l1_loss`."""

    _compute = staticmethod(F.l1_loss)


class SmoothL1Loss(Loss):
    """The absolute error, rounded off near 0; see `minidl.functional.smooth_l1_loss`."""

    _compute = staticmethod(F.smooth_l1_loss)

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        self._set(reduction=reduction, beta=beta)


class HuberLoss(Loss):
    """The squared error near 0, the absolute one beyond; see `minidl.functional.huber_loss`."""

    _compute = staticmethod(F.huber_loss)

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        self._set(reduction=reduction, delta=delta)


class HingeEmbeddingLoss(Loss):
    """Distances, or what they lack of a margin; see `minidl.functional.hinge_embedding_loss`."""

    _compute = staticmethod(F.hinge_embedding_loss)

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        self._set(margin=margin, reduction=reduction)


class MultiMarginLoss(Loss):
    """The margin that the right class lacks over the others; see `minidl.functional.multi_margin_loss`."""

    _compute = staticmethod(F.multi_margin_loss)

    def __init__(self, p: int = 1, margin: float = 1.0, weight: Any = None, *, reduction: str = "mean") -> None:
        self._set({"weight": weight}, p=p, margin=margin, reduction=reduction)


class CosineEmbeddingLoss(Loss):
    """The distance of two vectors' cosine from what the target says; see `minidl.functional.cosine_embedding_loss`."""

    _compute = staticmethod(F.cosine_embedding_loss)

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        self._set(margin=margin, reduction=reduction)

    def forward(self, input1: Any, input2: Any, target: Any) -> Any:  # type: ignore[override]
        """The loss of pairs of vectors for the target."""
        return self._loss_of(input1, input2, target)


class MarginRankingLoss(Loss):
    """The margin that one value lacks over another; see `minidl.functional.margin_ranking_loss`.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.MarginRankingLoss(margin=1.0)(minidl.tensor([3.0, 3.0]), minidl.tensor([1.0, 2.5]), minidl.tensor([1, 1]))
    tensor(0.25)
    """

    _compute = staticmethod(F.margin_ranking_loss)

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        self._set(margin=margin, reduction=reduction)

    def forward(self, input1: Any, input2: Any, target: Any) -> Any:  # type: ignore[override]
        """The loss of pairs of values for the target."""
        return self._loss_of(input1, input2, target)


class TripletMarginLoss(Loss):
    """The margin that one distance lacks over another; see `minidl.functional.triplet_margin_loss`.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.TripletMarginLoss(margin=2.0)(minidl.tensor([[0.0]]), [[1.0]], [[2.5]])
    tensor(0.5)
    """

    _compute = staticmethod(F.triplet_margin_loss)

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        *,
        reduction: str = "mean",
    ) -> None:
        self._set(margin=margin, p=p, eps=eps, swap=swap, reduction=reduction)

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any:  # type: ignore[override]
        """The loss of triplets."""
        return self._loss_of(anchor, positive, negative)
