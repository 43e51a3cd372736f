"""Copies and pickles of modules: every layer, alone and together with what trains it."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_layer_gradients import LAYERS

import minidl
from minidl import nn, optim
from minidl.errors import GraphError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def pickled(value: Any, protocol: int = pickle.DEFAULT_PROTOCOL) -> Any:
    return pickle.loads(pickle.dumps(value, protocol=protocol))


def same_state(one: nn.Module, other: nn.Module) -> bool:
    """Whether all values are the same bits, in memory of their own."""
    pairs = list(zip(one._named_tensors("parameter"), other._named_tensors("parameter"), strict=True))
    pairs += zip(one._named_tensors("buffer"), other._named_tensors("buffer"), strict=True)
    return all(
        name == its_name and a.dtype == b.dtype and np.array_equal(a.data, b.data, equal_nan=True)
        and a.requires_grad == b.requires_grad and (a.data.size == 0 or not np.shares_memory(a.data, b.data))
        for (name, a), (its_name, b) in pairs
    )  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("way", [copy.deepcopy, pickled], ids=["deepcopy", "pickle"])
def test_every_layer(name: str, way: Callable[[Any], Any]) -> None:
    make, x = LAYERS[name]
    layer = getattr(nn, name)() if name.endswith("Loss") else make()
    layer.note = ["of", "a user"]
    for module in (layer.double(), layer.eval()):
        twin = way(module)
        assert type(twin) is type(layer) and repr(twin) == repr(layer) and twin.training == layer.training
        assert twin.note == layer.note and twin.note is not layer.note and twin.__dict__.keys() == layer.__dict__.keys()
        assert same_state(module, twin)
        if not name.endswith("Loss"):
            value = np.array([[0, 2]]) if x is None else x
            for m in (module, twin):
                m.zero_grad()
                m(value).sum().backward()
            assert np.array_equal(module(value).data, twin(value).data)
            assert [p.grad.tolist() for p in module.parameters()] == [p.grad.tolist() for p in twin.parameters()]


def test_every_layer_under_every_protocol() -> None:
    layers = [getattr(nn, name)() if name.endswith("Loss") else make() for name, (make, _) in LAYERS.items()]
    for protocol in PROTOCOLS:
        for layer, twin in zip(layers, pickled(layers, protocol), strict=True):
            assert same_state(layer, twin) and repr(layer) == repr(twin)


class Tied(nn.Module):
    """Two layers with one weight; a layer under two names; memory that two parameters share."""

    def __init__(self, features: int) -> None:
        self.first = nn.Dense(features, features)
        self.second = nn.Dense(features, features, bias=False)
        self.second.weight = self.first.weight
        self.again = self.first
        self.alias = nn.Parameter(self.first.bias.data)

    def forward(self, x: Any) -> Any:
        return self.again(self.second(self.first(x))) + self.alias


@pytest.mark.parametrize("way", [copy.deepcopy, pickled], ids=["deepcopy", "pickle"])
def test_what_is_shared_stays_shared(way: Callable[[Any], Any]) -> None:
    model = Tied(3)
    model(minidl.ones(2, 3)).sum().backward()
    twin = way(model)
    assert twin.first.weight is twin.second.weight and twin.again is twin.first
    assert np.shares_memory(twin.alias.data, twin.first.bias.data)
    assert twin.first.weight.grad.tolist() == model.first.weight.grad.tolist()
    assert len(list(twin.parameters())) == len(list(model.parameters())) == 3
    assert np.array_equal(twin(minidl.ones(2, 3)).data, model(minidl.ones(2, 3)).data)


def lenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.Conv2d(None, 6, 3), nn.ReLU(),
        nn.Flatten(), nn.Dense(None, 16), nn.ReLU(), nn.Dropout(0.3), nn.Dense(16, 3),
    )  # fmt: skip


X = np.random.default_rng(0).normal(size=(20, 1, 12, 12)).astype(np.float32)
Y = np.arange(20) % 3


def train(model: nn.Module, optimizer: Any, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(model(X), Y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("steps", [0, 3])
def test_training_goes_on_with_the_same_bits(protocol: int, steps: int) -> None:
    model = lenet()
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20)
    # Before the first call, most sizes are not known.
    train(model, optimizer, steps)
    twin, its_optimizer, its_schedule = pickled((model, optimizer, schedule), protocol)
    assert its_schedule.optimizer is its_optimizer
    assert all(p is q for p, q in zip(twin.parameters(), its_optimizer.param_groups[0]["params"], strict=True))
    found = []
    for m, o, s in ((model, optimizer, schedule), (twin, its_optimizer, its_schedule)):
        minidl.manual_seed(5)
        found.append(train(m, o, 1))
        s.step()
        found[-1] += train(m, o, 2)
    assert found[0] == found[1]
    assert same_state(model, twin)
    assert same_state(pickled(model.eval()), twin.eval())


def test_a_model_that_was_called_and_one_that_was_fused() -> None:
    model = lenet()
    with minidl.no_grad():
        model.eval()(X)
        twin = pickled(model)
        assert np.array_equal(twin(X).data, model(X).data)
        # What stands behind what is looked at again in the copy.
        twin[1] = nn.Identity()
        assert not np.array_equal(twin(X).data, model(X).data)
        model[1] = nn.Identity()
        assert np.array_equal(twin(X).data, model(X).data)


def test_nothing_but_attributes_is_in_a_pickle() -> None:
    model = lenet()
    optimizer = optim.Adam(model.parameters())
    train(model, optimizer, 2)
    with minidl.no_grad():
        model.eval()(X[:3])
    named = set()

    class Watched(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            named.add(module.partition("._")[0])
            return super().find_class(module, name)

    Watched(io.BytesIO(pickle.dumps((model, optimizer)))).load()
    layers = [
        "conv",
        "activation",
        "pooling",
        "normalization",
        "shapes",
        "linear",
        "dropout",
        "parameter",
        "containers",
    ]
    assert named <= {*(f"minidl.nn.{name}" for name in layers), "minidl.tensor", "minidl.optim.adam", "numpy"}


def double_it(module: nn.Module, args: tuple, result: Any) -> Any:
    return result * 2


class Watching(nn.Module):
    """Has hooks that are its own methods, and the handle of one."""

    def __init__(self) -> None:
        self.layer = nn.Dense(2, 2)
        self.calls = 0
        self.handle = self.layer.register_forward_pre_hook(self.count)

    def count(self, module: nn.Module, args: tuple) -> None:
        self.calls += 1

    def forward(self, x: Any) -> Any:
        return self.layer(x)


def test_hooks_of_modules_are_pickled_if_they_can_be() -> None:
    layer = nn.Dense(2, 2)
    layer.register_forward_hook(double_it)
    assert np.array_equal(pickled(layer)(minidl.ones(1, 2)).data, layer(minidl.ones(1, 2)).data)
    watching = Watching()
    for way in (copy.deepcopy, pickled):
        twin = way(watching)
        twin(minidl.ones(1, 2))
        assert (twin.calls, watching.calls) == (1, 0)
        twin.handle.remove()
        twin(minidl.ones(1, 2))
        assert twin.calls == 1
    layer.register_forward_hook(lambda module, args, result: None)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(layer)


class Remembering(nn.Module):
    """Keeps what it computed last, and more in a list."""

    def __init__(self) -> None:
        self.dense = nn.Dense(2, 2)
        self.last: Any = None
        self.all: Any = {"results": [1, 2]}

    def forward(self, x: Any) -> Any:
        self.last = self.dense(x)
        self.all["results"].append(self.last)
        return self.last


@pytest.mark.parametrize("way", [copy.deepcopy, pickled], ids=["deepcopy", "pickle"])
def test_recorded_results_in_attributes_are_named(way: Callable[[Any], Any]) -> None:
    model = nn.Sequential(nn.ReLU(), nn.Sequential(Remembering()))
    model(minidl.ones(1, 2))
    message = r"the attribute last of 1.0 \(Remembering\) is a recorded result, .* store last.detach\(\)"
    with pytest.raises(GraphError, match=f"deepcopy or pickle: {message}"):
        way(model)
    with pytest.raises(GraphError, match=r"the attribute last of the model itself \(Remembering\)"):
        way(model[1][0])
    model[1][0].last = model[1][0].last.detach()
    with pytest.raises(GraphError, match=r"the attribute all\['results'\]\[2\] of 1.0 \(Remembering\)"):
        way(model)
    model[1][0].all["results"].pop()
    assert way(model)[1][0].last.tolist() == model[1][0].last.tolist()
    model[1][0].all["itself"] = model[1][0].all
    assert way(model)[1][0].all["itself"]["itself"]["results"] == [1, 2]


class Forgetting(Remembering):
    """Says itself what is copied."""

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "last": None, "all": {"results": []}}  # type: ignore[dict-item]


class Refilled(Remembering):
    """Is made anew by a call, from nothing but its weights."""

    def __reduce__(self) -> Any:
        return refilled, (self.dense,)


def refilled(dense: nn.Dense) -> Refilled:
    made = Refilled()
    made.dense = dense
    return made


@pytest.mark.parametrize("way", [copy.deepcopy, pickled, copy.copy], ids=["deepcopy", "pickle", "copy"])
@pytest.mark.parametrize("cls", [Forgetting, Refilled])
def test_a_class_may_say_what_is_copied(cls: type, way: Callable[[Any], Any]) -> None:
    model = nn.Sequential(cls())
    model(minidl.ones(1, 2))
    twin = way(model[0]) if way is copy.copy else way(model)[0]
    assert type(twin) is cls and twin.last is None and same_state(twin.dense, model[0].dense) is (way is not copy.copy)
    assert np.array_equal(twin(minidl.ones(1, 2)).data, model(minidl.ones(1, 2)).data)


class Delegating(nn.Module):
    """Has the attributes of another module, as wrappers do."""

    def __init__(self, inner: nn.Module) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Versioned(nn.Dense):
    """Brings older pickles up to date."""

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.loaded = True


@pytest.mark.parametrize("way", [copy.deepcopy, pickled, copy.copy], ids=["deepcopy", "pickle", "copy"])
def test_wrappers_and_states_of_users(way: Callable[[Any], Any]) -> None:
    twin = way(Delegating(nn.Dense(2, 3)))
    assert twin.out_features == 3 and type(twin) is Delegating
    assert way(Versioned(2, 3)).loaded


def test_a_state_that_is_set_is_seen() -> None:
    model = nn.Sequential(nn.Dense(2, 2), nn.Sigmoid())
    x = minidl.ones(1, 2)
    model(x)
    model.__setstate__(pickled(nn.Sequential(nn.Dense(2, 2), nn.ReLU())).__dict__)
    assert np.array_equal(model(x).data, np.maximum(model[0](x).data, 0))


def test_a_shallow_copy_shares_what_is_recorded() -> None:
    model = Remembering()
    model(minidl.ones(1, 2))
    twin = copy.copy(model)
    assert type(twin) is Remembering and twin.last is model.last and twin.dense is model.dense
    twin.last = None
    assert model.last is not None


class Slotted(nn.Dense):
    """Has a slot beside its attributes, and an __init__ of its own."""

    __slots__ = ("unit",)

    def __init__(self, *, unit: str) -> None:
        super().__init__(2, 2)
        self.unit = unit


def test_slots_of_modules() -> None:
    layer = Slotted(unit="kg")
    for twin in (copy.copy(layer), copy.deepcopy(layer), *(pickled(layer, protocol) for protocol in PROTOCOLS[2:])):
        assert type(twin) is Slotted and twin.unit == "kg"
        assert np.array_equal(twin.weight.data, layer.weight.data)


def test_generators_of_layers_go_on() -> None:
    layer = nn.Dropout(0.5, generator=np.random.default_rng(3))
    layer(minidl.ones(10))
    twin = pickled(layer)
    assert twin(minidl.ones(50)).tolist() == layer(minidl.ones(50)).tolist()
    open_layer = nn.Dense(None, 3, generator=np.random.default_rng(3))
    twin = pickled(open_layer)
    assert twin(minidl.ones(1, 4)).tolist() == open_layer(minidl.ones(1, 4)).tolist()
