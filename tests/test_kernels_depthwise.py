"""Depthwise convolution's kernels beside the twin of all convolutions, called directly: random windows, edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bits import bits
from parity import assert_close

import minidl
from minidl.errors import ShapeError
from minidl.geometry import Padding, Window, sliding_window, transposed_window
from minidl.kernels.conv import depthwise
from minidl.kernels.conv.depthwise import depthwise2d, depthwise2d_input_gradient, depthwise2d_weight_gradient
from minidl.reference import conv as reference

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def random_window(rng: np.random.Generator, fast: bool) -> Window:
    """Windows of 3 x 3 and 5 x 5 with stride 1 and 2, or any; widths around those of vectors above all."""
    while True:
        size = int(rng.integers(1, 20)), int(rng.choice([rng.integers(1, 20), rng.integers(20, 70)]))
        kernel: Any = (int(rng.choice([3, 5])),) * 2 if fast else tuple(int(v) for v in rng.integers(1, 8, 2))
        step: Any = (int(rng.integers(1, 3)),) * 2 if fast else tuple(int(v) for v in rng.integers(1, 5, 2))
        spread: Any = (1, 1) if fast else tuple(int(v) for v in rng.choice([1, 1, 2, 3], 2))
        around = Padding(*(int(v) for v in rng.integers(0, 5, 4)))
        if rng.integers(3) == 0:
            around = Padding(*(kernel[0] // 2,) * 2, *(kernel[1] // 2,) * 2)
        try:
            return sliding_window("test", size, kernel, step, around, spread)
        except ShapeError:
            continue


def operands(rng: np.random.Generator, window: Window, N: int, C: int, F: int, dtype: str) -> list[np.ndarray]:
    """Values of x, weight, bias and the output's gradient."""
    shapes = (N, C, *window.input_size), (F, 1, *window.kernel_size), (F,), (N, F, *window.output_size)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def assert_alike(window: Window, x: Any, weight: Any, bias: Any, grad: Any) -> None:
    """All three directions beside the twin's."""
    C = x.shape[1]
    tolerance = TOLERANCE[str(x.dtype)]
    expected = reference.conv2d(x, weight, bias, window, C)
    assert_close(depthwise2d(x, weight, bias, window), expected, tolerance, scale=1.0)
    expected = reference.conv2d_input_gradient(grad, weight, window, C)
    assert_close(depthwise2d_input_gradient(grad, weight, window, C), expected, tolerance, scale=1.0)
    expected = reference.conv2d_weight_gradient(x, grad, window, C)
    assert_close(depthwise2d_weight_gradient(x, grad, window), expected, tolerance, scale=1.0)


@every_dtype
@pytest.mark.parametrize("fast", [True, False], ids=["3x3-5x5", "any"])
@pytest.mark.parametrize("seed", range(80))
def test_random_windows(seed: int, fast: bool, dtype: str, threads_everywhere: None) -> None:
    rng = np.random.default_rng([seed, fast])
    minidl.set_num_threads(1 + seed % 4)
    window = random_window(rng, fast)
    N, C = int(rng.integers(0, 4)), int(rng.integers(1, 20 if seed % 8 == 0 else 5))
    x, weight, bias, grad = operands(rng, window, N, C, C * int(rng.choice([1, 1, 2, 3])), dtype)
    assert_alike(window, x, weight, bias if seed % 3 else None, grad)


@every_dtype
@pytest.mark.parametrize("kernel, stride", [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2)])
def test_planes_that_are_cut_into_bands(kernel: int, stride: int, dtype: str, threads_everywhere: None) -> None:
    rng = np.random.default_rng(kernel)
    minidl.set_num_threads(3)
    # The second kind is so narrow that rows of outputs are less than a vector, and so high that it has bands too.
    for size in ((61, 131), (900, 5)):
        window = sliding_window("test", size, kernel, stride, kernel // 2)
        assert_alike(window, *operands(rng, window, 2, 2, 2, dtype))


@every_dtype
@pytest.mark.parametrize("window", [
    sliding_window("test", (3, 4), 3, 1, 20),
    sliding_window("test", (9, 9), 3, 2, Padding(0, 1, 0, 1)),
    sliding_window("test", (9, 9), 3, 2, Padding(0, 1, 1, 0)),
    sliding_window("test", (6, 40), (2, 3), 1, 0, (5, 19)),
    sliding_window("test", (1, 1), 1, 1, 0),
    sliding_window("test", (1, 33), (1, 9), (1, 2), (0, 4)),
    sliding_window("test", (20, 20), 2, 9, 0),
    transposed_window("test", (4, 5), 3, 1, 0, 1, 2),
], ids=str)  # fmt: skip
def test_odd_windows(window: Window, dtype: str) -> None:
    rng = np.random.default_rng(0)
    for N, C, F in ((1, 1, 1), (2, 3, 6), (0, 2, 2)):
        assert_alike(window, *operands(rng, window, N, C, F, dtype))


@every_dtype
@pytest.mark.parametrize("size, kernel, stride", [
    ((7, 7), 3, 1), ((14, 14), 3, 2), ((28, 28), 5, 1), ((56, 56), 3, 2), ((40, 19), (3, 7), (2, 1)),
])  # fmt: skip
def test_threads_change_no_bits(size: Any, kernel: Any, stride: Any, dtype: str, threads_everywhere: None) -> None:
    rng = np.random.default_rng(1)
    window = sliding_window("test", size, kernel, stride, 1)
    x, weight, bias, grad = operands(rng, window, 3, 21, 21, dtype)
    found = []
    for threads in (1, 2, 3, 4):
        minidl.set_num_threads(threads)
        found.append(bits(
            depthwise2d(x, weight, bias, window),
            depthwise2d_input_gradient(grad, weight, window, 21),
            depthwise2d_weight_gradient(x, grad, window),
        ))  # fmt: skip
    assert found == found[:1] * 4


@every_dtype
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5, 4])
@pytest.mark.parametrize("width", [3, 7, 16, 19, 33])
def test_infinity_stays_where_it_belongs(width: int, kernel: int, stride: int, dtype: str) -> None:
    """A pixel that is infinite or NaN reaches what windows see it, no lane beside."""
    rng = np.random.default_rng(width)
    window = sliding_window("test", (8, width), kernel, stride, kernel // 2)
    for column in {0, width // 2, width - 1}:
        x, weight, bias, grad = operands(rng, window, 1, 2, 2, dtype)
        x[0, 0, 4, column] = np.inf
        grad[0, 1, 1, -1] = np.nan
        with np.errstate(invalid="ignore"):
            pairs = [
                (depthwise2d(x, weight, bias, window), reference.conv2d(x, weight, bias, window, 2)),
                (
                    depthwise2d_input_gradient(grad, weight, window, 2),
                    reference.conv2d_input_gradient(grad, weight, window, 2),
                ),
                (depthwise2d_weight_gradient(x, grad, window), reference.conv2d_weight_gradient(x, grad, window, 2)),
            ]
        for found, expected in pairs:
            # The twin multiplies what windows see of the padding, too, so infinity times zero is NaN in both.
            assert np.array_equal(np.isfinite(found), np.isfinite(expected))
            finite = np.isfinite(expected)
            assert_close(found[finite], expected[finite], TOLERANCE[dtype], scale=1.0)


def test_any_layout_is_read() -> None:
    rng = np.random.default_rng(2)
    window = sliding_window("test", (9, 12), 3, 2, 1)
    x, weight, bias, grad = operands(rng, window, 2, 3, 3, "float32")
    transposed = [np.asfortranarray(a) for a in (x, weight, grad)]
    for a in transposed:
        a.setflags(write=False)
    assert_alike(window, transposed[0], transposed[1], np.repeat(bias, 2)[::2], transposed[2])


@every_dtype
@pytest.mark.parametrize("fast", [True, False], ids=["3x3-5x5", "any"])
@pytest.mark.parametrize("seed", range(40))
def test_guards_around_arrays_are_neither_read_nor_written(
    seed: int, fast: bool, dtype: str, threads_everywhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng([seed, fast, 1])
    minidl.set_num_threads(2)
    window = random_window(rng, fast)
    results = []

    def guarded(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        count = int(np.prod(shape))
        results.append(np.full(count + 128, np.nan, dtype))
        return results[-1][64 : 64 + count].reshape(shape)

    given = []
    for values in operands(rng, window, 2, 3, 3 + 3 * (seed % 3 == 0), dtype):
        given.append(guarded(values.shape, dtype))
        given[-1][...] = values
    results.clear()
    # Whoever reads a NaN spreads it, and whoever writes to one removes it.
    monkeypatch.setattr(depthwise, "new_array", guarded)
    assert_alike(window, *given)
    for buffer in results:
        assert np.isnan(buffer[:64]).all()
        assert np.isnan(buffer[-64:]).all()
