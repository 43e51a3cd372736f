"""The reference against itself: three convolutions, transposes by their inner products, and figures by hand."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from minidl import kernels, reference
from minidl.geometry import Padding, Window, sliding_window

GEOMETRIES: list[tuple[tuple[int, int], Any, Any, Any, Any, int]] = [
    ((4, 5), (2, 3), 1, 0, 1, 1),
    ((6, 5), (3, 2), (2, 3), (1, 0), 1, 2),
    ((5, 7), (2, 3), (2, 1), (2, 1), (3, 2), 1),
    ((3, 4), (2, 2), 1, Padding(0, 2, 3, 1), 1, 4),
    ((5, 4), (3, 3), 2, "same", 1, 2),
    ((2, 2), (2, 2), 1, 0, 1, 1),
]


@pytest.fixture(params=GEOMETRIES, ids=str)
def problem(request: pytest.FixtureRequest) -> dict[str, Any]:
    size, kernel, stride, padding, dilation, groups = request.param
    rng = np.random.default_rng(1)
    window = sliding_window("conv2d", size, kernel, stride, padding, dilation)
    return {
        "x": rng.normal(size=(2, 4, *size)),
        "weight": rng.normal(size=(8, 4 // groups, *kernel)),
        "bias": rng.normal(size=8),
        "grad": rng.normal(size=(2, 8, *window.output_size)),
        "window": window,
        "groups": groups,
    }


def by_the_definition(x: Any, weight: Any, bias: Any, window: Window, groups: int) -> Any:
    """The sum of the docstring of `minidl.functional.conv2d`, one product at a time."""
    F, C = weight.shape[:2]
    y = np.zeros((x.shape[0], F, *window.output_size))
    for n, f, i, j in np.ndindex(y.shape):
        y[n, f, i, j] = bias[f]
        for c, k, m in np.ndindex(weight.shape[1:]):
            h = i * window.stride[0] + k * window.dilation[0] - window.padding.top
            w = j * window.stride[1] + m * window.dilation[1] - window.padding.left
            if 0 <= h < x.shape[2] and 0 <= w < x.shape[3]:
                y[n, f, i, j] += weight[f, c, k, m] * x[n, f // (F // groups) * C + c, h, w]
    return y


def test_three_convolutions_agree_with_the_definition(problem: dict[str, Any]) -> None:
    arguments = [problem[name] for name in ("x", "weight", "bias", "window", "groups")]
    expected = by_the_definition(*arguments)
    assert np.allclose(reference.conv2d(*arguments), expected, rtol=1e-12, atol=1e-12)
    assert np.allclose(reference.conv2d_im2col(*arguments), expected, rtol=1e-12, atol=1e-12)
    strided = reference.conv2d_im2col(*arguments, columns_of=reference.unfold_strided)
    assert np.allclose(strided, expected, rtol=1e-12, atol=1e-12)


def test_gradients_of_the_convolutions_agree(problem: dict[str, Any]) -> None:
    x, weight, grad, window, groups = (problem[name] for name in ("x", "weight", "grad", "window", "groups"))
    dx = reference.conv2d_input_gradient(grad, weight, window, groups)
    dw = reference.conv2d_weight_gradient(x, grad, window, groups)
    for columns_of in (reference.unfold, reference.unfold_strided):
        other = reference.conv2d_im2col_gradients(x, weight, grad, window, groups, columns_of)
        assert np.allclose(other[0], dx, rtol=1e-12, atol=1e-12)
        assert np.allclose(other[1], dw, rtol=1e-12, atol=1e-12)


def test_gradients_are_transposes(problem: dict[str, Any]) -> None:
    x, weight, grad, window, groups = (problem[name] for name in ("x", "weight", "grad", "window", "groups"))
    product = (grad * reference.conv2d(x, weight, None, window, groups)).sum()
    assert np.isclose((reference.conv2d_input_gradient(grad, weight, window, groups) * x).sum(), product)
    assert np.isclose((reference.conv2d_weight_gradient(x, grad, window, groups) * weight).sum(), product)
    columns = np.random.default_rng(2).normal(size=reference.unfold(x, window).shape)
    assert np.isclose((reference.fold(columns, 4, window) * x).sum(), (reference.unfold(x, window) * columns).sum())
    scale = np.random.default_rng(3).normal(size=window.output_size)
    pooled = np.random.default_rng(4).normal(size=(2, 4, *window.output_size))
    assert np.isclose(
        (reference.avg_pool2d_gradient(pooled, window, scale) * x).sum(),
        (reference.avg_pool2d(x, window, scale) * pooled).sum(),
    )


def test_unfold_twice(problem: dict[str, Any]) -> None:
    x, window = problem["x"], problem["window"]
    assert np.array_equal(reference.unfold(x, window), reference.unfold_strided(x, window))


def test_max_pool2d_takes_the_first_maximum_and_the_last_nan() -> None:
    x = np.array([[[[1.0, 3, 3], [3, np.nan, np.nan]]]])
    y, at = reference.max_pool2d(x[:, :, :1], sliding_window("max", (1, 3), (1, 3)))
    assert y.item() == 3
    assert at.item() == 1
    y, at = reference.max_pool2d(x, sliding_window("max", (2, 3), (2, 3)))
    assert np.isnan(y).item()
    assert at.item() == 5
    lowest = np.full((1, 1, 2, 2), -np.inf)
    y, at = reference.max_pool2d(lowest, sliding_window("max", (2, 2), 2, 2, 1))
    assert (y == -np.inf).all()
    assert at.reshape(-1).tolist() == [0, 1, 2, 3]


def test_scatter_adds_and_gather_reads() -> None:
    at = np.array([[[[0, 0, 3]]]], np.int32)
    assert reference.scatter_positions(np.array([[[[1.0, 2, 4]]]]), at, (2, 2)).tolist() == [[[[3, 0], [0, 4]]]]
    assert reference.gather_positions(np.array([[[[5.0, 6], [7, 8]]]]), at).tolist() == [[[[5, 5, 8]]]]


def test_losses_by_hand() -> None:
    x = np.log(np.array([[1.0, 3], [2, 2]]))
    loss, log_probability = reference.cross_entropy(x, np.array([1, -100]), -100)
    assert np.allclose(loss, [-np.log(0.75), 0])
    assert np.allclose(np.exp(log_probability), [[0.25, 0.75], [0.5, 0.5]])
    gradient = reference.cross_entropy_gradient(log_probability, np.array([1, -100]), -100, np.array([2.0, 2]))
    assert np.allclose(gradient, [[0.5, -0.5], [0, 0]])
    assert np.allclose(reference.softmax(np.array([[1000.0, 1000]])), 0.5)


def test_optimiser_steps_by_hand() -> None:
    p, v = np.array([1.0]), np.array([0.5])
    options = {"lr": 0.1, "dampening": 0.5, "weight_decay": 0.0, "nesterov": False, "maximize": False}
    reference.sgd_step([np.array([2.0])], [p], [v], np.array([0], np.uint8), momentum=0.9, **options)
    assert np.allclose(v, 0.9 * 0.5 + 0.5 * 2)
    assert np.allclose(p, 1 - 0.1 * 1.45)
    p, mean, square = np.array([1.0]), np.zeros(1), np.zeros(1)
    reference.adam_step(
        [np.array([-3.0])], [p], [mean], [square], [], np.array([0.1]), np.array([np.sqrt(0.001)]),
        lr=0.01, beta1=0.9, beta2=0.999, eps=0, weight_decay=0, decoupled=False, amsgrad=False, maximize=False,
    )  # fmt: skip
    # The first step of Adam is lr, whatever the gradient.
    assert np.allclose(p, 1.01)


def public_functions(module: Any) -> set[str]:
    return {
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }


def test_every_kernel_has_a_twin_with_its_arguments() -> None:
    helpers = {"contiguous", "check_blas_sizes", "instruction_set", "instruction_sets", "has_openmp", "x86_64_level"}
    kernel_names = public_functions(kernels) - helpers
    assert kernel_names <= public_functions(reference), kernel_names - public_functions(reference)
    for name in kernel_names - {"sgd_step", "adam_step"}:
        expected = list(inspect.signature(getattr(kernels, name)).parameters)
        assert list(inspect.signature(getattr(reference, name)).parameters) == expected, name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_have_the_dtype_of_the_input(dtype: str) -> None:
    window = sliding_window("conv2d", (3, 4), (2, 2))
    x, w, b = np.ones((2, 1, 3, 4), dtype), np.ones((2, 1, 2, 2), dtype), np.ones(2, dtype)
    y = reference.conv2d(x, w, b, window, 1)
    scale = np.full(window.output_size, 0.25)
    results = [
        y, reference.conv2d_input_gradient(y, w, window, 1), reference.conv2d_weight_gradient(x, y, window, 1),
        reference.unfold(x, window), reference.fold(reference.unfold(x, window), 1, window),
        *reference.max_pool2d(x, window)[:1], reference.avg_pool2d(x, window, scale), reference.matmul(x, x.mT, None),
        reference.linear(b[None], w[:, 0, 0]), reference.relu(x), reference.relu_gradient(x, x),
        reference.channel_sum(x), reference.log_softmax(x), reference.softmax(x),
        *reference.cross_entropy(b[None], np.array([1]), -100),
    ]  # fmt: skip
    assert {r.dtype for r in results} == {np.dtype(dtype)}
