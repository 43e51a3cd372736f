"""Convolutions at the edges of what there is, by every algorithm and every way that one of them may be cut.

Sizes, kernels, channels, filters and batches of 1, strides beyond the image, and numbers around the kernels' blocks.
Values are small whole numbers, so that sums are exact in any order: all that does not transform its values must give
the reference's results to the last bit, in float32 too. `MINIDL_EXAMPLES=20000` tries more than 150.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import parity
import pytest
from bits import bits
from geometries import EXAMPLES, Geometry, corners, transposed_corners
from hypothesis import example, given
from hypothesis import strategies as st
from parity import assert_close

import minidl
from minidl import kernels, reference
from minidl.geometry import Padding, Window
from minidl.kernels import direct, implicit_gemm

Array = np.ndarray
pytestmark = pytest.mark.usefixtures("threads_everywhere")

# What transforms its values rounds; of the largest result, or product of values where results cancel.
TOLERANCE = {np.dtype(np.float32): 3e-4, np.dtype(np.float64): 1e-11}

met: Counter[str] = Counter()


class Way(NamedTuple):
    """One way to compute the three directions of a convolution without groups."""

    algorithm: str
    directions: tuple[str, ...] = ("forward", "input", "weight")
    # What decides within the algorithm, and what it is made to say.
    module: Any = None
    decisions: dict[str, Callable[..., Any]] = {}
    is_exact: bool = True


def say(answer: bool) -> Callable[..., bool]:
    return lambda *arguments: answer


def plan_by(cut: str) -> Callable[..., Any]:
    return lambda *arguments: getattr(direct, cut)(*arguments)


WAYS = {
    "im2col": Way("im2col"),
    "implicit_gemm, positions in the lanes": Way(
        "implicit_gemm", ("forward", "input", "weight"), implicit_gemm,
        {"lanes_are_filters": say(False), "taps_are_rows": say(False), "is_pointwise": say(False)},
    ),
    "implicit_gemm, filters in the lanes": Way(
        "implicit_gemm", ("forward", "weight"), implicit_gemm, {"lanes_are_filters": say(True)}
    ),
    "implicit_gemm, a row for each tap": Way(
        "implicit_gemm", ("input",), implicit_gemm, {"taps_are_rows": say(True), "is_pointwise": say(False)}
    ),
    "implicit_gemm, pixel by pixel": Way(
        "implicit_gemm", ("forward", "input"), implicit_gemm, {"lanes_are_filters": say(False)}
    ),
    "direct, by blocks": Way("direct", ("forward", "input", "weight"), direct, {"direct_plan": plan_by("_by_blocks")}),
    "direct, by bands": Way("direct", ("forward", "input", "weight"), direct, {"direct_plan": plan_by("_by_bands")}),
    "direct, by channel": Way("direct"),
    "winograd_2x2": Way("winograd_2x2", is_exact=False),
    "winograd_4x4": Way("winograd_4x4", is_exact=False),
    "winograd_rows": Way("winograd_rows", is_exact=False),
    "fft": Way("fft", is_exact=False),
    "auto": Way("auto", is_exact=False),
}  # fmt: skip


def whole_numbers(dtype: np.dtype, *shape: int) -> Array:
    return np.random.default_rng([len(shape), *shape]).integers(-2, 3, shape).astype(dtype)


def functions(algorithm: str, window: Window, groups: int) -> dict[str, Callable[..., Array]]:
    """What computes each direction, of its arrays alone."""
    how: dict[str, Any] = {"window": window, "groups": groups, "algorithm": algorithm}
    return {
        "forward": partial(kernels.conv2d, **how),
        "input": partial(kernels.conv2d_input_gradient, **how),
        "weight": partial(kernels.conv2d_weight_gradient, **how),
    }


def check(geometry: Geometry, window: Window, channels: int, filters: int, dtype: np.dtype) -> None:
    """All ways beside the reference, on one thread and two."""
    N, groups = geometry.batch or 0, geometry.groups
    x = whole_numbers(dtype, N, channels, *window.input_size)
    weight = whole_numbers(dtype, filters, channels // groups, *window.kernel_size)
    bias = whole_numbers(dtype, filters) if sum(window.input_size) % 2 else None
    grad = whole_numbers(dtype, N, filters, *window.output_size)
    wide = [None if a is None else a.astype(np.float64) for a in (x, weight, bias, grad)]
    dx, dw = reference.conv2d_im2col_gradients(wide[0], wide[1], wide[3], window, groups)
    expected = {"forward": reference.conv2d_im2col(*wide[:3], window, groups), "input": dx, "weight": dw}
    arrays = {"forward": (x, weight, bias), "input": (grad, weight), "weight": (x, grad)}
    for name, way in WAYS.items():
        if kernels.refusal(way.algorithm, channels, filters, groups, window, dtype.itemsize) is not None:
            continue
        if way.algorithm == "direct" and (groups > 1) != (name == "direct, by channel"):
            continue
        if name == "implicit_gemm, pixel by pixel" and not implicit_gemm.is_pointwise(window, dtype.itemsize):
            continue
        with pytest.MonkeyPatch.context() as patch:
            for decision, said in way.decisions.items():
                patch.setattr(way.module, decision, said)
            if way.decisions:
                # What was planned before has decided otherwise.
                kernels.conv._computing.cache_clear()
            for direction in way.directions:
                what = f"{direction} by {name} of {geometry} in {dtype}"
                results = []
                for threads in (1, 2):
                    minidl.set_num_threads(threads)
                    results.append(functions(way.algorithm, window, groups)[direction](*arrays[direction]))
                assert bits(results[0]) == bits(results[1]), f"two threads give other bits than one: {what}"
                if way.is_exact:
                    assert np.array_equal(results[0], expected[direction]), what
                else:
                    assert_close(results[0], expected[direction], TOLERANCE[dtype], what, 4)
                met[f"{direction} by {name}"] += 1
        if way.decisions:
            kernels.conv._computing.cache_clear()


dtypes = st.sampled_from([np.dtype(np.float32), np.dtype(np.float64)])


# A stride across an image of one column: the results of its rows were taken to lie as far apart.
ONE_COLUMN = Geometry(15, 17, (3, 1), (1, 1), (1, 2), Padding(0, 0, 0, 0), (1, 1), 16)


@example(ONE_COLUMN, np.dtype(np.float32))
@given(corners(), dtypes)
def test_convolution(geometry: Geometry, dtype: np.dtype) -> None:
    check(geometry, geometry.window, geometry.channels, geometry.filters, dtype)


@given(transposed_corners(), dtypes)
def test_window_of_a_transposed_convolution(geometry: Geometry, dtype: np.dtype) -> None:
    # A convolution of as many channels as the transposed one has filters.
    check(geometry, geometry.transposed_window, geometry.filters, geometry.channels, dtype)


def test_enough_was_met() -> None:
    """Last, so that a way that is quietly taken less often is noticed."""
    if not met:
        pytest.skip("only some of the tests of this file ran")
    few = ("direct, by channel", "implicit_gemm, pixel by pixel", "winograd", "fft")
    for name, way in WAYS.items():
        for direction in way.directions:
            least = EXAMPLES // 10 if name.startswith(few) else EXAMPLES
            assert met[f"{direction} by {name}"] >= least, (direction, name)
    parity.counts["convolutions of corners by every algorithm and cut, beside the reference"] += sum(met.values())
