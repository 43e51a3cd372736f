"""An array of any number of axes laid out on a plane: which element each cell shows, and what the axes are called."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, prod, sqrt

import numpy as np

from minidl.testing.findings import VERDICTS

Array = np.ndarray
Ticks = tuple[list[float], list[str]]

_LONGEST_STRIP = 40
# A side has at most so many cells; a picture has hardly more points to give them.
_MAX_CELLS = 320
_MAX_TICKS = 12


@dataclass
class Canvas:
    """The places of an array's elements.

    Attributes
    ----------
    place : ndarray of int (rows, columns)
        Positions in the flat array; -1 in gaps.
    x_label, y_label, x_ticks, y_ticks
        Of the axes.
    blocks : bool
        Whether there are blocks with gaps between them.
    remarks : list of str
        What one has to know of how it was folded.
    """

    place: Array
    x_label: str = ""
    y_label: str = ""
    x_ticks: Ticks = field(default_factory=lambda: ([], []))
    y_ticks: Ticks = field(default_factory=lambda: ([], []))
    blocks: bool = False
    remarks: list[str] = field(default_factory=list)

    # A cell stands for so many elements, down and across.
    step: tuple[int, int] = (1, 1)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        rows, columns = self.place.shape
        return ceil(rows / self.step[0]), ceil(columns / self.step[1])

    def spread(self, error: Array, state: Array) -> tuple[Array, Array, Array]:
        """The largest error and the worst verdict of each cell, and whether a compared element in it is NaN."""
        gap = self.place < 0
        errors = np.where(gap, np.nan, error.reshape(-1)[self.place])
        states = np.where(gap, VERDICTS.index("not compared"), state.reshape(-1)[self.place])
        broken = np.isnan(errors) & (states > VERDICTS.index("not compared"))
        if self.step == (1, 1):
            return errors, states, broken
        worst = self._worst(np.where(np.isnan(errors), -1.0, errors), -1.0)
        return np.where(worst < 0, np.nan, worst), self._worst(states, 0), self._worst(broken, False)

    def _worst(self, cells: Array, nothing: float) -> Array:
        down, across = self.step
        rows, columns = self.shape
        padding = ((0, rows * down - cells.shape[0]), (0, columns * across - cells.shape[1]))
        padded = np.pad(cells, padding, constant_values=nothing)
        return np.asarray(padded.reshape(rows, down, columns, across).max(axis=(1, 3)))


def lay_out(shape: tuple[int, ...]) -> Canvas:
    """Give each element of an array of this shape its cell."""
    shape = tuple(int(size) for size in shape)
    if not prod(shape):
        return Canvas(np.full((1, 1), -1))
    numbers = np.arange(prod(shape)).reshape(shape)
    if len(shape) < 2:
        canvas = _strip(numbers.reshape(-1), len(shape))
    elif len(shape) == 2:
        canvas = Canvas(numbers, "axis 1", "axis 0", _ticks(shape[1]), _ticks(shape[0]))
    else:
        canvas = _blocks(numbers)
    rows, columns = canvas.place.shape
    canvas.step = (ceil(rows / _MAX_CELLS), ceil(columns / _MAX_CELLS))
    if canvas.step != (1, 1):
        down, across = canvas.step
        canvas.remarks.append(f"each cell shows the worst of {down} x {across} elements")
        canvas.x_ticks = ([place / across for place in canvas.x_ticks[0]], canvas.x_ticks[1])
        canvas.y_ticks = ([place / down for place in canvas.y_ticks[0]], canvas.y_ticks[1])
    return canvas


def _strip(numbers: Array, rank: int) -> Canvas:
    size = len(numbers)
    if not rank:
        return Canvas(numbers.reshape(1, 1))
    if size <= _LONGEST_STRIP:
        return Canvas(numbers.reshape(1, size), "axis 0", "", _ticks(size))
    # Rows of a round length, in which an index is found by adding.
    wanted = sqrt(3 * size)
    columns = next(n for n in (20, 50, 100, 200, 500, 1000, 2000, 5000, 10**9) if n >= min(wanted, 5000) or n > size)
    columns = min(columns, size)
    rows = ceil(size / columns)
    place = np.full(rows * columns, -1)
    place[:size] = numbers
    places, _ = _ticks(rows)
    y_ticks = (places, [f"{int(row) * columns:,}" for row in places])
    canvas = Canvas(
        place.reshape(rows, columns), "axis 0: index in its row", "first index of a row", _ticks(columns), y_ticks
    )
    canvas.remarks.append(f"folded: each row is {columns:,} elements of axis 0")
    return canvas


def _blocks(numbers: Array) -> Canvas:
    """The last two axes as blocks; the one before runs across, all others down."""
    *front, height, width = numbers.shape
    rank = numbers.ndim
    across = front[-1]
    down = prod(front[:-1])
    inside = f"inside a block, axis {rank - 2} runs down and axis {rank - 1} across"
    wrapped = down == 1 or across == 1
    if wrapped:
        # Only one axis has blocks to set out, which would make a long row or column.
        total = down * across
        across = min(total, max(1, ceil(sqrt(total * max(height, 1) / max(width, 1) * 1.6))))
        across = total if total <= 6 else across
        down = ceil(total / across)
        order = np.full(down * across, -1)
        order[:total] = np.arange(total)
    else:
        order = np.arange(down * across)
    gap = 1 if max(down * height, across * width) <= _MAX_CELLS and height * width > 1 else 0
    flat = numbers.reshape(-1, height, width)
    blocks = np.where(order[:, None, None] >= 0, flat[order], -1).reshape(down, across, height, width)
    apart = np.pad(blocks, ((0, 0), (0, 0), (0, gap), (0, gap)), constant_values=-1)
    canvas = apart.transpose(0, 2, 1, 3).reshape(down * (height + gap), across * (width + gap))
    canvas = canvas[: len(canvas) - gap, : canvas.shape[1] - gap]
    x_ticks = _block_ticks(across, width + gap, (width - 1) / 2)
    y_ticks = _block_ticks(down, height + gap, (height - 1) / 2)
    remark = inside
    if wrapped:
        axis = max(range(rank - 2), key=lambda axis: numbers.shape[axis])
        y_ticks = (y_ticks[0], [str(int(label) * across) for label in y_ticks[1]])
        x_label = f"axis {axis}: a block for each index"
        y_label = f"axis {axis}: first index of a row" if down > 1 else ""
        if down == 1:
            y_ticks = ([], [])
        else:
            x_ticks = (x_ticks[0], [f"+{label}" for label in x_ticks[1]])
            x_label = f"axis {axis}: what a block's column adds to it"
    else:
        x_label = f"axis {rank - 3}: a block for each index"
        y_label = "axis 0: a block for each index"
        if rank > 4:
            names = ", ".join(str(axis) for axis in range(rank - 3))
            y_label = f"axes {names}, folded together"
            y_ticks = (
                y_ticks[0],
                [str([int(i) for i in np.unravel_index(int(label), front[:-1])]) for label in y_ticks[1]],
            )
    return Canvas(canvas, x_label, y_label, x_ticks, y_ticks, blocks=True, remarks=[remark])


def _ticks(size: int) -> Ticks:
    step = _round_step(size)
    places = list(range(0, size, step))
    return [float(place) for place in places], [str(place) for place in places]


def _block_ticks(number: int, pitch: int, middle: float) -> Ticks:
    step = _round_step(number)
    blocks = list(range(0, number, step))
    return [block * pitch + middle for block in blocks], [str(block) for block in blocks]


def _round_step(size: int) -> int:
    for power in range(12):
        for first in (1, 2, 5):
            step = first * 10**power
            if size / step <= _MAX_TICKS:
                return int(step)
    return max(size, 1)
