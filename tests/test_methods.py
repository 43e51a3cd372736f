"""The methods that `benchmarks/methods.py` times, beside the reference."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import minidl.reference as reference
from minidl.geometry import sliding_window

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from numpy_methods import METHODS

# N, C, H, W, F, KH, KW, stride; the strides leave a remainder in some.
SHAPES = [(2, 3, 6, 8, 4, 3, 2, 1), (1, 1, 5, 5, 2, 3, 3, 1), (3, 2, 9, 7, 3, 2, 3, 2), (1, 2, 11, 10, 2, 3, 3, 4)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_the_convolution_and_its_gradients(name: str, shape: tuple[int, ...]) -> None:
    N, C, H, W, F, KH, KW, stride = shape
    generator = np.random.default_rng(0)
    x, weight = generator.normal(size=(N, C, H, W)), generator.normal(size=(F, C, KH, KW))
    window = sliding_window("conv2d", (H, W), (KH, KW), stride)
    dy = generator.normal(size=(N, F, *window.output_size))
    y = METHODS[name].forward(x, weight, stride)
    dx, dweight = METHODS[name].backward(x, weight, dy, stride)
    np.testing.assert_allclose(y, reference.conv2d(x, weight, None, window, 1), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(dx, reference.conv2d_input_gradient(dy, weight, window, 1), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(dweight, reference.conv2d_weight_gradient(x, dy, window, 1), rtol=1e-10, atol=1e-12)
