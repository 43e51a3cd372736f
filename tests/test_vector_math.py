"""The functions of `_ext/core/vector_math.h`, by rows of the table of element-wise ops: errors, and special values.

The errors are in units in the last place of the exact result. In float32 they are taken over the whole range of
numbers, one in 1009 as a rule and every one of them where MINIDL_EXAMPLES is large; in float64 over samples of all
magnitudes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable

import numpy as np
import pytest

from minidl import kernels

Array = np.ndarray
ALL = 2**32
# Prime, so that every exponent meets all kinds of mantissas.
STRIDE = 1 if int(os.environ.get("MINIDL_EXAMPLES", "0")) >= 1000 else 1009
CHUNK = 2**22


def each(function: Callable[[float], float]) -> Callable[[Array], Array]:
    return lambda x: np.vectorize(function, otypes=[float])(x)


def sigmoid(x: Array) -> Array:
    power = np.exp(-np.abs(x))
    return np.where(x < 0, power, x.dtype.type(1)) / (1 + power)


# What is exact beside float32, computed in float64, or in NumPy's long double beside float64 where it has 64 bits.
EXACT: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "tanh": np.tanh, "sigmoid": sigmoid,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "erf": each(math.erf), "exp2": np.exp2, "log2": np.log2,
    "log10": np.log10,
}  # fmt: skip
# The largest errors that were found: of all numbers in float32, of samples in float64; with FMA and without.
LIMITS = {
    "exp": (1.2, 1.1), "expm1": (1.5, 2.0), "log": (1.0, 0.9), "log1p": (1.0, 0.95), "tanh": (1.5, 1.4),
    "sigmoid": (2.5, 2.3), "sin": (2.5, 1.7), "cos": (2.5, 2.3), "erf": (1.5, 2.3), "tan": (4.0, 3.3),
    "exp2": (1.2, 1.2), "log2": (1.8, 1.7), "log10": (2.1, 2.0),
}  # fmt: skip
every_function = pytest.mark.parametrize("name", LIMITS)


def exact(name: str, x: Array) -> Array:
    with np.errstate(all="ignore"):
        return EXACT[name](x)


def largest_error(found: Array, expected: Array) -> float:
    """In units in the last place; infinite where infinities, NaN or zeros differ by more than rounding can explain."""
    dtype = found.dtype
    with np.errstate(all="ignore"):
        rounded = expected.astype(dtype)
    special = ~np.isfinite(rounded)
    limit = np.finfo(dtype).max
    # What rounds to infinity may be found to be the largest number, and the other way round.
    is_same = (found == rounded) | (np.isnan(found) & np.isnan(rounded)) | (np.abs(found) >= limit)
    if not is_same[special].all():
        return math.inf
    x, y = found[~special], expected[~special]
    beyond = ~np.isfinite(x)
    if not (np.abs(y[beyond]) >= limit * (1 - 4 * np.finfo(dtype).eps)).all():
        return math.inf
    x, y = x[~beyond], y[~beyond]
    # The unit of the exact result's power of 2.
    unit = np.ldexp(
        1.0, np.maximum(np.frexp(y.astype(np.float64))[1], np.finfo(dtype).minexp + 1) - np.finfo(dtype).nmant - 1
    )
    error = np.abs(x.astype(y.dtype) - y) / unit
    return float(error.max(initial=0))


@every_function
def test_errors_in_float32(name: str) -> None:
    worst = 0.0
    for start in range(0, ALL, CHUNK * STRIDE):
        bits = np.arange(start, min(start + CHUNK * STRIDE, ALL), STRIDE, dtype=np.uint64).astype(np.uint32)
        x = bits.view(np.float32)
        with np.errstate(all="ignore"):
            wide = x.astype(np.float64)
        worst = max(worst, largest_error(kernels.elementwise(name, x), exact(name, wide)))
    assert worst <= LIMITS[name][0], f"{name}: {worst:.3f} ulp"


def samples(count: int) -> Array:
    """Numbers of all magnitudes and near 1, and those where results overflow or become subnormal."""
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 2**64, count, dtype=np.uint64).view(np.float64)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 2.2e-308, -1.0, 709.7827, 709.7828, -708.4, -745.1]
    normal = rng.normal(size=(3, count)) * np.array([[0.1], [2], [300]])
    return np.concatenate([bits, normal.reshape(-1), special])


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than float64 here")
@every_function
def test_errors_in_float64(name: str) -> None:
    x = samples(20_000)
    found = kernels.elementwise(name, x)
    # Python has the error function in float64 alone; it is within 1 unit itself.
    with np.errstate(all="ignore"):
        wide = x if name == "erf" else x.astype(np.longdouble)
    if name in ("sin", "cos", "tan"):
        # The C library reduces long doubles exactly, but NumPy may not call it for them.
        x, wide, found = (v[np.abs(x) < 1e5] for v in (x, wide, found))
    worst = largest_error(found, exact(name, wide))
    assert worst <= LIMITS[name][1], f"{name}: {worst:.3f} ulp"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values(dtype: str) -> None:
    x = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0], dtype)
    expected = {
        "exp": [np.inf, 0, np.nan, 1, 1], "expm1": [np.inf, -1, np.nan, 0.0, -0.0],
        "log": [np.inf, np.nan, np.nan, -np.inf, -np.inf], "log1p": [np.inf, np.nan, np.nan, 0.0, -0.0],
        "tanh": [1, -1, np.nan, 0.0, -0.0], "erf": [1, -1, np.nan, 0.0, -0.0],
        "sigmoid": [1, 0, np.nan, 0.5, 0.5], "sin": [np.nan, np.nan, np.nan, 0.0, -0.0],
        "cos": [np.nan, np.nan, np.nan, 1, 1], "tan": [np.nan, np.nan, np.nan, 0.0, -0.0],
        "exp2": [np.inf, 0, np.nan, 1, 1], "log2": [np.inf, np.nan, np.nan, -np.inf, -np.inf],
        "log10": [np.inf, np.nan, np.nan, -np.inf, -np.inf], "round": [np.inf, -np.inf, np.nan, 0.0, -0.0],
        "floor": [np.inf, -np.inf, np.nan, 0.0, -0.0], "sign": [1, -1, 0, 0.0, 0.0],
    }  # fmt: skip
    for name, values in expected.items():
        found = kernels.elementwise(name, x)
        np.testing.assert_array_equal(found, np.array(values, dtype), err_msg=name)
        assert np.array_equal(np.signbit(found[3:]), np.signbit(np.array(values[3:]))), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tiny_numbers_are_not_lost(dtype: str) -> None:
    tiny = np.finfo(dtype).smallest_subnormal * np.arange(1, 200, dtype=dtype)
    for name in ("expm1", "log1p", "tanh", "sin"):
        assert np.array_equal(kernels.elementwise(name, tiny), tiny), name
        assert np.array_equal(kernels.elementwise(name, -tiny), -tiny), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["sin", "cos"])
def test_large_arguments_of_periodic_functions(name: str, dtype: str) -> None:
    x = np.ldexp(np.linspace(1, 2, 1000), np.arange(1000) % np.finfo(dtype).maxexp).astype(dtype)
    expected = [getattr(math, name)(float(v)) for v in x]
    np.testing.assert_allclose(kernels.elementwise(name, x), expected, rtol=0, atol=4 * np.finfo(dtype).eps)
