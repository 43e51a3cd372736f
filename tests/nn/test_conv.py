"""Convolution layers: outputs and gradients beside PyTorch's, initial values, sizes that are inferred, and state."""

from __future__ import annotations

import copy
import re
from math import sqrt
from typing import Any

import numpy as np
import pytest
from parity import assert_close

import minidl
from minidl import nn
from minidl.errors import ArgumentError, ShapeError
from minidl.geometry import Padding, sliding_window

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")

# Layer, constructor's arguments, constructor's keyword arguments, the shape of the input, what the call takes besides.
LAYERS: list[tuple[str, tuple, dict[str, Any], tuple[int, ...], dict[str, Any]]] = [
    ("Conv1d", (4, 6, 3), {}, (2, 4, 9), {}),
    ("Conv1d", (4, 6, (3,)), {"stride": (2,), "padding": 3, "dilation": 2, "groups": 2, "bias": False}, (2, 4, 9), {}),
    ("Conv1d", (4, 6, 4), {"padding": "same"}, (4, 9), {}),
    ("Conv1d", (4, 6, 4), {"padding": "valid", "groups": 2}, (2, 4, 9), {}),
    ("Conv1d", (4, 6, 4, 2, 1, 2, 2, True, "circular"), {}, (0, 4, 9), {}),
    ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2},
     (2, 4, 8, 9), {}),
    ("Conv2d", (4, 6, (4, 3)), {"padding": "same", "bias": False}, (4, 8, 9), {}),
    ("ConvTranspose1d", (4, 6, 3), {}, (2, 4, 5), {}),
    ("ConvTranspose1d", (4, 6, 3, 3, 1, 2, 2, False, 2), {}, (2, 4, 5), {}),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 4}, (4, 5), {"output_size": (21,)}),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 4}, (4, 5), {"output_size": (6, 20)}),
    ("ConvTranspose2d", (4, 6, (3, 2)), {}, (2, 4, 3, 5), {}),
    ("ConvTranspose2d", (4, 6, (3, 2)), {"stride": 2, "padding": 1, "output_padding": 1}, (4, 3, 5), {}),
    ("ConvTranspose2d", (4, 6, (3, 2), (2, 3), (1, 2), (1, 0), 2, True, (1, 3), "zeros"), {}, (2, 4, 3, 5), {}),
    ("ConvTranspose2d", (4, 6, (3, 2)), {"dilation": (3, 2), "output_padding": (2, 1), "bias": False},
     (2, 4, 3, 5), {}),
    ("ConvTranspose2d", (4, 6, 2), {"stride": (2, 3)}, (2, 4, 3, 5), {"output_size": (7, 16)}),
    ("ConvTranspose2d", (4, 6, 2), {"stride": (2, 3)}, (2, 4, 3, 5), {"output_size": [2, 6, 6, 14]}),
    ("ConvTranspose2d", (4, 6, 2), {"stride": (2, 3), "padding": 1}, (4, 3, 5), {"output_size": (6, 5, 13)}),
    ("ConvTranspose2d", (4, 6, 2), {"stride": 3, "output_padding": 1}, (0, 4, 3, 5), {}),
    *[("Conv1d", (4, 6, 3), {"padding": (3,), "stride": 2, "padding_mode": mode}, (2, 4, 7), {})
      for mode in ("zeros", "reflect", "replicate", "circular")],
    *[("Conv2d", (4, 6, (3, 2)), {"padding": padding, "padding_mode": mode, "groups": 2}, shape, {})
      for mode in ("zeros", "reflect", "replicate", "circular")
      for padding, shape in (((2, 1), (2, 4, 5, 6)), (3, (4, 5, 6)), ("same", (2, 4, 5, 6)), ("valid", (2, 4, 5, 6)))],
]  # fmt: skip


@pytest.mark.parametrize(("name", "arguments", "options", "shape", "call"), LAYERS)
def test_layers_as_in_pytorch(
    torch: Any, name: str, arguments: tuple, options: dict[str, Any], shape: tuple[int, ...], call: dict[str, Any]
) -> None:
    ours, theirs = getattr(nn, name)(*arguments, **options), getattr(torch.nn, name)(*arguments, **options)
    ours.double()
    theirs.double()
    ours.load_state_dict(theirs.state_dict())
    values = np.random.default_rng(1).normal(size=shape)
    for mode in (True, False):
        x, z = minidl.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
        found, expected = ours.train(mode)(x, **call), theirs.train(mode)(z, **call)
        assert_close(found.data, expected.detach().numpy(), 1e-12)
        start = np.random.default_rng(3).normal(size=found.shape)
        ours.zero_grad()
        theirs.zero_grad()
        found.backward(start)
        expected.backward(torch.tensor(start))
        assert_close(x.grad.data, z.grad.numpy(), 1e-12, "the input's gradient")
        parameters = dict(theirs.named_parameters())
        assert [n for n, _ in ours.named_parameters()] == list(parameters)
        for n, p in ours.named_parameters():
            assert_close(
                p.grad.data, parameters[n].grad.numpy(), 1e-12, f"{n}'s gradient", np.abs(values).max(initial=0)
            )


@pytest.mark.parametrize(("name", "arguments", "options", "shape", "call"), LAYERS)
def test_representations_are_pytorchs(
    torch: Any, name: str, arguments: tuple, options: dict[str, Any], shape: tuple[int, ...], call: dict[str, Any]
) -> None:
    def settings(layer: Any) -> set[str]:
        # In any order; words have quotes here.
        return set(re.findall(r"\w+=(?:\([^)]*\)|\w+)", repr(layer).replace("'", "")))

    assert settings(getattr(nn, name)(*arguments, **options)) == settings(
        getattr(torch.nn, name)(*arguments, **options)
    )


def test_representations() -> None:
    assert repr(nn.Conv1d(None, 4, 3)) == "Conv1d(None, 4, kernel_size=(3,), stride=(1,))"
    assert repr(nn.Conv2d(2, 4, (3, 2), padding="same", padding_mode="reflect", bias=False)) == (
        "Conv2d(2, 4, kernel_size=(3, 2), stride=(1, 1), padding='same', padding_mode='reflect', bias=False)"
    )
    assert repr(nn.ConvTranspose1d(2, 4, 3, 2, 1, 1)) == (
        "ConvTranspose1d(2, 4, kernel_size=(3,), stride=(2,), padding=(1,), output_padding=(1,))"
    )
    assert repr(nn.ConvTranspose2d(2, 4, 3, dilation=(1, 2), groups=2)) == (
        "ConvTranspose2d(2, 4, kernel_size=(3, 3), stride=(1, 1), dilation=(1, 2), groups=2)"
    )
    assert "padding=Padding(top=0, bottom=1, left=2, right=3)" in repr(nn.Conv2d(1, 1, 2, padding=Padding(0, 1, 2, 3)))


MAKERS = {
    "Conv1d": (lambda channels, **kw: nn.Conv1d(channels, 6, 3, groups=2, **kw), (2, 4, 9)),
    "Conv2d": (lambda channels, **kw: nn.Conv2d(channels, 6, (3, 2), groups=2, **kw), (2, 4, 5, 7)),
    "ConvTranspose1d": (lambda channels, **kw: nn.ConvTranspose1d(channels, 6, 3, groups=2, **kw), (2, 4, 9)),
    "ConvTranspose2d": (lambda channels, **kw: nn.ConvTranspose2d(channels, 6, (3, 2), groups=2, **kw), (2, 4, 5, 7)),
}
every_layer = pytest.mark.parametrize("name", MAKERS)


@every_layer
def test_channels_are_inferred_at_the_first_call(name: str) -> None:
    make, shape = MAKERS[name]
    minidl.manual_seed(4)
    known = make(4)
    for x in (minidl.zeros(*shape), minidl.zeros(*shape[1:])):
        minidl.manual_seed(4)
        layer = make(None)
        assert layer.weight.data.size == 0
        assert layer(x).shape == known(x).shape
        assert layer.in_channels == 4
        for a, b in zip(layer.parameters(), known.parameters(), strict=True):
            assert np.array_equal(a.data, b.data)
    with pytest.raises(ArgumentError, match="no number of channels to infer"):
        make(None)(minidl.zeros(2, 5, *shape[2:]))


@every_layer
def test_state_dicts(name: str) -> None:
    make, shape = MAKERS[name]
    layer, x = make(4), minidl.tensor(np.random.default_rng(2).normal(size=shape), dtype="float32")
    state = layer.state_dict()
    assert list(state) == ["weight", "bias"]
    for other in (make(4), make(None)):
        other.load_state_dict(state)
        assert other.in_channels == 4
        assert np.array_equal(other(x).data, layer(x).data)
    twin = copy.deepcopy(layer)
    twin.weight.data[...] = 0
    assert not np.array_equal(twin(x).data, layer(x).data)
    assert repr(twin) == repr(layer)


@every_layer
def test_initial_values_are_bounded_as_pytorchs(torch: Any, name: str) -> None:
    one_dimension = name.endswith("1d")
    arguments = (6, 4000, 5) if one_dimension else (6, 2000, (5, 3))
    for options in ({}, {"groups": 2}):
        ours, theirs = getattr(nn, name)(*arguments, **options), getattr(torch.nn, name)(*arguments, **options)
        fan_in = np.prod(ours.weight.shape[1:])
        for n in ("weight", "bias"):
            a, b = getattr(ours, n).data, getattr(theirs, n).detach().numpy()
            assert a.shape == b.shape
            assert np.abs(a).max() <= 1 / sqrt(fan_in)
            assert np.abs(a).max() == pytest.approx(np.abs(b).max(), rel=0.01)
            assert a.std() == pytest.approx(b.std(), rel=0.05)


@every_layer
def test_dtypes_and_generators(name: str) -> None:
    make, shape = MAKERS[name]
    layers = [make(4, dtype=dtype, generator=np.random.default_rng(7)) for dtype in ("float32", "float64")]
    assert [layer(np.zeros(shape, layer.weight.dtype)).dtype for layer in layers] == [np.float32, np.float64]
    assert np.array_equal(layers[0].weight.data, layers[1].weight.data.astype(np.float32))


@every_layer
def test_an_error_names_the_layer(name: str) -> None:
    make, shape = MAKERS[name]
    with pytest.raises(ShapeError, match=rf"input has 5 channels(.|\n)*in layer 1 \({name}\)$"):
        nn.Sequential(nn.ReLU(), make(4))(minidl.zeros(2, 5, *shape[2:]))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_same_padding_with_a_stride_holds_what_the_mode_says(mode: str) -> None:
    """PyTorch refuses this; the padding is TensorFlow's, its odd pixel below and right."""
    x = np.random.default_rng(5).normal(size=(2, 3, 7, 8))
    layer = nn.Conv2d(3, 2, (4, 3), stride=(2, 3), padding="same", dilation=(1, 2), padding_mode=mode, dtype="float64")
    top, bottom, left, right = sliding_window("conv2d", (7, 8), (4, 3), (2, 3), "same", (1, 2)).padding
    assert len({top, bottom}) == 2
    numpy_mode = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), mode=numpy_mode)
    expected = minidl.functional.conv2d(padded, layer.weight, layer.bias, (2, 3), 0, (1, 2))
    assert layer(x).shape == (2, 2, 4, 3)
    assert_close(layer(x).data, expected.data, 1e-13)


def test_four_paddings() -> None:
    x, around = np.random.default_rng(5).normal(size=(2, 3, 4, 5)), Padding(2, 0, 1, 3)
    for mode, numpy_mode in (("zeros", "constant"), ("reflect", "reflect")):
        layer = nn.Conv2d(3, 2, (2, 3), padding=around, padding_mode=mode, dtype="float64")
        padded = np.pad(x, ((0, 0), (0, 0), around[:2], around[2:]), mode=numpy_mode)
        assert_close(layer(x).data, minidl.functional.conv2d(padded, layer.weight, layer.bias).data, 1e-13)
    spread = nn.ConvTranspose2d(3, 2, (4, 5), padding=around, dtype="float64")
    uncropped = minidl.functional.conv_transpose2d(x, spread.weight, spread.bias).data
    assert_close(spread(x).data, uncropped[:, :, 2:, 1:-3], 1e-13)


def test_the_way_back_gives_every_size() -> None:
    """A transposed convolution with the settings of a convolution gives back its input's size."""
    for size in range(5, 12):
        down = nn.Conv1d(2, 3, 4, stride=3, padding=1)
        up = nn.ConvTranspose1d(3, 2, 4, stride=3, padding=1)
        x = minidl.zeros(1, 2, size)
        assert up(down(x), output_size=x.shape).shape == x.shape
