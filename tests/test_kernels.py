"""The kernels beside their twins, called directly: random geometries, every way of cutting, and empty work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from parity import assert_close

import minidl
from minidl import _ext, kernels, reference
from minidl.errors import ShapeError
from minidl.geometry import Padding, Window, sliding_window
from minidl.memory import WORKSPACE_PER_THREAD
from minidl.runtime import threads_for

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def random_window(rng: np.random.Generator) -> Window:
    """Sizes from 1 to 12, four paddings of their own."""
    while True:
        size, kernel, stride, dilation = (
            tuple(int(v) for v in rng.integers(1, high, 2)) for high in (13, 6, 5, 4)
        )  # fmt: skip
        try:
            around = Padding(*(int(v) for v in rng.integers(0, 4, 4)))
            return sliding_window("test", size, kernel, stride, around, dilation)  # type: ignore[arg-type]
        except ShapeError:
            continue


@every_dtype
@pytest.mark.parametrize("seed", range(40))
def test_windows_equal_the_reference(seed: int, dtype: str, threads_everywhere: None) -> None:
    rng = np.random.default_rng(seed)
    minidl.set_num_threads(1 + seed % 3)
    window = random_window(rng)
    groups = int(rng.integers(1, 4))
    N, C, F = int(rng.integers(0, 4)), groups * int(rng.integers(1, 4)), groups * int(rng.integers(1, 4))

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(dtype)

    x, w, b = draw(N, C, *window.input_size), draw(F, C // groups, *window.kernel_size), draw(F)
    dy, scale = draw(N, F, *window.output_size), rng.uniform(0.1, 1, window.output_size)
    columns, planes = draw(N, C * window.taps, window.positions), draw(N, C, *window.output_size)
    for name, arguments in {
        "conv2d": (x, w, b, window, groups),
        "conv2d_input_gradient": (dy, w, window, groups),
        "conv2d_weight_gradient": (x, dy, window, groups),
        "unfold": (x, window),
        "fold": (columns, C, window),
        "avg_pool2d": (x, window, scale),
        "avg_pool2d_gradient": (planes, window, scale),
        "channel_sum": (dy,),
    }.items():
        found, expected = getattr(kernels, name)(*arguments), getattr(reference, name)(*arguments)
        assert found.dtype == expected.dtype == dtype
        assert_close(found, expected, TOLERANCE[dtype], name, scale=1.0)


@every_dtype
@pytest.mark.parametrize("seed", range(40))
def test_max_pool2d_equals_the_reference(seed: int, dtype: str, threads_everywhere: None) -> None:
    rng = np.random.default_rng(seed)
    minidl.set_num_threads(1 + seed % 3)
    size, kernel = (tuple(int(v) for v in rng.integers(low, high, 2)) for low, high in ((5, 40), (1, 6)))
    around = Padding(*(int(rng.integers(0, k // 2 + 1)) for k in (kernel[0], kernel[0], kernel[1], kernel[1])))
    step, spread = (tuple(int(v) for v in rng.integers(1, high, 2)) for high in (4, 2))
    window = sliding_window("max", size, kernel, step, around, spread)  # type: ignore[arg-type]
    values = [-np.inf, np.nan, 0.0, 1.0, 2.0, np.inf]
    x = rng.choice(values, size=(2, 2, *size), p=[0.3, 0.05, 0.2, 0.2, 0.2, 0.05]).astype(dtype)
    if seed % 4 == 0:
        x[...] = -np.inf
    (y, at), (expected, expected_at) = kernels.max_pool2d(x, window), reference.max_pool2d(x, window)
    assert np.array_equal(y, expected, equal_nan=True)
    assert np.array_equal(at, expected_at)
    assert at.dtype == np.int32
    grad = rng.normal(size=y.shape).astype(dtype)
    scattered = kernels.scatter_positions(grad, at, window.input_size)
    assert_close(scattered, reference.scatter_positions(grad, at, window.input_size), TOLERANCE[dtype])
    assert np.array_equal(kernels.gather_positions(x, at), reference.gather_positions(x, at), equal_nan=True)


LARGE: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any], int]] = {
    "several tiles": ((2, 16, 48, 50), (8, 16, 3, 3), {"padding": 1}, 1),
    "one large image": ((1, 3, 161, 120), (4, 3, 5, 3), {"stride": (1, 2), "padding": (2, 0)}, 1),
    "blocks of K": ((1, 7400, 4, 5), (3, 7400, 3, 3), {}, 1),
    "a kernel of 67,600 taps": ((1, 2, 265, 263), (2, 2, 260, 260), {}, 1),
    "partial sums too large": ((9, 128, 5, 6), (513, 128, 3, 3), {}, 1),
    "partial sums over a batch": ((70, 3, 9, 8), (5, 3, 3, 3), {"padding": 1}, 1),
    "few samples, many channels": ((2, 96, 12, 11), (24, 48, 3, 3), {"dilation": 2, "padding": 2}, 2),
    "depthwise": ((3, 64, 20, 22), (64, 1, 3, 3), {"padding": 1}, 64),
}


@every_dtype
@pytest.mark.parametrize("name", LARGE)
def test_large_convolutions_equal_the_reference(name: str, dtype: str) -> None:
    x_shape, w_shape, options, groups = LARGE[name]
    rng = np.random.default_rng(9)
    window = sliding_window("conv2d", x_shape[2:], w_shape[2:], **options)  # type: ignore[arg-type]
    x, w = rng.normal(size=x_shape).astype(dtype), rng.normal(size=w_shape).astype(dtype)
    dy = rng.normal(size=(x_shape[0], w_shape[0], *window.output_size)).astype(dtype)
    y = reference.conv2d_im2col(x, w, None, window, groups, reference.unfold_strided)
    dx, dw = reference.conv2d_im2col_gradients(x, w, dy, window, groups, reference.unfold_strided)
    for algorithm in kernels.REGISTRY:
        if kernels.refusal(algorithm, x_shape[1], w_shape[0], groups, window, x.itemsize) is None:
            how = window, groups, algorithm
            tolerance = TOLERANCE[dtype] * (10 if "winograd" in algorithm else 1)
            assert_close(kernels.conv2d(x, w, None, *how), y, tolerance, f"y by {algorithm}")
            assert_close(kernels.conv2d_input_gradient(dy, w, *how), dx, tolerance, f"dx by {algorithm}")
            assert_close(kernels.conv2d_weight_gradient(x, dy, *how), dw, tolerance, f"dw by {algorithm}")


def plan(name: str, itemsize: int = 8) -> Any:
    x_shape, w_shape, options, groups = LARGE[name]
    window = sliding_window("conv2d", x_shape[2:], w_shape[2:], **options)  # type: ignore[arg-type]
    return kernels.conv.im2col.conv_plan(x_shape[0], x_shape[1], w_shape[0], groups, window, itemsize), window, w_shape


def test_large_convolutions_meet_every_way_of_cutting() -> None:
    """If the plan changes, the sizes in LARGE (and in op_cases/conv.py) must follow."""
    for itemsize in (4, 8):
        cut, window, _ = plan("several tiles", itemsize)
        assert cut.tile < window.positions
        cut, window, w = plan("blocks of K", itemsize)
        assert cut.k_block < w[1] * window.taps
        assert cut.channel_block < w[1]
        cut, window, w = plan("a kernel of 67,600 taps", itemsize)
        assert window.taps * itemsize * 16 > WORKSPACE_PER_THREAD // 2
        assert cut.gradient_tile < window.positions
        cut, window, w = plan("partial sums too large", itemsize)
        assert cut.chunks < 8
        assert cut.weight_k_block < w[1] * window.taps
        cut, _, _ = plan("partial sums over a batch", itemsize)
        assert 1 < cut.chunks < 70
        cut, _, w = plan("few samples, many channels", itemsize)
        assert cut.channel_block < w[1]
        for name in LARGE:
            cut = plan(name, itemsize)[0]
            assert max(cut.columns, cut.gradient_columns) * itemsize <= WORKSPACE_PER_THREAD, name


@every_dtype
def test_matmul_equals_the_reference(dtype: str) -> None:
    rng = np.random.default_rng(0)
    for m, k, n in [(1, 1, 1), (0, 2, 3), (2, 0, 3), (2, 3, 0), (5, 7, 3), (400, 300, 50), (3, 50, 2000), (1, 3, 1)]:
        a, b, bias = (rng.normal(size=s).astype(dtype) for s in ((m, k), (k, n), n))
        at, bt = np.asfortranarray(a), np.asfortranarray(b)
        for left in (a, at):
            for right in (b, bt):
                found = kernels.matmul(left, right, bias)
                assert_close(found, reference.matmul(a, b, bias), TOLERANCE[dtype], str((m, k, n)))
        several = np.stack([a, 2 * a])
        found = kernels.matmul(several, np.stack([b, b]))
        assert_close(found, reference.matmul(several, b), TOLERANCE[dtype])


def test_matmul_keeps_nan_and_infinity() -> None:
    a = np.array([[np.nan, 1.0], [np.inf, 0.0]])
    with np.errstate(invalid="ignore"):
        expected = a @ np.array([[0.0], [1.0]])
    assert np.array_equal(kernels.matmul(a, np.array([[0.0], [1.0]])), expected, equal_nan=True)


@every_dtype
def test_elementwise_kernels_on_special_values(dtype: str) -> None:
    x = np.array([np.nan, -np.inf, -1, -0.0, 0.0, 1, np.inf] * 9, dtype)
    y = kernels.elementwise("relu", x)
    assert np.array_equal(y, reference.relu(x), equal_nan=True)
    assert not np.signbit(y[~np.isnan(y)]).any()
    grad = np.arange(x.size, dtype=dtype)
    assert np.array_equal(kernels.elementwise_gradient("relu", grad, y), reference.relu_gradient(grad, y))
    empty = np.empty(0, dtype)
    assert kernels.elementwise("relu", empty).shape == (0,)
    assert kernels.elementwise_gradient("relu", empty, empty).shape == (0,)
    assert kernels.elementwise("relu", np.array(-1, dtype)).shape == ()


@every_dtype
@pytest.mark.parametrize(
    "shape", [(0, 3), (0, 3, 2, 2), (2, 3, 0, 2), (2, 0), (1, 1), (7, 5), (2, 3, 33), (3, 2, 5, 7)]
)
def test_channel_sum(shape: tuple[int, ...], dtype: str) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    assert_close(kernels.channel_sum(x), reference.channel_sum(x), TOLERANCE[dtype])


def test_channel_sum_of_long_rows_is_accurate() -> None:
    total = kernels.channel_sum(np.full((1, 1, 4_000_000), 0.1, np.float32))
    assert np.allclose(total, 400_000, rtol=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "complex128", "bool"])
@pytest.mark.parametrize(
    "shape", [(30, 1, 4, 5), (25, 2, 1, 3), (9, 3, 2, 1), (0, 1, 4, 4), (2, 1, 0, 3), (2, 1, 3, 0)]
)
def test_shift(shape: tuple[int, ...], dtype: str, threads: int, threads_everywhere: None) -> None:
    minidl.set_num_threads(threads)
    rng = np.random.default_rng(0)
    images = rng.integers(1, 256, shape).astype(dtype)
    down, right = rng.integers(-6, 7, (2, shape[0]))
    expected = reference.shift(images, down, right)
    found = kernels.shift(images, down, right)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)
    for strided in (np.asfortranarray(images), images[:, :, ::-1, ::-1][:, :, ::-1, ::-1]):
        strided.setflags(write=False)
        np.testing.assert_array_equal(kernels.shift(strided, down, right), expected)


def test_shift_by_more_than_memory_holds() -> None:
    far = np.array([2**62, -(2**62), 0])
    images = np.ones((3, 2, 4, 4))
    for found in (kernels.shift(images, far, 0 * far), kernels.shift(images, 0 * far, far)):
        np.testing.assert_array_equal(found.sum(axis=(1, 2, 3)), [0, 0, 32])


@every_dtype
def test_losses_equal_the_reference(dtype: str) -> None:
    rng = np.random.default_rng(0)
    for rows, classes, scale in [(1, 1, 1), (5, 3, 1), (64, 10, 1), (33, 17, 1e4), (0, 4, 1)]:
        x = (rng.normal(size=(rows, classes)) * scale).astype(dtype)
        target = rng.integers(0, classes, rows).astype(np.longlong)
        target[::3] = -7
        assert_close(kernels.log_softmax(x), reference.log_softmax(x), TOLERANCE[dtype])
        found, expected = kernels.cross_entropy(x, target, -7)[:2], reference.cross_entropy(x, target, -7)
        for f, e in zip(found, expected, strict=True):
            assert_close(f, e, TOLERANCE[dtype])
        weights = rng.uniform(1, 2, rows).astype(dtype)
        assert_close(
            kernels.cross_entropy_gradient(found[1], target, -7, weights),
            reference.cross_entropy_gradient(found[1], target, -7, weights), TOLERANCE[dtype], scale=1.0,
        )  # fmt: skip


def parameters(dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.normal(size=shape).astype(dtype) for shape in ((3, 4), (), (0, 2), (1,), (1000, 7))]


@every_dtype
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("maximize", [False, True])
def test_sgd_step_equals_the_reference(
    dtype: str, momentum: float, nesterov: bool, maximize: bool, threads_everywhere: None
) -> None:
    options = {
        "lr": 0.1, "momentum": momentum, "dampening": 0.0 if nesterov else 0.3, "weight_decay": 0.01,
        "nesterov": nesterov, "maximize": maximize,
    }  # fmt: skip
    minidl.set_num_threads(3)
    results = []
    for module in (kernels, reference):
        p, g = parameters(dtype), parameters(dtype)
        velocities = [np.zeros_like(x) for x in p] if momentum else []
        for step in range(3):
            first = np.full(len(p), step == 0, np.uint8)
            module.sgd_step([x * (step + 1) for x in g] if step else g, p, velocities, first, **options)
        results.append([*p, *velocities])
    for found, expected in zip(*results, strict=True):
        assert_close(found, expected, TOLERANCE[dtype])


@every_dtype
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("maximize", [False, True])
def test_adam_step_equals_the_reference(
    dtype: str, amsgrad: bool, decoupled: bool, maximize: bool, threads_everywhere: None
) -> None:
    minidl.set_num_threads(3)
    results = []
    for module in (kernels, reference):
        p, g = parameters(dtype), parameters(dtype)
        means, squares = [np.zeros_like(x) for x in p], [np.zeros_like(x) for x in p]
        highest = [np.zeros_like(x) for x in p] if amsgrad else []
        for step in range(1, 4):
            module.adam_step(
                [(x / step).astype(dtype) for x in map(np.asarray, g)], p, means, squares, highest,
                np.full(len(p), 1 - 0.9**step), np.full(len(p), np.sqrt(1 - 0.999**step)), lr=0.01, beta1=0.9,
                beta2=0.999, eps=1e-8, weight_decay=0.1, decoupled=decoupled, amsgrad=amsgrad, maximize=maximize,
            )  # fmt: skip
        results.append([*p, *means, *squares, *highest])
    for found, expected in zip(*results, strict=True):
        assert_close(found, expected, TOLERANCE[dtype])


def test_no_parameters_take_a_step() -> None:
    kernels.sgd_step(
        [], [], [], np.empty(0, np.uint8), lr=1.0, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False,
        maximize=False,
    )  # fmt: skip


def test_dimensions_past_what_blas_counts_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"matmul: a matrix dimension of 2147483648 is more than BLAS counts"):
        kernels._common.check_blas_sizes("matmul", 3, 2**31)
    with pytest.raises(ShapeError, match=r"max_pool2d: a plane of 65536 x 65536"):
        window = sliding_window("max_pool2d", (65536, 65536), 65536)
        kernels.max_pool2d(np.broadcast_to(np.float32(0), (1, 1, 65536, 65536)), window)


def test_small_work_stays_on_one_thread() -> None:
    before = minidl.get_num_threads()
    try:
        minidl.set_num_threads(4)
        assert threads_for(10) == 1
        assert threads_for(10**9) == 4
    finally:
        minidl.set_num_threads(before)


def test_contiguous_copies_only_what_is_not() -> None:
    x = np.zeros((2, 3))
    assert kernels._common.contiguous(x) is x
    assert kernels._common.contiguous(x.T).flags.c_contiguous


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "int64", "complex64", "complex128", ">f8"])
@pytest.mark.parametrize("itemsize", [4, 8])
def test_a_compilation_takes_arrays_of_its_number_type_alone(itemsize: int, dtype: str) -> None:
    x = np.array([-1, 2], dtype)
    y = np.zeros_like(x)
    if np.dtype(dtype) == np.dtype(f"float{8 * itemsize}"):
        _ext.elementwise[itemsize].value(0, x, 0, 0, y, 1)
        assert y.tolist() == [0, 2]
    else:
        with pytest.raises(ValueError, match=r"Buffer dtype mismatch|not supported|not understand"):
            _ext.elementwise[itemsize].value(0, x, 0, 0, y, 1)
        assert not y.any()
