"""Sums, extrema, softmax and its logarithm along every axis, beside their twins: shapes that are cut in all ways."""

from __future__ import annotations

import numpy as np
import pytest
from bits import bits
from parity import assert_close

import minidl
from minidl import kernels, reference

Array = np.ndarray
TOLERANCE = {"float32": 2e-6, "float64": 1e-14}
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
# Rows and columns, few and many of them: packed, in tiles that are whole and not, in partial results.
SHAPES = [
    (1, 1), (5,), (3, 4), (7, 10), (70, 3), (4, 100), (2, 1000), (2, 5, 3), (2, 40, 17), (3, 33, 70), (2, 3000, 2),
    (2, 90, 130), (1, 5000, 20), (2, 33_000), (3, 5, 1100), (0, 3), (2, 0, 3),
]  # fmt: skip
every_shape = pytest.mark.parametrize("shape", SHAPES)
every_softmax = pytest.mark.parametrize("name", ["softmax", "log_softmax"])


def draw(shape: tuple[int, ...], dtype: str, scale: float = 5.0) -> Array:
    return (np.random.default_rng([*shape]).normal(size=shape) * scale).astype(dtype)


@every_dtype
@every_softmax
@every_shape
def test_softmax_equals_its_twin(shape: tuple[int, ...], name: str, dtype: str, threads_everywhere: None) -> None:
    x, grad = draw(shape, dtype), draw(shape[::-1], dtype, 1.0).reshape(shape)
    for axis in range(len(shape)):
        results = []
        for threads in (1, 2, 3, 4):
            minidl.set_num_threads(threads)
            y = getattr(kernels, name)(x, axis)
            results.append((y, getattr(kernels, f"{name}_gradient")(grad, y, axis)))
        assert len({bits(*result) for result in results}) == 1
        y, grad_x = results[0]
        assert_close(y, getattr(reference, name)(x, axis), 2 * TOLERANCE[dtype], scale=1.0)
        expected = getattr(reference, f"{name}_gradient")(grad, y, axis)
        assert_close(grad_x, expected, 4 * TOLERANCE[dtype], scale=1.0)


@every_dtype
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if np.prod(shape)])
def test_reductions_equal_their_twins(shape: tuple[int, ...], dtype: str, threads_everywhere: None) -> None:
    x = draw(shape, dtype)
    for first in range(len(shape)):
        for last in range(first, len(shape)):
            axes = tuple(range(first, last + 1))
            for kind in ("sum", "max", "min"):
                results = []
                for threads in (1, 2, 3, 4):
                    minidl.set_num_threads(threads)
                    results.append(kernels.reduce(kind, x, axes))
                assert len({bits(result) for result in results}) == 1
                expected = reference.reduce(kind, x, axes)
                scale = float(np.sqrt(x.size)) * 5 if kind == "sum" else 0.0
                assert_close(results[0], expected, TOLERANCE[dtype] if kind == "sum" else 0.0, kind, scale)
                assert kernels.reduce(kind, x, axes, True).shape == reference.reduce(kind, x, axes, True).shape


@every_dtype
@every_softmax
@pytest.mark.parametrize("count", [3, 20, 70, 100])
def test_softmax_of_special_values(name: str, count: int, dtype: str) -> None:
    function = getattr(kernels, name)
    for shape in ((2, count), (2, count, 40), (2, count, 3)):
        for value in (np.nan, np.inf, -np.inf):
            x = np.ones(shape, dtype)
            x[0, count // 2] = value
            y = function(x, 1)
            assert np.isfinite(y[1]).all()
            if value == -np.inf:
                expected = 0 if name == "softmax" else -np.inf
                assert (y[0, count // 2] == expected).all() and np.isfinite(np.delete(y[0], count // 2, 0)).all()
            else:
                assert np.isnan(y[0]).all()
        assert np.isnan(function(np.full(shape, -np.inf, dtype), 1)).all()
        # Blocks of rows that hold nothing but -infinity.
        x = np.full(shape, -np.inf, dtype)
        x[:, count - 1] = 1
        assert (function(x, 1)[:, count - 1] == (1 if name == "softmax" else 0)).all()
        x = np.where(np.arange(count).reshape(1, count, *[1] * (len(shape) - 2)) % 2, 1e4, -1e4) * np.ones(shape, dtype)
        assert_close(function(x.astype(dtype), 1), getattr(reference, name)(x.astype(dtype), 1), TOLERANCE[dtype])


@every_dtype
@pytest.mark.parametrize("kind", ["max", "min"])
def test_a_nan_anywhere_is_the_extremum(kind: str, dtype: str) -> None:
    for shape, axis in (((3, 5), 1), ((2, 100), 1), ((2, 40_000), 1), ((5000, 3), 0), ((100, 40), 0)):
        for place in (0, shape[axis] // 2, shape[axis] - 1):
            x = draw(shape, dtype)
            x[(slice(None),) * axis + (place,)] = np.nan
            assert np.isnan(kernels.reduce(kind, x, (axis,))).all()


@every_softmax
def test_equal_columns_have_equal_results(name: str) -> None:
    """Those of the last tile, of the last vector and of what is left after it included."""
    for columns in (17, 131, 600):
        x = np.broadcast_to(draw((50, 1), "float32"), (50, columns)).copy()
        y = getattr(kernels, name)(x, 0)
        assert np.array_equal(y, np.broadcast_to(y[:, :1], y.shape))


def test_long_sums_are_accurate() -> None:
    for shape, axes in (((4_000_000,), (0,)), ((40_000, 100), (0,)), ((40_000, 100), (0, 1))):
        x = np.full(shape, 0.1, np.float32)
        count = x.size if len(axes) == len(shape) else shape[0]
        np.testing.assert_allclose(kernels.reduce("sum", x, axes), count * float(np.float32(0.1)), rtol=1e-6)
