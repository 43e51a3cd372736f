"""Containers: that they are the lists and dictionaries that PyTorch's are, with the same names in the state dict."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from parity import TOLERANCE, assert_close

import minidl
from minidl import nn, optim
from minidl.errors import ArgumentError, MinidlError, OutOfRangeError, ShapeError


def dense(library: Any, size: int) -> Any:
    return library.Linear(size, size + 1)


def numbered(library: Any, kind: str) -> Any:
    layers = [dense(library, 1), library.ReLU(), dense(library, 2), dense(library, 3)]
    return library.ModuleList(layers) if kind == "ModuleList" else library.Sequential(*layers)


def deleted(container: Any, index: Any) -> Any:
    del container[index]
    return container


def replaced(container: Any, index: Any, value: Any) -> Any:
    container[index] = value
    return container


def added(container: Any, values: Any) -> Any:
    container += values
    return container


# Each does something with a container of the library's and gives one back.
CHANGES: dict[str, Callable[[Any, Any], Any]] = {
    "nothing": lambda library, c: c,
    "append": lambda library, c: c.append(dense(library, 4)),
    "extend": lambda library, c: c.extend([dense(library, 4), library.Tanh()]),
    "insert first": lambda library, c: (c.insert(0, dense(library, 4)), c)[1],
    "insert": lambda library, c: (c.insert(2, dense(library, 4)), c)[1],
    "insert last": lambda library, c: (c.insert(len(c), dense(library, 4)), c)[1],
    "set": lambda library, c: replaced(c, 1, dense(library, 4)),
    "set last": lambda library, c: replaced(c, -1, dense(library, 4)),
    "delete": lambda library, c: deleted(c, 1),
    "delete last": lambda library, c: deleted(c, -1),
    "delete a slice": lambda library, c: deleted(c, slice(1, 3)),
    "delete every other": lambda library, c: deleted(c, slice(None, None, 2)),
    "delete all": lambda library, c: deleted(c, slice(None)),
    "pop": lambda library, c: (c.pop(0), c)[1],
    "what was popped": lambda library, c: library.ModuleList([c.pop(-1), c[0]]),
    "first two": lambda library, c: c[:2],
    "last two": lambda library, c: c[2:],
    "backwards": lambda library, c: c[::-1],
    "none of it": lambda library, c: c[4:],
    "a sum": lambda library, c: c + numbered(library, type(c).__name__),
    "the first part of a sum": lambda library, c: (c + numbered(library, type(c).__name__), c)[1],
    "a sum in place": lambda library, c: added(c, numbered(library, type(c).__name__)),
}


@pytest.mark.parametrize("kind", ["ModuleList", "Sequential"])
@pytest.mark.parametrize("change", CHANGES)
def test_lists_equal_pytorchs(torch: Any, kind: str, change: str) -> None:
    ours, theirs = (CHANGES[change](library, numbered(library, kind)) for library in (nn, torch.nn))
    assert type(ours).__name__ == type(theirs).__name__
    assert len(ours) == len(theirs) and len(list(ours)) == len(theirs)
    found = {name: value.shape for name, value in ours.state_dict().items()}
    assert found == {name: tuple(value.shape) for name, value in theirs.state_dict().items()}
    names = {"Dense": "Linear"}
    kinds = [(name, names.get(type(m).__name__, type(m).__name__)) for name, m in ours.named_children()]
    # Their named_children gives a module that is in it twice once.
    assert kinds == [(name, type(m).__name__) for name, m in theirs._modules.items()]


def test_inserting_before_one_counted_from_the_end() -> None:
    """As in a list; PyTorch's ModuleList fails here."""
    layers = nn.ModuleList([nn.ReLU(), nn.Tanh()])
    layer = nn.Sigmoid()
    assert layers.insert(-1, layer) is layers
    assert [type(m).__name__ for m in layers] == ["ReLU", "Sigmoid", "Tanh"]
    assert [name for name, _ in layers.named_children()] == ["0", "1", "2"]


def test_extending_by_itself() -> None:
    """Which PyTorch refuses."""
    layers = nn.ModuleList([nn.ReLU(), nn.Tanh()])
    layers.extend(layers)
    assert [type(m).__name__ for m in layers] == ["ReLU", "Tanh", "ReLU", "Tanh"]


def test_membership_and_identity() -> None:
    a, b = nn.ReLU(), nn.ReLU()
    layers = nn.ModuleList([a])
    assert a in layers and b not in layers
    assert layers[0] is a and layers[-1] is a and list(layers[:1]) == [a]
    assert layers.append(b) is layers and layers.extend(iter([a])) is layers
    assert [m is a for m in layers] == [True, False, True]
    assert layers.pop(1) is b and list(layers.pop(slice(0, 1))) == [a]
    assert len(layers) == 1 and not nn.ModuleList() and len(nn.ModuleList(m for m in (a, b))) == 2


def test_a_refused_change_changes_nothing() -> None:
    layers = nn.ModuleList([nn.ReLU()])
    for change in (
        lambda: layers.extend([nn.ReLU(), 3]),
        lambda: layers.insert(5, nn.ReLU()),
        lambda: layers.append(3),
        lambda: deleted(layers, 1),
        lambda: replaced(layers, 0, 3),
    ):
        with pytest.raises(MinidlError):
            change()
        assert repr(layers) == "ModuleList(\n  (0): ReLU()\n)"


class Tower(nn.Module):
    """A model that holds each kind."""

    def __init__(self) -> None:
        self.layers = nn.ModuleList([nn.Dense(3, 3), nn.Dense(3, 3)])
        self.heads = nn.ModuleDict({"a": nn.Dense(3, 2), "b": nn.Dense(3, 1)})
        self.scales = nn.ParameterList([np.ones(3), np.ones(1)])

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x).clip(min=0) * self.scales[0]
        return self.heads["a"](x) + self.heads["b"](x) * self.scales[1]


def their_tower(torch: Any) -> Any:
    class Theirs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList([torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)])
            self.heads = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 2), "b": torch.nn.Linear(3, 1)})
            self.scales = torch.nn.ParameterList([torch.ones(3), torch.ones(1)])

        def forward(self, x: Any) -> Any:
            for layer in self.layers:
                x = layer(x).clip(min=0) * self.scales[0]
            return self.heads["a"](x) + self.heads["b"](x) * self.scales[1]

    return Theirs().double()


def test_a_model_of_containers_learns_as_pytorchs(torch: Any) -> None:
    torch.manual_seed(0)
    ours, theirs = Tower().double(), their_tower(torch)
    assert ours.load_state_dict(theirs.state_dict()) == ([], [])
    x = np.random.default_rng(0).normal(size=(4, 3))
    mine, other = optim.SGD(ours.parameters(), lr=0.1), torch.optim.SGD(theirs.parameters(), lr=0.1)
    for _ in range(3):
        y, z = ours(x), theirs(torch.tensor(x))
        assert_close(y.data, z.detach().numpy(), TOLERANCE)
        mine.zero_grad()
        other.zero_grad()
        (y * y).sum().backward()
        (z * z).sum().backward()
        mine.step()
        other.step()
    expected = theirs.state_dict()
    for name, value in ours.state_dict().items():
        assert_close(value.data, expected[name].numpy(), TOLERANCE, name)


def test_copies_conversions_modes_and_state_reach_what_is_inside() -> None:
    model = Tower()
    assert [name for name, _ in model.named_parameters()] == [
        "layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias", "heads.a.weight", "heads.a.bias",
        "heads.b.weight", "heads.b.bias", "scales.0", "scales.1",
    ]  # fmt: skip
    copy = deepcopy(model)
    copy.layers[0].weight.data[...] = 0
    assert model.layers[0].weight.data.any()
    assert {p.dtype for p in copy.double().parameters()} == {np.dtype("float64")}
    assert not copy.eval().heads["a"].training and not copy.layers.training and model.heads["a"].training
    copy.load_state_dict(model.state_dict())
    x = np.random.default_rng(0).normal(size=(4, 3))
    assert np.allclose(copy(x).data, model.double()(x).data)


def test_a_list_has_no_forward() -> None:
    for container in (nn.ModuleList([nn.ReLU()]), nn.ModuleDict({"a": nn.ReLU()}), nn.ParameterList()):
        with pytest.raises(NotImplementedError, match=f"{type(container).__name__} has no forward"):
            container(minidl.ones(2))


class TestParameterList:
    def test_what_it_holds(self) -> None:
        own = nn.Parameter(np.zeros(2), requires_grad=False)
        array = np.ones(3)
        values = nn.ParameterList([own, minidl.ones(2, 3), array])
        assert values[0] is own and not values[0].requires_grad
        assert all(type(p) is nn.Parameter for p in values) and values[1].requires_grad
        assert np.shares_memory(values[2].data, array)
        assert list(values.state_dict()) == ["0", "1", "2"] == [name for name, _ in values.named_parameters()]
        assert values.append(np.ones(1)) is values and len(values) == 4
        assert [p.shape for p in values[::2]] == [(2,), (3,)] and isinstance(values[1:], nn.ParameterList)

    def test_changes(self) -> None:
        values = nn.ParameterList([np.zeros(1), np.zeros(2)])
        values[0] = np.ones(5)
        values += [np.zeros(3)]
        values.insert(1, nn.Parameter(np.zeros(4)))
        assert [p.shape for p in values] == [(5,), (4,), (2,), (3,)]
        assert values.pop(0).shape == (5,)
        assert [name for name, _ in values.named_parameters()] == ["0", "1", "2"]

    def test_repr(self) -> None:
        assert repr(nn.ParameterList()) == "ParameterList()"
        values = nn.ParameterList([minidl.zeros(2, 3)])
        assert repr(values) == "ParameterList(\n  (0): Parameter of shape (2, 3), float32\n)"


class TestModuleDict:
    def test_a_dictionary(self) -> None:
        a, b = nn.ReLU(), nn.Dense(2, 3)
        modules = nn.ModuleDict({"a": a, "b": b})
        assert list(modules) == list(modules.keys()) == ["a", "b"] and list(modules.values()) == [a, b]
        assert list(modules.items()) == [("a", a), ("b", b)] and dict(modules) == {"a": a, "b": b}
        assert len(modules) == 2 and "a" in modules and "c" not in modules and 3 not in modules
        assert modules["b"] is b and list(modules.state_dict()) == ["b.weight", "b.bias"]
        modules["a"] = b
        modules["c"] = a
        assert [modules[name] for name in modules] == [b, b, a]
        del modules["b"]
        assert modules.pop("a") is b and list(modules) == ["c"]
        modules.clear()
        assert len(modules) == 0 and not modules and repr(modules) == "ModuleDict()"

    def test_updates(self) -> None:
        a, b, c = nn.ReLU(), nn.Tanh(), nn.Sigmoid()
        modules = nn.ModuleDict([("a", a)])
        modules.update({"b": b})
        modules.update(nn.ModuleDict({"a": c}))
        modules.update([("d", a)])
        assert dict(modules.items()) == {"a": c, "b": b, "d": a} and list(modules) == ["a", "b", "d"]

    def test_repr_is_pytorchs(self, torch: Any) -> None:
        found = nn.ModuleDict({"a": nn.ReLU(), "b": nn.ModuleList([nn.Tanh()])})
        expected = torch.nn.ModuleDict({"a": torch.nn.ReLU(), "b": torch.nn.ModuleList([torch.nn.Tanh()])})
        assert repr(found) == repr(expected)

    def test_a_missing_key_is_a_key_error_too(self) -> None:
        with pytest.raises(KeyError) as caught:
            nn.ModuleDict({"a": nn.ReLU()})["b"]
        assert isinstance(caught.value, OutOfRangeError)
        assert str(caught.value) == "ModuleDict: no module 'b' among a"

    def test_names_of_its_own_attributes(self) -> None:
        modules = nn.ModuleDict()
        for name in ("keys", "training", "forward", "_buffers", "pop"):
            with pytest.raises(ArgumentError, match=f"ModuleDict: the name '{name}' is taken"):
                modules[name] = nn.ReLU()
        modules["weight"] = nn.ReLU()
        assert list(modules) == ["weight"]


class TestResidual:
    def test_values_and_gradients(self, torch: Any) -> None:
        torch.manual_seed(0)
        body = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()
        shortcut = torch.nn.Linear(3, 2).double()
        block = nn.Residual(nn.Dense(3, 4), nn.Tanh(), nn.Dense(4, 2), shortcut=nn.Dense(3, 2)).double()
        state = {f"body.{name}": value for name, value in body.state_dict().items()}
        state |= {f"shortcut.{name}": value for name, value in shortcut.state_dict().items()}
        block.load_state_dict(state)
        x = np.random.default_rng(0).normal(size=(5, 3))
        mine, other = minidl.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = block(mine), body(other) + shortcut(other)
        assert_close(y.data, z.detach().numpy(), TOLERANCE)
        (y * y).sum().backward()
        (z * z).sum().backward()
        assert_close(mine.grad.data, other.grad.numpy(), TOLERANCE)
        assert_close(block.shortcut.weight.grad.data, shortcut.weight.grad.numpy(), TOLERANCE)
        assert_close(block.body[0].weight.grad.data, body[0].weight.grad.numpy(), TOLERANCE)

    def test_without_a_shortcut(self) -> None:
        x = minidl.tensor([[1.0, -2.0]], requires_grad=True)
        y = nn.Residual(nn.ReLU())(x)
        assert np.array_equal(y.data, [[2, -2]])
        y.sum().backward()
        assert np.array_equal(x.grad.data, [[2, 1]])
        assert np.array_equal(nn.Residual(nn.ReLU())(np.array([[1.0, -2.0]])).data, [[2, -2]])
        assert nn.Residual(nn.ReLU()).shortcut is None

    def test_nothing_is_broadcast(self) -> None:
        x = np.ones((2, 3), np.float32)
        for block in (
            nn.Residual(nn.Dense(3, 1)),
            nn.Residual(nn.Unflatten(1, (3, 1)), nn.Flatten(0)),
            nn.Residual(nn.ReLU(), shortcut=nn.Dense(3, 1)),
            nn.Residual(nn.Flatten(0), shortcut=nn.Dense(3, 1)),
        ):
            with pytest.raises(ShapeError, match=r"Residual: the modules give shape .*; both must be the same"):
                block(x)

    def test_state_modes_and_copies(self) -> None:
        block = nn.Residual(nn.Dense(3, 3), nn.Dropout(0.9), shortcut=nn.Identity())
        assert list(block.state_dict()) == ["body.0.weight", "body.0.bias"]
        block.eval()
        x = np.ones((2, 3), np.float32)
        copy = deepcopy(block)
        assert np.array_equal(copy(x).data, block(x).data)
        assert np.array_equal(block(x).data, block.body[0](x).data + x)
        assert repr(nn.Residual(nn.ReLU())) == "Residual(\n  (body): Sequential(\n    (0): ReLU()\n  )\n)"

    def test_an_error_names_the_layer(self) -> None:
        with pytest.raises(ShapeError, match=r"linear: (.|\n)*in layer body\.0 \(Dense\)"):
            nn.Residual(nn.Dense(4, 3))(np.ones((2, 3), np.float32))
        with pytest.raises(ShapeError, match=r"linear: (.|\n)*in layer 0\.shortcut \(Dense\)"):
            nn.Sequential(nn.Residual(nn.ReLU(), shortcut=nn.Dense(4, 3)))(np.ones((2, 3), np.float32))
