"""Pooling beside PyTorch's on random configurations, in float64: values, positions, gradients and special values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from parity import as_pair, assert_close, compare, compare_functions, compared, counts, generators, one_or_two

import minidl
import minidl.functional as F
from minidl.errors import ShapeError

COUNT = 100
Generator = np.random.Generator


def starts(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> list[int]:
    """Where a window stands along an axis, by trying place after place."""
    places: list[int] = []
    reach, end = dilation * (kernel - 1) + 1, size + padding
    start = -padding
    while start + reach <= end:
        places.append(start)
        start += stride
    # One more, if the last one left something over and it starts before the padding behind.
    if ceil_mode and start - stride + reach < end and start < size:
        places.append(start)
    return places


def number(value: Any) -> int:
    return value if isinstance(value, int) else value[0]


def spread(value: Any, spatial: int) -> tuple[int, ...]:
    return as_pair(value) if spatial == 2 else (number(value),)


def one(rng: Generator, low: int, high: int) -> Any:
    """An int, or one in a tuple."""
    value = int(rng.integers(low, high + 1))
    return value if rng.random() < 0.7 else (value,)


def input_of(rng: Generator, *size: int) -> np.ndarray:
    """One sample or a batch, sometimes of none; often with equal values, of which the first is the maximum."""
    batch = [(), (0,), (int(rng.integers(1, 4)),)][rng.choice(3, p=[0.2, 0.1, 0.7])]
    shape = (*batch, int(rng.integers(1, 4)), *size)
    return rng.integers(-2, 3, shape).astype(np.float64) if rng.random() < 0.4 else rng.normal(size=shape)


def window(rng: Generator, spatial: int, is_max: bool) -> tuple[np.ndarray, dict[str, Any]]:
    """An input of sizes 1 to 12 and a window of which every place sees some of it."""
    draw: Callable[..., Any] = one_or_two if spatial == 2 else one
    while True:
        size = tuple(int(v) for v in rng.integers(1, 13, spatial))
        kwargs: dict[str, Any] = {"kernel_size": draw(rng, 1, 5), "ceil_mode": bool(rng.random() < 0.6)}
        kernel = step = spread(kwargs["kernel_size"], spatial)
        if rng.random() < 0.8:
            kwargs["stride"] = draw(rng, 1, 4)
            step = spread(kwargs["stride"], spatial)
        dilation = (1,) * spatial
        if is_max and rng.random() < 0.6:
            kwargs["dilation"] = draw(rng, 1, 3)
            dilation = spread(kwargs["dilation"], spatial)
        padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
        kwargs["padding"] = padding if spatial == 2 or rng.random() < 0.5 else padding[0]
        axes = list(zip(size, kernel, step, padding, dilation, strict=True))
        places = [starts(*axis, kwargs["ceil_mode"]) for axis in axes]
        # PyTorch writes out of bounds where a dilated window sees nothing but padding; minidl refuses it.
        if all(places) and all(
            any(0 <= start + tap * d < n for tap in range(k))
            for (n, k, _, _, d), along in zip(axes, places, strict=True)
            for start in along
        ):
            return input_of(rng, *size), kwargs


def compare_positions(torch: Any, name: str, x: np.ndarray, **kwargs: Any) -> None:
    """Values with their gradients, and positions, where both are asked for."""
    ours, theirs = getattr(F, name), getattr(torch.nn.functional, name)
    compare_functions(
        torch, f"{name} with indices", lambda x: ours(x, return_indices=True, **kwargs)[0],
        lambda x: theirs(x, return_indices=True, **kwargs)[0], [x],
    )  # fmt: skip
    found = ours(x, return_indices=True, **kwargs)[1]
    expected = theirs(torch.tensor(x), return_indices=True, **kwargs)[1].numpy()
    assert found.dtype == expected.dtype == np.int64
    assert np.array_equal(found.data, expected), f"{name}{x.shape}, {kwargs}"
    counts["positions of maxima beside PyTorch's"] += 1


@pytest.mark.parametrize("spatial", [1, 2])
def test_max_pool(torch: Any, spatial: int) -> None:
    name = f"max_pool{spatial}d"
    for rng in generators(f"{name} with every argument", 2 * COUNT):
        x, kwargs = window(rng, spatial, is_max=True)
        if rng.random() < 0.5:
            compare_positions(torch, name, x, **kwargs)
        else:
            compare(torch, name, [x], **kwargs)


@pytest.mark.parametrize("spatial", [1, 2])
def test_avg_pool(torch: Any, spatial: int) -> None:
    name = f"avg_pool{spatial}d"
    for rng in generators(f"{name} with every argument", 2 * COUNT):
        x, kwargs = window(rng, spatial, is_max=False)
        kwargs["count_include_pad"] = bool(rng.random() < 0.5)
        if spatial == 2 and rng.random() < 0.3:
            kwargs["divisor_override"] = int(rng.choice([-3, 1, 2, 7]))
        compare(torch, name, [x], **kwargs)


@pytest.mark.parametrize("stride", [None, (), []], ids=repr)
@pytest.mark.parametrize("name", ["max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d"])
def test_the_default_stride_in_each_spelling(torch: Any, name: str, stride: Any) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 7, 9) if name.endswith("2d") else (2, 3, 9))
    compare(torch, name, [x], kernel_size=3 if name.endswith("1d") else (2, 3), stride=stride)


def adaptive(rng: Generator, spatial: int, none: bool) -> tuple[np.ndarray, dict[str, Any]]:
    """An input of sizes 1 to 40 and an output that is smaller, as large, or larger."""
    high = 40 if rng.random() < 0.3 else 12
    size = tuple(int(v) for v in rng.integers(1, high + 1, spatial))
    output = (one_or_two if spatial == 2 else one)(rng, 1, 1 if rng.random() < 0.2 else 13)
    if none and isinstance(output, tuple):
        output = tuple(None if rng.random() < 0.3 else v for v in output)
    return input_of(rng, *size), {"output_size": output}


@pytest.mark.parametrize("spatial", [1, 2])
def test_adaptive_max_pool(torch: Any, spatial: int) -> None:
    name = f"adaptive_max_pool{spatial}d"
    for rng in generators(name, COUNT):
        x, kwargs = adaptive(rng, spatial, none=spatial == 2)
        if rng.random() < 0.5:
            compare_positions(torch, name, x, **kwargs)
        else:
            compare(torch, name, [x], **kwargs)


@pytest.mark.parametrize("spatial", [1, 2])
def test_adaptive_avg_pool(torch: Any, spatial: int) -> None:
    for rng in generators(f"adaptive_avg_pool{spatial}d", COUNT):
        x, kwargs = adaptive(rng, spatial, none=spatial == 2)
        compare(torch, f"adaptive_avg_pool{spatial}d", [x], **kwargs)


WINDOWS: list[tuple[str, dict[str, Any]]] = [
    ("max_pool2d", {"kernel_size": (2, 3), "stride": (1, 2), "padding": (1, 1), "ceil_mode": True}),
    ("max_pool2d", {"kernel_size": (3, 2), "stride": (3, 2), "dilation": (1, 2), "ceil_mode": True}),
    ("max_pool2d", {"kernel_size": (2, 10), "stride": (1, 3), "ceil_mode": True}),
    ("max_pool1d", {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("adaptive_max_pool2d", {"output_size": (3, 4)}),
    ("adaptive_max_pool2d", {"output_size": (2, 1)}),
    ("adaptive_max_pool2d", {"output_size": 1}),
    ("adaptive_max_pool1d", {"output_size": 3}),
    ("avg_pool2d", {"kernel_size": (2, 3), "stride": (1, 2), "padding": (1, 1), "ceil_mode": True}),
    ("avg_pool2d", {"kernel_size": (3, 2), "stride": (2, 2), "padding": 1, "count_include_pad": False}),
    ("avg_pool1d", {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False}),
    ("adaptive_avg_pool2d", {"output_size": (3, 4)}),
    ("adaptive_avg_pool2d", {"output_size": 1}),
    ("adaptive_avg_pool1d", {"output_size": 3}),
]
VALUES = [-np.inf, np.inf, np.nan, 0.0, -0.0, 1e4, -1e4]


@pytest.mark.parametrize(("name", "kwargs"), WINDOWS, ids=str)
def test_special_values(torch: Any, name: str, kwargs: dict[str, Any]) -> None:
    for i, rng in enumerate(generators("special values", 50)):
        size = (6, 13) if name.endswith("2d") else (13,)
        # Few of them, so that most windows hold none: what one window sees must not leak into another.
        rare = 0.4 if i % 2 else 0.03
        chances = [rare / 3] * 3 + [(1 - rare) / 4] * 4
        x = rng.choice(VALUES, size=(2, 2, *size), p=chances)
        if i == 0:
            x[...] = -np.inf
        if "max" in name:
            compare_positions(torch, name, x, **kwargs)
        else:
            compare(torch, name, [x], **kwargs)


@pytest.mark.parametrize(("name", "kwargs"), WINDOWS, ids=str)
def test_infinite_and_nan_gradients_stay_in_their_window(torch: Any, name: str, kwargs: dict[str, Any]) -> None:
    for rng in generators("special gradients", 20):
        x = rng.normal(size=(2, 6, 13) if name.endswith("2d") else (2, 13))
        mine, other = minidl.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = getattr(F, name)(mine, **kwargs), getattr(torch.nn.functional, name)(other, **kwargs)
        start = rng.choice([np.inf, np.nan, 1.0, 2.0], size=y.shape, p=[0.05, 0.05, 0.45, 0.45])
        y.backward(start)
        z.backward(torch.tensor(start))
        assert_close(mine.grad.data, other.grad.numpy(), 1e-10, f"gradient of {name}({kwargs})")


@pytest.mark.parametrize(("name", "kwargs"), WINDOWS, ids=str)
def test_second_gradients(torch: Any, name: str, kwargs: dict[str, Any]) -> None:
    for rng in generators("second gradients of pooling", 20):
        x = rng.normal(size=(2, 6, 13) if name.endswith("2d") else (2, 13))
        mine, other = minidl.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = getattr(F, name)(mine, **kwargs), getattr(torch.nn.functional, name)(other, **kwargs)
        (found,) = minidl.grad((y * y * y).sum(), mine, create_graph=True)
        (expected,) = torch.autograd.grad((z * z * z).sum(), other, create_graph=True)
        (found * found).sum().backward()
        (expected * expected).sum().backward()
        assert_close(mine.grad.data, other.grad.numpy(), 1e-10, f"second gradient of {name}({kwargs})")
        compared["second gradients"] += 1


@pytest.mark.parametrize("kernel_size", [7, 100, 2**31 - 1, (7, 3), (3, 2**20)])
@pytest.mark.parametrize("stride", [None, 1, 2, 2**31 - 1])
@pytest.mark.parametrize("name", ["avg_pool2d", "max_pool2d"])
def test_a_window_larger_than_the_image(torch: Any, name: str, stride: Any, kernel_size: Any) -> None:
    """In ceil mode there may be one; taps beyond the image once ran for hours."""
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 6))
    mine, other = minidl.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    for padding in (0, 1):
        try:
            expected = getattr(torch.nn.functional, name)(other, kernel_size, stride, padding, ceil_mode=True)
        except RuntimeError:
            with pytest.raises(ShapeError):
                getattr(F, name)(mine, kernel_size, stride, padding, ceil_mode=True)
            continue
        found = getattr(F, name)(mine, kernel_size, stride, padding, ceil_mode=True)
        assert_close(found.data, expected.detach().numpy(), 1e-12, f"{name}({kernel_size}, {stride}, {padding})")
        found.sum().backward()
        expected.sum().backward()
        assert_close(mine.grad.data, other.grad.numpy(), 1e-12, f"gradient of {name}({kernel_size}, {stride})")


def test_every_function_was_compared_on_enough_configurations(torch: Any) -> None:
    """Last, so that a generator that quietly gives less is noticed."""
    if not compared["adaptive_avg_pool2d"]:
        pytest.skip("only some of the tests of this file ran")
    for name in F.pooling.__all__:
        assert compared[name] + compared[f"{name} with indices"] >= 2 * COUNT, name
