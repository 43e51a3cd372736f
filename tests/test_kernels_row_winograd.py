"""Winograd's convolution along rows beside the loops, called directly: geometries, the matrices, threads, its error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from by_algorithm import all_directions, forward, input_gradient, is_precise, weight_gradient
from parity import assert_close

import minidl
from minidl import kernels, reference
from minidl.errors import ShapeError
from minidl.geometry import Padding, Window, sliding_window
from minidl.kernels.conv import row_winograd

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
DIRECTIONS = ("forward", "input", "weight")
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


class Case:
    """Random arrays around one window of 5 columns, and what the loops make of them."""

    def __init__(self, N: int, C: int, F: int, window: Window, dtype: str, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.window = window
        self.x = rng.normal(size=(N, C, *window.input_size)).astype(dtype)
        self.weight = rng.normal(size=(F, C, *window.kernel_size)).astype(dtype)
        self.bias: np.ndarray | None = rng.normal(size=F).astype(dtype) if seed % 3 else None
        self.grad = rng.normal(size=(N, F, *window.output_size)).astype(dtype)

    def loops(self) -> list[np.ndarray]:
        x, weight, grad = (a.astype(np.float64) for a in (self.x, self.weight, self.grad))
        bias = None if self.bias is None else self.bias.astype(np.float64)
        return [
            reference.conv2d(x, weight, bias, self.window, 1),
            reference.conv2d_input_gradient(grad, weight, self.window, 1),
            reference.conv2d_weight_gradient(x, grad, self.window, 1),
        ]

    def by_rows(self) -> list[np.ndarray]:
        """By the kernels."""
        return all_directions("winograd_rows", self.x, self.weight, self.bias, self.grad, self.window)

    def twin(self) -> list[np.ndarray]:
        """By the same method in NumPy."""
        return [
            reference.row_winograd_conv2d(self.x, self.weight, self.bias, self.window),
            reference.row_winograd_input_gradient(self.grad, self.weight, self.window),
            reference.row_winograd_weight_gradient(self.x, self.grad, self.window),
        ]


def windows(rng: np.random.Generator, most_rows: int = 12) -> Window:
    """Kernels of 1 to 12 rows, four paddings from 0 to 6, images from 1x1 on."""
    while True:
        size = int(rng.integers(1, 11)), int(rng.integers(1, 18))
        kernel = int(rng.integers(1, most_rows + 1)), 5
        around = Padding(*(int(v) for v in rng.integers(0, 7, 4)))
        try:
            return sliding_window("test", size, kernel, 1, around)
        except ShapeError:
            continue


def random_case(seed: int, dtype: str, most_channels: int = 18) -> Case:
    rng = np.random.default_rng(seed)
    C, F = (int(v) for v in rng.integers(1, most_channels + 1, 2))
    return Case(int(rng.choice([0, 1, 9, 16, 17, 33])), C, F, windows(rng), dtype, seed)


def check(case: Case) -> None:
    for got, expected in zip(case.by_rows(), case.loops(), strict=True):
        assert got.dtype == case.x.dtype
        assert_close(got, expected, TOLERANCE[case.x.dtype.name], scale=1.0)


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function that has blocks worked on in so many parts, however many there are."""

    def into(parts: int) -> None:
        row_winograd.row_plan.cache_clear()
        monkeypatch.setattr(row_winograd, "parts_of", lambda N, rows, window: min(parts, rows))

    yield into
    row_winograd.row_plan.cache_clear()


@every_dtype
@pytest.mark.parametrize("seed", range(60))
def test_random_geometries(seed: int, dtype: str, threads_everywhere: None) -> None:
    minidl.set_num_threads(1 + seed % 4)
    check(random_case(seed, dtype))


@every_dtype
@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("seed", range(20))
def test_parts_of_blocks(seed: int, parts: int, dtype: str, cut: Any, threads_everywhere: None) -> None:
    cut(parts)
    minidl.set_num_threads(1 + seed % 4)
    check(random_case(100 + seed, dtype, 7))


@every_dtype
@pytest.mark.parametrize("rows", range(1, 12))
def test_every_number_of_rows(rows: int, dtype: str) -> None:
    """Up to 7 taps of a column go together in the weight's gradient, and edges see fewer."""
    check(Case(17, 2, 3, sliding_window("test", (13, 9), (rows, 5), 1, (rows // 2, 2)), dtype))


@every_dtype
@pytest.mark.parametrize("width", range(1, 15))
def test_every_remainder_of_tiles(width: int, dtype: str) -> None:
    """And rows that are narrower than the kernel."""
    for left, right in ((4, 4), (0, 4), (5, 0)):
        if width + left + right >= 5:
            check(Case(9, 3, 2, sliding_window("test", (4, width), (3, 5), 1, Padding(1, 0, left, right)), dtype))


@every_dtype
@pytest.mark.parametrize("channels", [(51, 3), (52, 3), (3, 102), (3, 105)])
def test_sums_of_more_terms_than_a_table_holds(channels: tuple[int, int], dtype: str) -> None:
    """Tables of 256 terms, or for a channel at a time; the input's gradient has them for each half of the filters."""
    check(Case(9, *channels, sliding_window("test", (7, 9), 5, 1, 2), dtype))


@every_dtype
@pytest.mark.parametrize("channels", [(1, 1), (1, 6), (6, 4), (7, 9), (13, 5), (16, 18), (18, 16)])
def test_every_group_of_channels(channels: tuple[int, int], dtype: str) -> None:
    """Around the 6 or 4 filters that a tile keeps, halves of an odd number of them, and the 4 that are summed up."""
    check(Case(17, *channels, sliding_window("test", (6, 9), (3, 5), 1, 1), dtype))


@every_dtype
@pytest.mark.parametrize("size", [(3, 150), (70, 6), (20, 40)])
def test_sums_over_many_tiles(size: tuple[int, int], dtype: str, cut: Any) -> None:
    """The weight's gradient sums some rows at a time; the others make the sums of one row or of many together."""
    for parts in (1, 2):
        cut(parts)
        check(Case(3, 2, 3, sliding_window("test", size, (3, 5), 1, 1), dtype))


@every_dtype
def test_more_blocks_than_chunks(dtype: str) -> None:
    """Some chunks of the weight's gradient have several blocks."""
    case = Case(280, 2, 3, sliding_window("test", (3, 6), (2, 5), 1, 1), dtype)
    plan = row_winograd.row_plan("weight", 280, 2, 3, case.window, case.x.itemsize)
    assert plan.chunks < 18 * plan.parts
    check(case)


@every_dtype
def test_the_bits_are_the_same_for_any_number_of_threads(dtype: str, threads_everywhere: None) -> None:
    cases = [random_case(seed, dtype) for seed in range(4)]
    # One block in two parts, several blocks, more of them than chunks.
    cases += [Case(N, 3, 7, sliding_window("test", (12, 11), 5, 1, 2), dtype) for N in (9, 80, 300)]
    for case in cases:
        minidl.set_num_threads(1)
        alone = case.by_rows()
        for threads in (2, 3, 4):
            minidl.set_num_threads(threads)
            for one, other in zip(alone, case.by_rows(), strict=True):
                assert np.array_equal(one, other)


@pytest.mark.parametrize("layout", ["strided", "Fortran"])
def test_any_memory_layout(layout: str) -> None:
    case = Case(17, 6, 5, sliding_window("test", (9, 7), 5, 1, 1), "float64", 1)
    expected = case.by_rows()
    for name in ("x", "weight", "bias", "grad"):
        values = getattr(case, name)
        if layout == "strided":
            copy = np.zeros((*values.shape[:-1], 2 * values.shape[-1]))[..., ::2]
            copy[...] = values
        else:
            copy = np.array(values, order="F")
        copy.setflags(write=False)
        setattr(case, name, copy)
    for got, values in zip(case.by_rows(), expected, strict=True):
        assert np.array_equal(got, values)


def test_an_empty_batch() -> None:
    case = Case(0, 3, 8, sliding_window("test", (5, 6), 5, 1, 1), "float32")
    check(case)
    assert not case.by_rows()[2].any()


# What is not finite


def unfinished(value: float) -> Case:
    """19 samples, one of which is to have such a value."""
    case = Case(19, 3, 4, sliding_window("test", (12, 18), (3, 5), 1, 0), "float64", 1)
    case.x[17, 1, 7, 9] = value
    case.grad[17, 2, 6, 7] = value
    return case


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_stays_where_it_is_seen(value: float) -> None:
    """In its sample, its rows and its tiles."""
    expected = unfinished(0).by_rows()
    y, dx, _ = unfinished(value).by_rows()
    others = np.arange(19) != 17
    assert np.array_equal(y[others], expected[0][others])
    assert np.array_equal(dx[others], expected[1][others])
    # Outputs 5 to 7 of the rows see row 7; tiles begin at 0, 4, 8, 12 and see 8 pixels.
    assert np.array_equal(
        y[17, :, [*range(5), *range(8, 10)]], expected[0][17][:, [*range(5), *range(8, 10)]].swapaxes(0, 1)
    )
    assert np.array_equal(y[17, :, :, :4], expected[0][17, :, :, :4])
    assert np.array_equal(y[17, :, :, 12:], expected[0][17, :, :, 12:])
    assert not np.isfinite(y[17, :, 5:8, 5:10]).any()
    # Output (6, 7) belongs to a tile that begins at 6 and gives 6 pixels of rows 6 to 8.
    inside = np.zeros(dx.shape[2:], bool)
    inside[6:9, 6:12] = True
    assert np.array_equal(dx[17][:, ~inside], expected[1][17][:, ~inside])
    assert not np.isfinite(dx[17, :, 6:9, 7:12]).any()


@every_dtype
@pytest.mark.parametrize("N", [1, 9, 16, 17])
def test_what_was_there_before_is_not_seen(N: int, dtype: str) -> None:
    """Lanes beyond the batch, and what a last tile sees beyond its row, are zeros: 0 times NaN is no 0."""
    window = sliding_window("test", (7, 9), (3, 5), 1, Padding(1, 0, 0, 2))
    before = Case(48, 3, 4, window, dtype)
    before.x[:], before.weight[:], before.grad[:] = np.nan, np.nan, np.nan
    expected = Case(N, 3, 4, window, dtype).loops()
    for direction in range(3):
        # In the workspace that the next call gets.
        before.by_rows()
        assert_close(Case(N, 3, 4, window, dtype).by_rows()[direction], expected[direction], TOLERANCE[dtype])


def test_rows_of_the_weight_s_gradient_do_not_see_the_rows_below() -> None:
    """A last tile is wider than its row: with 6 outputs, of 10 pixels, it would see 2 of the next one."""
    case = Case(3, 2, 3, sliding_window("test", (8, 10), (4, 5), 1, 0), "float64")
    expected = case.by_rows()[2]
    # Only the kernel's last row sees it.
    case.x[1, 1, 7, :2] = np.nan
    got = case.by_rows()[2]
    assert np.array_equal(got[:, 0], expected[:, 0])
    assert np.array_equal(got[:, 1, :3], expected[:, 1, :3])
    assert not np.isfinite(got[:, 1, 3, 0]).any()


# The matrices, the twin, and the error

ONE_TILE = sliding_window("test", (1, 8), (1, 5), 1, 0)
OF_2_OUTPUTS = sliding_window("test", (1, 6), (1, 5), 1, 0)
SCALES = np.arange(1.0, 18)[:, None, None, None]


def one_row(values: Any, dtype: str) -> np.ndarray:
    return np.array(values, dtype)[None, None, None]


@every_dtype
@pytest.mark.parametrize("point", range(8))
def test_the_transforms_of_4_outputs_are_the_matrices(point: int, dtype: str) -> None:
    """An image of a point's powers is 0 at all others, which leaves a single product: of entries of the matrices.

    So each of them shows, rounded once or twice; where a constant is a little off, other products do not vanish.
    """
    points = reference.ROW_WINOGRAD_POINTS[4]
    A, G, BT = reference.winograd_matrices(points, 5)
    pixels = np.array([float(points[point] ** k) if point < 7 else float(k == 7) for k in range(8)])
    value = (BT @ pixels)[point]
    x = (SCALES * one_row(pixels, "float64")).astype(dtype)
    for tap in range(5):
        weight = one_row(np.eye(5)[tap], dtype)
        found = forward("winograd_rows", x, weight, None, ONE_TILE)
        expected = SCALES * one_row(A[point] * G[point, tap] * value, "float64")
        np.testing.assert_allclose(found, expected, 4 * np.finfo(dtype).eps, 0)
    for output in range(4):
        grad = np.repeat(one_row(np.eye(4)[output], dtype), 17, 0)
        found = weight_gradient("winograd_rows", x, grad, ONE_TILE)
        expected = SCALES.sum() * one_row(A[point, output] * G[point] * value, "float64")
        np.testing.assert_allclose(found, expected, 4 * np.finfo(dtype).eps, 0)


@every_dtype
@pytest.mark.parametrize("point", range(6))
def test_the_transforms_of_2_outputs_are_the_matrices(point: int, dtype: str) -> None:
    """Of the input's gradient: taps and gradients, as polynomials, are 0 at all points but one."""
    points = reference.ROW_WINOGRAD_POINTS[2]
    A, G, BT = reference.winograd_matrices(points, 5)
    others = [float(p) for i, p in enumerate(points) if i != point]
    # The gradients are 0 at infinity, or else at the last point that is left.
    pairs = [(np.poly(others[:4])[::-1], np.array([-others[4], 1.0] if point == 5 else [1.0, 0.0]))]
    if point < 5:
        # Or the taps are 0 at infinity and at three points, and the gradients at the fourth.
        pairs.append((np.append(np.poly(others[:3])[::-1], 0), np.array([-others[3], 1.0])))
    for taps, gradients in pairs:
        products = np.round((G @ taps) * (A @ gradients), 12)
        assert np.flatnonzero(products).tolist() == [point]
        grad = (SCALES * one_row(gradients, "float64")).astype(dtype)
        found = input_gradient("winograd_rows", grad, one_row(taps, dtype), OF_2_OUTPUTS)
        expected = SCALES * one_row(BT[point] * ((G @ taps) * (A @ gradients))[point], "float64")
        np.testing.assert_allclose(found, expected, 8 * np.finfo(dtype).eps, 1e-14)


@pytest.mark.parametrize("seed", range(20))
def test_the_twin(seed: int) -> None:
    case = random_case(seed, "float64", 4)
    for got, expected in zip(case.twin(), case.loops(), strict=True):
        assert_close(got, expected, 1e-12, scale=1.0)


def test_the_twin_keeps_the_dtype() -> None:
    for got in Case(2, 2, 3, ONE_TILE, "float32", 1).twin():
        assert got.dtype == np.float32


# Measured beside BLAS with AVX-512. Beside BLAS with AVX2, whose products of 6 and 10 filters round less, it is up to
# 4.6; so it is where our kernels are told to do without fused products, and BLAS, which looks at the processor, is not.
MOST_OF_IM2COL = 4 if kernels.instruction_set() == "v4" else 4.8
# Channels, filters, height and width of the images, rows of the kernel, padding of the columns (and of rows, if fewer)
SHAPES = [
    (1, 6, 28, 28, 5, 2), (6, 16, 14, 14, 5, 0), (6, 16, 14, 14, 5, 2), (3, 16, 28, 28, 5, 2), (16, 16, 14, 14, 5, 2),
    (16, 6, 14, 14, 5, 2), (1, 1, 16, 16, 1, 2), (5, 16, 10, 10, 1, 2), (6, 16, 12, 12, 1, 2), (16, 6, 24, 24, 1, 2),
    (1, 16, 28, 28, 1, 0), (7, 16, 6, 6, 1, 2), (16, 16, 8, 8, 1, 0), (16, 16, 5, 5, 1, 2), (1, 1, 16, 16, 3, 2),
    (2, 2, 10, 10, 3, 2), (1, 16, 24, 24, 3, 2), (6, 16, 5, 5, 3, 2), (16, 16, 8, 8, 3, 2), (8, 8, 28, 28, 3, 2),
    (1, 2, 10, 10, 5, 2), (1, 1, 28, 28, 5, 2), (1, 16, 28, 28, 5, 0), (3, 3, 28, 28, 5, 2), (8, 8, 9, 9, 5, 0),
    (1, 16, 10, 10, 5, 2), (1, 32, 24, 3, 5, 2), (16, 64, 14, 14, 5, 2), (1, 6, 28, 28, 7, 2), (1, 6, 6, 6, 7, 2),
    (6, 16, 12, 12, 7, 2), (16, 16, 14, 14, 7, 0), (5, 6, 24, 24, 5, 2), (3, 16, 64, 64, 5, 2), (16, 16, 64, 64, 3, 0),
]  # fmt: skip


@pytest.mark.parametrize(("channels", "filters", "height", "width", "rows", "padding"), SHAPES)
def test_rounding_stays_within_4_times_im2col_s_where_it_is_chosen(
    channels: int, filters: int, height: int, width: int, rows: int, padding: int
) -> None:
    window = sliding_window("test", (height, width), (rows, 5), 1, (min(padding, rows // 2), padding))
    accepted = [d for d in DIRECTIONS if is_precise("winograd_rows", d, channels, filters, window)]
    for N in (16, 64) if height < 64 else (16,):
        off = {(d, name): 0.0 for d in accepted for name in ("im2col", "winograd_rows")}
        # So many draws that a few numbers of theirs do not decide.
        for seed in range(6 if height < 64 else 1):
            case = Case(N, channels, filters, window, "float32", 3 * seed)
            calls: dict[str, Any] = {
                "forward": lambda x, w, g, name: kernels.conv2d(x, w, None, window, 1, name),
                "input": lambda x, w, g, name: kernels.conv2d_input_gradient(g, w, window, 1, name),
                "weight": lambda x, w, g, name: kernels.conv2d_weight_gradient(x, g, window, 1, name),
            }
            arrays = case.x, case.weight, case.grad
            doubles = [a.astype(np.float64) for a in arrays]
            for direction, name in off:
                exact = calls[direction](*doubles, "im2col")
                off[direction, name] += float(np.sum((calls[direction](*arrays, name) - exact) ** 2))
        for direction in accepted:
            ratio = np.sqrt(off[direction, "winograd_rows"] / off[direction, "im2col"])
            assert ratio < MOST_OF_IM2COL, f"{direction} of {N}: {ratio:.2f} times im2col's"


def test_lenet_s_layers_are_within_precision() -> None:
    for channels, filters, size, padding in ((1, 6, 28, 2), (6, 16, 14, 0)):
        window = sliding_window("test", (size, size), 5, 1, padding)
        for direction in ("forward", "weight"):
            assert kernels.takes_winograd_rows(direction, channels, filters, window, "default")
            assert is_precise("winograd_rows", direction, channels, filters, window)
    assert kernels.takes_winograd_rows("input", 6, 16, sliding_window("test", (14, 14), 5, 1, 0), "default")
