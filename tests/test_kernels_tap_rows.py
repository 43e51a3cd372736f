"""The input's gradient as a product with a row for each tap, beside the loops: strides, bands, edges of tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from parity import assert_close

import minidl
from minidl import _ext, reference
from minidl.geometry import Padding, Window, sliding_window
from minidl.kernels.conv.tap_rows import _plan, tap_rows_input_gradient

TOLERANCE = {"float32": 2e-6, "float64": 1e-14}
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
ROWS, LANES = _ext.implicit_gemm[4].tile_sizes()[:2]


def arrays(N: int, C: int, F: int, window: Window, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(N * 1000 + C * 100 + F)
    grad, weight = rng.normal(size=(N, F, *window.output_size)), rng.normal(size=(F, C, *window.kernel_size))
    return grad.astype(dtype), weight.astype(dtype)


def gradient(grad: np.ndarray, weight: np.ndarray, window: Window) -> np.ndarray:
    """With a number before and behind the result that must stay, and nothing in it that may."""
    N, (F, C) = len(grad), weight.shape[:2]
    shape = (N, C, *window.input_size)
    memory = np.full(int(np.prod(shape)) + 2, 7, grad.dtype)
    tap_rows_input_gradient(N, C, F, window, grad.dtype)(grad, weight, memory[1:-1].reshape(shape))
    assert memory[0] == 7 == memory[-1]
    return memory[1:-1].reshape(shape).copy()


def check(N: int, C: int, F: int, window: Window, dtype: str) -> None:
    grad, weight = arrays(N, C, F, window, dtype)
    x = np.zeros((N, C, *window.input_size))
    expected = reference.conv2d_im2col_gradients(
        x, weight.astype(np.float64), grad.astype(np.float64), window, 1, reference.unfold_strided
    )[0]
    assert_close(gradient(grad, weight, window), expected, TOLERANCE[dtype])


@every_dtype
@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, (3, 2), (1, 4), (4, 1)])
@pytest.mark.parametrize("kernel", [1, 2, 3, (5, 7), (7, 4)])
def test_strides(kernel: Any, stride: Any, dtype: str, threads_everywhere: None) -> None:
    """Rows of pixels that are merged from as many parts, some of which no tap sees, and ends that none sees."""
    minidl.set_num_threads(2)
    for size, around in (((19, 23), 0), ((9, 31), Padding(0, 0, 2, 1)), ((12, 11), Padding(3, 1, 0, 4))):
        check(2, 2, ROWS + 1, sliding_window("test", size, kernel, stride, around), dtype)


@every_dtype
@pytest.mark.parametrize("columns", [1, LANES // 3 - 2, LANES // 3, LANES - 2, LANES - 1, LANES, 2 * LANES + 5])
@pytest.mark.parametrize("taps", [(1, 1), (1, 3), (3, 3), (1, LANES + 4)])
def test_edges_of_tiles(taps: tuple[int, int], columns: int, dtype: str) -> None:
    """Rows of positions with gaps between them that begin in any lane, and gaps longer than a tile."""
    for C in (1, 3):
        check(3, C, 5, sliding_window("test", (taps[0] + 4, taps[1] + columns - 1), taps), dtype)


@every_dtype
@pytest.mark.parametrize("dilation", [2, (3, 1), (1, 3)])
@pytest.mark.parametrize("stride", [1, 2, (2, 3)])
def test_dilation(dilation: Any, stride: Any, dtype: str) -> None:
    check(2, 3, 7, sliding_window("test", (17, 21), (3, 4), stride, 2, dilation), dtype)


@every_dtype
def test_several_blocks_of_filters(dtype: str) -> None:
    check(1, 2, 450, sliding_window("test", (9, 10), 3, 2, 1), dtype)


@every_dtype
@pytest.mark.parametrize("stride", [1, 3])
def test_bands_overlap(stride: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands of a row each, so that a pixel gets something from as many as the kernel is high."""
    window = sliding_window("test", (40, 30), (7, 3), stride, 1)
    monkeypatch.setattr("minidl.kernels.conv.tap_rows._BAND_BYTES", 1)
    _plan.cache_clear()
    assert _plan(1, 2, 6, window, np.dtype(dtype).itemsize).bands[0] == window.output_size[0]
    check(1, 2, 6, window, dtype)
    _plan.cache_clear()


@every_dtype
def test_the_bits_are_the_same_for_any_number_of_threads(dtype: str, threads_everywhere: None) -> None:
    for N, C, F, window in ((1, 3, 40, sliding_window("test", (60, 50), 5, 2, 1)),
                            (5, 2, 20, sliding_window("test", (14, 15), 3, 1, 1))):  # fmt: skip
        grad, weight = arrays(N, C, F, window, dtype)
        minidl.set_num_threads(1)
        alone = gradient(grad, weight, window)
        for threads in (2, 3, 4):
            minidl.set_num_threads(threads)
            assert np.array_equal(alone, gradient(grad, weight, window))


def test_what_is_not_finite_stays_where_it_was_seen() -> None:
    """A gradient goes to the pixels that its own taps saw; those of the next row begin in the lanes behind."""
    window = sliding_window("test", (9, 11), 3, 1, 1)
    grad, weight = arrays(2, 2, 4, window, "float32")
    grad[0, 1, 4, -1] = np.inf
    bad = ~np.isfinite(gradient(grad, weight, window))
    assert bad[0, :, 3:6, -2:].all()
    assert bad.sum() == 2 * 6
