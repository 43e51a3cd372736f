"""Geometries of sliding windows, generated: sizes, strides, four paddings, dilations, groups; never square.

Everything that two axes have (size, kernel, stride, dilation) differs between them, but for strides and dilations where
there are to be none, and the four paddings of a convolution are four different numbers, so that whatever is exchanged
anywhere shows. Corners are apart from that: there much is 1, and strides reach beyond the image. What fits is counted
by brute force, not by the code that is tested.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product, starmap
from typing import Any, NamedTuple

import numpy as np
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st

from minidl.geometry import Padding, Window, sliding_window, transposed_window

# How many examples each test gets: the same ones every time, unless more are asked for.
DEFAULT_EXAMPLES = 150
EXAMPLES = int(os.environ.get("MINIDL_EXAMPLES", DEFAULT_EXAMPLES))

settings.register_profile(
    "geometries",
    max_examples=EXAMPLES,
    derandomize=EXAMPLES <= DEFAULT_EXAMPLES,
    database=None,
    deadline=None,
    print_blob=True,
    # The fixtures stay as they are from example to example.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("geometries")

LARGEST = 12
Sizes = tuple[int, ...]


class Axis(NamedTuple):
    """One axis of a window."""

    kernel: int
    dilation: int
    before: int
    after: int


@dataclass(frozen=True)
class Geometry:
    """A batch (None for one image alone) of `channels`, and a window over it. Sizes have an entry for each axis."""

    batch: int | None
    channels: int
    size: Sizes
    kernel_size: Sizes
    stride: Sizes
    padding: Padding
    dilation: Sizes
    # Of convolutions.
    filters: int = 1
    groups: int = 1
    # Of transposed convolutions.
    output_padding: Sizes = ()
    # Of pooling.
    ceil_mode: bool = False
    # Whether axes may be alike.
    is_corner: bool = False

    @property
    def spatial(self) -> int:
        """The number of axes, 1 or 2."""
        return len(self.size)

    @property
    def window(self) -> Window:
        """The window, checked and in two dimensions."""
        return sliding_window(
            "test", self.size, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
        )

    @property
    def transposed_window(self) -> Window:
        """The window of the convolution that this is the transpose of."""
        return transposed_window(
            "test", self.size, self.kernel_size, self.stride, self.padding, self.output_padding, self.dilation
        )

    @property
    def shape(self) -> Sizes:
        """Of the input."""
        return (*(() if self.batch is None else (self.batch,)), self.channels, *self.size)

    @property
    def sides(self) -> Sizes:
        """The padding as PyTorch's `pad` takes it."""
        top, bottom, left, right = self.padding
        return (left, right, top, bottom)[: 2 * self.spatial]

    def as_batch(self, x: Any) -> Any:
        """An array in four dimensions, as the reference takes it."""
        batch = x[None] if self.batch is None else x
        return batch if self.spatial == 2 else batch[:, :, None]


def values(*shape: int, ties: bool = False) -> np.ndarray:
    """Values of a shape, always the same; with ties many of them are equal."""
    rng = np.random.default_rng([len(shape), *shape])
    return rng.integers(0, 3, shape).astype(np.float64) if ties else rng.normal(size=shape)


def standing(size: int, stride: int, axis: Axis, ceil_mode: bool) -> list[list[int]]:
    """For each place of a window along an axis, its taps (0 is the first pixel); by trying every start."""
    kernel, dilation, before, after = axis
    places = []
    for start in range(-before, size + after, stride):
        taps = [start + k * dilation for k in range(kernel)]
        # In ceil mode what ends less than a stride outside counts too, unless it starts after the image.
        fits = taps[-1] < size + after or (ceil_mode and taps[-1] < size + after + stride - 1)
        if fits and not (ceil_mode and start >= size):
            places.append(taps)
    return places


@lru_cache(maxsize=4096)
def convolution_axes(size: int, stride: int) -> list[Axis]:
    """Every axis of a convolution that fits the size, the simplest first."""
    found = [
        axis
        for axis in starmap(Axis, product(range(1, 6), range(1, 4), range(6), range(6)))
        if axis.before != axis.after and standing(size, stride, axis, False)
    ]
    return sorted(found, key=sum)


@lru_cache(maxsize=4096)
def pooling_axes(size: int, stride: int, ceil_mode: bool, most_dilation: int) -> list[Axis]:
    """Every axis of a pooling window that fits the size and sees at least one pixel from everywhere."""
    found = []
    for kernel in range(1, 6):
        for dilation in range(1, most_dilation + 1):
            for before, after in product(range(kernel // 2 + 1), repeat=2):
                axis = Axis(kernel, dilation, before, after)
                places = standing(size, stride, axis, ceil_mode)
                if places and all(any(0 <= tap < size for tap in taps) for taps in places):
                    found.append(axis)
    return sorted(found, key=sum)


def distinct(draw: Any, low: int, high: int, count: int) -> Sizes:
    """Different ints from low to high."""
    return tuple(draw(st.lists(st.integers(low, high), min_size=count, max_size=count, unique=True)))


def padding_of(axes: list[Axis]) -> Padding:
    rows = axes[0] if len(axes) == 2 else Axis(1, 1, 0, 0)
    return Padding(rows.before, rows.after, axes[-1].before, axes[-1].after)


def drawn_axes(draw: Any, options: list[list[Axis]], share: Callable[[Axis, Axis], bool]) -> list[Axis]:
    """One of the options for each axis, which share nothing."""
    axes: list[Axis] = []
    for choices in options:
        fitting = [axis for axis in choices if not any(share(axis, other) for other in axes)]
        assume(fitting)
        axes.append(draw(st.sampled_from(fitting)))
    return axes


batches = st.sampled_from([1, 2, 3, 0, None])


@st.composite
def convolutions(draw: Any, spatial: int = 2) -> Geometry:
    """Convolutions of images of 1 to 12 pixels a side, with up to 3 groups."""
    size, stride = distinct(draw, 1, LARGEST, spatial), distinct(draw, 1, 4, spatial)

    def share(a: Axis, b: Axis) -> bool:
        return a.kernel == b.kernel or a.dilation == b.dilation or not {a.before, a.after}.isdisjoint(b[2:])

    axes = drawn_axes(draw, [convolution_axes(*of_axis) for of_axis in zip(size, stride, strict=True)], share)
    groups = draw(st.integers(1, 3))
    channels, filters = distinct(draw, 1, 3, 2)
    return Geometry(
        draw(batches), groups * channels, size, tuple(a.kernel for a in axes), stride, padding_of(axes),
        tuple(a.dilation for a in axes), groups * filters, groups,
    )  # fmt: skip


@st.composite
def dense_convolutions(draw: Any) -> Geometry:
    """Convolutions with stride 1, dilation 1 and one group, which some algorithms want; most of them of 5 columns."""
    size = distinct(draw, 1, LARGEST, 2)
    rows, columns = ([axis for axis in convolution_axes(n, 1) if axis.dilation == 1] for n in size)
    if draw(st.sampled_from([True, True, False])):
        columns = [axis for axis in columns if axis.kernel == 5]

    def share(a: Axis, b: Axis) -> bool:
        return a.kernel == b.kernel or not {a.before, a.after}.isdisjoint(b[2:])

    axes = drawn_axes(draw, [rows, columns], share)
    channels, filters = distinct(draw, 1, 7, 2)
    return Geometry(
        draw(batches), channels, size, tuple(a.kernel for a in axes), (1, 1), padding_of(axes), (1, 1), filters
    )


@st.composite
def transposed_convolutions(draw: Any, spatial: int = 2) -> Geometry:
    """Transposed convolutions of images of 1 to 12 pixels a side, with output padding up to its limit."""
    size, stride = distinct(draw, 1, LARGEST, spatial), distinct(draw, 1, 3, spatial)
    # Often more than the stride, which lets in output padding of a stride and more.
    kernel, dilation = distinct(draw, 1, 5, spatial), distinct(draw, 1, 4, spatial)
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    full = [
        (n - 1) * s + d * (k - 1) + 1 + e for n, s, d, k, e in zip(size, stride, dilation, kernel, extra, strict=True)
    ]
    # Different cuts on all sides where that can be, which leave at least one pixel.
    cuts: list[int] = []
    for length in full:
        for already in (0, 1):
            left = length - 1 - (cuts[-1] if already else 0)
            cuts.append(draw(st.sampled_from([n for n in range(min(left, 5) + 1) if n not in cuts] or [0])))
    padding = Padding(*cuts) if spatial == 2 else Padding(0, 0, *cuts)
    groups = draw(st.integers(1, 3))
    channels, filters = distinct(draw, 1, 3, 2)
    return Geometry(
        draw(batches), groups * channels, size, kernel, stride, padding, dilation, groups * filters, groups, extra
    )


# Sizes, kernels and numbers of samples, channels and filters of `corners`: 1 most often, then primes, then what lies
# around the kernels' blocks of 16.
CORNER_SIZES = (1, 1, 1, 2, 3, 5, 7, 11, 13, 17)
CORNER_KERNELS = (1, 1, 1, 2, 3, 5)
CORNER_COUNTS = (1, 1, 2, 3, 7, 15, 16, 17, 33)
# Multiply-adds of a corner, at most.
CORNER_WORK = 3_000_000


def corner_axis(draw: Any) -> tuple[int, int, int, int, int, int]:
    """Size, kernel, stride, padding before and after, and dilation of an axis; strides are often beyond the size."""
    size, kernel = draw(st.sampled_from(CORNER_SIZES)), draw(st.sampled_from(CORNER_KERNELS))
    stride = draw(st.sampled_from((1, 1, 2, 3, size, size + 1, 2 * size + 1)))
    before, after = draw(st.sampled_from((0, 0, 0, 1, 2, 4))), draw(st.sampled_from((0, 0, 0, 1, 2, 4)))
    dilation = draw(st.sampled_from((1, 1, 1, 2, 3)))
    # A kernel that does not fit covers the image exactly.
    if dilation * (kernel - 1) + 1 > size + before + after:
        kernel, dilation = size + before + after, 1
    return size, kernel, stride, before, after, dilation


@st.composite
def corners(draw: Any) -> Geometry:
    """Convolutions at the edges of what there is: any size, kernel or count may be 1, any stride beyond the image.

    Unlike the others they may be square.
    """
    rows, columns = corner_axis(draw), corner_axis(draw)
    square = draw(st.sampled_from((0, 0, 0, 1, 3, 3, 5, 5)))
    if square:
        # What some algorithms are made for: square kernels whose steps are 1; one of 1 pixel without padding.
        rows, columns = (
            (max(n, square), square, 1, *((before, after) if square > 1 else (0, 0)), 1)
            for n, _, _, before, after, _ in (rows, columns)
        )
    size, kernel, stride, before, after, dilation = zip(rows, columns, strict=True)
    batch, channels, filters = (draw(st.sampled_from(CORNER_COUNTS)) for _ in range(3))
    geometry = Geometry(
        batch, channels, size, kernel, stride, Padding(before[0], after[0], before[1], after[1]), dilation, filters,
        is_corner=True,
    )  # fmt: skip
    assume(batch * channels * filters * geometry.window.taps * geometry.window.positions <= CORNER_WORK)
    if draw(st.sampled_from((False, False, False, True))):
        # A filter or a few for each channel.
        geometry = replace(geometry, filters=channels * draw(st.sampled_from((1, 1, 2, 3))), groups=channels)
    return geometry


@st.composite
def transposed_corners(draw: Any) -> Geometry:
    """Transposed convolutions of the same kind, with output padding up to its limit."""
    rows, columns = corner_axis(draw), corner_axis(draw)
    size, kernel, stride, _, _, dilation = zip(rows, columns, strict=True)
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    full = [
        (n - 1) * s + d * (k - 1) + 1 + e for n, s, d, k, e in zip(size, stride, dilation, kernel, extra, strict=True)
    ]
    cuts = [draw(st.sampled_from(sorted({0, min(1, n - 1), (n - 1) // 2}))) for n in full for _ in range(2)]
    # At least one pixel is left.
    assume(cuts[0] + cuts[1] < full[0] and cuts[2] + cuts[3] < full[1])
    batch, channels, filters = (draw(st.sampled_from(CORNER_COUNTS)) for _ in range(3))
    geometry = Geometry(
        batch, channels, size, kernel, stride, Padding(*cuts), dilation, filters, output_padding=extra, is_corner=True
    )
    work = batch * channels * filters * kernel[0] * kernel[1] * size[0] * size[1]
    assume(work <= CORNER_WORK and full[0] * full[1] * batch * filters <= CORNER_WORK)
    return geometry


@st.composite
def poolings(draw: Any, spatial: int = 2, dilated: bool = True) -> Geometry:
    """Pooling windows over images of 1 to 12 pixels a side, with and without ceil_mode."""
    size, stride = distinct(draw, 1, LARGEST, spatial), distinct(draw, 1, 4, spatial)
    ceil_mode, most = draw(st.booleans()), 3 if dilated else 1

    def share(a: Axis, b: Axis) -> bool:
        return a.kernel == b.kernel or (dilated and a.dilation == b.dilation)

    axes = drawn_axes(
        draw, [pooling_axes(*of_axis, ceil_mode, most) for of_axis in zip(size, stride, strict=True)], share
    )
    return Geometry(
        draw(batches), draw(st.integers(1, 3)), size, tuple(a.kernel for a in axes), stride, padding_of(axes),
        tuple(a.dilation for a in axes), ceil_mode=ceil_mode,
    )  # fmt: skip


@st.composite
def pooling_corners(draw: Any, dilated: bool = True) -> Geometry:
    """Pooling windows at the edges of what there is; see `corners`."""
    size = tuple(draw(st.sampled_from(CORNER_SIZES)) for _ in range(2))
    stride = tuple(draw(st.sampled_from((1, 2, 3, n, n + 1, 2 * n + 1))) for n in size)
    ceil_mode = draw(st.booleans())
    axes = [
        draw(st.sampled_from(pooling_axes(*of_axis, ceil_mode, 3 if dilated else 1)))
        for of_axis in zip(size, stride, strict=True)
    ]
    return Geometry(
        draw(st.sampled_from(CORNER_COUNTS)), draw(st.sampled_from(CORNER_COUNTS)), size,
        tuple(a.kernel for a in axes), stride, padding_of(axes), tuple(a.dilation for a in axes), ceil_mode=ceil_mode,
        is_corner=True,
    )  # fmt: skip
