"""Winograd's convolution beside the loops, called directly: random geometries, the matrices, threads, and its error."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from by_algorithm import forward, weight_gradient
from parity import assert_close
from winograd_cases import Case, check, check_bits, check_layouts, check_rounding, every_dtype

import minidl
from minidl import _ext, kernels, reference
from minidl.errors import ShapeError
from minidl.geometry import Padding, sliding_window
from minidl.kernels.conv.winograd import WeightPlan, weight_plan

# m x m outputs of r x r taps.
every_tile = pytest.mark.parametrize(("m", "r"), [(2, 3), (4, 3), (2, 5)])


def random_case(seed: int, dtype: str, r: int, most_channels: int = 70) -> Case:
    """Images from 1x1 on, four paddings from 0 to r + 1, and as often as not more than one group of channels."""
    rng = np.random.default_rng(seed)
    while True:
        size = tuple(int(v) for v in rng.integers(1, (14, 23)))
        around = Padding(*(int(v) for v in rng.integers(0, r + 2, 4)))
        try:
            window = sliding_window("test", size, r, 1, around)
        except ShapeError:
            continue
        C, F = (int(v) for v in rng.integers(1, most_channels + 1, 2))
        return Case(int(rng.integers(0, 6)), C, F, window, dtype, seed)


@every_tile
@every_dtype
@pytest.mark.parametrize("seed", range(50))
def test_random_geometries(seed: int, dtype: str, m: int, r: int, threads_everywhere: None) -> None:
    minidl.set_num_threads(1 + seed % 4)
    check(random_case(seed, dtype, r), m)


@every_tile
@every_dtype
@pytest.mark.parametrize("channels", [(1, 1), (15, 17), (16, 16), (64, 81), (130, 1), (1, 65), (70, 129)])
def test_every_remainder_of_channels(channels: tuple[int, int], dtype: str, m: int, r: int) -> None:
    """Around the blocks of lanes, and what is summed up or kept at once."""
    check(Case(2, *channels, sliding_window("test", (6, 9), r, 1, 1), dtype), m)


@every_tile
@pytest.mark.parametrize("size", [(2, 700), (3, 530), (9, 300), (40, 3), (1, 1), (31, 33)])
@pytest.mark.parametrize("further", [0, 1, 3])
def test_images_longer_than_a_strip(size: tuple[int, int], further: int, m: int, r: int) -> None:
    check(Case(3, 5, 4, sliding_window("test", size, r, 1, r // 2 + further), "float64"), m)


@every_tile
@pytest.mark.parametrize("N", [1, 3])
@pytest.mark.parametrize("rows", [5, 7, 9, 15, 17])
def test_an_odd_strip_is_shared_by_two_items(rows: int, N: int, m: int, r: int) -> None:
    """In the middle of an image, and of the second of three."""
    check(Case(N, 3, 18, sliding_window("test", (rows * m - 1, 7 * m - 3), r, 1, r // 2), "float64"), m)


@every_tile
@every_dtype
def test_tiles_in_several_chunks(dtype: str, m: int, r: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weight gradient holds only so many tiles at a time."""
    monkeypatch.setattr("minidl.kernels.conv.winograd._TILES_BYTES", 1)
    monkeypatch.setattr("minidl.kernels.conv.winograd._MOST_TILES_BYTES", 1)
    case = Case(5, 18, 20, sliding_window("test", (25, 27), r, 1, 1), dtype)
    monkeypatch.setattr("minidl.kernels.conv.winograd.weight_plan", weight_plan.__wrapped__)
    assert plan_of(case, m).chunks > 1
    check(case, m)


@pytest.mark.parametrize("filters", [64, 96])
def test_the_sum_over_many_tiles_keeps_its_error(filters: int) -> None:
    """Within 4 times im2col's, as "auto" promises, by parts and by levels; in one sum it was 6.1 times that."""
    rng = np.random.default_rng(0)
    window = sliding_window("test", (224, 224), 3, 1, 1)
    plan = weight_plan(4, 64, filters, (224, 224), 4, 3, 4)
    assert (plan.parts > 1, plan.sums_in_steps) == (filters == 64, filters == 96)
    x, grad = (rng.normal(size=(4, channels, 224, 224)).astype(np.float32) for channels in (64, filters))
    exact = kernels.conv2d_weight_gradient(x.astype(np.float64), grad.astype(np.float64), window, 1, "im2col")
    plain = kernels.conv2d_weight_gradient(x, grad, window, 1, "im2col")
    got = weight_gradient("winograd_4x4", x, grad, window)
    assert np.mean((got - exact) ** 2) ** 0.5 <= 4 * np.mean((plain - exact) ** 2) ** 0.5


def test_very_many_tiles_have_more_sums() -> None:
    """As far as they take little memory."""
    few, many, most = (weight_plan(N, 32, 64, (128, 128), 4, 3, 4) for N in (16, 64, 10_000))
    assert 1 < few.parts < many.parts < most.parts
    assert most.parts * most.sums * 4 <= 16 * 1024**2


def test_sums_of_5_taps_by_levels() -> None:
    """More tiles in a chunk than the first two levels take."""
    case = Case(4, 3, 4, sliding_window("test", (70, 50), 5, 1, 2), "float32")
    plan = plan_of(case, 2)
    assert plan.tiles.items * plan.tiles.tiles // plan.chunks > 600
    check(case, 2)


def plan_of(case: Case, m: int) -> WeightPlan:
    """How the weight's gradient is cut."""
    (F, C, r, _), itemsize = case.weight.shape, case.x.dtype.itemsize
    return kernels.conv.winograd.weight_plan(len(case.x), C, F, case.window.output_size, m, r, itemsize)


@pytest.mark.parametrize("m", [2, 4])
@every_dtype
def test_sums_that_stay_with_their_thread(dtype: str, m: int, threads_everywhere: None) -> None:
    """Few channels and many tiles, some items with fewer of them."""
    minidl.set_num_threads(3)
    case = Case(4, 18, 20, sliding_window("test", (57, 90), 3, 1, 1), dtype)
    plan = plan_of(case, m)
    assert plan.parts > 1
    assert plan.tiles.items % plan.parts
    check(case, m, large=True)


@every_tile
@every_dtype
def test_the_bits_are_the_same_for_any_number_of_threads(dtype: str, m: int, r: int, threads_everywhere: None) -> None:
    cases = [random_case(seed, dtype, r) for seed in range(3)]
    cases.append(Case(3, 40, 50, sliding_window("test", (30, 29), r, 1, 1), dtype))
    cases.append(Case(3, 3, 18, sliding_window("test", (89, 90), r, 1, 1), dtype))
    check_bits(cases, m)


@every_tile
def test_any_memory_layout(m: int, r: int) -> None:
    case = Case(3, 6, 5, sliding_window("test", (9, 7), r, 1, 1), "float64")
    check_layouts(case, m)


@every_tile
def test_no_bias(m: int, r: int) -> None:
    case = Case(2, 3, 20, sliding_window("test", (5, 6), r, 1, 1), "float64")
    got = forward(f"winograd_{m}x{m}", case.x, case.weight, None, case.window)
    assert_close(got, reference.conv2d(case.x, case.weight, None, case.window, 1), 1e-13)


@every_tile
def test_what_is_not_finite_stays_where_it_is_seen(m: int, r: int) -> None:
    """It spreads over its tiles, not over others' channels, samples and lanes."""
    case = Case(3, 18, 20, sliding_window("test", (16, 16), r, 1, 1), "float64")
    expected = case.winograd(m)[0]
    case.x[1, 17, 9, 5] = np.inf
    got = case.winograd(m)[0]
    assert np.array_equal(got[[0, 2]], expected[[0, 2]])
    assert np.array_equal(got[1, :, :4], expected[1, :, :4])
    assert np.array_equal(got[1, :, :, 12:], expected[1, :, :, 12:])
    assert not np.isfinite(got[1, :, 8:11, 4:7]).any()


@every_tile
def test_an_empty_batch(m: int, r: int) -> None:
    case = Case(0, 3, 20, sliding_window("test", (5, 6), r, 1, 1), "float32")
    check(case, m)
    assert not case.winograd(m)[2].any()


@every_tile
def test_rounding_stays_within_4_times_im2col_s(m: int, r: int) -> None:
    """Of sums of 96 filters and more, and over as many tiles as need all their levels."""
    case = Case(6, 24, 96, sliding_window("test", (30, 30), r, 1, r // 2), "float32")
    check_rounding(case, m)


# The twin, and its matrices


@every_tile
@pytest.mark.parametrize("seed", range(12))
def test_the_twin(seed: int, m: int, r: int) -> None:
    case = random_case(seed, "float64", r, 5)
    for got, expected in zip(case.twin(m), case.loops(), strict=True):
        assert_close(got, expected, 1e-12)


@pytest.mark.parametrize("taps", [1, 2, 3])
@pytest.mark.parametrize("points", [(0, 1, -1), (0, 1, -1, 2, -2), (3, 1), (2, Fraction(1, 3), 0, 7)])
def test_any_points_will_do(points: tuple[Any, ...], taps: int) -> None:
    A, G, BT = reference.winograd_matrices([Fraction(p) for p in points], taps)
    rng = np.random.default_rng(0)
    d, g = rng.normal(size=len(points) + 1), rng.normal(size=taps)
    assert np.allclose(A.T @ ((G @ g) * (BT @ d)), np.correlate(d, g, "valid"))
    assert np.allclose(G.T @ ((A @ (dy := rng.normal(size=A.shape[1]))) * (BT @ d)), np.correlate(d, dy, "valid"))


def test_the_matrices_of_the_textbook() -> None:
    A, G, BT = reference.winograd_matrices([Fraction(0), Fraction(1), Fraction(-1)])
    assert A.T.tolist() == [[1, 1, 1, 0], [0, 1, -1, 1]]
    assert G.tolist() == [[-1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]
    assert BT.tolist() == [[-1, 0, 1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]]


@every_tile
@every_dtype
def test_the_transforms_are_the_matrices(dtype: str, m: int, r: int) -> None:
    """Each compiled transform of every unit tile, which is an outer product of two columns of its matrix."""
    A, G, BT = reference.winograd_matrices(reference.WINOGRAD_POINTS[m + r - 1], r)
    for which, matrix in {"input": BT, "gradient": A, "output": A.T, "weight": G, "taps": G.T}.items():
        to, size = matrix.shape
        for i, j in np.ndindex(size, size):
            unit = np.zeros((size, size, 16), dtype)
            unit[i, j] = np.arange(16)
            result = np.full((to, to, 16), np.nan, dtype)
            if which == "weight":
                unit = np.ascontiguousarray(unit.transpose(2, 0, 1))
            if which == "taps":
                result = np.ascontiguousarray(result.transpose(2, 0, 1))
            _ext.winograd[unit.itemsize].transform(unit, m, r, which, result)
            result = result.transpose(1, 2, 0) if which == "taps" else result
            expected = np.outer(matrix[:, i], matrix[:, j])[:, :, None] * np.arange(16)
            assert_close(result, expected, np.finfo(dtype).eps * 4)
