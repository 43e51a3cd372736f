"""Winograd's convolution with strides, by the phases of the image: beside the loops, alone and through `conv2d`."""

from __future__ import annotations

import numpy as np
import pytest
from by_algorithm import chosen, forward, is_precise, problem_of, refused
from parity import assert_close
from winograd_cases import Case, check, check_bits, check_layouts, check_rounding, every_dtype

import minidl
import minidl.functional as F
from minidl import reference
from minidl.errors import ArgumentError, ShapeError
from minidl.geometry import Padding, sliding_window
from minidl.kernels.conv.registry import REGISTRY
from minidl.kernels.conv.winograd import phases_of, weight_plan
from minidl.testing import gradcheck

DIRECTIONS = ("forward", "input", "weight")
# m x m outputs of phases' kernels of r x r.
every_tile = pytest.mark.parametrize(("m", "r"), [(2, 3), (4, 3), (2, 5)])


def random_case(seed: int, dtype: str, r: int, most_channels: int = 12) -> Case:
    """Strides and kernels that differ between the axes, four paddings, rows that no window sees."""
    rng = np.random.default_rng(seed)
    while True:
        size = tuple(int(v) for v in rng.integers(1, (40, 52)))
        stride = tuple(int(v) for v in rng.integers(1, 6, 2))
        kernel = tuple(int(rng.integers((r - 1) * s + 1, r * s + 1)) for s in stride)
        around = Padding(*(int(v) for v in rng.integers(0, max(kernel) + 2, 4)))
        try:
            window = sliding_window("test", size, kernel, stride, around)
        except ShapeError:
            continue
        C, filters = (int(v) for v in rng.integers(1, most_channels + 1, 2))
        return Case(int(rng.integers(0, 4)), C, filters, window, dtype, seed)


@every_tile
@every_dtype
@pytest.mark.parametrize("seed", range(60))
def test_random_geometries(seed: int, dtype: str, m: int, r: int, threads_everywhere: None) -> None:
    minidl.set_num_threads(1 + seed % 4)
    check(random_case(seed, dtype, r), m)


@every_tile
@every_dtype
@pytest.mark.parametrize("stride", [2, 3, 4, 5, (1, 2), (4, 1), (2, 4)])
@pytest.mark.parametrize("channels", [(1, 1), (4, 17), (5, 16), (17, 3), (33, 20)])
def test_every_remainder_of_channels(
    channels: tuple[int, int], stride: int | tuple[int, int], dtype: str, m: int, r: int
) -> None:
    """Phases fill groups of 16, or begin in one group and end in the next."""
    SH, SW = (stride, stride) if isinstance(stride, int) else stride
    kernel = (r * SH - (SH > 1), r * SW)
    window = sliding_window("test", (kernel[0] + 2 * SH, kernel[1] + 3 * SW + 1), kernel, stride, (2, 1))
    check(Case(2, *channels, window, dtype), m)


@every_tile
@pytest.mark.parametrize("size", [(11, 1500), (900, 13), (131, 133)])
def test_images_longer_than_a_strip(size: tuple[int, int], m: int, r: int) -> None:
    check(Case(2, 3, 4, sliding_window("test", size, 2 * r, 2, 1), "float64"), m)


@pytest.mark.parametrize(("image", "parts"), [((131, 150), True), ((40, 47), False)])
@every_dtype
def test_both_ways_to_sum_a_weight_gradient(
    image: tuple[int, int], parts: bool, dtype: str, threads_everywhere: None
) -> None:
    minidl.set_num_threads(3)
    case = Case(3, 3, 18, sliding_window("test", image, 5, 2, 2), dtype)
    phases = phases_of(case.window, 3)
    plan = weight_plan(3, phases.channels, 18, case.window.output_size, 4, 3, case.x.itemsize)
    assert (plan.parts > 0) == parts
    check(case, 4, large=True)


@pytest.mark.parametrize("kernel", [9, 11, 12])
@pytest.mark.parametrize("remainder", [0, 1, 2, 3])
def test_rows_that_no_window_sees(remainder: int, kernel: int) -> None:
    """As many as the stride leaves: nothing of them is seen, and their gradient is exactly zero."""
    rows, columns = 16 + kernel, 20 + kernel
    case = Case(2, 2, 3, sliding_window("test", (rows + remainder, columns + remainder), kernel, 4), "float64")
    assert case.window.output_size == (5, 6)
    case.x[:, :, rows:] = case.x[:, :, :, columns:] = np.nan
    forward, of_input, of_weight = case.winograd(4)
    assert not of_input[:, :, rows:].any()
    assert not of_input[:, :, :, columns:].any()
    assert np.isfinite(forward).all()
    assert np.isfinite(of_weight).all()
    case.x[:, :, rows:] = case.x[:, :, :, columns:] = 0
    check(case, 4)


@every_tile
@every_dtype
def test_the_bits_are_the_same_for_any_number_of_threads(dtype: str, m: int, r: int, threads_everywhere: None) -> None:
    cases = [random_case(seed, dtype, r) for seed in range(3)]
    cases.append(Case(3, 9, 50, sliding_window("test", (60, 59), 2 * r, 2, 1), dtype))
    cases.append(Case(3, 3, 18, sliding_window("test", (189, 190), 2 * r - 1, 2, 1), dtype))
    check_bits(cases, m)


@every_tile
def test_any_memory_layout(m: int, r: int) -> None:
    case = Case(3, 6, 5, sliding_window("test", (19, 17), 2 * r, 2, 1), "float64")
    check_layouts(case, m)


@every_tile
def test_no_bias_and_an_empty_batch(m: int, r: int) -> None:
    window = sliding_window("test", (25, 26), 3 * r, 3, 1)
    case = Case(2, 3, 20, window, "float64")
    got = forward(f"winograd_{m}x{m}", case.x, case.weight, None, window)
    assert_close(got, reference.conv2d(case.x, case.weight, None, window, 1), 1e-13)
    case = Case(0, 3, 20, window, "float32")
    check(case, m)
    assert not case.winograd(m)[2].any()


def test_what_is_not_finite_stays_with_its_sample_and_tiles() -> None:
    case = Case(3, 5, 20, sliding_window("test", (48, 48), 11, 4), "float64")
    expected = case.winograd(4)[0]
    case.x[1, 4, 45, 3] = np.inf
    got = case.winograd(4)[0]
    assert np.array_equal(got[[0, 2]], expected[[0, 2]])
    assert np.array_equal(got[1, :, :4], expected[1, :, :4])
    assert not np.isfinite(got[1, :, 9, 0]).any()


@pytest.mark.parametrize(("kernel", "stride", "C"), [(11, 4, 3), (9, 4, 3), (7, 3, 3), (6, 2, 8), (5, 2, 32)])
def test_rounding_stays_within_4_times_im2col_s(kernel: int, stride: int, C: int) -> None:
    """Of what "auto" may take: 64 filters, outputs of 13 x 13 and more."""
    size = 14 * stride + kernel
    case = Case(4, C, 64, sliding_window("test", (size, size), kernel, stride, stride // 2), "float32")
    for direction in DIRECTIONS:
        assert is_precise("winograd_4x4", direction, C, 64, case.window)
    check_rounding(case, 4)


def test_precision_decides_on_phases() -> None:
    def allowed(C: int, filters: int, kernel: int, stride: int, size: int, precision: str = "default") -> list[bool]:
        window = sliding_window("conv2d", (size, size), kernel, stride)
        return [is_precise("winograd_4x4", way, C, filters, window, precision) for way in DIRECTIONS]

    assert allowed(3, 96, 11, 4, 227) == [True, True, True]
    assert allowed(1, 64, 5, 2, 64) == [False, False, True]
    assert allowed(2, 64, 5, 2, 64) == [True, True, True]
    assert allowed(3, 63, 5, 2, 64) == [True, False, True]
    assert allowed(3, 16, 5, 2, 64) == [True, False, False]
    assert allowed(3, 64, 5, 2, 28) == [True, True, False]
    assert allowed(64, 64, 5, 2, 64) == [True, True, False]
    assert allowed(1, 1, 5, 2, 28, "fast") == [True, True, True]


def test_auto_takes_it_for_large_kernels_and_strides() -> None:
    for N, size in ((8, 227), (1, 227), (8, 224)):
        window = sliding_window("conv2d", (size, size), 11, 4, 2 if size == 224 else 0)
        for direction in DIRECTIONS:
            assert chosen(direction, N, 3, 96, window).name == "winograd_4x4"
    # Few images of small pictures are not worth the transforms of so many weights.
    window = sliding_window("conv2d", (28, 28), 5, 2, 2)
    assert chosen("weight", 1, 64, 64, window).name != "winograd_4x4"


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_model_counts_phases(direction: str) -> None:
    """As the channels that they are, and what it takes to gather them."""
    strided, plain = sliding_window("conv2d", (227, 227), 11, 4), sliding_window("conv2d", (57, 57), 3)
    cost = REGISTRY["winograd_4x4"].cost
    assert 1 < cost(problem_of(direction, 8, 3, 96, strided)) / cost(problem_of(direction, 8, 48, 96, plain)) < 1.3


def test_the_budget_counts_phases() -> None:
    window = sliding_window("conv2d", (50, 50), 11, 4)
    assert refused("winograd_4x4", 28, 900, window) is None
    assert refused("winograd_4x4", 32, 1100, window) is not None
    with pytest.raises(ArgumentError, match="the transformed weights of 32 channels and 1100 filters exceed"):
        F.conv2d(minidl.ones(1, 32, 12, 12), minidl.ones(1100, 32, 11, 11), stride=4, algorithm="winograd_4x4")


@pytest.mark.parametrize("algorithm", ["winograd", "winograd_2x2", "winograd_4x4"])
def test_through_the_public_function(algorithm: str) -> None:
    rng = np.random.default_rng(0)
    x, weight = (minidl.tensor(rng.normal(size=s), requires_grad=True) for s in ((2, 2, 13, 12), (3, 2, 5, 6)))
    assert gradcheck(lambda x, weight: F.conv2d(x, weight, stride=2, padding=1, algorithm=algorithm), (x, weight))
    plain = F.conv2d(x, weight, stride=2, padding=1, algorithm="im2col")
    assert_close(F.conv2d(x, weight, stride=2, padding=1, algorithm=algorithm).data, plain.data, 1e-12)


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (7, 2), (3, 2), ((5, 3), (2, 2)), (8, 4), (1, 2)])
def test_kernels_of_other_phases_are_refused(kernel: int | tuple[int, int], stride: int | tuple[int, int]) -> None:
    rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
    x, weight = minidl.ones(1, 4, 20, 20), minidl.ones(4, 4, rows, columns)
    reason = "takes kernels of 3 x 3 or 5 x 5 strides, rounded up, with dilation 1 and 1 group, got "
    with pytest.raises(ArgumentError, match=f"'winograd' does not apply: it {reason}{rows} x {columns},"):
        F.conv2d(x, weight, stride=stride, algorithm="winograd")


@every_tile
@pytest.mark.parametrize("seed", range(12))
def test_the_twin(seed: int, m: int, r: int) -> None:
    case = random_case(seed, "float64", r, 4)
    for got, expected in zip(case.twin(m), case.loops(), strict=True):
        assert_close(got, expected, 1e-12)
