"""Layers that pad, resize or move values, beside PyTorch's: none has parameters, all hand on their options."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from parity import compare_functions

import minidl
import minidl.functional as F
from minidl import nn
from minidl.errors import ShapeError

# A layer's name, its positional and keyword arguments, and the shapes that it is called with.
LAYERS: list[tuple[str, tuple, dict[str, Any], list[tuple[int, ...]]]] = [
    ("ConstantPad1d", (2, 1.5), {}, [(2, 3, 5), (3, 5), (5,)]),
    ("ConstantPad1d", ((1, -2),), {"value": -1}, [(2, 3, 5)]),
    ("ConstantPad2d", (2, 1.5), {}, [(2, 3, 5, 4), (3, 5, 4)]),
    ("ConstantPad2d", ((1, 0, -2, 3), 0.5), {}, [(2, 3, 5, 4), (5, 4)]),
    ("ZeroPad1d", (2,), {}, [(2, 3, 5), (3, 5)]),
    ("ZeroPad1d", ((0, 3),), {}, [(2, 3, 5)]),
    ("ZeroPad2d", (1,), {}, [(2, 3, 5, 4), (3, 5, 4)]),
    ("ZeroPad2d", ([1, 2, 3, 0],), {}, [(2, 3, 5, 4)]),
    ("ReflectionPad1d", (2,), {}, [(2, 3, 5), (3, 5)]),
    ("ReflectionPad1d", ((4, 1),), {}, [(2, 3, 5)]),
    ("ReflectionPad2d", (2,), {}, [(2, 3, 5, 4), (3, 5, 4)]),
    ("ReflectionPad2d", ((3, 1, 0, 2),), {}, [(2, 3, 5, 4)]),
    ("ReplicationPad1d", (2,), {}, [(2, 3, 5), (3, 5)]),
    ("ReplicationPad1d", ((7, 1),), {}, [(2, 3, 5)]),
    ("ReplicationPad2d", (2,), {}, [(2, 3, 5, 4), (3, 5, 4)]),
    ("ReplicationPad2d", (), {"padding": (3, 6, -1, 2)}, [(2, 3, 5, 4)]),
    ("CircularPad1d", (5,), {}, [(2, 3, 5), (3, 5)]),
    ("CircularPad1d", ((4, 1),), {}, [(2, 3, 5)]),
    ("CircularPad2d", (2,), {}, [(2, 3, 5, 4), (3, 5, 4)]),
    ("CircularPad2d", ((3, 1, 0, 2),), {}, [(2, 3, 5, 4)]),
    ("Flatten", (), {}, [(2, 3, 5, 4), (2, 3)]),
    ("Flatten", (2, -2), {}, [(2, 3, 5, 4, 1)]),
    ("Unflatten", (1, (2, 3)), {}, [(2, 6, 5), (2, 6)]),
    ("Unflatten", (-1, [-1, 2]), {}, [(2, 6), (4,)]),
    ("Identity", (54, "anything"), {"bias": False}, [(2, 3), ()]),
    ("Unfold", (2,), {}, [(2, 3, 5, 4), (3, 5, 4)]),
    ("Unfold", ((2, 3), 2, (1, 2), (2, 1)), {}, [(2, 3, 5, 4)]),
    ("Unfold", (3,), {"dilation": 1, "padding": 1, "stride": 2}, [(2, 3, 5, 4)]),
    ("Fold", ((5, 4), 2), {}, [(2, 12, 12), (12, 12)]),
    ("Fold", ((5, 4), (2, 3), 2, (1, 2), (2, 1)), {}, [(2, 12, 12)]),
    ("Fold", (6, 3), {"dilation": 1, "padding": 1, "stride": 2}, [(2, 9, 9)]),
    ("Upsample", (7,), {}, [(2, 3, 5, 4), (2, 3, 5)]),
    ("Upsample", ((7, 3),), {}, [(2, 3, 5, 4)]),
    ("Upsample", (), {"scale_factor": 2, "mode": "bilinear"}, [(2, 3, 5, 4)]),
    ("Upsample", (None, (1.5, 2.5), "bilinear", True), {}, [(2, 3, 5, 4)]),
    ("Upsample", (), {"scale_factor": 1.7, "mode": "bilinear", "recompute_scale_factor": True}, [(2, 3, 5, 4)]),
    ("Upsample", (), {"scale_factor": 1.7, "mode": "linear", "align_corners": False}, [(2, 3, 5)]),
]
every_layer = pytest.mark.parametrize(
    ("name", "arguments", "options", "shapes"), LAYERS, ids=[f"{n}{a}{o}" for n, a, o, _ in LAYERS]
)


def test_every_layer_of_the_families_is_here() -> None:
    assert {name for name, *_ in LAYERS} == {*nn.padding.__all__, *nn.shapes.__all__}


@every_layer
@pytest.mark.parametrize("training", [True, False])
def test_outputs_and_gradients_equal_pytorchs(
    torch: Any, name: str, arguments: tuple, options: dict, shapes: list, training: bool
) -> None:
    ours, theirs = getattr(nn, name)(*arguments, **options), getattr(torch.nn, name)(*arguments, **options)
    assert ours.load_state_dict(theirs.state_dict()) == ([], []) and ours.state_dict() == {}
    ours.train(training)
    theirs.train(training)
    for shape in shapes:
        compare_functions(torch, name, ours, theirs, [np.random.default_rng(0).normal(size=shape)])


@every_layer
def test_copies_do_the_same(name: str, arguments: tuple, options: dict, shapes: list) -> None:
    layer = getattr(nn, name)(*arguments, **options)
    x = np.random.default_rng(0).normal(size=shapes[0])
    copy = deepcopy(layer)
    assert np.array_equal(copy(x).data, layer(x).data)
    assert repr(copy) == repr(layer)


@every_layer
def test_float32_stays_float32(name: str, arguments: tuple, options: dict, shapes: list) -> None:
    layer = getattr(nn, name)(*arguments, **options)
    assert layer(np.ones(shapes[0], np.float32)).dtype == np.float32


def test_the_state_of_a_model_has_nothing_of_them() -> None:
    model = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(1, 2, 3), nn.Upsample(scale_factor=2), nn.Identity())
    other = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(1, 2, 3), nn.Upsample(scale_factor=2), nn.Identity())
    assert list(model.state_dict()) == ["1.weight", "1.bias"]
    other.load_state_dict(model.state_dict())
    x = np.random.default_rng(0).normal(size=(2, 1, 4, 5)).astype(np.float32)
    assert np.array_equal(model(x).data, other(x).data) and model(x).shape == (2, 2, 8, 10)


@pytest.mark.parametrize(("layer", "text"), [
    (nn.ConstantPad1d(2, 1.5), "ConstantPad1d(padding=(2, 2), value=1.5)"),
    (nn.ZeroPad2d((1, 2, 3, 4)), "ZeroPad2d((1, 2, 3, 4))"),
    (nn.ReflectionPad1d(1), "ReflectionPad1d((1, 1))"),
    (nn.Flatten(), "Flatten(start_dim=1, end_dim=-1)"),
    (nn.Unflatten(1, [2, -1]), "Unflatten(dim=1, unflattened_size=(2, -1))"),
    (nn.Identity(3), "Identity()"),
    (nn.Unfold(3, padding=1), "Unfold(kernel_size=3, dilation=1, padding=1, stride=1)"),
    (nn.Fold((3, 4), 2), "Fold(output_size=(3, 4), kernel_size=2, dilation=1, padding=0, stride=1)"),
    (nn.Upsample((3, 4)), "Upsample(size=(3, 4), mode='nearest')"),
    (nn.Upsample(scale_factor=2.0, mode="bilinear"), "Upsample(scale_factor=2.0, mode='bilinear')"),
])  # fmt: skip
def test_repr(layer: Any, text: str) -> None:
    assert repr(layer) == text


def test_an_error_names_the_layer() -> None:
    model = nn.Sequential({"stem": nn.Sequential(nn.ReLU(), nn.ReflectionPad2d(4))})
    with pytest.raises(ShapeError, match=r"pad: mode='reflect' adds fewer (.|\n)*in layer stem\.1 \(ReflectionPad2d\)"):
        model(np.ones((1, 1, 4, 4)))


def test_identity_hands_on_the_tensor_itself() -> None:
    x = minidl.ones(2)
    assert nn.Identity()(x) is x


def test_the_method_and_the_function_unflatten() -> None:
    x = minidl.tensor(np.arange(12.0).reshape(2, 6), requires_grad=True)
    y = x.unflatten(1, (2, -1))
    assert y.shape == (2, 2, 3) and np.shares_memory(y.data, x.data)
    (y * y).sum().backward()
    assert np.array_equal(x.grad.data, 2 * x.data)
    assert np.array_equal(F.unfold(np.ones((1, 1, 2, 2)), 2).data, nn.Unfold(2)(np.ones((1, 1, 2, 2))).data)
