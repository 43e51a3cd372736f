"""conv1d and the transposed convolutions beside PyTorch's on random configurations, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from parity import TOLERANCE, as_pair, assert_close, compare, compared, generators, lead, one_or_two, window

import minidl
import minidl.functional as F
from minidl.geometry import output_padding_for, sides

# PyTorch copies the input for such paddings, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
COUNT = 100


def one(rng: np.random.Generator, low: int, high: int) -> Any:
    """An int, or one in a tuple."""
    value = int(rng.integers(low, high + 1))
    return value if rng.random() < 0.7 else (value,)


def number(value: Any) -> int:
    return value if isinstance(value, int) else value[0]


def channels(rng: np.random.Generator) -> tuple[int, int, int]:
    """Groups, and two numbers of channels that they divide."""
    groups = int(rng.choice([1, 1, 2, 3]))
    first, second = (groups * int(v) for v in rng.integers(1, 4, 2))
    return groups, first, second


def test_conv1d(torch: Any) -> None:
    for rng in generators("conv1d", COUNT):
        groups, taken, filters = channels(rng)
        length, kernel = int(rng.integers(1, 20)), int(rng.integers(1, 6))
        kwargs = {"stride": one(rng, 1, 4), "dilation": one(rng, 1, 3), "groups": groups}
        reach = number(kwargs["dilation"]) * (kernel - 1) + 1
        padding = int(rng.integers(max(-(-(reach - length) // 2), 0), reach + 2))
        kwargs["padding"] = padding if rng.random() < 0.7 else (padding,)
        if number(kwargs["stride"]) == 1 and rng.random() < 0.5:
            kwargs["padding"] = str(rng.choice(["same", "valid"])) if reach <= length else "same"
        x = rng.normal(size=(*lead(rng), taken, length))
        w = rng.normal(size=(filters, taken // groups, kernel))
        b = rng.normal(size=filters) if rng.random() < 0.7 else None
        compare(torch, "conv1d", [x, w, b], **kwargs)


def transposed(rng: np.random.Generator, spatial: int) -> tuple[list[Any], dict[str, Any]]:
    """A transposed convolution that has a result; often with output padding, of a stride and more if that is let in."""
    groups, taken, filters = channels(rng)
    draw = one_or_two if spatial == 2 else one
    while True:
        size, kernel = (tuple(int(v) for v in rng.integers(1, high, spatial)) for high in (9, 6))
        kwargs = {"stride": draw(rng, 1, 4), "padding": draw(rng, 0, 4), "dilation": draw(rng, 1, 4), "groups": groups}
        step, spread, cut = (
            as_pair(kwargs[name]) if spatial == 2 else (number(kwargs[name]),)
            for name in ("stride", "dilation", "padding")
        )
        extra = tuple(int(rng.integers(0, max(s, d))) for s, d in zip(step, spread, strict=True))
        result = [
            (n - 1) * s + d * (k - 1) + 1 + e - 2 * p
            for n, s, d, k, e, p in zip(size, step, spread, kernel, extra, cut, strict=True)
        ]
        if min(result) >= 1:
            break
    if rng.random() < 0.8:
        kwargs["output_padding"] = extra
    else:
        kwargs["output_padding"] = 0
        kwargs["padding"] = 0
    batch = (0,) if rng.random() < 0.1 else lead(rng)
    x, w = rng.normal(size=(*batch, taken, *size)), rng.normal(size=(taken, filters // groups, *kernel))
    return [x, w, rng.normal(size=filters) if rng.random() < 0.7 else None], kwargs


@pytest.mark.parametrize("spatial", [1, 2])
def test_conv_transpose(torch: Any, spatial: int) -> None:
    beyond = 0
    for rng in generators(f"conv_transpose{spatial}d", COUNT):
        arrays, kwargs = transposed(rng, spatial)
        compare(torch, f"conv_transpose{spatial}d", arrays, **kwargs)
        extra, stride = kwargs["output_padding"], kwargs["stride"]
        beyond += extra != 0 and max(extra) >= (stride if isinstance(stride, int) else max(stride))
    assert beyond >= 5, "too few with output padding of a stride and more"


@pytest.mark.parametrize("spatial", [1, 2])
def test_a_transposed_convolution_is_the_gradient_of_a_convolution(spatial: int) -> None:
    """The definition: <conv(x), y> = <x, conv_transpose(y)>, with four paddings."""
    for rng in generators(f"adjoint{spatial}", 50):
        size, kwargs = window(rng)
        kernel = as_pair(kwargs.pop("kernel_size"))[-spatial:]
        kwargs = {name: as_pair(value)[-spatial:] for name, value in kwargs.items()}
        groups, taken, filters = channels(rng)
        x, w = rng.normal(size=(2, taken, *size[-spatial:])), rng.normal(size=(filters, taken // groups, *kernel))
        convolve, spread = getattr(F, f"conv{spatial}d"), getattr(F, f"conv_transpose{spatial}d")
        kwargs["padding"] = sides("test", kwargs["padding"], spatial)._replace(right=int(rng.integers(4, 7)))
        y = convolve(x, w, groups=groups, **kwargs).data
        upstream = rng.normal(size=y.shape)
        extra = output_padding_for("test", y.shape[2:], x.shape[2:], kernel, **kwargs)
        found = spread(upstream, w, groups=groups, output_padding=extra, **kwargs)
        assert found.shape == x.shape
        assert_close((found.data * x).sum(), (upstream * y).sum(), TOLERANCE, scale=np.abs(y).max() * y.size)


@pytest.mark.parametrize("name", ["conv1d", "conv_transpose1d", "conv_transpose2d"])
def test_second_gradients(torch: Any, name: str) -> None:
    for rng in generators(f"double {name}", 30):
        if name == "conv1d":
            groups, taken, filters = channels(rng)
            arrays = [rng.normal(size=(2, taken, 9)), rng.normal(size=(filters, taken // groups, 3))]
            kwargs = {"stride": int(rng.integers(1, 4)), "padding": 2, "dilation": 2, "groups": groups}
        else:
            (*arrays, _), kwargs = transposed(rng, 2 if name.endswith("2d") else 1)
        mine = [minidl.Tensor(a, requires_grad=True) for a in arrays]
        other = [torch.tensor(a, requires_grad=True) for a in arrays]
        y, z = getattr(F, name)(*mine, **kwargs), getattr(torch.nn.functional, name)(*other, **kwargs)
        found = minidl.grad((y * y).sum(), mine, create_graph=True)
        expected = torch.autograd.grad((z * z).sum(), other, create_graph=True)
        ((found[0] * found[0]).sum() + (found[1] * found[1]).sum()).backward()
        ((expected[0] * expected[0]).sum() + (expected[1] * expected[1]).sum()).backward()
        for a, b in zip(mine, other, strict=True):
            # An empty batch leaves none in PyTorch.
            wanted = b.grad.numpy() if arrays[0].size else np.zeros(b.shape)
            assert_close(a.grad.data, wanted, TOLERANCE, f"{name} {[v.shape for v in arrays]} {kwargs}")
            compared["second gradients"] += 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e4, -1e4, 0.0])
def test_special_values(torch: Any, value: float) -> None:
    x, w = np.ones((1, 2, 4, 5)), np.linspace(-1, 2, 24).reshape(2, 2, 2, 3)
    x[0, 0, 1, 2], x[0, 1, 3, 4] = value, -value
    compare(torch, "conv_transpose2d", [x, w, np.ones(2)], stride=(2, 1), padding=(1, 0))
    compare(torch, "conv_transpose2d", [x, w, np.array([-np.inf, 1])])
    compare(torch, "conv_transpose1d", [x[:, :, 1], w[:, :, 0]], stride=2)
    compare(torch, "conv1d", [x[:, :, 1], w[:, :, 0]], padding=2)


def test_every_function_was_compared_on_enough_configurations(torch: Any) -> None:
    """Last, so that a generator that quietly gives less is noticed."""
    if not compared["conv_transpose2d"]:
        pytest.skip("only some of the tests of this file ran")
    for name in ("conv1d", "conv_transpose1d", "conv_transpose2d"):
        assert compared[name] >= 3 * COUNT, name
