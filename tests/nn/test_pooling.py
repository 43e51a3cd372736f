"""Pooling layers beside PyTorch's: outputs, gradients, repr, state dict, copies, and errors with the layer's path."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np
import pytest
from parity import assert_close

import minidl
from minidl import nn
from minidl.errors import ShapeError

# The class, its arguments, and whether PyTorch's repr is the same (it hides some settings).
LAYERS: list[tuple[str, dict[str, Any], bool]] = [
    ("MaxPool1d", {"kernel_size": 2}, True),
    ("MaxPool1d", {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2, "ceil_mode": True}, True),
    ("MaxPool2d", {"kernel_size": (2, 3)}, True),
    ("MaxPool2d", {"kernel_size": 3, "stride": (3, 2), "padding": (1, 0), "dilation": 2, "ceil_mode": True}, True),
    ("MaxPool1d", {"kernel_size": 2, "return_indices": True}, False),
    ("MaxPool2d", {"kernel_size": 2, "return_indices": True, "ceil_mode": True}, False),
    ("AvgPool1d", {"kernel_size": (3,), "stride": (2,), "padding": (1,)}, True),
    ("AvgPool1d", {"kernel_size": 3, "padding": 1, "ceil_mode": True, "count_include_pad": False}, False),
    ("AvgPool2d", {"kernel_size": 3}, True),
    ("AvgPool2d", {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False}, False),
    ("AvgPool2d", {"kernel_size": (2, 3), "divisor_override": 5}, False),
    ("AdaptiveMaxPool1d", {"output_size": 4}, True),
    ("AdaptiveMaxPool1d", {"output_size": 4, "return_indices": True}, False),
    ("AdaptiveMaxPool2d", {"output_size": (3, None)}, True),
    ("AdaptiveMaxPool2d", {"output_size": (3, 2), "return_indices": True}, False),
    ("AdaptiveAvgPool1d", {"output_size": 4}, True),
    ("AdaptiveAvgPool2d", {"output_size": 1}, True),
    ("AdaptiveAvgPool2d", {"output_size": (None, 4)}, True),
]
every_layer = pytest.mark.parametrize(("name", "settings", "same_repr"), LAYERS, ids=str)


def sample(name: str, *batch: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(*batch, 3, *((8, 9) if name.endswith("2d") else (11,))))


@every_layer
@pytest.mark.parametrize("batch", [(2,), (), (0,)], ids=str)
def test_as_in_pytorch(torch: Any, name: str, settings: dict[str, Any], same_repr: bool, batch: tuple) -> None:
    ours, theirs = getattr(nn, name)(**settings), getattr(torch.nn, name)(**settings)
    # There is nothing in them, and nothing that training changes.
    ours.load_state_dict(theirs.state_dict())
    assert ours.state_dict() == {}
    x = sample(name, *batch)
    for mode in (True, False):
        ours.train(mode)
        theirs.train(mode)
        mine, other = minidl.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = ours(mine), theirs(other)
        if settings.get("return_indices"):
            assert isinstance(y, tuple)
            assert y[1].dtype == np.int64
            assert not y[1].requires_grad
            assert np.array_equal(y[1].data, z[1].numpy())
            y, z = y[0], z[0]
        assert_close(y.data, z.detach().numpy(), 1e-12)
        start = np.random.default_rng(1).normal(size=y.shape)
        y.backward(start)
        z.backward(torch.tensor(start))
        assert_close(mine.grad.data, other.grad.numpy(), 1e-12)


@every_layer
def test_reprs(torch: Any, name: str, settings: dict[str, Any], same_repr: bool) -> None:
    ours, theirs = repr(getattr(nn, name)(**settings)), repr(getattr(torch.nn, name)(**settings))
    if same_repr:
        assert ours == theirs
    for setting, value in settings.items():
        assert f"{setting}={value!r}" in ours


def test_reprs_say_what_is_set() -> None:
    layer = nn.AvgPool2d(2, 1, ceil_mode=True, divisor_override=3)
    assert repr(layer) == "AvgPool2d(kernel_size=2, stride=1, padding=0, ceil_mode=True, divisor_override=3)"
    assert repr(nn.MaxPool1d(2, return_indices=True)) == (
        "MaxPool1d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False, return_indices=True)"
    )


@pytest.mark.parametrize("name", sorted({name for name, _, _ in LAYERS}))
def test_arguments_are_pytorchs(torch: Any, name: str) -> None:
    def arguments(layer: type) -> list[tuple[str, Any]]:
        return [(p.name, p.default) for p in inspect.signature(layer).parameters.values()]

    assert arguments(getattr(nn, name)) == arguments(getattr(torch.nn, name))


@every_layer
def test_copies(name: str, settings: dict[str, Any], same_repr: bool) -> None:
    layer = getattr(nn, name)(**settings)
    other = copy.deepcopy(layer)
    x = minidl.Tensor(sample(name, 2))
    first, second = layer(x), other(x)
    for a, b in zip(first, second, strict=True) if isinstance(first, tuple) else [(first, second)]:
        assert np.array_equal(a.data, b.data)
    assert repr(other) == repr(layer)


def test_errors_name_the_layer() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.AvgPool2d(2), nn.MaxPool2d(4)))
    with pytest.raises(
        ShapeError, match=r"^max_pool2d: the kernel of 4 x 4 is larger(.|\n)*in layer 1\.1 \(MaxPool2d\)"
    ):
        model(minidl.zeros(1, 1, 8, 8))


def test_a_model_of_any_image_size() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dense(2, 3))
    for size in ((5, 6), (12, 7)):
        x = minidl.Tensor(np.ones((4, 1, *size), np.float32), requires_grad=True)
        y = model(x)
        assert y.shape == (4, 3)
        y.sum().backward()
        assert x.grad.shape == x.shape


@pytest.mark.parametrize("stride", [(), []], ids=repr)
@pytest.mark.parametrize("name", ["MaxPool1d", "MaxPool2d", "AvgPool1d", "AvgPool2d"])
def test_an_empty_stride_is_the_size_of_the_kernel(torch: Any, name: str, stride: Any) -> None:
    layer, x = getattr(nn, name)(2, stride), sample(name, 2)
    assert layer.stride == 2 and repr(layer) == repr(getattr(nn, name)(2))
    assert_close(layer(x).data, getattr(torch.nn, name)(2, stride)(torch.tensor(x)).numpy(), 1e-12)
