"""Element-wise ops of two inputs beside their twins, broadcast in every way that the kernel takes, and in others."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from bits import bits
from parity import assert_close

import minidl
from minidl import kernels, reference

Array = np.ndarray
SHAPES = [
    ((70,), (70,)), ((30, 4), (4,)), ((4,), (30, 4)), ((30, 4), (30, 1)), ((4, 5, 6), (5, 1)), ((4, 5, 6), (4, 1, 6)),
    ((70,), ()), ((), (70,)), ((3, 1), (1, 4)), ((2, 3, 4, 5), (3, 1, 1)), ((1, 7, 1), (2, 1, 3)),
    ((40_000,), (40_000,)), ((2, 3, 4, 5, 6), (2, 1, 4, 1, 6)), ((0, 3), (3,)), ((), ()),
]  # fmt: skip
# Rows with logarithms, exponentials and powers, which NumPy may round differently.
ROUNDED = ("pow", "cross_entropy", "logit_cross_entropy")
every_shape = pytest.mark.parametrize("shapes", SHAPES)
every_row = pytest.mark.parametrize("name", kernels.BINARY)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture(autouse=True)
def kernels_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small arrays too."""
    monkeypatch.setattr(import_module("minidl.kernels.binary"), "_FEWEST_NUMBERS", 0)


def draw(shapes: tuple[tuple[int, ...], ...], dtype: str) -> tuple[Array, Array, Array]:
    """Two inputs that are equal now and then, and a gradient of the result."""
    rng = np.random.default_rng(3)
    x, y = (rng.integers(1, 6, shape).astype(dtype) / 2 * rng.choice([-1, 1], shape).astype(dtype) for shape in shapes)
    return np.asarray(x), np.asarray(y), np.asarray(rng.normal(size=np.broadcast_shapes(*shapes)).astype(dtype))


@every_dtype
@every_row
@every_shape
def test_rows_equal_their_twins(shapes: Any, name: str, dtype: str, threads_everywhere: None) -> None:
    x, y, grad = draw(shapes, dtype)
    if name.startswith("pow"):
        # Other powers of negative numbers are NaN.
        y = np.trunc(y) if name != "pow_other" else y
        x = np.abs(x) if name == "pow_other" else x
    elif name.startswith("cross_entropy"):
        x, y = np.abs(x) / 3, np.abs(y) / 3
    results = []
    for threads in (1, 2, 3, 4):
        minidl.set_num_threads(threads)
        results.append(kernels.binary(name, x, y, grad))
    assert len({bits(result) for result in results}) == 1 and results[0].dtype == dtype
    assert_close(results[0], reference.binary(name, x, y, grad), {"float32": 1e-6, "float64": 1e-15}[dtype])
    with np.errstate(all="ignore"):
        expected = kernels.BINARY[name](x, y, grad)
    if name.startswith(ROUNDED):
        assert_close(results[0], expected, {"float32": 1e-6, "float64": 1e-15}[dtype])
    else:
        assert np.array_equal(results[0], expected)


@every_dtype
@every_row
def test_special_values_are_numpys(name: str, dtype: str) -> None:
    special = np.array([0.0, -0.0, 1, -2, np.inf, -np.inf, np.nan], dtype)
    x, y = np.repeat(special, 7 * 9), np.tile(np.tile(special, 7), 9)
    grad = np.ones(x.shape, dtype)
    with np.errstate(all="ignore"):
        expected = kernels.BINARY[name](x, y, grad)
    found = kernels.binary(name, x, y, grad)
    if name.startswith(ROUNDED):
        np.testing.assert_allclose(found, expected, {"float32": 1e-6, "float64": 1e-15}[dtype])
    else:
        assert np.array_equal(found, expected, equal_nan=True)


@every_dtype
@every_shape
def test_sums_over_what_was_broadcast(shapes: Any, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for fewest in (0, 4096):
        monkeypatch.setattr(import_module("minidl.kernels.reduce"), "_FEWEST_NUMBERS", fewest)
        x, y, grad = draw(shapes, dtype)
        for shape, factor in ((shapes[0], y), (shapes[1], x)):
            for given in (None, factor):
                wide = grad.astype(np.float64) * (1 if given is None else given)
                extra = wide.ndim - len(shape)
                axes = tuple(d for d in range(wide.ndim) if d < extra or shape[d - extra] == 1)
                expected = wide.sum(axis=axes).reshape(shape)
                found = kernels.sum_to(grad, shape, given)
                assert found.dtype == dtype
                scale = float(np.abs(wide).sum(axis=axes).max(initial=0))
                assert_close(found, expected, {"float32": 1e-6, "float64": 1e-14}[dtype], scale=scale)


def test_what_the_kernel_has_not_is_numpys() -> None:
    integers = np.arange(12).reshape(3, 4)
    assert np.array_equal(kernels.binary("add", integers, integers), 2 * integers)
    x = np.arange(12.0).reshape(3, 4)
    assert np.array_equal(kernels.binary("mul", x.T, np.ones((4, 1))), x.T)
    assert np.array_equal(kernels.binary("add", x[:, ::2], 1 + x[:, ::2]), 1 + 2 * x[:, ::2])
