"""The rows of the table of element-wise ops beside their twins: values, gradients, places and threads."""

from __future__ import annotations

import numpy as np
import pytest
from parity import assert_close

import minidl
from minidl import kernels, reference

Array = np.ndarray
TOLERANCE = {"float32": 2e-6, "float64": 1e-14}
# The numbers of rows that have any.
NUMBERS = {
    "leaky_relu": (0.3, 0.0), "elu": (1.7, 1.1), "softplus": (1.5, 12.0), "clip": (-1.5, 2.0), "hardtanh": (-1.5, 2.0),
    "huber": (0.8, 0.0), "threshold": (0.3, 2.0), "smooth_l1": (0.8, 0.0),
}  # fmt: skip
POSITIVE = ("sqrt", "deviation", "log", "log2", "log10", "log1p", "reciprocal", "rsqrt")
every_row = pytest.mark.parametrize("name", kernels.ELEMENTWISE)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def inputs(name: str, count: int, dtype: str) -> Array:
    """Values on and around all kinks."""
    x = np.resize(np.concatenate([np.linspace(-9.03, 9.01, 73), [-3.0, 0.0, 3.0, 6.0]]), count)
    return (np.abs(x) + 0.01 if name in POSITIVE else x).astype(dtype)


@every_dtype
@every_row
def test_rows_equal_their_twins(name: str, dtype: str) -> None:
    x, numbers = inputs(name, 177, dtype), NUMBERS.get(name, (0.0, 0.0))
    y = kernels.elementwise(name, x, *numbers)
    assert y.dtype == dtype
    assert_close(y, reference.elementwise(name, x, *numbers), TOLERANCE[dtype], name)
    grad = np.random.default_rng(0).normal(size=x.shape).astype(dtype)
    kept = y if kernels.ELEMENTWISE[name].keeps == "y" else x
    found = kernels.elementwise_gradient(name, grad, kept, *numbers)
    assert found.dtype == dtype
    assert_close(found, reference.elementwise_gradient(name, grad, kept, *numbers), TOLERANCE[dtype], name)


@every_dtype
@every_row
def test_the_bits_of_a_number_depend_neither_on_its_place_nor_on_threads(
    name: str, dtype: str, threads_everywhere: None
) -> None:
    x, numbers = inputs(name, 77, dtype), NUMBERS.get(name, (0.0, 0.0))
    grad = np.random.default_rng(0).normal(size=x.shape).astype(dtype)
    alone = [kernels.elementwise(name, x[i : i + 1], *numbers)[0] for i in range(x.size)]
    alone_gradients = [
        kernels.elementwise_gradient(name, grad[i : i + 1], x[i : i + 1], *numbers)[0] for i in range(x.size)
    ]
    for shift in (0, 1, 19, 64):
        for repeats in (1, 3, 5):
            for threads in (1, 2, 3, 4):
                minidl.set_num_threads(threads)
                many, many_grads = (np.roll(np.tile(v, repeats), shift) for v in (x, grad))
                found = kernels.elementwise(name, many, *numbers)
                assert np.array_equal(np.roll(found, -shift), np.tile(alone, repeats), equal_nan=True)
                found = kernels.elementwise_gradient(name, many_grads, many, *numbers)
                assert np.array_equal(np.roll(found, -shift), np.tile(alone_gradients, repeats), equal_nan=True)


@every_row
def test_rows_say_what_they_are(name: str) -> None:
    row = kernels.ELEMENTWISE[name]
    assert row.keeps in ("x", "y", "") and row.torch.startswith("torch.") and row.documentation and row.steps > 0


def test_every_row_has_its_twin() -> None:
    for name in kernels.ELEMENTWISE:
        reference.elementwise(name, np.ones(1), 1.0, 1.0)
        reference.elementwise_gradient(name, np.ones(1), np.ones(1), 1.0, 1.0)


@every_row
def test_pytorch_has_the_same(torch: object, name: str) -> None:
    value = torch
    for part in kernels.ELEMENTWISE[name].torch.split(".")[1:]:
        value = getattr(value, part)
    assert callable(value)
