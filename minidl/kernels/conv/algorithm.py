"""An entry of the registry, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minidl import _ext
from minidl.geometry import Pair
from minidl.kernels.conv.problem import ConvProblem

__all__ = ["Algorithm", "Plan", "size_text", "lanes"]

Plan = Callable[..., np.ndarray]
"""Runs a kernel: a function of the arrays that the problem's direction takes, for the shapes that it was made for.

The images, the filters and the bias or None forward; the outputs' gradient and the filters for the input's gradient;
the images and the outputs' gradient for the weight's. It returns a new array.
"""

# Numbers in a vector of float32; costs count vector multiply-adds.
_FLOATS = {"v4": 16, "v3": 8}.get(_ext.instruction_set, 4)


def lanes(itemsize: int) -> float:
    """Numbers of that size in a vector of this processor."""
    return _FLOATS * 4 / itemsize


def size_text(size: Pair) -> str:
    """A size as messages print it."""
    return f"{size[0]} x {size[1]}"


def _always(problem: ConvProblem) -> bool:
    return True


@dataclass(frozen=True)
class Algorithm:
    """One way to compute a convolution.

    Attributes
    ----------
    name : str
        What `algorithm=` names it by.
    family : str
        The name that several entries share; naming the family takes the cheapest of them.
    why_unsupported : callable
        Says of a problem why this cannot compute it, or None if it can.
    cost : callable
        An estimate of time, in vector multiply-adds, of a problem that is supported; infinite where "auto" never takes
        it.
    plan : callable
        Makes what computes a problem that is supported.
    is_precise : callable
        Whether the rounding errors of a problem stay within four times im2col's.
    """

    name: str
    family: str
    why_unsupported: Callable[[ConvProblem], str | None]
    cost: Callable[[ConvProblem], float]
    plan: Callable[[ConvProblem], Plan]
    is_precise: Callable[[ConvProblem], bool] = _always

    def within_precision(self, problem: ConvProblem) -> bool:
        """Whether a problem's precision lets this compute it."""
        return problem.precision == "fast" or self.is_precise(problem)
