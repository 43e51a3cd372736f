"""Images in another size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from minidl.arguments import check_room
from minidl.errors import ArgumentError, ShapeError
from minidl.ops._common import as_tensor, check_choice, check_floating
from minidl.ops.resample import AlongAxis, SparseMatrix

__all__ = ["interpolate"]

# The height and width of an image together, at most, for which PyTorch has a kernel of its own.
_SMALL = 128
# The numbers of dimensions that a mode takes.
_MODES = {"nearest": (3, 4), "linear": (3,), "bilinear": (4,)}


def interpolate(
    input: Any,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Any:
    """Resize images, or signals in one dimension, by copying pixels or by mixing neighbouring ones.

    Parameters
    ----------
    input : Tensor (N, C, H, W) or (N, C, L)
        Float32 or float64.
    size : int or sequence of int, optional
        (OH, OW) or (OL,); an int stands for all of them. Either this or `scale_factor` is given.
    scale_factor : float or sequence of float, optional
        What the sizes are multiplied with, and rounded down.
    mode : str
        "nearest" copies the pixel at floor(position in / size out * size in); "bilinear" (for images) and "linear"
        (for signals) weight the pixels on both sides of the position by their distance, along one axis after the
        other; an axis whose size stays is copied.
    align_corners : bool, optional
        Not for "nearest". If False (the default), positions are the centres of pixels that are squares, and the
        outer edges of both images meet; positions beyond the outermost centres take the value there. If True, the
        centres of the corner pixels meet.
    recompute_scale_factor : bool, optional
        Whether positions are found by the ratio of the sizes instead of by `scale_factor`, where rounding made a
        difference.

    Returns
    -------
    Tensor (N, C, OH, OW) or (N, C, OL)
        Of the same dtype. A pixel without weight has no influence, even if it is infinite.

    Raises
    ------
    ShapeError
        If the input has another number of dimensions than the mode takes, no channels or no pixels, or the result
        would have no pixels.
    ArgumentError
        If not exactly one of `size` and `scale_factor` is given, one of the arguments has no allowed value, or
        `align_corners` or `recompute_scale_factor` is given where it means nothing.
    DTypeError
        If `input` is not floating.

    Notes
    -----
    "nearest" copies the pixels that PyTorch copies, so it follows PyTorch where `scale_factor` and the sizes don't fit
    each other because the size was rounded down: images whose new height and width are 128 or less together, and only
    those, ignore a factor that leaves a size, or exactly twice the size, as if `recompute_scale_factor` were set.
    PyTorch's gradient ignores it for all images and signals, and is not that of what was copied then; minidl's is.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> x = minidl.tensor([[[1.0, 2.0, 5.0]]])
    >>> F.interpolate(x, scale_factor=2)
    tensor([[[1., 1., 2., 2., 5., 5.]]])
    >>> F.interpolate(x, 5, mode="linear", align_corners=True)
    tensor([[[1. , 1.5, 2. , 3.5, 5. ]]])
    """
    x = as_tensor("interpolate", "input", input)
    check_floating("interpolate", "input", x)
    check_choice("interpolate", "mode", mode, tuple(_MODES))
    for name, value in (("align_corners", align_corners), ("recompute_scale_factor", recompute_scale_factor)):
        if value is not None and not isinstance(value, bool):
            raise ArgumentError(f"interpolate: {name} must be True, False or None, got {value!r}")
    if mode == "nearest" and align_corners is not None:
        raise ArgumentError(f"interpolate: align_corners does not go with mode='nearest', got {align_corners}")
    shape = x.data.shape
    if len(shape) not in _MODES[mode]:
        ranks = " or ".join({3: "3 dimensions (N, C, L)", 4: "4 dimensions (N, C, H, W)"}[n] for n in _MODES[mode])
        raise ShapeError(f"interpolate: input must have {ranks} with mode={mode!r}, got {len(shape)}: {shape}")
    if 0 in shape[1:]:
        raise ShapeError(f"interpolate: input has no channels or no pixels, its shape is {shape}; only N may be 0")
    sizes, factors = _sizes(shape[2:], size, scale_factor, bool(recompute_scale_factor))
    is_small = len(shape) == 4 and sum(sizes) <= _SMALL
    check_room("interpolate", (*shape[:2], *sizes), x.data.itemsize)
    # From the last axis on: reading it position by position is slow, and the others are still short then.
    for axis in range(len(shape))[:1:-1]:
        input_size, output_size, factor = shape[axis], sizes[axis - 2], factors[axis - 2]
        if mode == "nearest":
            matrix = _nearest(input_size, output_size, factor, x.data.dtype.type, is_small)
        else:
            matrix = _linear(input_size, output_size, factor, bool(align_corners))
        x = AlongAxis(matrix, axis)(x)
    return x


def _sizes(
    input_size: tuple[int, ...], size: Any, scale_factor: Any, recompute: bool
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The sizes after, and the factors by which positions are found if not by the ratio of the sizes."""
    if (size is None) == (scale_factor is None):
        found = "neither" if size is None else f"{size!r} and {scale_factor!r}"
        raise ArgumentError(f"interpolate: either size or scale_factor must be given, got {found}")
    ratios = (None,) * len(input_size)
    if size is not None:
        if recompute:
            raise ArgumentError("interpolate: recompute_scale_factor goes with scale_factor, not with size")
        sizes = _each("size", size, len(input_size), int | np.integer, "int")
    else:
        factors = _each("scale_factor", scale_factor, len(input_size), int | float | np.integer | np.floating, "number")
        if not all(0 < factor < float("inf") for factor in factors):
            raise ArgumentError(f"interpolate: scale_factor must be positive and finite, got {scale_factor!r}")
        sizes = tuple([int(n * factor) for n, factor in zip(input_size, factors, strict=True)])
    if min(sizes) < 1:
        raise ShapeError(
            f"interpolate: input of size {input_size} would get the size {sizes}; at least 1 each is needed"
        )
    return sizes, ratios if size is not None or recompute else factors


def _each(name: str, value: Any, count: int, kind: Any, called: str) -> tuple:
    """One value for each axis, from one for all or a sequence."""
    values = tuple(value) if isinstance(value, list | tuple) else (value,) * count
    if len(values) != count or not all(isinstance(v, kind) and not isinstance(v, bool) for v in values):
        raise ArgumentError(
            f"interpolate: {name} must be one {called} or {count}, one for each axis after the channels, got {value!r}"
        )
    return tuple([int(v) if called == "int" else float(v) for v in values])


@lru_cache(maxsize=256)
def _nearest(input_size: int, output_size: int, factor: float | None, real: type, is_small: bool) -> SparseMatrix:
    """Row i has a 1 at floor(i before / after), rounded as PyTorch's kernels do it.

    One kernel, for small images, copies sizes that stay and doubles those that double, and finds all else in float32;
    another one, for all other inputs, finds positions in the dtype and rounds them to float32.
    """
    rows: np.ndarray = np.arange(output_size)
    if is_small and output_size in (input_size, 2 * input_size):
        return SparseMatrix((output_size, input_size), rows, rows * input_size // output_size)
    number = np.float32 if is_small else real
    step = number(input_size) / number(output_size) if factor is None else number(1 / factor)
    source = np.floor((rows.astype(number) * step).astype(np.float32)).astype(np.intp)
    return SparseMatrix((output_size, input_size), rows, np.minimum(source, input_size - 1))


@lru_cache(maxsize=256)
def _linear(input_size: int, output_size: int, factor: float | None, align_corners: bool) -> SparseMatrix:
    """Row i has weights that sum to 1 at the two positions around where i falls."""
    rows: np.ndarray = np.arange(output_size)
    if input_size == output_size:
        # Also with a factor that only rounding took away, as in PyTorch.
        return SparseMatrix((output_size, input_size), rows, rows)
    # Dividing last makes positions that are whole numbers exactly so, and their neighbours' weights exactly 0.
    if align_corners:
        source: np.ndarray = rows * (input_size - 1) / max(output_size - 1, 1)
    elif factor is None:
        source = (2 * rows + 1) * input_size / (2 * output_size) - 0.5
    else:
        source = (rows + 0.5) / factor - 0.5
    source = np.minimum(np.maximum(source, 0), input_size - 1)
    left = np.floor(source).astype(np.intp)
    weight = source - left
    partial = weight > 0
    return SparseMatrix(
        (output_size, input_size), np.concatenate([rows, rows[partial]]), np.concatenate([left, left[partial] + 1]),
        np.concatenate([1 - weight, weight[partial]]),
    )  # fmt: skip
