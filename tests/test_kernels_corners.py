"""Convolutions at the edges of what there is, by every entry of the registry that computes them.

Sizes, kernels, channels, filters and batches of 1, strides beyond the image, and numbers around the kernels' blocks.
Values are small whole numbers, so that sums are exact in any order: all that does not transform its values must give
the reference's results to the last bit, in float32 too. `MINIDL_EXAMPLES=20000` tries more than 150.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import parity
import pytest
from bits import bits
from by_algorithm import problem_of
from geometries import EXAMPLES, Geometry, corners, transposed_corners
from hypothesis import example, given
from hypothesis import strategies as st
from parity import assert_close

import minidl
from minidl import reference
from minidl.geometry import Padding, Window
from minidl.kernels import DIRECTIONS, REGISTRY, choose, plan_for

Array = np.ndarray
pytestmark = pytest.mark.usefixtures("threads_everywhere")

# What transforms its values rounds; of the largest result, or product of values where results cancel.
TOLERANCE = {np.dtype(np.float32): 3e-4, np.dtype(np.float64): 1e-11}

met: Counter[str] = Counter()


# Entries whose products are of transformed values.
ROUNDING = {"winograd_2x2", "winograd_4x4", "winograd_rows", "fft"}
# Those that compute most of what is drawn.
COMMON = {"im2col", "implicit_gemm_positions", "direct_bands", "direct_blocks"}


def whole_numbers(dtype: np.dtype, *shape: int) -> Array:
    return np.random.default_rng([len(shape), *shape]).integers(-2, 3, shape).astype(dtype)


def check(geometry: Geometry, window: Window, channels: int, filters: int, dtype: np.dtype) -> None:
    """All entries of the registry, and what "auto" takes, beside the reference, on one thread and two."""
    N, groups = geometry.batch or 0, geometry.groups
    x = whole_numbers(dtype, N, channels, *window.input_size)
    weight = whole_numbers(dtype, filters, channels // groups, *window.kernel_size)
    bias = whole_numbers(dtype, filters) if sum(window.input_size) % 2 else None
    grad = whole_numbers(dtype, N, filters, *window.output_size)
    wide = [None if a is None else a.astype(np.float64) for a in (x, weight, bias, grad)]
    dx, dw = reference.conv2d_im2col_gradients(wide[0], wide[1], wide[3], window, groups)
    expected = {"forward": reference.conv2d_im2col(*wide[:3], window, groups), "input": dx, "weight": dw}
    arrays = {"forward": (x, weight, bias), "input": (grad, weight), "weight": (x, grad)}
    for direction in DIRECTIONS:
        problem = problem_of(direction, N, channels, filters, window, dtype, groups)
        chosen = choose(problem, "auto")
        for entry in REGISTRY.values():
            if entry.why_unsupported(problem) is not None:
                continue
            what = f"{direction} by {entry.name} of {geometry} in {dtype}"
            plan, results = entry.plan(problem), []
            for threads in (1, 2):
                minidl.set_num_threads(threads)
                results.append(plan(*arrays[direction]))
            assert bits(results[0]) == bits(results[1]), f"two threads give other bits than one: {what}"
            if entry.name not in ROUNDING:
                assert np.array_equal(results[0], expected[direction]), what
            else:
                assert_close(results[0], expected[direction], TOLERANCE[dtype], what, 4)
            if entry is chosen:
                assert bits(plan_for(problem)(*arrays[direction])) == bits(results[0]), what
            met[f"{direction} by {entry.name}"] += 1


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
    """Last, so that an entry that is quietly taken less often is noticed."""
    if not met:
        pytest.skip("only some of the tests of this file ran")
    for name in REGISTRY:
        for direction in DIRECTIONS:
            least = EXAMPLES if name in COMMON else EXAMPLES // 10
            assert met[f"{direction} by {name}"] >= (0 if computes_never(name, direction) else least), (direction, name)
    parity.counts["convolutions of corners by every algorithm, beside the reference"] += sum(met.values())


def computes_never(name: str, direction: str) -> bool:
    """Directions that an entry leaves to its family."""
    return direction in {"implicit_gemm_pointwise": {"weight"}, "implicit_gemm_filters": {"input"},
                         "implicit_gemm_taps": {"forward", "weight"}}.get(name, set())  # fmt: skip
