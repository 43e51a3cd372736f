"""Activation layers."""

from __future__ import annotations

from typing import Any

from minidl import functional as F
from minidl.nn.module import Module

__all__ = ["ReLU", "Sigmoid", "Tanh"]


class ReLU(Module):
    """max(x, 0); see `minidl.functional.relu`."""

    def forward(self, input: Any) -> Any:
        """Apply it element by element."""
        return F.relu(input)


class Tanh(Module):
    """The hyperbolic tangent; see `minidl.functional.tanh`."""

    def forward(self, input: Any) -> Any:
        """Apply it element by element."""
        return F.tanh(input)


class Sigmoid(Module):
    """1 / (1 + exp(-x)); see `minidl.functional.sigmoid`."""

    def forward(self, input: Any) -> Any:
        """Apply it element by element."""
        return F.sigmoid(input)
