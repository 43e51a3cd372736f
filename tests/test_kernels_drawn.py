"""Element-wise ops, sums, extrema and softmax on drawn shapes, by kernels that small arrays do without, beside NumPy.

Axes of 0 and 1, one number less and more than a block, broadcasting along any of the axes, and all memory layouts.
"""

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
SIZES = (0, 1, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 130)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
pytestmark = pytest.mark.usefixtures("threads_everywhere")


@pytest.fixture(autouse=True)
def always_by_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    # The package's functions of the same names hide the modules.
    for name in ("binary", "reduce"):
        monkeypatch.setattr(import_module(f"minidl.kernels.{name}"), "_FEWEST_NUMBERS", 0)


def shape_of(rng: np.random.Generator, most: int = 40_000) -> tuple[int, ...]:
    while True:
        shape = tuple(int(n) for n in rng.choice(SIZES, rng.integers(0, 6)))
        if np.prod(shape, dtype=float) <= most:
            return shape


def drawn(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Numbers with some ties, in one of four layouts."""
    x = np.asarray(np.round(np.asarray(rng.normal(size=shape)) * 4) / 2, dtype)
    how = rng.integers(0, 4)
    if how == 1:
        x = np.asfortranarray(x)
    elif how == 2 and x.ndim:
        x = np.repeat(x, 2, axis=-1)[..., ::2]
    elif how == 3:
        x.flags.writeable = False
    return x


@every_dtype
@pytest.mark.parametrize("seed", range(60))
def test_two_inputs_that_broadcast(seed: int, dtype: str) -> None:
    """Values and fused gradients; the recorded gradients are NumPy's sums and products."""
    rng = np.random.default_rng([seed, 1])
    minidl.set_num_threads(1 + seed % 4)
    shape = shape_of(rng)
    shapes = [tuple(1 if rng.integers(0, 3) == 0 else n for n in shape) for _ in range(2)]
    shapes[seed % 2] = shapes[seed % 2][rng.integers(0, len(shape) + 1) :]
    a, b = (drawn(rng, s, dtype) for s in shapes)
    for name, plain in (("add", np.add), ("sub", np.subtract), ("mul", np.multiply), ("maximum", np.maximum),
                        ("minimum", np.minimum), ("div", np.divide)):  # fmt: skip
        divisor = np.where(b == 0, 1, b).astype(dtype) if name == "div" else b
        x, y = (minidl.Tensor(v.copy(), requires_grad=True) for v in (a, divisor))
        z = getattr(minidl, name)(x, y)
        assert_close(z.data, plain(a, divisor), 0.0, f"{name} of {shapes}")
        slope = minidl.Tensor(rng.normal(size=z.shape).astype(dtype))
        fused = minidl.grad(z, [x, y], slope, retain_graph=True)
        recorded = minidl.grad(z, [x, y], slope, create_graph=True)
        for one, other in zip(fused, recorded, strict=True):
            scale = float(np.abs(slope.data).sum()) if one.data.size < z.data.size else 1.0
            assert_close(one.data, other.data, 1e-5 if dtype == "float32" else 1e-13, f"{name} of {shapes}", scale)


@every_dtype
@pytest.mark.parametrize("seed", range(60))
def test_sums_and_extrema(seed: int, dtype: str) -> None:
    rng = np.random.default_rng([seed, 2])
    shape = shape_of(rng)
    x = drawn(rng, shape, dtype)
    dims = (
        tuple(sorted(int(d) for d in rng.permutation(len(shape))[: rng.integers(1, len(shape) + 1)])) if shape else ()
    )
    for name, plain in (("sum", np.sum), ("amax", np.max), ("amin", np.min)):
        if name != "sum" and not x.size:
            continue
        expected = plain(x.astype(np.float64), axis=dims or None)
        results = []
        for threads in (1, 2, 3):
            minidl.set_num_threads(threads)
            results.append(getattr(minidl, name)(minidl.Tensor(x.copy()), dims or None).data)
        assert len({bits(result) for result in results}) == 1
        tolerance = 0.0 if name != "sum" else 1e-6 if dtype == "float32" else 1e-14
        assert_close(results[0], expected, tolerance, f"{name} of {shape} over {dims}", float(np.abs(x).sum()))


@every_dtype
@pytest.mark.parametrize("seed", range(60))
def test_softmax(seed: int, dtype: str) -> None:
    rng = np.random.default_rng([seed, 3])
    shape = shape_of(rng) or (1,)
    x, axis = drawn(rng, shape, dtype) * 3, int(rng.integers(0, len(shape)))
    for name in ("softmax", "log_softmax"):
        results: list[Any] = []
        for threads in (1, 2, 3):
            minidl.set_num_threads(threads)
            y = getattr(kernels, name)(x, axis)
            results.append((y, getattr(kernels, f"{name}_gradient")(np.cos(x), y, axis)))
        assert len({bits(*result) for result in results}) == 1
        y, grad = results[0]
        tolerance = 5e-6 if dtype == "float32" else 3e-14
        assert_close(y, getattr(reference, name)(x, axis), tolerance, f"{name} of {shape}", 1.0)
        expected = getattr(reference, f"{name}_gradient")(np.cos(x), y, axis)
        assert_close(grad, expected, tolerance, f"gradient of {name} of {shape}", float(max(shape[axis], 1)))


@every_dtype
@pytest.mark.parametrize("seed", range(20))
def test_every_row_of_one_input(seed: int, dtype: str) -> None:
    rng = np.random.default_rng([seed, 4])
    minidl.set_num_threads(1 + seed % 4)
    x = np.abs(drawn(rng, shape_of(rng, 3000), dtype)) / 4 + np.asarray(0.125, dtype)
    for name, row in kernels.ELEMENTWISE.items():
        y = kernels.elementwise(name, x, 0.5, 1.5)
        alone = kernels.elementwise(name, x.copy(order="C"), 0.5, 1.5)
        assert bits(y) == bits(alone), name
        assert_close(y, reference.elementwise(name, x, 0.5, 1.5), 1e-5 if dtype == "float32" else 1e-13, name, 1.0)
        kept = y if row.keeps == "y" else x
        found = kernels.elementwise_gradient(name, np.cos(x), kept, 0.5, 1.5)
        expected = reference.elementwise_gradient(name, np.cos(x), kept, 0.5, 1.5)
        assert_close(found, expected, 1e-5 if dtype == "float32" else 1e-13, f"gradient of {name}", 1.0)


def test_the_thresholds_are_those_that_are_set_aside() -> None:
    """Else these tests would quietly be NumPy's beside NumPy's."""
    x = np.ones((3, 4), np.float32)
    assert kernels.is_large(x, x) and kernels.is_reducible("sum", x, (0,))
