"""Layers that are random while training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from minidl import functional as F
from minidl.arguments import check_generator
from minidl.errors import check_flag
from minidl.functional.dropout import check_probability
from minidl.nn.module import Module
from minidl.runtime import fork_safe

__all__ = ["Dropout", "Dropout2d"]


class Dropout(Module):
    """Set elements to 0 with probability p while training; see `minidl.functional.dropout`.

    Parameters
    ----------
    p : float
        From 0 to 1.
    inplace : bool
        Whether the input itself is to hold the result, as in PyTorch; it saves no memory here.
    generator : numpy.random.Generator, optional
        minidl's own (`manual_seed`) by default.
    """

    function: ClassVar[Callable[..., Any]] = staticmethod(F.dropout)

    def __init__(self, p: float = 0.5, inplace: bool = False, *, generator: np.random.Generator | None = None) -> None:
        layer = type(self).__name__
        check_probability(layer, p)
        self.p, self.generator = p, fork_safe(check_generator(layer, generator))
        self.inplace = check_flag(layer, "inplace", inplace)

    def forward(self, input: Any) -> Any:
        """Drop in training mode, else nothing."""
        return type(self).function(input, self.p, self.training, self.inplace, generator=self.generator)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}{', inplace=True' if self.inplace else ''}"


class Dropout2d(Dropout):
    """Set whole channels of each sample to 0 with probability p while training; see `minidl.functional.dropout2d`.

    Parameters
    ----------
    p : float
        From 0 to 1.
    inplace : bool
        Whether the input itself is to hold the result, as in PyTorch; it saves no memory here.
    generator : numpy.random.Generator, optional
        minidl's own (`manual_seed`) by default.

    Examples
    --------
    >>> import numpy
    >>> import minidl
    >>> from minidl import nn
    >>> y = nn.Dropout2d(0.5, generator=numpy.random.default_rng(1))(minidl.ones(1, 4, 2, 2))
    >>> y.sum((2, 3))
    tensor([[0., 8., 8., 8.]])
    """

    function = staticmethod(F.dropout2d)
