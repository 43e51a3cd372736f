"""Layers that are random while training."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import functional as F
from minidl.functional.activation import check_probability
from minidl.nn.module import Module

__all__ = ["Dropout"]


class Dropout(Module):
    """Set elements to 0 with probability p while training; see `minidl.functional.dropout`.

    Parameters
    ----------
    p : float
        From 0 to 1.
    generator : numpy.random.Generator, optional
        minidl's own (`manual_seed`) by default.
    """

    def __init__(self, p: float = 0.5, *, generator: np.random.Generator | None = None) -> None:
        check_probability("Dropout", p)
        self.p, self.generator = p, generator

    def forward(self, input: Any) -> Any:
        """Drop elements in training mode, else nothing."""
        return F.dropout(input, self.p, self.training, self.generator)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"
