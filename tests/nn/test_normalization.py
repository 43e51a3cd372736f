"""Normalisation layers beside PyTorch's: outputs, gradients, running statistics, state dicts; and what is our own."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from parity import assert_close

import minidl
import minidl.functional as F
from minidl import nn
from minidl.errors import StateDictError
from minidl.testing import gradcheck, gradgradcheck

TOLERANCE = 1e-12
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")

# (layer, arguments, options, shape of the input)
LAYERS: list[tuple[str, tuple, dict[str, Any], tuple[int, ...]]] = []
for affine in (True, False):
    for tracking in (True, False):
        for momentum in (0.1, None):
            options = {"affine": affine, "track_running_stats": tracking, "momentum": momentum, "eps": 1e-3}
            LAYERS += [
                ("BatchNorm1d", (3,), options, (5, 3)),
                ("BatchNorm1d", (3,), options, (4, 3, 5)),
                ("BatchNorm2d", (3,), options, (4, 3, 2, 5)),
                ("InstanceNorm1d", (3,), options, (4, 3, 5)),
                ("InstanceNorm1d", (3,), options, (3, 5)),
                ("InstanceNorm2d", (3,), options, (4, 3, 2, 5)),
                ("InstanceNorm2d", (3,), options, (3, 2, 5)),
            ]
LAYERS += [
    ("BatchNorm1d", (3,), {}, (5, 3)),
    ("BatchNorm2d", (3, 1e-2, 0.7), {"bias": False}, (5, 3, 2, 2)),
    ("BatchNorm2d", (3,), {"momentum": 0.0}, (5, 3, 2, 2)),
    ("InstanceNorm1d", (3,), {}, (2, 3, 5)),
    ("InstanceNorm2d", (3, 1e-2, 0.7, True, True), {"bias": False}, (5, 3, 2, 2)),
    ("LayerNorm", (5,), {}, (4, 3, 5)),
    ("LayerNorm", ((3, 5), 1e-2), {}, (4, 3, 5)),
    ("LayerNorm", ([3, 5],), {"bias": False}, (3, 5)),
    ("LayerNorm", (5, 1e-5, False), {}, (5,)),
    ("GroupNorm", (2, 6), {}, (4, 6)),
    ("GroupNorm", (3, 6, 1e-2), {}, (4, 6, 2, 3)),
    ("GroupNorm", (1, 6), {"bias": False}, (4, 6, 2)),
    ("GroupNorm", (6, 6, 1e-5, False), {}, (4, 6, 2, 1, 2)),
]
every_layer = pytest.mark.parametrize(
    ("name", "arguments", "options", "shape"), LAYERS, ids=[f"{n}{a}{o}{s}" for n, a, o, s in LAYERS]
)


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def both(torch: Any, name: str, arguments: tuple, options: dict[str, Any]) -> tuple[Any, Any]:
    """Our layer and PyTorch's, in float64, with the state dict of the latter, whose values are random."""
    ours, theirs = getattr(nn, name)(*arguments, **options).double(), getattr(torch.nn, name)(*arguments, **options)
    theirs.to(torch.float64)
    with torch.no_grad():
        for i, (key, value) in enumerate(theirs.state_dict().items()):
            if value.is_floating_point():
                value.copy_(torch.tensor(np.abs(random(i, *value.shape)) + 0.1) * (1 if "var" in key else -1))
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    return ours, theirs


@every_layer
def test_training_and_evaluation_as_in_pytorch(
    torch: Any, name: str, arguments: tuple, options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    ours, theirs = both(torch, name, arguments, options)
    for step, training in enumerate((True, True, True, False, True, False)):
        ours.train(training)
        theirs.train(training)
        ours.zero_grad()
        theirs.zero_grad()
        x, start = random(step, *shape) * (step + 1), random(step + 10, *shape)
        mine, other = minidl.Tensor(x.copy(), requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = ours(mine), theirs(other)
        assert_close(y.data, z.detach().numpy(), TOLERANCE, "y")
        y.backward(start)
        z.backward(torch.tensor(start))
        assert_close(mine.grad.data, other.grad.numpy(), 1e-10, "the gradient of x", scale=1.0)
        parameters = dict(theirs.named_parameters())
        assert [key for key, _ in ours.named_parameters()] == list(parameters)
        for key, parameter in ours.named_parameters():
            assert_close(parameter.grad.data, parameters[key].grad.numpy(), 1e-10, f"the gradient of {key}", scale=1.0)
        state = theirs.state_dict()
        assert list(ours.state_dict()) == list(state)
        for key, value in ours.state_dict().items():
            assert_close(value.data, state[key].numpy(), TOLERANCE, key)
            assert str(value.dtype) == str(state[key].dtype).removeprefix("torch.")


@every_layer
def test_they_look_and_start_as_in_pytorch(
    torch: Any, name: str, arguments: tuple, options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    ours, theirs = getattr(nn, name)(*arguments, **options), getattr(torch.nn, name)(*arguments, **options)
    assert repr(ours) == repr(theirs)
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    for key, value in ours.state_dict().items():
        assert np.array_equal(value.data, state[key].numpy())
        assert value.shape == tuple(state[key].shape)
        assert str(value.dtype) == str(state[key].dtype).removeprefix("torch.")
    assert {k for k, _ in ours.named_buffers()} == {k for k, _ in theirs.named_buffers()}
    for key in ("weight", "bias", *(STATISTICS if hasattr(theirs, "running_mean") else ())):
        assert (getattr(ours, key) is None) == (getattr(theirs, key) is None)


@every_layer
def test_state_dicts_go_there_and_back(
    name: str, arguments: tuple, options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    first, second = (getattr(nn, name)(*arguments, **options, dtype="float64") for _ in range(2))
    for p in first.parameters():
        p.data[...] = random(3, *p.shape)
    first(random(1, *shape))
    x = random(2, *shape)
    copied = copy.deepcopy(first)
    result = second.load_state_dict(first.state_dict())
    assert result.missing_keys == result.unexpected_keys == []
    expected = first.eval()(x).data
    assert np.array_equal(second.eval()(x).data, expected)
    assert np.array_equal(copied.eval()(x).data, expected)
    # A copy has statistics and parameters of its own.
    before = {key: value.data.copy() for key, value in first.state_dict().items()}
    copied.train()(x * 3)
    for p in copied.parameters():
        p.data[...] = 7
    assert all(np.array_equal(value.data, before[key]) for key, value in first.state_dict().items())


SMALL = [layer for layer in LAYERS if np.prod(layer[3]) <= 60 and layer[2].get("momentum", 0.1) is not None]


@pytest.mark.parametrize(
    ("name", "arguments", "options", "shape"), SMALL, ids=[f"{n}{a}{o}{s}" for n, a, o, s in SMALL]
)
def test_gradients_are_those_of_numbers(
    name: str, arguments: tuple, options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    layer = getattr(nn, name)(*arguments, **options, dtype="float64")
    x = minidl.Tensor(random(0, *shape), requires_grad=True)
    for training in (True, False):
        layer.train(training)
        assert gradcheck(layer, [x], atol=1e-7, rtol=1e-6)
        assert gradgradcheck(layer, [x], atol=1e-7, rtol=1e-6)


def test_running_statistics_by_hand() -> None:
    layer = nn.BatchNorm1d(1, momentum=0.25, dtype="float64")
    layer(np.array([[1.0], [3.0], [5.0]]))
    # The variance is 8 / 3, and with Bessel's factor 8 / 2.
    assert layer.running_mean.tolist() == [0.25 * 3]
    assert layer.running_var.tolist() == [0.75 + 0.25 * 4]
    assert layer.num_batches_tracked.item() == 1
    y = layer.eval()(np.array([[0.75]]))
    assert y.item() == 0


def test_without_momentum_they_are_the_mean_of_all_batches() -> None:
    layer = nn.BatchNorm2d(2, momentum=None, dtype="float64")
    batches = [random(i, 3, 2, 2, 2) for i in range(5)]
    for x in batches:
        layer(x)
    means = np.mean([x.mean(axis=(0, 2, 3)) for x in batches], axis=0)
    variances = np.mean([x.var(axis=(0, 2, 3), ddof=1) for x in batches], axis=0)
    assert_close(layer.running_mean.data, means, 1e-13)
    assert_close(layer.running_var.data, variances, 1e-13)
    assert layer.num_batches_tracked.item() == 5
    assert layer.num_batches_tracked.dtype == np.int64
    assert layer.num_batches_tracked.shape == ()


def test_reset() -> None:
    layer = nn.BatchNorm1d(2)
    fresh = {key: value.data.copy() for key, value in layer.state_dict().items()}
    layer(random(0, 5, 2).astype(np.float32))
    layer.reset_running_stats()
    assert all(np.array_equal(value.data, fresh[key]) for key, value in layer.state_dict().items())
    layer(random(0, 5, 2).astype(np.float32))
    for p in layer.parameters():
        p.data[...] = 9
    layer.reset_parameters()
    assert all(np.array_equal(value.data, fresh[key]) for key, value in layer.state_dict().items())
    for other in (nn.LayerNorm(3), nn.GroupNorm(1, 3, bias=False), nn.InstanceNorm1d(3)):
        for p in other.parameters():
            p.data[...] = 9
        other.reset_parameters()
        assert all((p.data == (key == "weight")).all() for key, p in other.named_parameters())


@pytest.mark.parametrize("name", ["BatchNorm1d", "InstanceNorm1d"])
def test_running_statistics_are_updated_in_place_and_without_the_graph(name: str) -> None:
    layer = getattr(nn, name)(3, affine=True, track_running_stats=True, dtype="float64")
    mean, memory = layer.running_mean, layer.running_mean.data
    version = mean._version[0]
    y = layer(minidl.Tensor(random(0, 4, 3, 5), requires_grad=True))
    assert layer.running_mean is mean
    assert mean.data is memory
    assert (memory != 0).all()
    assert mean._version[0] > version
    assert not mean.requires_grad
    assert mean.is_leaf
    # More batches before the backward pass do not disturb it.
    first = memory.copy()
    layer(random(1, 4, 3, 5))
    assert (memory != first).all()
    y.sum().backward()
    with minidl.no_grad():
        second = memory.copy()
        assert not layer(random(2, 4, 3, 5)).requires_grad
        assert (memory != second).all()
    kept = {key: value.data.copy() for key, value in layer.state_dict().items()}
    layer.eval()(random(3, 4, 3, 5))
    assert all(np.array_equal(value.data, kept[key]) for key, value in layer.state_dict().items())


@pytest.mark.parametrize("name", ["BatchNorm1d", "InstanceNorm1d"])
def test_an_evaluation_keeps_the_statistics_that_it_saw(name: str) -> None:
    """Training between an evaluation's forward and backward pass does not change the gradients of the former."""
    layer = getattr(nn, name)(3, affine=True, track_running_stats=True, dtype="float64")
    layer(random(0, 4, 3, 5))
    gradients = []
    for trains_between in (False, True):
        x = minidl.Tensor(random(1, 4, 3, 5), requires_grad=True)
        layer.eval()
        layer.zero_grad()
        y = layer(x)
        if trains_between:
            layer.train()(random(2, 4, 3, 5) * 10)
        y.backward(random(3, 4, 3, 5))
        gradients.append([x.grad.data, layer.weight.grad.data, layer.bias.grad.data])
    assert all(np.array_equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("name", ["BatchNorm1d", "InstanceNorm1d"])
def test_a_refused_call_leaves_the_statistics_alone(name: str) -> None:
    layer = getattr(nn, name)(3, track_running_stats=True)
    before = {key: value.data.copy() for key, value in layer.state_dict().items()}
    for x in (np.ones((1, 3, 1), np.float32), np.ones((2, 4, 5), np.float32), np.ones((2, 3, 5))):
        with pytest.raises(minidl.MinidlError):
            layer(x)
    assert all(np.array_equal(value.data, before[key]) for key, value in layer.state_dict().items())


EMPTY = {
    "BatchNorm1d": (0, 3),
    "BatchNorm2d": (0, 3, 2, 2),
    "InstanceNorm1d": (0, 3, 4),
    "InstanceNorm2d": (2, 3, 0, 4),
}


@pytest.mark.parametrize(("name", "shape"), EMPTY.items())
def test_nothing_leaves_the_statistics_alone(name: str, shape: tuple[int, ...]) -> None:
    """PyTorch's instance normalisation of an empty batch makes them NaN."""
    layer = getattr(nn, name)(3, affine=True, track_running_stats=True)
    x = minidl.zeros(*shape, requires_grad=True)
    y = layer(x)
    assert y.shape == shape
    y.sum().backward()
    assert x.grad.shape == shape
    assert layer.weight.grad.tolist() == layer.bias.grad.tolist() == [0, 0, 0]
    assert layer.running_mean.tolist() == [0, 0, 0]
    assert layer.running_var.tolist() == [1, 1, 1]
    assert layer.eval()(x).shape == shape


def test_flags_may_be_changed_later_as_in_pytorch(torch: Any) -> None:
    ours, theirs = both(torch, "BatchNorm1d", (3,), {})
    for layer in (ours, theirs):
        layer.track_running_stats = False
    x = random(0, 5, 3)
    for training in (True, False):
        found, expected = ours.train(training)(x), theirs.train(training)(torch.tensor(x))
        assert_close(found.data, expected.detach().numpy(), TOLERANCE)
    for key, value in ours.state_dict().items():
        assert np.array_equal(value.data, theirs.state_dict()[key].numpy())


def test_dtypes() -> None:
    layer = nn.BatchNorm1d(3, dtype="float64")
    assert {p.dtype for p in layer.parameters()} == {np.dtype("float64")}
    assert layer.running_var.dtype == np.float64
    layer.float()
    assert layer.running_var.dtype == np.float32
    assert layer.num_batches_tracked.dtype == np.int64
    y = layer(random(0, 4, 3).astype(np.float32))
    assert y.dtype == layer.running_mean.dtype == np.float32


def test_they_are_the_functions() -> None:
    x = random(0, 4, 6, 3).astype(np.float32)
    for layer, expected in (
        (nn.BatchNorm1d(6), F.batch_norm(x, None, None, training=True)),
        (nn.InstanceNorm1d(6), F.instance_norm(x)),
        (nn.LayerNorm(3), F.layer_norm(x, (3,))),
        (nn.GroupNorm(2, 6), F.group_norm(x, 2)),
    ):
        assert_close(layer(x).data, expected.data, 1e-6)


def test_a_result_may_be_changed_in_place() -> None:
    """Residual networks add to it."""
    x = minidl.Tensor(random(0, 4, 3, 5), requires_grad=True)
    for layer in (nn.BatchNorm1d(3), nn.LayerNorm(5), nn.GroupNorm(1, 3), nn.InstanceNorm1d(3, affine=True)):
        x.grad = None
        y = layer.double()(x)
        y += x
        y.sum().backward()
        # The sum of normalised values does not depend on x.
        assert_close(x.grad.data, np.ones(x.shape), 1e-9)


def test_state_dicts_that_do_not_fit() -> None:
    state = nn.BatchNorm1d(3).state_dict()
    with pytest.raises(StateDictError, match=r"running_mean has shape \(3,\), the module's is \(4,\)"):
        nn.BatchNorm1d(4).load_state_dict(state)
    with pytest.raises(StateDictError, match="num_batches_tracked is float64, the module's is int64"):
        nn.BatchNorm1d(3).load_state_dict({**state, "num_batches_tracked": np.zeros(())})
    with pytest.raises(StateDictError, match="unexpected: running_mean, running_var, num_batches_tracked"):
        nn.BatchNorm1d(3, track_running_stats=False).load_state_dict(state)


def test_a_checkpoint_keeps_them(tmp_path: Any) -> None:
    layer = nn.BatchNorm2d(3)
    layer(random(0, 2, 3, 4, 4).astype(np.float32))
    minidl.save_checkpoint(tmp_path / "norm.safetensors", model=layer)
    other = nn.BatchNorm2d(3)
    minidl.load_checkpoint(tmp_path / "norm.safetensors", model=other)
    for key, value in layer.state_dict().items():
        assert np.array_equal(other.state_dict()[key].data, value.data)
        assert other.state_dict()[key].dtype == value.dtype
