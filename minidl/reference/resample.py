"""Padding and interpolation, position by position."""

from __future__ import annotations

from math import floor, prod

import numpy as np

__all__ = [
    "interpolate",
    "pad",
]

Array = np.ndarray


def pad(x: Array, widths: list[tuple[int, int]], mode: str = "constant", value: float = 0.0) -> Array:
    """`x` with positions before and after those of each dimension; `widths` has a pair for each, less than 0 to crop.

    Mirrored and repeated positions are those of the whole `x`, wrapped ones those of what cropping leaves.
    """
    out = np.empty([n + leading + trailing for n, (leading, trailing) in zip(x.shape, widths, strict=True)], x.dtype)
    for index in np.ndindex(out.shape):
        place = tuple(_source(i - w[0], n, w, mode) for i, n, w in zip(index, x.shape, widths, strict=True))
        out[index] = value if None in place else x[place]
    return out


def _source(i: int, size: int, widths: tuple[int, int], mode: str) -> int | None:
    """The position that is copied to i, which counts from the first one of `size`; None for the constant."""
    if mode == "constant":
        return i if 0 <= i < size else None
    if mode == "replicate":
        return min(max(i, 0), size - 1)
    if mode == "reflect":
        # There and back again, without the ends a second time.
        turn = i % max(2 * (size - 1), 1)
        return min(turn, 2 * (size - 1) - turn)
    first, end = max(-widths[0], 0), size - max(-widths[1], 0)
    return first + (i - first) % (end - first)


def interpolate(
    x: Array, size: tuple[int, ...], mode: str, scales: tuple[float, ...], align_corners: bool = False
) -> Array:
    """(N, C, ...) in another size; `scales` says how many positions of `x` go by for one of the result."""
    positions = x.astype(np.float64).reshape(*x.shape[:2], prod(x.shape[2:]))
    out = np.zeros((*x.shape[:2], prod(size)))
    for i, index in enumerate(np.ndindex(*size)):
        # Each position of x that has a part in this one, with its weight.
        parts: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
        for j, n, scale in zip(index, x.shape[2:], scales, strict=True):
            parts = [
                ((*place, position), weight * share)
                for place, weight in parts
                for position, share in _parts(j, n, mode, scale, align_corners)
            ]
        for place, weight in parts:
            out[:, :, i] += weight * positions[:, :, np.ravel_multi_index(place, x.shape[2:])]
    return out.reshape(*x.shape[:2], *size).astype(x.dtype)


def _parts(i: int, size: int, mode: str, scale: float, align_corners: bool) -> list[tuple[int, float]]:
    """Find where position i of the result falls among `size` ones."""
    if mode == "nearest":
        return [(min(floor(np.float32(i) * np.float32(scale)), size - 1), 1.0)]
    place = i * scale if align_corners else (i + 0.5) * scale - 0.5
    place = min(max(place, 0.0), size - 1.0)
    left = floor(place)
    return [(left, 1 - (place - left))] + ([(left + 1, place - left)] if place > left else [])
