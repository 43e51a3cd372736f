"""Random arrays for Winograd's convolution, and the loops beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from by_algorithm import all_directions
from parity import assert_close

import minidl
from minidl import kernels, reference
from minidl.geometry import Window

TOLERANCE = {"float32": 1e-5, "float64": 1e-13}
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


class Case:
    """Random arrays around one window, and what the loops make of them."""

    def __init__(self, N: int, C: int, F: int, window: Window, dtype: str, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.window = window
        self.x = rng.normal(size=(N, C, *window.input_size)).astype(dtype)
        self.weight = rng.normal(size=(F, C, *window.kernel_size)).astype(dtype)
        self.bias = rng.normal(size=F).astype(dtype)
        self.grad = rng.normal(size=(N, F, *window.output_size)).astype(dtype)

    def loops(self) -> list[np.ndarray]:
        x, weight, bias, grad = (a.astype(np.float64) for a in (self.x, self.weight, self.bias, self.grad))
        return [
            reference.conv2d(x, weight, bias, self.window, 1),
            reference.conv2d_input_gradient(grad, weight, self.window, 1),
            reference.conv2d_weight_gradient(x, grad, self.window, 1),
        ]

    def products(self, dtype: Any = np.float64) -> list[np.ndarray]:
        """The same by im2col and BLAS, for images that are too large for loops in Python."""
        x, weight, bias, grad = (a.astype(dtype) for a in (self.x, self.weight, self.bias, self.grad))
        return [
            kernels.conv2d(x, weight, bias, self.window, 1, "im2col"),
            kernels.conv2d_input_gradient(grad, weight, self.window, 1, "im2col"),
            kernels.conv2d_weight_gradient(x, grad, self.window, 1, "im2col"),
        ]

    def winograd(self, m: int) -> list[np.ndarray]:
        """By the kernels."""
        return all_directions(f"winograd_{m}x{m}", self.x, self.weight, self.bias, self.grad, self.window)

    def twin(self, m: int) -> list[np.ndarray]:
        """By the same method in NumPy."""
        return [
            reference.winograd_conv2d(self.x, self.weight, self.bias, self.window, m),
            reference.winograd_input_gradient(self.grad, self.weight, self.window, m),
            reference.winograd_weight_gradient(self.x, self.grad, self.window, m),
        ]


def check(case: Case, m: int, large: bool = False) -> None:
    exact = case.products() if large else case.loops()
    for got, expected in zip(case.winograd(m), exact, strict=True):
        assert got.dtype == case.x.dtype
        assert_close(got, expected, TOLERANCE[case.x.dtype.name])


def check_bits(cases: list[Case], m: int) -> None:
    """They are the same for any number of threads."""
    for case in cases:
        minidl.set_num_threads(1)
        alone = case.winograd(m)
        for threads in (2, 3, 4):
            minidl.set_num_threads(threads)
            for one, other in zip(alone, case.winograd(m), strict=True):
                assert np.array_equal(one, other)


def check_layouts(case: Case, m: int) -> None:
    """Arrays may be strided, and may be read-only."""
    expected = case.winograd(m)
    for name in ("x", "weight", "bias", "grad"):
        values = getattr(case, name)
        strided = np.zeros((*values.shape[:-1], 2 * values.shape[-1]))[..., ::2]
        strided[...] = values
        strided.setflags(write=False)
        setattr(case, name, strided)
    for got, values in zip(case.winograd(m), expected, strict=True):
        assert np.array_equal(got, values)


def check_rounding(case: Case, m: int) -> None:
    """It stays within 4 times im2col's."""
    case.bias[:] = 0
    plain, exact = case.products(np.float32), case.products()
    for got, plainly, exactly in zip(case.winograd(m), plain, exact, strict=True):
        assert np.sqrt(np.mean((got - exactly) ** 2)) < 4 * np.sqrt(np.mean((plainly - exactly) ** 2))
