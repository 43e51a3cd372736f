"""The problem that a convolution kernel solves: a direction, sizes, a dtype and a precision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from minidl.geometry import Window

__all__ = ["DIRECTIONS", "ConvProblem", "Direction"]

Direction = Literal["forward", "input", "weight"]
DIRECTIONS: tuple[Direction, ...] = ("forward", "input", "weight")


@dataclass(frozen=True, slots=True)
class ConvProblem:
    """One direction of a convolution of N images of C channels with F filters; equal problems have equal plans.

    Attributes
    ----------
    direction : {'forward', 'input', 'weight'}
        The convolution itself, or the gradient with respect to its images or its filters.
    N, C, F, groups : int
        Images, their channels, filters, and the groups that channels and filters are split into.
    window : Window
        The sizes of images, kernel and outputs, with stride, padding and dilation.
    dtype : numpy.dtype
        Float32 or float64.
    precision : {'default', 'fast'}
        Whether an algorithm with larger rounding errors may be chosen.
    """

    direction: Direction
    N: int
    C: int
    F: int
    groups: int
    window: Window
    dtype: np.dtype
    precision: str = "default"

    def redirected(self, direction: Direction) -> ConvProblem:
        """This convolution in another direction."""
        return self if direction == self.direction else replace(self, direction=direction)

    @property
    def sizes(self) -> tuple[int, int, int, int, Window]:
        """All but direction, dtype and precision."""
        return self.N, self.C, self.F, self.groups, self.window

    @property
    def itemsize(self) -> int:
        """The bytes of a number."""
        return self.dtype.itemsize

    @property
    def image_shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return (self.N, self.C, *self.window.input_size)

    @property
    def filters_shape(self) -> tuple[int, int, int, int]:
        """(F, C / groups, KH, KW)."""
        return (self.F, self.C // self.groups, *self.window.kernel_size)

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """(N, F, OH, OW)."""
        return (self.N, self.F, *self.window.output_size)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to multiply."""
        return 0 in (*self.image_shape, *self.filters_shape, *self.output_shape)

    @property
    def is_depthwise(self) -> bool:
        """Whether every channel has filters of its own."""
        return self.groups == self.C > 1 and self.F % self.C == 0

    @property
    def products(self) -> int:
        """Multiply-adds, those with padding included."""
        return self.N * self.F * (self.C // self.groups) * self.window.taps * self.window.positions

    @property
    def moved(self) -> int:
        """Numbers in the images and the outputs."""
        (H, W), (OH, OW) = self.window.input_size, self.window.output_size
        return self.N * (self.C * H * W + self.F * OH * OW)
