"""The reference against itself: four convolutions, transposes by their inner products, and figures by hand."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from minidl import kernels, reference
from minidl.geometry import Padding, Window, sliding_window, transposed_window

GEOMETRIES: list[tuple[tuple[int, int], Any, Any, Any, Any, int]] = [
    ((4, 5), (2, 3), 1, 0, 1, 1),
    ((6, 5), (3, 2), (2, 3), (1, 0), 1, 2),
    ((5, 7), (2, 3), (2, 1), (2, 1), (3, 2), 1),
    ((3, 4), (2, 2), 1, Padding(0, 2, 3, 1), 1, 4),
    ((5, 4), (3, 3), 2, "same", 1, 2),
    ((2, 2), (2, 2), 1, 0, 1, 1),
    ((7, 4), (1, 3), (3, 1), Padding(2, 0, 1, 3), (1, 2), 2),
    ((1, 6), (3, 2), (1, 4), Padding(4, 2, 0, 5), (2, 3), 4),
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


def test_four_convolutions_agree_with_the_definition(problem: dict[str, Any]) -> None:
    arguments = [problem[name] for name in ("x", "weight", "bias", "window", "groups")]
    expected = by_the_definition(*arguments)
    assert np.allclose(reference.conv2d(*arguments), expected, rtol=1e-12, atol=1e-12)
    assert np.allclose(reference.conv2d_im2col(*arguments), expected, rtol=1e-12, atol=1e-12)
    strided = reference.conv2d_im2col(*arguments, columns_of=reference.unfold_strided)
    assert np.allclose(strided, expected, rtol=1e-12, atol=1e-12)
    assert np.allclose(reference.conv2d_toeplitz(*arguments), expected, rtol=1e-12, atol=1e-12)


def test_gradients_of_the_convolutions_agree(problem: dict[str, Any]) -> None:
    x, weight, grad, window, groups = (problem[name] for name in ("x", "weight", "grad", "window", "groups"))
    dx = reference.conv2d_input_gradient(grad, weight, window, groups)
    dw = reference.conv2d_weight_gradient(x, grad, window, groups)
    arguments = x, weight, grad, window, groups
    for other in (
        reference.conv2d_im2col_gradients(*arguments, reference.unfold),
        reference.conv2d_im2col_gradients(*arguments, reference.unfold_strided),
        reference.conv2d_toeplitz_gradients(*arguments),
    ):
        assert np.allclose(other[0], dx, rtol=1e-12, atol=1e-12)
        assert np.allclose(other[1], dw, rtol=1e-12, atol=1e-12)


def test_a_weight_stands_in_the_matrix_wherever_its_tap_falls_on_the_image(problem: dict[str, Any]) -> None:
    weight, window, groups = (problem[name] for name in ("weight", "window", "groups"))
    matrix = reference.toeplitz(weight, window, groups)
    pixels = window.input_size[0] * window.input_size[1]
    assert matrix.shape == (8 * window.positions, 4 * pixels)
    # A convolution of ones, tap by tap, counts the places.
    ones = np.ones((1, 1, *window.input_size))
    for tap in np.ndindex(window.kernel_size):
        kernel = np.zeros((1, 1, *window.kernel_size))
        kernel[0, 0, *tap] = 1
        places = reference.conv2d(ones, kernel, None, window, 1).sum()
        for value in weight[:, :, *tap].flat:
            assert (matrix.data == value).sum() == places


def test_the_matrix_in_one_dimension_is_toeplitz() -> None:
    weight = np.array([[[[1.0, 2, 3]]]])
    matrix = reference.toeplitz(weight, sliding_window("conv2d", (1, 4), (1, 3), padding=Padding(0, 0, 1, 0)), 1)
    assert matrix.toarray().tolist() == [[2, 3, 0, 0], [1, 2, 3, 0], [0, 1, 2, 3]]


def test_the_matrix_in_two_dimensions_is_toeplitz_in_blocks_of_toeplitz() -> None:
    rng = np.random.default_rng(6)
    weight, window = rng.normal(size=(1, 1, 2, 3)), sliding_window("conv2d", (4, 5), (2, 3))
    blocks = reference.toeplitz(weight, window, 1).toarray().reshape(3, 3, 4, 5).transpose(0, 2, 1, 3)
    assert np.array_equal(blocks[1:, 1:], blocks[:-1, :-1])
    assert np.array_equal(blocks[:, :, 1:, 1:], blocks[:, :, :-1, :-1])
    assert blocks[0, 0].tolist() == [
        [*weight[0, 0, 0], 0, 0], [0, *weight[0, 0, 0], 0], [0, 0, *weight[0, 0, 0]],
    ]  # fmt: skip
    assert np.array_equal(blocks[0, 1, 0, :3], weight[0, 0, 1])
    assert not blocks[0, 2:].any()


def test_the_layer_of_the_first_source_document() -> None:
    """28 x 28 x 3, six filters of 3 x 3: a matrix of (6 676, 3 784)."""
    rng = np.random.default_rng(8)
    x, weight = rng.normal(size=(2, 3, 28, 28)), rng.normal(size=(6, 3, 3, 3))
    window = sliding_window("conv2d", (28, 28), (3, 3))
    matrix = reference.toeplitz(weight, window, 1)
    assert matrix.shape == (6 * 676, 3 * 784)
    assert matrix.nnz == weight.size * 676
    y = kernels.conv2d(x, weight, None, window, 1)
    assert np.allclose(reference.conv2d_toeplitz(x, weight, None, window, 1), y, rtol=1e-12, atol=1e-12)
    dx, dw = reference.conv2d_toeplitz_gradients(x, weight, y, window, 1)
    assert np.allclose(dx, kernels.conv2d_input_gradient(y, weight, window, 1), rtol=1e-12, atol=1e-12)
    # The sum of the copies, not their mean.
    assert np.allclose(dw, kernels.conv2d_weight_gradient(x, y, window, 1), rtol=1e-12, atol=1e-9)


def test_the_transposed_convolution_is_the_input_gradient(problem: dict[str, Any]) -> None:
    weight, bias, grad, window, groups = (problem[name] for name in ("weight", "bias", "grad", "window", "groups"))
    least = [
        (n - 1) * s + d * (k - 1) + 1 - p
        for n, s, d, k, p in zip(
            window.output_size, window.stride, window.dilation, window.kernel_size,
            (window.padding.top + window.padding.bottom, window.padding.left + window.padding.right), strict=True,
        )
    ]  # fmt: skip
    extra = window.input_size[0] - least[0], window.input_size[1] - least[1]
    found = reference.conv_transpose2d(
        grad, weight, bias[:4], window.stride, window.padding, extra, groups, window.dilation
    )
    expected = reference.conv2d_input_gradient(grad, weight, window, groups) + bias[:4, None, None]
    assert np.allclose(found, expected, rtol=1e-12, atol=1e-12)


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


def test_windows_that_stop_before_the_image_ends() -> None:
    """Those of transposed convolutions whose output padding is a stride and more."""
    window = transposed_window("conv_transpose2d", (3, 2), (2, 3), (1, 2), (1, 0), (2, 2), (3, 4))
    assert window.output_size == (3, 2)
    assert sliding_window("conv2d", window.input_size, (2, 3), (1, 2), (1, 0), (3, 4)).output_size == (5, 3)
    rng = np.random.default_rng(2)
    x, weight = rng.normal(size=(2, 4, *window.input_size)), rng.normal(size=(6, 2, 2, 3))
    grad = rng.normal(size=(2, 6, 3, 2))
    value = reference.conv2d(x, weight, None, window, 2)
    dx = reference.conv2d_input_gradient(grad, weight, window, 2)
    dw = reference.conv2d_weight_gradient(x, grad, window, 2)
    arguments = x, weight, grad, window, 2
    for results in (
        (kernels.conv2d(x, weight, None, window, 2), kernels.conv2d_input_gradient(grad, weight, window, 2),
         kernels.conv2d_weight_gradient(x, grad, window, 2)),
        (reference.conv2d_im2col(x, weight, None, window, 2), *reference.conv2d_im2col_gradients(*arguments)),
        (reference.conv2d_im2col(x, weight, None, window, 2, reference.unfold_strided),
         *reference.conv2d_im2col_gradients(*arguments, reference.unfold_strided)),
        (reference.conv2d_toeplitz(x, weight, None, window, 2), *reference.conv2d_toeplitz_gradients(*arguments)),
    ):  # fmt: skip
        for found, expected in zip(results, (value, dx, dw), strict=True):
            assert np.allclose(found, expected, rtol=1e-12, atol=1e-12)


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
    helpers = {"contiguous", "check_blas_sizes", "instruction_set", "instruction_sets", "threads_by", "x86_64_level"}
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
        reference.conv2d_im2col(x, w, b, window, 1), *reference.conv2d_im2col_gradients(x, w, y, window, 1),
        reference.conv2d_toeplitz(x, w, b, window, 1), *reference.conv2d_toeplitz_gradients(x, w, y, window, 1),
        reference.conv_transpose2d(y, w, b[:1], (1, 1), Padding(0, 0, 0, 0), (0, 0), 1, (1, 1)),
        reference.unfold(x, window), reference.fold(reference.unfold(x, window), 1, window),
        *reference.max_pool2d(x, window)[:1], reference.avg_pool2d(x, window, scale), reference.matmul(x, x.mT, None),
        reference.linear(b[None], w[:, 0, 0]), reference.relu(x), reference.relu_gradient(x, x),
        reference.channel_sum(x), reference.log_softmax(x), reference.softmax(x),
        *reference.cross_entropy(b[None], np.array([1]), -100),
    ]  # fmt: skip
    assert {r.dtype for r in results} == {np.dtype(dtype)}
