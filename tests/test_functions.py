"""The functions of mathematics that are made from the table: dtypes, methods, and powers that have functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from parity import assert_close

import minidl
from minidl.ops.elementwise import FUNCTIONS

every_function = pytest.mark.parametrize("name", FUNCTIONS)
FLAT = ("ceil", "floor", "round", "sign", "trunc")


@every_function
def test_a_function_is_a_method_too(name: str) -> None:
    x = minidl.tensor([0.5, 2.0])
    assert np.array_equal(getattr(x, name)().data, getattr(minidl, name)(x).data)
    assert name in minidl.__all__


@every_function
@pytest.mark.parametrize("dtype", ["int64", "int32", "bool", "float32", "float64"])
def test_dtypes_are_pytorchs(name: str, dtype: str, torch: Any) -> None:
    x = np.array([[1, 4], [0, 2]]).astype(dtype)
    if dtype == "bool" and name in (*FLAT, "square") and name != "sign":
        # PyTorch refuses booleans, or makes integers of them; here they stay what they are.
        assert np.array_equal(getattr(minidl, name)(minidl.tensor(x)).data, x)
        return
    found, expected = getattr(minidl, name)(minidl.tensor(x)).data, getattr(torch, name)(torch.tensor(x)).numpy()
    assert found.dtype == expected.dtype
    assert_close(found, expected, 1e-6)


@pytest.mark.parametrize("name", FLAT)
def test_no_gradient_passes_jumps(name: str, torch: Any) -> None:
    x, y = minidl.tensor([0.3, 1.7, -2.0], requires_grad=True), torch.tensor([0.3, 1.7, -2.0], requires_grad=True)
    upstream = [np.inf, 1.0, np.nan]
    getattr(x, name)().backward(minidl.tensor(upstream))
    getattr(y, name)().backward(torch.tensor(upstream))
    assert x.grad is not None and np.array_equal(x.grad.data, y.grad.numpy())
    (recorded,) = minidl.grad(getattr(x, name)().sum(), [x], create_graph=True)
    assert not recorded.data.any()


@pytest.mark.parametrize("exponent", [3, 2, 0.5, -1, -2, 3.0, 2.5, 0, 1])
def test_powers_are_pytorchs_at_the_corners(exponent: float, torch: Any) -> None:
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-30, -2.0, 1e30], np.float32)
    ours, theirs = minidl.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    found, expected = ours**exponent, theirs**exponent
    np.testing.assert_allclose(found.data, expected.detach().numpy(), rtol=1e-6)
    found.sum().backward()
    expected.sum().backward()
    assert ours.grad is not None
    np.testing.assert_allclose(ours.grad.data, theirs.grad.numpy(), rtol=1e-6)


def test_the_recorded_gradient_of_dropout_drops_the_same() -> None:
    x = minidl.tensor(np.linspace(1, 2, 50), requires_grad=True)
    y = minidl.functional.dropout(x, 0.4, generator=np.random.default_rng(0))
    (recorded,) = minidl.grad(y.sum(), [x], create_graph=True)
    assert np.allclose(recorded.data, y.data / x.data) and not recorded.data.all()


def test_powers_of_integers_stay_integers() -> None:
    assert (minidl.tensor([2, 3]) ** 3).data.tolist() == [8, 27]
