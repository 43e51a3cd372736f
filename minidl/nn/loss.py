"""Losses as layers."""

from __future__ import annotations

from typing import Any

from minidl import functional as F
from minidl.nn.module import Module

__all__ = ["CrossEntropyLoss"]


class CrossEntropyLoss(Module):
    """The negative log-probability of the right class; see `minidl.functional.cross_entropy`."""

    def __init__(self, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        self.ignore_index, self.reduction = ignore_index, reduction

    def forward(self, input: Any, target: Any) -> Any:
        """The loss of logits (N, C) for class numbers (N,)."""
        return F.cross_entropy(input, target, ignore_index=self.ignore_index, reduction=self.reduction)
