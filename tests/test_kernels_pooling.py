"""Pooling's kernels beside their twins, called directly: random windows, long runs, and memory's edges."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parity import assert_close

import minidl
from minidl import kernels, reference
from minidl.errors import ShapeError
from minidl.geometry import Padding, Window, sliding_window
from minidl.kernels import pooling

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
SPECIAL = [-np.inf, np.nan, 0.0, 1.0, 2.0, np.inf]


def random_window(rng: np.random.Generator) -> Window:
    """Windows whose last places hang over the edge more often than not; sizes from 1 to 40, columns above all."""
    while True:
        size, kernel = (tuple(int(v) for v in rng.integers(1, high)) for high in ((12, 40), (5, 14)))
        around = Padding(*(int(rng.integers(0, k // 2 + 1)) for k in (kernel[0], kernel[0], kernel[1], kernel[1])))
        step = int(rng.integers(1, 6)), int(rng.integers(1, 4))
        spread = tuple(int(v) for v in rng.choice([1, 1, 2, 3], 2))
        # A dilated window may see nothing but padding, which the functional layer refuses.
        around = around if spread == (1, 1) else Padding(0, 0, 0, 0)
        try:
            return sliding_window("test", size, kernel, step, around, spread, True)  # type: ignore[arg-type]
        except ShapeError:
            continue


@every_dtype
@pytest.mark.parametrize("seed", range(60))
def test_windows_that_hang_over_the_edge(seed: int, dtype: str, threads_everywhere: None) -> None:
    rng = np.random.default_rng(seed)
    minidl.set_num_threads(1 + seed % 3)
    window = random_window(rng)
    x = rng.choice(SPECIAL, size=(2, 2, *window.input_size), p=[0.3, 0.05, 0.2, 0.2, 0.2, 0.05]).astype(dtype)
    if seed % 5 == 0:
        x[...] = -np.inf
    (y, at), (expected, expected_at) = kernels.max_pool2d(x, window), reference.max_pool2d(x, window)
    assert np.array_equal(y, expected, equal_nan=True)
    assert np.array_equal(at, expected_at)
    x = rng.normal(size=(2, 3, *window.input_size)).astype(dtype)
    scale = rng.uniform(0.1, 1, window.output_size)
    means = kernels.avg_pool2d(x, window, scale)
    assert_close(means, reference.avg_pool2d(x, window, scale), TOLERANCE[dtype], scale=1.0)
    grad = rng.normal(size=means.shape).astype(dtype)
    expected = reference.avg_pool2d_gradient(grad, window, scale)
    assert_close(kernels.avg_pool2d_gradient(grad, window, scale), expected, TOLERANCE[dtype], scale=1.0)


@every_dtype
@pytest.mark.parametrize("seed", range(60))
def test_windows_that_share_the_image_out(seed: int, dtype: str, threads_everywhere: None) -> None:
    rng = np.random.default_rng(seed)
    minidl.set_num_threads(1 + seed % 3)
    size = tuple(int(v) for v in rng.integers(1, (12, 80)))
    output: Any = tuple(int(v) for v in rng.integers(1, (8, 8)))
    if seed % 4 == 0:
        output = (output[0], 1)
    x = rng.choice(SPECIAL, size=(2, 2, *size), p=[0.3, 0.05, 0.2, 0.2, 0.2, 0.05]).astype(dtype)
    if seed % 5 == 0:
        x[...] = -np.inf
    (y, at), (expected, expected_at) = kernels.adaptive_max_pool2d(x, output), reference.adaptive_max_pool2d(x, output)
    assert np.array_equal(y, expected, equal_nan=True)
    assert np.array_equal(at, expected_at)
    assert at.dtype == np.int32
    x = rng.normal(size=(int(rng.integers(0, 3)), 3, *size)).astype(dtype)
    means = kernels.adaptive_avg_pool2d(x, output)
    assert_close(means, reference.adaptive_avg_pool2d(x, output), TOLERANCE[dtype], scale=1.0)
    grad = rng.normal(size=means.shape).astype(dtype)
    expected = reference.adaptive_avg_pool2d_gradient(grad, size)
    assert_close(kernels.adaptive_avg_pool2d_gradient(grad, size), expected, TOLERANCE[dtype], scale=1.0)


def test_the_gradient_of_the_reference_is_a_transpose() -> None:
    rng = np.random.default_rng(0)
    for size, output in (((5, 7), (3, 2)), ((2, 3), (4, 5)), ((4, 6), (2, 3)), ((5, 3), (1, 1))):
        x, grad = rng.normal(size=(2, 3, *size)), rng.normal(size=(2, 3, *output))
        product = (reference.adaptive_avg_pool2d(x, output) * grad).sum()
        assert np.isclose((reference.adaptive_avg_pool2d_gradient(grad, size) * x).sum(), product)


@every_dtype
@pytest.mark.parametrize("columns", range(8, 27))
def test_lanes_of_a_wide_window(columns: int, dtype: str) -> None:
    """The first of equal maxima and the last NaN, wherever they stand."""
    window = sliding_window("max", (2, columns), (2, columns))
    for first in range(2 * columns):
        for second in (first, (first + 1) % (2 * columns), (first + 8) % (2 * columns), 2 * columns - 1):
            x = np.zeros((1, 2, 2, columns), dtype)
            x.reshape(2, -1)[0, [first, second]] = 1
            x.reshape(2, -1)[1, [first, second]] = np.nan
            for y, at in (kernels.max_pool2d(x, window), kernels.adaptive_max_pool2d(x, (1, 1))):
                assert at.reshape(-1).tolist() == [min(first, second), max(first, second)]
                assert y[0, 0, 0, 0] == 1
                assert np.isnan(y[0, 1, 0, 0])


@every_dtype
@pytest.mark.parametrize("rows", [1, 3, 40])
def test_every_width_of_a_mean(rows: int, dtype: str) -> None:
    """Around all multiples of 16 and of 512, where runs of lanes begin and end."""
    rng = np.random.default_rng(0)
    for columns in (*range(1, 70), *range(510, 515), *range(526, 531), *range(1023, 1042)):
        # Beside the window stands what would show.
        x = np.full((1, 1, rows, 2 * columns), 1e6, dtype)
        x[..., :columns] = rng.integers(-9, 9, (rows, columns))
        y = kernels.adaptive_avg_pool2d(x, (1, 2))
        mean = x[..., :columns].mean(dtype=np.float64)
        assert abs(y[0, 0, 0, 0] - mean) <= TOLERANCE[dtype] * max(abs(mean), 0.1), columns
        assert y[0, 0, 0, 1] == 1e6


def test_means_of_large_images_are_accurate() -> None:
    for size in ((2000, 2000), (1, 4_000_000), (200_000, 20)):
        for output in ((1, 1), (1, 2)):
            y = kernels.adaptive_avg_pool2d(np.full((1, 1, *size), 0.1, np.float32), output)
            assert np.allclose(y, np.float32(0.1), rtol=1e-6, atol=0), (size, output)


def test_planes_of_more_positions_than_an_index_counts_are_refused() -> None:
    image = np.broadcast_to(np.float32(0), (1, 1, 65536, 65536))
    with pytest.raises(ShapeError, match=r"adaptive_max_pool2d: a plane of 65536 x 65536"):
        kernels.adaptive_max_pool2d(image, (1, 1))


def guarded(shape: tuple[int, ...], dtype: Any, guard: float) -> tuple[np.ndarray, np.ndarray]:
    """An array in the middle of a buffer that is full of guards, and the buffer."""
    count = int(np.prod(shape))
    buffer = np.full(count + 128, guard, dtype)
    return buffer[64 : 64 + count].reshape(shape), buffer


@every_dtype
@pytest.mark.parametrize("seed", range(60))
def test_guards_around_arrays_are_neither_read_nor_written(seed: int, dtype: str, threads_everywhere: None) -> None:
    rng = np.random.default_rng(seed)
    window = random_window(rng)
    bins = pooling._bins(window.input_size, window.output_size)
    kind = np.dtype(dtype)
    scale = rng.uniform(0.1, 1, window.output_size).astype(dtype)

    def image(*size: int) -> tuple[np.ndarray, np.ndarray]:
        # NaN wins over everything and spreads through every sum, so that whoever reads one shows it.
        x, buffer = guarded((3, *size), dtype, np.nan)
        x[...] = rng.normal(size=x.shape)
        return x, buffer

    for name, given, taken, options in [
        ("_max_forward", window.input_size, window.output_size, (window.packed,)),
        ("_mean_forward", window.input_size, window.output_size, (window.packed, scale)),
        ("_mean_gradient", window.output_size, window.input_size, (window.packed, scale)),
        ("_max_of_bins", bins.image, bins.output, (bins.rows, bins.columns)),
        ("_mean_of_bins", bins.image, bins.output, (bins.rows, bins.columns)),
        ("_mean_of_bins_gradient", bins.output, bins.image, (bins.rows, bins.columns)),
    ]:
        x, before = image(*given)
        unchanged = before.copy()
        y, after = guarded((3, *taken), dtype, 77)
        results = [(y, after, 77.0)]
        if "max" in name:
            at, around = guarded((3, *taken), np.int32, -5)
            results.append((at, around, -5.0))
        getattr(pooling, name)[kind](x, *options, *(r[0] for r in results), 2)
        assert np.isfinite(y).all(), name
        assert np.array_equal(before, unchanged, equal_nan=True), name
        for _, buffer, guard in results:
            assert (buffer[:64] == guard).all(), name
            assert (buffer[-64:] == guard).all(), name
        if "max" in name:
            assert ((at >= 0) & (at < window.input_size[0] * window.input_size[1])).all()
            assert np.array_equal(np.take_along_axis(x.reshape(3, -1), at.reshape(3, -1), 1), y.reshape(3, -1))


BETWEEN_FORBIDDEN_PAGES = """
import ctypes, mmap
import numpy as np
from test_kernels_pooling import kernels, random_window

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)


def between_forbidden_pages(values, at_the_end):
    length = -(-values.nbytes // PAGE) * PAGE
    memory = mmap.mmap(-1, length + 2 * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (start, start + PAGE + length):
        assert libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), 0) == 0
    offset = PAGE + (length - values.nbytes if at_the_end else 0)
    array = np.frombuffer(memory, values.dtype, values.size, offset).reshape(values.shape)
    array[...] = values
    return array


for seed in range(300):
    rng = np.random.default_rng(seed)
    window = random_window(rng)
    for dtype in ("float32", "float64"):
        for at_the_end in (False, True):
            values = rng.normal(size=(1, 2, *window.input_size)).astype(dtype)
            x = between_forbidden_pages(values, at_the_end)
            kernels.max_pool2d(x, window)
            kernels.avg_pool2d(x, window, np.ones(window.output_size))
            kernels.adaptive_max_pool2d(x, window.output_size)
            kernels.adaptive_avg_pool2d(x, window.output_size)
            grad = rng.normal(size=(1, 2, *window.output_size)).astype(dtype)
            grad = between_forbidden_pages(grad, at_the_end)
            kernels.avg_pool2d_gradient(grad, window, np.ones(window.output_size))
            kernels.adaptive_avg_pool2d_gradient(grad, window.input_size)
print("done")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="protects pages as Linux does")
def test_no_kernel_reads_beyond_its_arrays() -> None:
    """Arrays between pages that may not be read: one byte too far would end the process."""
    here = Path(__file__).resolve().parent
    paths = [str(Path(minidl.__file__).parents[1]), str(here), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    result = subprocess.run(
        [sys.executable, "-c", BETWEEN_FORBIDDEN_PAGES], capture_output=True, text=True, timeout=300, env=environment
    )
    assert (result.returncode, result.stdout.strip()) == (0, "done"), result.stderr
