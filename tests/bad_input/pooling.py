"""Pooling in one and two dimensions, over sliding windows and over windows that share the input out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minidl.functional as F
from bad_input._row import Row, ones
from minidl import nn
from minidl.errors import ArgumentError, DTypeError, ShapeError
from minidl.geometry import Padding

IMAGES, SIGNALS = ones(2, 3, 8, 9), ones(2, 3, 9)


def ranks_and_dtypes(name: str, size: Any) -> list[Row]:
    """What every function refuses of its input."""
    function: Callable[..., Any] = getattr(F, name)
    good, axes = (IMAGES, "H, W") if name.endswith("2d") else (SIGNALS, "L")
    least, most = good.ndim - 1, good.ndim
    return [
        (f"{name}: too few axes", lambda: function(ones(*[4] * (least - 1)), size), ShapeError,
         rf"^{name}: input must have {most} dimensions \(N, C, {axes}\) or {least} \(C, {axes}\), got {least - 1}: "),
        (f"{name}: too many axes", lambda: function(good[None], size), ShapeError,
         rf"^{name}: input must have {most} dimensions .* got {most + 1}: "),
        (f"{name}: no pixels", lambda: function(good[..., :0], size), ShapeError,
         rf"^{name}: input has no channels or no pixels.*only N may be 0"),
        (f"{name}: no channels", lambda: function(good[:, :0], size), ShapeError, rf"^{name}: input has no channels"),
        (f"{name}: integers", lambda: function(good.astype(np.int64), size), DTypeError,
         rf"^{name}: input must be float32 or float64, got int64"),
        (f"{name}: booleans", lambda: function(good > 0, size), DTypeError,
         rf"^{name}: input must be float32 or float64, got bool"),
        (f"{name}: None", lambda: function(None, size), DTypeError,
         rf"^{name}: input must be a tensor or an array, got NoneType"),
    ]  # fmt: skip


def windows(name: str) -> list[Row]:
    """What every function of a sliding window refuses."""
    function: Callable[..., Any] = getattr(F, name)
    good = IMAGES if name.endswith("2d") else SIGNALS
    kind = "a pair of ints" if name.endswith("2d") else "one in a tuple"
    kernel = r"\(3, 3\)" if name.endswith("2d") else r"\(3,\)"
    rows: list[Row] = [
        (f"{name}: kernel 0", lambda: function(good, 0), ArgumentError,
         rf"^{name}: kernel_size must be at least 1, got 0"),
        (f"{name}: kernel None", lambda: function(good, None), ArgumentError,
         rf"^{name}: kernel_size must be an int or {kind}, got None"),
        (f"{name}: kernel 2.0", lambda: function(good, 2.0), ArgumentError,
         rf"^{name}: kernel_size must be .*got 2\.0"),
        (f"{name}: kernel of three", lambda: function(good, (1, 2, 3)), ArgumentError,
         rf"^{name}: kernel_size must be an int or {kind}"),
        (f"{name}: stride 0", lambda: function(good, 2, 0), ArgumentError,
         rf"^{name}: stride must be at least 1, got 0"),
        (f"{name}: stride True", lambda: function(good, 2, True), ArgumentError,
         rf"^{name}: stride must be .*got True"),
        (f"{name}: stride '2'", lambda: function(good, 2, "2"), ArgumentError,
         rf"^{name}: stride must be .*got '2'"),
        (f"{name}: padding", lambda: function(good, 3, padding=2), ArgumentError,
         rf"^{name}: padding must be at most half of kernel_size {kernel}, got 2"),
        (f"{name}: padding on one side", lambda: function(good, 3, padding=Padding(0, 0, 0, 2)), ArgumentError,
         rf"^{name}: padding must be at most half"),
        (f"{name}: padding -1", lambda: function(good, 3, padding=-1), ArgumentError,
         rf"^{name}: padding must be at least 0, got -1"),
        (f"{name}: padding 'same'", lambda: function(good, 3, padding="same"), ArgumentError,
         rf"^{name}: padding must be an int or {kind}, got 'same'"),
        (f"{name}: padding None", lambda: function(good, 3, padding=None), ArgumentError,
         rf"^{name}: padding must be .*got None"),
        (f"{name}: too large", lambda: function(good, 10, 1), ShapeError,
         rf"^{name}: the kernel of 10.* is larger than"),
        (f"{name}: too large for ceil_mode", lambda: function(good, 12, 2, ceil_mode=True), ShapeError,
         rf"^{name}: the kernel of 12.* is larger than"),
        *[(f"{name}: ceil_mode {value!r}", lambda value=value: function(good, 2, ceil_mode=value), ArgumentError,
           rf"^{name}: ceil_mode must be True or False, got {value!r}") for value in (1, None, "yes")],
    ]  # fmt: skip
    if name.startswith("max"):
        wide, padding = ((1, 2), (0, 1)) if name.endswith("2d") else (2, 1)
        rows += [
            (f"{name}: dilation 0", lambda: function(good, 2, dilation=0), ArgumentError,
             rf"^{name}: dilation must be at least 1, got 0"),
            (f"{name}: dilation None", lambda: function(good, 2, dilation=None), ArgumentError,
             rf"^{name}: dilation must be an int or {kind}, got None"),
            (f"{name}: dilated too large", lambda: function(good, 4, 1, dilation=3), ShapeError,
             rf"^{name}: the kernel of 4.*dilated to 10.* is larger than"),
            # PyTorch writes out of bounds here.
            (f"{name}: nothing but padding", lambda: function(good[..., :1], wide, 1, padding, dilation=2), ShapeError,
             rf"^{name}: kernel_size .*2.* with dilation .*2.* and padding .*1.* sees nothing but padding"),
            *[(f"{name}: return_indices {value!r}", lambda value=value: function(good, 2, return_indices=value),
               ArgumentError, rf"^{name}: return_indices must be True or False, got {value!r}") for value in (1, None)],
        ]  # fmt: skip
    else:
        rows += [
            (f"{name}: count_include_pad {value!r}", lambda value=value: function(good, 2, count_include_pad=value),
             ArgumentError, rf"^{name}: count_include_pad must be True or False, got {value!r}") for value in (0, None)
        ]  # fmt: skip
    return rows


def sizes(name: str) -> list[Row]:
    """What every adaptive function refuses of its output's size."""
    function: Callable[..., Any] = getattr(F, name)
    good, kind = (IMAGES, "a pair of ints") if name.endswith("2d") else (SIGNALS, "one in a tuple")
    wrong: list[Any] = [None, 2.0, "2", True, (2, 2, 2), (), (2.5,) * (good.ndim - 2), np.array([2, 2])]
    # A pair where one is meant, one where a pair is meant; None in one dimension.
    wrong += [(3,)] if name.endswith("2d") else [(3, 3), (None,)]
    return [
        *[(f"{name}: output_size {value!r}", lambda value=value: function(good, value), ArgumentError,
           rf"^{name}: output_size must be an int or {kind}, got ") for value in wrong],
        # PyTorch takes 0, and gives a result without pixels, which no other operation here takes.
        *[(f"{name}: output_size {value!r}", lambda value=value: function(good, value), ArgumentError,
           rf"^{name}: output_size must be at least 1, got ") for value in (0, -1)],
        (f"{name}: huge output_size", lambda: function(good, (1, 2**62)[-good.ndim + 2 :]), ShapeError,
         rf"^{name}: a result of shape .*, {2**62}\) takes .* GiB; this process has "),
    ]  # fmt: skip


ROWS: list[Row] = [
    *[row for name in ("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d")
      for row in (*ranks_and_dtypes(name, 2), *windows(name))],
    *[row for name in ("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d")
      for row in (*ranks_and_dtypes(name, 2), *sizes(name))],
    *[(f"avg_pool2d: divisor_override {value!r}", lambda value=value: F.avg_pool2d(IMAGES, 2, divisor_override=value),
       ArgumentError, rf"^avg_pool2d: divisor_override must be an int other than 0 or None, got {value!r}")
      for value in (0, 1.5, True, "2")],
    *[(f"{name}: return_indices 1", lambda name=name: getattr(F, name)(IMAGES[0] if "1d" in name else IMAGES, 2, 1),
       ArgumentError, rf"^{name}: return_indices must be True or False, got 1")
      for name in ("adaptive_max_pool1d", "adaptive_max_pool2d")],
    # Layers, whose settings are checked by their functions.
    ("MaxPool1d", lambda: nn.MaxPool1d(2, padding=2)(SIGNALS), ArgumentError,
     r"^max_pool1d: padding must be at most half of kernel_size \(2,\), got 2\n  in layer .*\(MaxPool1d\)$"),
    ("MaxPool2d", lambda: nn.Sequential(nn.MaxPool2d((9, 2)))(IMAGES), ShapeError,
     r"^max_pool2d: the kernel of 9 x 2 is larger than the input of 8 x 9.*\n  in layer 0 \(MaxPool2d\)$"),
    ("MaxPool2d's ceil_mode", lambda: nn.MaxPool2d(2, ceil_mode=None)(IMAGES), ArgumentError,
     r"^MaxPool2d: ceil_mode must be True or False, got None$"),
    ("AvgPool1d", lambda: nn.AvgPool1d(0)(SIGNALS), ArgumentError, r"^avg_pool1d: kernel_size must be at least 1"),
    ("AvgPool2d", lambda: nn.AvgPool2d(2, divisor_override=0)(IMAGES), ArgumentError,
     r"^AvgPool2d: divisor_override must be an int other than 0 or None, got 0$"),
    ("AdaptiveMaxPool1d", lambda: nn.AdaptiveMaxPool1d(None)(SIGNALS), ArgumentError,
     r"^adaptive_max_pool1d: output_size must be an int or one in a tuple, got None\n"),
    ("AdaptiveMaxPool2d", lambda: nn.AdaptiveMaxPool2d((3,))(IMAGES), ArgumentError,
     r"^adaptive_max_pool2d: output_size must be an int or a pair of ints, got \(3,\)\n"),
    ("AdaptiveAvgPool1d", lambda: nn.AdaptiveAvgPool1d(3)(IMAGES), ShapeError,
     r"^adaptive_avg_pool1d: input must have 3 dimensions \(N, C, L\) or 2 \(C, L\), got 4"),
    ("AdaptiveAvgPool2d", lambda: nn.AdaptiveAvgPool2d((-1, None))(IMAGES), ArgumentError,
     r"^adaptive_avg_pool2d: output_size must be at least 1"),
]  # fmt: skip
