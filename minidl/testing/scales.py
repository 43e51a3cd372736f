"""The scales of elements: how far they are stepped, and what rounding leaves there."""

from __future__ import annotations

import numpy as np

from minidl.testing.numeric import RATIO, typical_scale
from minidl.testing.subject import Subject

Array = np.ndarray


class Scales:
    """The sizes of the steps of an input's elements, and what rounding leaves in gradients."""

    def __init__(self, subject: Subject, jacobian: list[Array], centre: Array) -> None:
        self.typical = [typical_scale(x) for x in subject.start]
        self.own = []
        self.broad = []
        sensitivity = np.zeros(len(centre))
        for x, scale, rows in zip(subject.start, self.typical, jacobian, strict=True):
            size = np.abs(x.reshape(-1)).astype(np.float64)
            self.own.append(np.where(size > 0, size, scale))
            self.broad.append(np.maximum(size, scale / 8))
            if rows.size:
                np.maximum(sensitivity, (np.abs(rows) * self.own[-1]).max(axis=1), out=sensitivity)
        # An output changes by so much when the element that it depends on most is doubled.
        self.sensitivity = sensitivity
        epsilon = max((np.finfo(x.dtype).eps for x in subject.start), default=0.0)
        # Terms may cancel, and what is left may be as large as the rounding of any other output's gradient.
        self.left_over = 64 * epsilon * sensitivity.max(initial=0)
        self._least_rounding = 8 * epsilon * np.maximum(sensitivity, np.abs(centre))

    def rounding(self, noise: Array) -> Array:
        """Give what rounding leaves in gradients, times their elements' scale."""
        return self._least_rounding + 20 * noise


def all_steps(first: float, own: float, broad: float, single: bool, is_wide: bool = False) -> list[float]:
    """Steps over all scales that an element may have: its own, or that of its array."""
    smallest = (2.0**-18 if single else 2.0**-46 if is_wide else 2.0**-34) * min(own, broad)
    largest = max(8 * broad, own) * (64 if is_wide else 0.5)
    # Logarithms are compared, since their quotient may be more than a number holds.
    down = int(np.ceil((np.log(first) - np.log(max(smallest, 1e-307))) / np.log(RATIO)))
    up = int(np.floor((np.log(largest) - np.log(first)) / np.log(RATIO)))
    return [first * RATIO**k for k in range(-down, up + 1)]
