"""Layers that only move values."""

from __future__ import annotations

from typing import Any

from minidl.nn.module import Module
from minidl.ops._common import as_tensor

__all__ = ["Flatten"]


class Flatten(Module):
    """Join dimensions, all but the first by default; see `minidl.flatten`."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Any) -> Any:
        """Join them."""
        return as_tensor("flatten", "input", input).flatten(self.start_dim, self.end_dim)
