"""The direct convolution beside its twin, called directly: bands of rows and blocks of samples, strides, edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from by_algorithm import all_directions, chosen, forward, weight_gradient
from parity import assert_close

import minidl
from minidl.errors import ShapeError
from minidl.geometry import Padding, Window, sliding_window
from minidl.kernels.conv import direct
from minidl.reference import conv as reference

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture
def low_bands(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Cut even small images into several bands."""
    monkeypatch.setattr(direct, "_BAND_BYTES", {"forward": 4096, "input": 4096, "weight": 8192})
    direct.bands_plan.cache_clear()
    yield
    direct.bands_plan.cache_clear()


def random_window(rng: np.random.Generator) -> Window:
    """Any stride and dilation, four paddings; widths around those of vectors above all."""
    while True:
        size = int(rng.integers(1, 20)), int(rng.choice([rng.integers(1, 20), rng.integers(20, 90)]))
        kernel = int(rng.integers(1, 6)), int(rng.integers(1, 6))
        step = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        spread = int(rng.choice([1, 1, 2, 3])), int(rng.choice([1, 1, 2, 3]))
        around = Padding(*(int(v) for v in rng.integers(0, 5, 4)))
        try:
            return sliding_window("test", size, kernel, step, around, spread)
        except ShapeError:
            continue


def assert_alike(
    window: Window, N: int, C: int, F: int, dtype: str, rng: np.random.Generator, bias: bool, name: str = "direct"
) -> None:
    """All three directions beside the twin's."""
    x = rng.normal(size=(N, C, *window.input_size)).astype(dtype)
    weight = rng.normal(size=(F, C, *window.kernel_size)).astype(dtype)
    grad = rng.normal(size=(N, F, *window.output_size)).astype(dtype)
    more = rng.normal(size=F).astype(dtype) if bias else None
    found: list[Any] = all_directions(name, x, weight, more, grad, window)
    expected = [
        reference.conv2d(x, weight, more, window, 1),
        reference.conv2d_input_gradient(grad, weight, window, 1),
        reference.conv2d_weight_gradient(x, grad, window, 1),
    ]
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, TOLERANCE[dtype], scale=1.0)


@every_dtype
@pytest.mark.parametrize("seed", range(80))
def test_random_windows(seed: int, dtype: str, low_bands: None, threads_everywhere: None) -> None:
    rng = np.random.default_rng(seed)
    minidl.set_num_threads(1 + seed % 4)
    N, C, F = int(rng.choice([0, 1, 2, 9, 16, 19])), int(rng.integers(1, 5)), int(rng.integers(1, 10))
    assert_alike(random_window(rng), N, C, F, dtype, rng, bool(seed % 3))


@every_dtype
@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("seed", range(30))
def test_parts_of_blocks(
    seed: int, parts: int, dtype: str, monkeypatch: pytest.MonkeyPatch, threads_everywhere: None
) -> None:
    """All is done by blocks, whatever the cost model says of them."""
    rng = np.random.default_rng(seed)
    minidl.set_num_threads(1 + seed % 4)
    monkeypatch.setattr(direct, "blocks_plan", direct.blocks_plan.__wrapped__)
    monkeypatch.setattr(direct, "parts_of", lambda N, rows, window: min(parts, rows))
    N, C, F = int(rng.choice([1, 9, 16, 19])), int(rng.integers(1, 5)), int(rng.integers(1, 10))
    assert_alike(random_window(rng), N, C, F, dtype, rng, bool(seed % 3), "direct_blocks")


@every_dtype
@pytest.mark.parametrize(("C", "kernel"), [(10, (5, 5)), (11, (5, 5)), (2, (16, 16)), (1, (16, 17)), (30, (3, 3))])
def test_sums_of_more_terms_than_a_table_holds(C: int, kernel: tuple[int, int], dtype: str) -> None:
    """Tables of 256: for all channels together, for one at a time, or for a row of the kernel."""
    window = sliding_window("test", (18, 19), kernel, 1, 1)
    assert_alike(window, 9, C, 7, dtype, np.random.default_rng(0), True, "direct_blocks")


@pytest.mark.parametrize("direction", ["forward", "input", "weight"])
def test_few_blocks_are_cut_in_two(direction: str) -> None:
    window = sliding_window("test", (28, 28), 5, 1, 0)
    parts = {N: direct.blocks_plan(direction, N, 1, 6, window, 4).parts for N in (16, 32, 48, 64, 16 * 7, 16 * 9)}
    assert parts == {16: 2, 32: 1, 48: 2, 64: 1, 16 * 7: 2, 16 * 9: 1}
    # Both parts would load nearly all of the image.
    assert direct.blocks_plan(direction, 16, 4, 6, sliding_window("test", (12, 12), 9, 1, 0), 4).parts == 1


def test_samples_whose_lines_share_a_set_are_cut_into_bands() -> None:
    def cut(size: int) -> str:
        window = sliding_window("test", (size, size), 3, 1, 1)
        return chosen("forward", 64, 1, 4, window, algorithm="direct").name

    assert [cut(size) for size in (47, 48, 49)] == ["direct_blocks", "direct_bands", "direct_blocks"]


@every_dtype
@pytest.mark.parametrize("width", [15, 16, 17, 32, 48, 64])
def test_rows_that_fill_their_vectors(width: int, dtype: str, low_bands: None) -> None:
    rng = np.random.default_rng(width)
    for kernel, step in ((3, 1), (5, 2), (4, 3)):
        window = sliding_window("test", (7, (width - 1) * step + kernel - 2), kernel, step, 1)
        assert window.output_size[1] == width
        assert_alike(window, 2, 3, 7, dtype, rng, True)


@every_dtype
@pytest.mark.parametrize("width", [5, 16, 19, 50])
@pytest.mark.parametrize("N", [1, 9])
def test_infinity_stays_where_it_is_seen(N: int, width: int, dtype: str) -> None:
    """What fills up vectors or blocks is multiplied by nothing: zero times infinity is no zero."""
    rng = np.random.default_rng(0)
    window = sliding_window("test", (6, width + 5), 3, 2, 0)
    x = rng.normal(size=(N, 2, *window.input_size)).astype(dtype)
    # No window sees a last column that is left over, but a vector of columns may.
    x[:, :, :, (window.output_size[1] - 1) * 2 + 3 :] = np.inf
    grad = rng.normal(size=(N, 3, *window.output_size)).astype(dtype)
    assert np.isfinite(weight_gradient("direct", x, grad, window)).all()
    assert np.isfinite(forward("direct", x, np.ones((3, 2, 3, 3), dtype), None, window)).all()
