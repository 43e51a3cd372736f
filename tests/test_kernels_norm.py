"""The kernels of normalisation beside their twins, called directly: every layout, way of cutting, and accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bits import bits
from parity import assert_close

import minidl
from minidl import kernels, reference

Array = np.ndarray
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])

# (shared, rows, groups, runs, positions): a name for each way that a kernel goes.
LAYOUTS: dict[str, tuple[int, int, int, int, int]] = {
    "batch": (4, 1, 5, 1, 37),
    "batch of columns": (7, 1, 150, 1, 1),
    "one column": (5, 1, 1, 1, 1),
    "64 columns": (3, 1, 64, 1, 1),
    "layer": (1, 37, 1, 53, 1),
    "short layer": (1, 9, 1, 3, 1),
    "group": (1, 6, 3, 4, 19),
    "group of single positions": (1, 19, 4, 5, 1),
    "one group": (1, 3, 1, 6, 16),
    "instance": (1, 20, 5, 1, 33),
    "one value": (1, 3, 2, 1, 1),
    "shared and in runs": (3, 2, 2, 3, 5),
    "shared and in single positions": (3, 2, 2, 20, 1),
    "no rows": (1, 0, 1, 3, 1),
    "no samples": (0, 1, 3, 1, 4),
    "no positions": (2, 1, 3, 1, 0),
}
every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def problem(layout: tuple[int, ...], dtype: str, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng([seed, *layout])

    def draw(*shape: int) -> Array:
        return rng.normal(size=shape).astype(dtype)

    rows, groups, runs = layout[1:4]
    return {
        "x": draw(*layout),
        "grad": draw(*layout),
        "weight": draw(groups, runs),
        "bias": draw(groups, runs),
        "mean": rng.normal(size=rows * groups),
        "variance": rng.uniform(0.5, 2, rows * groups),
    }


@every_dtype
@every_layout
@pytest.mark.parametrize("given", [False, True], ids=["of x", "given"])
def test_normalise_equals_the_reference(
    layout: tuple[int, ...], given: bool, dtype: str, threads_everywhere: None
) -> None:
    p = problem(layout, dtype)
    minidl.set_num_threads(3)
    statistics = (p["mean"], p["variance"]) if given else (None, None)
    for weight, bias in ((p["weight"], p["bias"]), (p["weight"], None), (None, p["bias"]), (None, None)):
        found = kernels.normalise(p["x"], weight, bias, 0.1, *statistics)
        expected = reference.normalise(p["x"], weight, bias, 0.1, *statistics)
        assert found[0].dtype == dtype
        assert found[1].dtype == found[2].dtype == np.float64
        for f, e, what in zip(found, expected, ("y", "mean", "variance"), strict=True):
            assert_close(f, e, TOLERANCE[dtype] if what == "y" else 1e-13, what, scale=1.0)


NEEDS = [(True, True, True), (True, False, False), (False, True, False), (False, False, True), (True, True, False)]


@every_dtype
@every_layout
@pytest.mark.parametrize("given", [False, True], ids=["of x", "given"])
def test_gradients_equal_the_reference(
    layout: tuple[int, ...], given: bool, dtype: str, threads_everywhere: None
) -> None:
    p = problem(layout, dtype)
    minidl.set_num_threads(3)
    statistics = (p["mean"], p["variance"]) if given else kernels.normalise(p["x"], None, None, 0.1, None, None)[1:]
    for weight in (p["weight"], None):
        for needs in NEEDS:
            arguments = (p["grad"], p["x"], weight, 0.1, *statistics, given, needs)
            found, expected = kernels.normalise_gradient(*arguments), reference.normalise_gradient(*arguments)
            for f, e, need in zip(found, expected, needs, strict=True):
                assert (f is None) == (e is None) == (not need)
                if f is not None:
                    assert f.dtype == dtype
                    assert_close(f, e, TOLERANCE[dtype], scale=1.0)


@every_dtype
@every_layout
def test_bits_do_not_depend_on_threads(layout: tuple[int, ...], dtype: str, threads_everywhere: None) -> None:
    p = problem(layout, dtype)
    results = []
    for threads in (1, 2, 3, 4, 7):
        minidl.set_num_threads(threads)
        y, mean, variance = kernels.normalise(p["x"], p["weight"], p["bias"], 1e-5, None, None)
        gradients = kernels.normalise_gradient(
            p["grad"], p["x"], p["weight"], 1e-5, mean, variance, False, (True, True, True)
        )
        results.append(bits(y, mean, variance, *gradients))
    assert results == results[:1] * 5


def test_there_are_as_many_chunks_as_fit_and_never_more_than_rows() -> None:
    chunks = kernels.norm._chunks
    assert [chunks(rows, 64) for rows in (0, 1, 3, 16, 1000)] == [1, 1, 3, 16, 16]
    assert chunks(1000, 100_000) == 10
    assert chunks(1000, 10**7) == 4
    assert chunks(3, 10**7) == 3
    assert chunks(1000, 0) == 16


@pytest.mark.parametrize("memory", [0, 2**30])
def test_gradients_are_summed_in_chunks(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels.norm, "_BYTES_FOR_CHUNKS", memory)
    for rows in (1, 3, 5, 40):
        p = problem((1, rows, 2, 3, 4), "float64")
        arguments = (p["grad"], p["x"], p["weight"], 0.1, *reference.normalise(p["x"], None, None, 0.1, None, None)[1:])
        found = kernels.normalise_gradient(*arguments, False, (True, True, True))
        expected = reference.normalise_gradient(*arguments, False, (True, True, True))
        for f, e in zip(found, expected, strict=True):
            assert_close(f, e, 1e-12)


# The same numbers as one row of 4,000, as 4,000 rows of columns, ...: all have 20 sets of 4,000.
LONG = {
    "batch": (40, 1, 20, 1, 100),
    "columns": (4000, 1, 20, 1, 1),
    "layer": (1, 20, 1, 4000, 1),
    "group": (1, 5, 4, 8, 500),
}


@pytest.mark.parametrize("noise", [1.0, 0.01])
@pytest.mark.parametrize("layout", LONG.values(), ids=LONG)
def test_small_noise_on_large_values_survives_in_float32(layout: tuple[int, ...], noise: float) -> None:
    """Against float64, from the same float32 input; 1e4 has steps of 0.001, so 0.01 is ten of them."""
    rng = np.random.default_rng(0)
    x, grad = (1e4 + noise * rng.normal(size=layout)).astype(np.float32), rng.normal(size=layout).astype(np.float32)
    weight = rng.normal(size=layout[2:4]).astype(np.float32)
    eps = 1e-10
    y, mean, variance = kernels.normalise(x, weight, None, eps, None, None)
    expected, exact_mean, exact_variance = reference.normalise(x.astype(np.float64), weight, None, eps, None, None)
    assert_close(mean, exact_mean, 1e-13, "mean")
    assert_close(variance, exact_variance, 1e-9, "variance")
    assert_close(y, expected, 5e-7, "y")
    found = kernels.normalise_gradient(grad, x, weight, eps, mean, variance, False, (True, True, True))
    wide = (grad.astype(np.float64), x.astype(np.float64), weight.astype(np.float64))
    exact = reference.normalise_gradient(*wide, eps, exact_mean, exact_variance, False, (True, True, True))
    for f, e, what in zip(found, exact, ("x", "weight", "bias"), strict=True):
        assert_close(f, e, 1e-6, f"the gradient of {what}")


@pytest.mark.parametrize("layout", LONG.values(), ids=LONG)
def test_small_noise_on_large_values_survives_in_float64(layout: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    # Multiples of a power of two, so that adding 1e8 rounds nothing.
    small = np.round(rng.normal(size=layout) * 2**10) / 2**20
    y, mean, variance = kernels.normalise(1e8 + small, None, None, 1e-12, None, None)
    expected, exact_mean, exact_variance = reference.normalise(small, None, None, 1e-12, None, None)
    # The mean is as near as float64 has one, and what that leaves out moves y.
    assert np.abs(mean - 1e8 - exact_mean).max() <= np.spacing(1e8)
    assert_close(variance, exact_variance, 1e-9, "variance")
    assert np.abs(y - expected).max() <= np.spacing(1e8) / np.sqrt(exact_variance.min())


@every_dtype
@pytest.mark.parametrize("layout", LONG.values(), ids=LONG)
def test_equal_values_have_no_variance(layout: tuple[int, ...], dtype: str) -> None:
    x = np.full(layout, 0.1, dtype)
    y, mean, variance = kernels.normalise(x, None, None, 1e-5, None, None)
    assert_close(mean, np.full(mean.shape, x.reshape(-1)[0], np.float64), 1e-15)
    assert (variance <= 1e-30).all()
    assert np.abs(y).max() <= 1e-10


@every_dtype
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_what_is_not_finite_stays_in_its_set(layout: tuple[int, ...], value: float, dtype: str) -> None:
    p = problem(layout, dtype)
    if not p["x"].size:
        return
    before, means, variances = kernels.normalise(p["x"], None, None, 0.1, None, None)
    p["x"][0, 0, 0, 0, 0] = value
    y, mean, variance = kernels.normalise(p["x"], None, None, 0.1, None, None)
    assert np.isnan(y[:, 0, 0]).all()
    assert np.array_equal(mean[:1], [value], equal_nan=True)
    assert np.isnan(variance[0])
    y[:, 0, 0] = before[:, 0, 0]
    assert np.array_equal(y, before)
    assert np.array_equal(mean[1:], means[1:])
    assert np.array_equal(variance[1:], variances[1:])


@every_dtype
@pytest.mark.parametrize("layout", [LAYOUTS["batch"], LAYOUTS["batch of columns"]], ids=["rows", "columns"])
def test_given_statistics_that_are_not_finite(layout: tuple[int, ...], dtype: str) -> None:
    """As IEEE arithmetic has it, and no part of the gradient of x."""
    p = problem(layout, dtype)
    p["mean"][:3], p["variance"][3] = [np.inf, -np.inf, np.nan], np.inf
    y = kernels.normalise(p["x"], p["weight"], p["bias"], 0.1, p["mean"], p["variance"])[0]
    sign = np.sign(p["weight"].reshape(-1))
    assert (y[:, 0, 0] == -sign[0] * np.inf).all()
    assert (y[:, 0, 1] == sign[1] * np.inf).all()
    assert np.isnan(y[:, 0, 2]).all()
    assert (y[:, 0, 3] == p["bias"][3]).all()
    assert np.isfinite(y[:, 0, 4:]).all()
    p["x"][0, 0, 4] = np.inf
    grad_x = kernels.normalise_gradient(
        p["grad"], p["x"], p["weight"], 0.1, p["mean"], p["variance"], True, (True, False, False)
    )[0]
    assert grad_x is not None
    assert np.isfinite(grad_x).all()


def test_statistics_by_hand() -> None:
    x = np.array([1.0, 3.0, 50.0, 10.0]).reshape(1, 2, 1, 2, 1)
    weight, bias = np.array([[2.0, 4.0]]), np.array([[0.5, 0.25]])
    y, mean, variance = kernels.normalise(x, weight, bias, 0.0, None, None)
    assert mean.tolist() == [2, 30]
    assert variance.tolist() == [1, 400]
    assert y.reshape(-1).tolist() == [-1.5, 4.25, 2.5, -3.75]
    grads = kernels.normalise_gradient(
        np.ones_like(x), x, weight, 0.0, np.array([0.0, 0]), np.array([4.0, 25]), True, (True, True, True)
    )
    assert [g.reshape(-1).tolist() for g in grads if g is not None] == [
        [1, 2, pytest.approx(0.4), pytest.approx(0.8)], [10.5, 3.5], [2, 2],
    ]  # fmt: skip
