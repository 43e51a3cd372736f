"""Estimates of what rounding does to a function at a point, and to its gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minidl.testing.numeric import noise_of, typical_scale
from minidl.testing.subject import Subject

Array = np.ndarray

# Relative noise by which one knows a function that computes in less than float64.
_REDUCED = 1e-10
# Upstream gradients of these sizes show what rounding leaves in a gradient: no powers of two, which change no digit.
_SIZES = (0.7, 1.9, 0.3)
# There may be so many times as much as they show.
_ROUNDED = 100
_EQUAL = 1e-6


def noise_along(values: Callable[[float, int], Array], subject: Subject, centre: Array) -> Array:
    """The noise of each output along a line, at least what the rounding of the result alone makes."""
    itemsize = min(each.array.dtype.itemsize for each in subject.inputs)
    return np.maximum(noise_of(values, itemsize), rounded(centre))


def rounded(values: Array) -> Array:
    """The noise that comes of rounding results alone."""
    return 0.3 * np.finfo(np.float64).eps * np.abs(values)


def measure(subject: Subject, centre: Array) -> Array:
    """The noise of each output at the point."""

    def direction(x: Array, spacing: float) -> Array:
        """Steps that are odd multiples of the last digit: nothing rounds them, and they meet all roundings inside."""
        scale = np.where(x != 0, np.abs(x), typical_scale(x)).astype(x.dtype)
        # From 1, since a power of two times the scale meets no rounding to float32.
        number = np.arange(1, x.size + 1).reshape(x.shape)
        # Multiples of the golden ratio have no two elements move alike.
        count = spacing / np.finfo(x.dtype).eps * (0.5 + 0.5 * (number * 0.6180339887498949 % 1))
        odd = 2 * np.floor(count / 2) + 1
        return (np.where(number % 3 == 1, -1, 1) * odd * np.spacing(scale)).astype(x.dtype)

    lines: dict[float, Callable] = {}

    def values(spacing: float, i: int) -> Array:
        if spacing not in lines:
            lines[spacing] = subject.line([direction(x, spacing) for x in subject.start])
        return lines[spacing](float(i))[1]

    noise = noise_along(values, subject, centre)
    parts = zip(subject.split(noise), subject.split(np.abs(centre)), strict=True)
    return np.concatenate([_levelled(own, size).reshape(-1) for own, size in parts])


def _levelled(noise: Array, size: Array) -> Array:
    """An output's noise, no less than what most of its elements have in relation to their values.

    What is computed in float32 is so everywhere, and doesn't show in elements that hardly move.
    """
    with np.errstate(all="ignore"):
        relative = noise[size > 0] / size[size > 0]
    usual = float(np.median(relative)) if relative.size else 0.0
    return np.maximum(noise, usual * size) if usual > _REDUCED else noise


def backward_rounding(subject: Subject, jacobian: list[Array]) -> list[Array]:
    """Measure what rounding leaves in analytic Jacobians, as far as it shows with upstream gradients of other sizes.

    Where terms cancel in the backward pass, what is left has nothing to do with the function's own rounding, and no
    step shows it. A size of -2 rounds nothing: what differs there is no rounding, and counts as none here.
    """
    return _resized_rounding(jacobian, lambda size: subject.jacobian(size)[0])


def upstream_rounding(subject: Subject, gradients: list[Array | None], upstream: Array) -> list[Array]:
    """Measure it in the gradients of one upstream gradient, in which other terms cancel than in those of its parts."""

    def filled(found: list[Array | None]) -> list[Array]:
        return [np.zeros(x.shape) if g is None else g for x, g in zip(subject.start, found, strict=True)]

    return _resized_rounding(
        filled(gradients), lambda size: filled(subject.pull_back(list(subject.split(size * upstream))))
    )


def _resized_rounding(gradients: list[Array], pulled_back: Callable[[float], list[Array]]) -> list[Array]:
    found = [np.zeros(rows.shape) for rows in gradients]
    for size in _SIZES:
        for most, rows, other in zip(found, gradients, pulled_back(size), strict=True):
            np.maximum(most, _ROUNDED * np.abs(other.reshape(rows.shape) / size - rows), out=most)
    for most, rows, other in zip(found, gradients, pulled_back(-2.0), strict=True):
        most[np.abs(other.reshape(rows.shape) / -2 - rows) > _EQUAL * np.abs(rows)] = 0
    return found
