"""The matrix product of convolution's own beside the loops, called directly: random windows, edges of tiles, cuts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from by_algorithm import chosen, problem_of
from parity import assert_close

import minidl
from minidl import _ext, reference
from minidl.errors import ShapeError
from minidl.geometry import Padding, Window, sliding_window
from minidl.kernels.conv.correlation import forward_plan, weight_plan
from minidl.kernels.conv.filter_lanes import filter_plan
from minidl.kernels.conv.registry import REGISTRY
from minidl.memory import workspace

TOLERANCE = {"float32": 2e-6, "float64": 1e-14}
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
ROWS, LANES, _ = _ext.implicit_gemm[4].tile_sizes()


class Case:
    """Random arrays around one window, and what the loops make of them."""

    # Forward, for the input's gradient and for the weight's, where they compute it.
    cuts = ("positions", "positions", "positions")

    def __init__(self, N: int, C: int, F: int, window: Window, dtype: str, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.window = window
        self.x = rng.normal(size=(N, C, *window.input_size)).astype(dtype)
        self.weight = rng.normal(size=(F, C, *window.kernel_size)).astype(dtype)
        self.bias = rng.normal(size=F).astype(dtype)
        self.grad = rng.normal(size=(N, F, *window.output_size)).astype(dtype)

    def reference(self) -> list[np.ndarray]:
        x, weight, bias, grad = (a.astype(np.float64) for a in (self.x, self.weight, self.bias, self.grad))
        columns = reference.unfold_strided
        return [
            reference.conv2d_im2col(x, weight, bias, self.window, 1, columns),
            *reference.conv2d_im2col_gradients(x, weight, grad, self.window, 1, columns),
        ]

    def product(self) -> list[np.ndarray]:
        return [self.product_of(i) for i in range(3)]

    def product_of(self, direction: int) -> np.ndarray:
        return self.run(direction, self.bias)

    def run(self, direction: int, bias: np.ndarray | None) -> np.ndarray:
        arrays = [(self.x, self.weight, bias), (self.grad, self.weight), (self.x, self.grad)][direction]
        name = ("forward", "input", "weight")[direction]
        (N, C), F = self.x.shape[:2], len(self.weight)
        problem = problem_of(name, N, C, F, self.window, self.x.dtype)
        for cut in (self.cuts[direction], "positions"):
            entry = REGISTRY[f"implicit_gemm_{cut}"]
            if entry.why_unsupported(problem) is None:
                break
        return entry.plan(problem)(*arrays)


@pytest.fixture(autouse=True, params=[
    ("positions",) * 3, ("pointwise",) * 3, ("filters", "taps", "filters"),
], ids=["positions", "pointwise", "filters"])  # fmt: skip
def cuts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All cuts, whichever would take less time."""
    monkeypatch.setattr(Case, "cuts", request.param)


def random_case(seed: int, dtype: str) -> Case:
    """Batches of 1 to 5, kernels, strides and dilations of their own in each dimension, four paddings."""
    rng = np.random.default_rng(seed)
    while True:
        size, kernel, stride, dilation = (
            tuple(int(v) for v in rng.integers(1, most)) for most in ((14, 29), (6, 6), (5, 5), (4, 4))
        )
        around = Padding(*(int(v) for v in rng.integers(0, 5, 4)))
        try:
            window = sliding_window("test", size, kernel, stride, around, dilation)
        except ShapeError:
            continue
        C, F = (int(v) for v in rng.integers(1, 4 * ROWS, 2))
        return Case(int(rng.integers(1, 6)), C, F, window, dtype, seed)


def check(case: Case) -> None:
    for got, expected in zip(case.product(), case.reference(), strict=True):
        assert got.dtype == case.x.dtype
        assert_close(got, expected, TOLERANCE[case.x.dtype.name])


@every_dtype
@pytest.mark.parametrize("seed", range(60))
def test_random_windows(seed: int, dtype: str, threads_everywhere: None) -> None:
    minidl.set_num_threads(1 + seed % 4)
    check(random_case(seed, dtype))


@every_dtype
@pytest.mark.parametrize("positions", [1, LANES // 3, LANES // 3 + 1, LANES - 1, LANES, LANES + 1, 3 * LANES + 5])
@pytest.mark.parametrize("F", [1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS])
def test_edges_of_tiles(F: int, positions: int, dtype: str) -> None:
    """Lanes and rows that are whole tiles, one more, one less; batches of 1 and 3, so tiles across images."""
    for N, C in ((1, 5), (3, LANES + 1)):
        check(Case(N, C, F, sliding_window("test", (1, positions), 1), dtype))


@every_dtype
@pytest.mark.parametrize("around", [(0, 0, 0, 1), (0, 0, 1, 0), (0, 0, 2, 3)])
@pytest.mark.parametrize("columns", [1, 2, LANES + 3])
def test_one_tap_and_one_row_within_padding(columns: int, around: tuple[int, ...], dtype: str) -> None:
    """Almost the rows of the image themselves."""
    check(Case(3, 5, ROWS + 1, sliding_window("test", (1, columns), 1, 1, Padding(*around)), dtype))


@every_dtype
def test_rows_as_long_as_a_panel_within_padding(dtype: str) -> None:
    lanes = _ext.implicit_gemm[np.dtype(dtype).itemsize].tile_sizes()[1]
    check(Case(2, 3, 4, sliding_window("test", (3, lanes), 3, 1, 3), dtype))


@every_dtype
@pytest.mark.parametrize("kernel", [1, (3, 2)])
def test_several_blocks_of_the_inner_dimension(kernel: Any, dtype: str) -> None:
    """Sums that are written down and taken up again, in place and aside, with a bias added once."""
    for N, size in ((2, (8, 12)), (3, (5, 7))):
        check(Case(N, 1100 if kernel == 1 else 190, 2 * ROWS + 3, sliding_window("test", size, kernel), dtype))


@every_dtype
@pytest.mark.parametrize("stride", [(2, 2), (3, 1), (1, 4)])
def test_several_blocks_of_a_strided_gradient(stride: tuple[int, int], dtype: str) -> None:
    """The same where a result's neighbours are apart."""
    check(Case(2, 9, 700, sliding_window("test", (9, 11), 3, stride, 1), dtype))


@every_dtype
@pytest.mark.parametrize("width", [5, 35, 66, 131, 231])
@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("columns", [1, 2, 11])
def test_rows_that_a_stride_splits(columns: int, stride: int, width: int, dtype: str, threads_everywhere: None) -> None:
    """Wide kernels read what was split, narrow ones the images themselves; vectors of both reach to a row's end."""
    around = Padding(0, 1, columns // 2, columns)
    window = sliding_window("test", (5, width), (2, columns), (1, stride), around, (1, 2 if columns == 2 else 1))
    splits = forward_plan(2, 3, 9, window, 4).split > 0
    assert splits == (2 * columns * window.positions >= 2 * 5 * width)
    case = Case(2, 3, 9, window, dtype)
    minidl.set_num_threads(1)
    before = case.product()
    check(case)
    minidl.set_num_threads(3)
    for one, other in zip(case.product(), before, strict=True):
        assert np.array_equal(one, other)


@every_dtype
def test_one_tap_whose_split_rows_are_as_long_as_positions_are_many(dtype: str) -> None:
    """Not the rows of the image themselves: behind their ends there is what was in memory."""
    window = sliding_window("test", (1, 1), 1, (1, 2), Padding(0, 0, 0, 2))
    case = Case(1, 1, 2, window, dtype)
    expected = case.reference()
    for i in range(3):
        spoilt = [workspace(1, 16, np.dtype(dtype)).__enter__() for _ in range(8)]
        for rows in spoilt:
            rows[...] = np.nan
        del spoilt, rows
        assert_close(case.product_of(i), expected[i], TOLERANCE[dtype])


@pytest.mark.parametrize("stride", [2, 3])
def test_pixels_that_no_window_saw_have_no_gradient(stride: int) -> None:
    case = Case(3, 4, 5, sliding_window("test", (11, 8), 1, stride), "float64")
    got = case.product_of(1)
    seen = np.zeros((11, 8), bool)
    seen[::stride, ::stride] = True
    assert not got[:, :, ~seen].any()
    assert got[:, :, seen].all()


@every_dtype
@pytest.mark.parametrize(
    ("shape", "F", "kernel"),
    [
        ((40, 3, 9, 9), 2 * ROWS, 3),
        ((2, 130, 10, 9), 5 * ROWS + 1, 1),
        ((3, 600, 3, 3), 700, 1),
        ((9, 6, 40, 41), 8, 2),
    ],
)
def test_weight_gradients_in_every_cut(shape: tuple[int, ...], F: int, kernel: int, dtype: str) -> None:
    """Chunks of positions, blocks of rows and of columns; a single sum that goes straight to the result."""
    check(Case(shape[0], shape[1], F, sliding_window("test", shape[2:], kernel), dtype))


@every_dtype
@pytest.mark.parametrize(("N", "F"), [(1, ROWS - 1), (3, 2 * ROWS), (5, 3 * ROWS + 1), (11, ROWS + 1)])
@pytest.mark.parametrize("kernel", [1, 3])
def test_gradients_of_large_images(kernel: int, N: int, F: int, dtype: str, threads_everywhere: None) -> None:
    """Read where they lie, by blocks in one image each; the last rows may be fewer than a tile's."""
    for threads in (1, 3):
        minidl.set_num_threads(threads)
        for size in ((11, 12), (23, 25)):
            case = Case(N, LANES // 3 + 2, F, sliding_window("test", size, kernel, 1, kernel // 2), dtype)
            assert_close(case.product_of(2), case.reference()[2], TOLERANCE[dtype])


def test_the_cuts_there_are() -> None:
    """If the plans change, the sizes above must follow."""
    plan = weight_plan
    chunks = [plan(N, C, F, sliding_window("test", size, k), 4, 1).sums[0]
              for N, C, F, size, k in ((40, 3, 2 * ROWS, (9, 9), 3), (3, 600, 700, (3, 3), 1))]  # fmt: skip
    assert chunks[0] > 1 == chunks[1]
    cut = plan(3, 600, 700, sliding_window("test", (3, 3), 1), 4, 1).compiled.cut
    assert cut["row_blocks"] * cut["column_blocks"] > 1
    assert cut["blocks"] * cut["most"] >= 27
    forward = forward_plan(3, 1100, 19, sliding_window("test", (5, 7), 1), 4)
    assert forward.compiled.cut["k_block"] < 1100
    forward = forward_plan(1, 8, 256, sliding_window("test", (5, 7), 1), 4)
    assert forward.compiled.cut["row_blocks"] > 1


def test_few_parts_can_be_shared_by_two() -> None:
    """Twenty-five vectors of positions are nine panels."""
    window = sliding_window("test", (5, 5 * LANES // 3), 1, 1, 0)
    for F, parts in ((32 * ROWS, [2, 9]), (ROWS, [1, 9])):
        cut = forward_plan(1, 512, F, window, 4).compiled.cut
        assert [cut["row_blocks"], cut["column_blocks"]] == parts


@every_dtype
def test_the_bits_are_the_same_for_any_number_of_threads(dtype: str, threads_everywhere: None) -> None:
    cases = [random_case(seed, dtype) for seed in range(4)]
    cases.append(Case(3, 40, 50, sliding_window("test", (30, 29), 3, 1, 1), dtype))
    cases.append(Case(1, 64, 256, sliding_window("test", (7, 7), 1), dtype))
    for case in cases:
        minidl.set_num_threads(1)
        alone = case.product()
        for threads in (2, 3, 4):
            minidl.set_num_threads(threads)
            for one, other in zip(alone, case.product(), strict=True):
                assert np.array_equal(one, other)


def test_any_memory_layout() -> None:
    case = Case(3, 6, 5, sliding_window("test", (9, 7), 3, 2, 1), "float64")
    expected = case.product()
    for name in ("x", "weight", "bias", "grad"):
        values = getattr(case, name)
        strided = np.zeros((*values.shape[:-1], 2 * values.shape[-1]))[..., ::2]
        strided[...] = values
        strided.setflags(write=False)
        setattr(case, name, strided)
    for got, values in zip(case.product(), expected, strict=True):
        assert np.array_equal(got, values)


def test_no_bias() -> None:
    case = Case(2, 3, 2 * ROWS + 1, sliding_window("test", (5, 6), 3, 1, 1), "float64")
    without = case.run(0, None)
    assert_close(without + case.bias[:, None, None], case.product()[0], 1e-14)


@pytest.mark.parametrize(("N", "C", "F"), [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_nothing_to_add_up(N: int, C: int, F: int) -> None:
    case = Case(N, C, F, sliding_window("test", (5, 6), 3), "float32")
    y, dx, dw = case.product()
    assert y.shape == case.grad.shape
    assert np.array_equal(y, np.broadcast_to(case.bias[:, None, None], y.shape))
    assert dx.shape == case.x.shape
    assert dw.shape == case.weight.shape
    assert not (dx.any() or dw.any())


def test_what_is_not_finite_stays_where_it_was_seen() -> None:
    """Lanes that fill up a vector are no part of the result."""
    case = Case(2, 3, 4, sliding_window("test", (5, 6), 3, 1, 1), "float32")
    case.x[0, 1, 0, 0] = np.inf
    got = case.product_of(0)
    assert np.isfinite(got[1]).all()
    assert not np.isfinite(got[0, :, :2, :2]).any()
    assert np.isfinite(got[0, :, 2:]).all()


def test_the_cuts_of_filters_in_lanes() -> None:
    """If the plans change, the sizes of the tests below must follow."""
    width, most_vectors, _, _ = _ext.filter_lanes[4].tile_sizes()
    window = sliding_window("test", (22, 90), 3, 2, 1)
    plan = filter_plan("forward", 2, 3, 5 * width, window, 4)
    cut = plan.compiled.cut
    assert 1 < cut["band"] < window.output_size[0]
    assert window.output_size[0] % cut["band"]
    assert cut["rows"] == (cut["band"] - 1) * 2 + 3
    assert cut["together"] == 1
    plan = filter_plan("forward", 2, 3, 5 * width, sliding_window("test", (20, 13), 3, 2), 4)
    cut = plan.compiled.cut
    assert cut["together"] == cut["band"] > 1
    assert cut["rows"] == 0
    assert [filter_plan("weight", N, 3, 40, sliding_window("test", (size, size), 3), 4).sums[0]
            for N, size in ((1, 3), (2, 12), (3, 5), (40, 20))] == [1, 2, 1, 8]  # fmt: skip
    huge = filter_plan("weight", 40, 600, 600, sliding_window("test", (9, 9), 3), 4)
    assert huge.sums[0] == 1


@every_dtype
@pytest.mark.parametrize("F", [1, 7, 16, 17, 33, 48, 65, 100, 150])
@pytest.mark.parametrize(("size", "around"), [((22, 90), 1), ((20, 13), 0), ((9, 3), 1), ((6, 14), 0), ((30, 26), 0)])
def test_panels_of_filters(F: int, size: tuple[int, int], around: int, dtype: str, threads_everywhere: None) -> None:
    """One to several panels, of any number of vectors, in bands with a smaller last one; short rows, too."""
    minidl.set_num_threads(1 + F % 3)
    check(Case(2, 3, F, sliding_window("test", size, 3, 2, around), dtype))


def test_what_is_in_lanes_depends_on_shapes_alone() -> None:
    """Large kernels and few channels have filters in the lanes; one tap has positions."""
    stem, pointwise = sliding_window("test", (224, 224), 7, 2, 3), sliding_window("test", (28, 28), 1)
    for window, channels, filters, expected in (
        (stem, 3, 64, {"forward": "filters", "weight": "filters"}),
        (pointwise, 512, 512, {"forward": "pointwise", "input": "pointwise"}),
    ):
        for direction, cut in expected.items():
            entry = chosen(direction, 8, channels, filters, window, algorithm="implicit_gemm")
            assert entry.name == f"implicit_gemm_{cut}"
