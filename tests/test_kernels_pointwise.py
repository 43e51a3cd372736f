"""The product of 1x1 convolutions beside NumPy's, called directly: vectors that lie in two images, blocks, threads."""

from __future__ import annotations

import numpy as np
import pytest
from parity import assert_close

import minidl
from minidl import _ext
from minidl.geometry import Padding, sliding_window, transposed_window
from minidl.kernels.conv.pointwise import is_pointwise, pointwise_product

TOLERANCE = {"float32": 2e-6, "float64": 1e-14}
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
ROWS, LANES = _ext.implicit_gemm[4].tile_sizes()[:2]
WIDTH = LANES // 3


def arrays(N: int, K: int, F: int, P: int, dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(N * 1000 + K * 100 + F * 10 + P)
    x, weight, bias = rng.normal(size=(N, K, 1, P)), rng.normal(size=(F, K, 1, 1)), rng.normal(size=F)
    return x.astype(dtype), weight.astype(dtype), bias.astype(dtype)


def product(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, turned: bool = False) -> np.ndarray:
    """With a number before and behind the result that must stay."""
    N, K, _, P = x.shape
    F = weight.size // K
    memory = np.full(N * F * P + 2, 7, x.dtype)
    output = memory[1:-1].reshape(N, F, 1, P)
    pointwise_product(N, K, F, P, turned, x.dtype)(x, weight, output, bias)
    assert memory[0] == 7 == memory[-1]
    return output.copy()


def check(N: int, K: int, F: int, P: int, dtype: str) -> None:
    x, weight, bias = arrays(N, K, F, P, dtype)
    expected = np.einsum("nkp,fk->nfp", x[:, :, 0].astype(np.float64), weight[..., 0, 0].astype(np.float64))[:, :, None]
    assert_close(product(x, weight, None), expected, TOLERANCE[dtype])
    assert_close(product(x, weight, bias), expected + bias[:, None, None], TOLERANCE[dtype])
    turned = np.ascontiguousarray(weight.transpose(1, 0, 2, 3))
    assert_close(product(x, turned, None, turned=True), expected, TOLERANCE[dtype])


@every_dtype
@pytest.mark.parametrize("P", [WIDTH, WIDTH + 1, 2 * WIDTH - 1, LANES - 1, LANES, LANES + 1, 2 * LANES + WIDTH + 3])
@pytest.mark.parametrize("F", [1, ROWS - 1, ROWS, 2 * ROWS + 3])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_vectors_in_two_images(P: int, F: int, threads: int, dtype: str, threads_everywhere: None) -> None:
    """Batches whose images end in each lane of a vector, with a first and with later blocks of the inner dimension."""
    minidl.set_num_threads(threads)
    for N, K in ((1, 3), (5, 17), (7, 400)):
        check(N, K, F, P, dtype)


@every_dtype
@pytest.mark.parametrize("K", [1, 16, 96, 191, 192, 193, 385])
def test_blocks_of_the_inner_dimension(K: int, dtype: str) -> None:
    """Several panels that are gathered together where there are few channels, and several groups of them."""
    check(2, K, ROWS + 1, 15 * LANES + 5, dtype)


@every_dtype
def test_the_bits_are_the_same_for_any_number_of_threads(dtype: str, threads_everywhere: None) -> None:
    """Few positions and many rows, and the other way round: threads share them in other ways."""
    for N, K, F, P in ((2, 300, 20 * ROWS + 1, WIDTH + 3), (9, 300, ROWS + 1, LANES + 5)):
        x, weight, bias = arrays(N, K, F, P, dtype)
        minidl.set_num_threads(1)
        alone = product(x, weight, bias)
        for threads in (2, 3, 4, 6):
            minidl.set_num_threads(threads)
            assert np.array_equal(alone, product(x, weight, bias))


@pytest.mark.parametrize("K", [4, 400])
def test_what_is_not_finite_stays_where_it_was_seen(K: int) -> None:
    """Neither the next image's lanes nor those behind the last position see it."""
    x, weight, bias = arrays(3, K, ROWS + 1, LANES + 5, "float32")
    x[1, :, 0, -1] = np.inf
    x[0, 0, 0, 0] = np.nan
    bad = ~np.isfinite(product(x, weight, bias))
    assert bad[1, :, 0, -1].all()
    assert bad[0, :, 0, 0].all()
    assert bad.sum() == 2 * (ROWS + 1)


def test_which_windows_it_is_for() -> None:
    for size, arguments, expected in (
        ((1, WIDTH), (1,), True), ((WIDTH, 3), (1, 1, 0, 2), True), ((1, WIDTH - 1), (1,), False),
        ((20, 20), (1, 2), False), ((20, 20), (1, (1, 2)), False), ((20, 20), (3, 1, 1), False),
        ((20, 20), (1, 2, Padding(10, 9, 10, 9)), False), ((20, 20), (1, 1, 1), False),
        ((20, 20), (1, 1, Padding(0, 0, 0, 1)), False),
    ):  # fmt: skip
        assert is_pointwise(sliding_window("test", size, *arguments), 4) is expected, (size, arguments)
    # As many windows as pixels, but each one to the left of its pixel.
    window = transposed_window("test", (1, 40), 1, 1, (0, 1), (0, 2), (1, 3))
    assert window.input_size == window.output_size
    assert not is_pointwise(window, 4)
    # Fewer.
    assert not is_pointwise(transposed_window("test", (1, 40), 1, 1, 0, (0, 2), (1, 3)), 4)
