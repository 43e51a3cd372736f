"""Whole models in one call: their parameters are checked, and everything is afterwards as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minidl
import minidl.functional as F
from minidl import nn
from minidl.autograd import Op
from minidl.errors import ArgumentError
from minidl.nn._copying import structure_version
from minidl.ops.arithmetic import mul
from minidl.testing import Element, gradcheck, gradgradcheck


class Scaled(Op):
    """The identity, with a gradient that is off by a factor in one element."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def forward(self, x: Any) -> Any:
        return x.copy()

    def backward(self, grad: Any) -> Any:
        factors = np.ones(grad.shape, grad.dtype)
        factors.reshape(-1)[-1] = self.factor
        return mul(grad, minidl.tensor(factors))


def network() -> nn.Sequential:
    minidl.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dense(8, 5),
        nn.Tanh(),
        nn.Dense(5, 3),
    )  # fmt: skip


def images() -> Any:
    return minidl.tensor(np.random.default_rng(1).normal(size=(3, 1, 4, 4)), requires_grad=True)


@pytest.mark.parametrize("order", [1, 2])
def test_a_model_with_its_loss(order: int) -> None:
    model = network()
    report = gradcheck(lambda x: F.cross_entropy(model(x), [0, 2, 1]), images(), params=model, order=order)
    names = [name for name, _ in model.named_parameters()]
    assert [each.name for each in report.inputs][: len(names) + 1] == ["inputs[0]", *names]
    assert {each.dtype for each in report.inputs[1 : len(names) + 1]} == {"float32"}


def test_everything_is_as_it_was() -> None:
    model = network()
    norm = nn.BatchNorm1d(3)
    model.append(norm)
    x = images()
    F.cross_entropy(model(x.astype("float32")), [0, 2, 1]).backward()
    held = [*model.parameters(), *model.buffers()]
    arrays, values = [t.data for t in held], [t.data.copy() for t in held]
    grads = [t.grad for t in held]
    versions = [list(t._version) for t in held]
    state = minidl.default_generator().bit_generator.state
    structure = structure_version()
    gradcheck(lambda x: F.cross_entropy(model(x), [0, 2, 1]), x, params=model)
    gradcheck(lambda x: F.cross_entropy(model(x), [0, 2, 1]), x, params=model, mode="random")
    for t, array, value, grad, version in zip(held, arrays, values, grads, versions, strict=True):
        assert t.data is array
        assert np.array_equal(array, value)
        assert t.grad is grad
        assert t._version == version
    assert [*model.parameters(), *model.buffers()] == held or all(
        a is b for a, b in zip([*model.parameters(), *model.buffers()], held, strict=True)
    )
    assert minidl.default_generator().bit_generator.state == state
    assert structure_version() == structure


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_everything_is_as_it_was_after_an_exception(error: type[BaseException]) -> None:
    model = network()
    arrays = [p.data for p in model.parameters()]
    calls = []

    def fn(x: Any) -> Any:
        calls.append(0)
        if len(calls) == 200:
            raise error
        return F.cross_entropy(model(x), [0, 2, 1])

    with pytest.raises(error):
        gradcheck(fn, images(), params=model)
    assert all(p.data is array for p, array in zip(model.parameters(), arrays, strict=True))
    assert {p.dtype for p in model.parameters()} == {np.dtype("float32")}


def test_a_wrong_gradient_of_one_parameter() -> None:
    model = network()
    dense = model[4]

    def fn(x: Any) -> Any:
        hidden = model[:4](x)
        return model[5:](F.linear(hidden, Scaled(1.001)(dense.weight), dense.bias))

    report = gradcheck(fn, images(), params=model, raise_exception=False)
    assert {e.input for e in report.failures if isinstance(e, Element)} == {"4.weight"}
    assert {e.index for e in report.failures if isinstance(e, Element)} == {(4, 7)}


def test_statistics_do_not_run_on() -> None:
    norm = nn.BatchNorm1d(4)
    x = minidl.tensor(np.random.default_rng(0).normal(size=(5, 4)), requires_grad=True)
    mean = norm.running_mean.data.copy()
    assert gradcheck(norm, x, params=norm)
    assert np.array_equal(norm.running_mean.data, mean)
    norm.eval()
    assert gradcheck(norm, x, params=norm)


def test_frozen_parameters_are_not_checked() -> None:
    model = nn.Sequential(nn.Dense(4, 3), nn.Tanh(), nn.Dense(3, 2))
    model[0].requires_grad_(False)
    report = gradcheck(model, minidl.tensor(np.ones((2, 4))), params=model)
    assert [each.name for each in report.inputs] == ["2.weight", "2.bias"]
    assert model[0].weight.dtype == np.dtype("float32")


def test_named_tensors_as_parameters() -> None:
    w = minidl.tensor([1.0, 2.0], requires_grad=True)
    x = minidl.tensor(np.array([3.0, 4.0]))
    assert [each.name for each in gradcheck(lambda x: x * w, x, params={"w": w}).inputs] == ["w"]
    assert [each.name for each in gradcheck(lambda x: x * w, x, params=[w]).inputs] == ["params[0]"]
    assert w.dtype == np.dtype("float32")


def test_a_parameter_without_a_shape() -> None:
    model = nn.Dense(None, 3)
    with pytest.raises(ArgumentError, match="the shape of the parameter weight is not known yet"):
        gradcheck(model, minidl.tensor(np.ones((2, 4))), params=model)


def test_inputs_by_name_and_nested() -> None:
    a, b = (minidl.tensor(np.array(v), requires_grad=True) for v in ([1.0, 2.0], [3.0, -1.0]))
    report = gradcheck(lambda *, a, b: {"sum": a + b, "product": a * b}, {"a": a, "b": b})
    assert [each.name for each in report.inputs] == ["a", "b"]
    report = gradcheck(lambda pair, scale: pair["a"] * pair["b"][0] * scale, [{"a": a, "b": (b, 3)}, 2.0])
    assert [each.name for each in report.inputs] == ["inputs[0]['a']", "inputs[0]['b'][0]"]
    wrong = gradcheck(
        lambda *, a, b: {"sum": a + b, "product": a * b.detach()}, {"a": a, "b": b}, raise_exception=False
    )
    assert {(e.input, e.output) for e in wrong.failures if isinstance(e, Element)} == {("b", "product")}


def test_a_function_that_differentiates_inside() -> None:
    x = minidl.tensor(np.array([0.5, 2.0]), requires_grad=True)

    def slope(x: Any) -> Any:
        return minidl.grad((x**3).sum(), x, create_graph=True)[0]

    assert gradcheck(slope, x)
    assert gradgradcheck(slope, x)


def test_grad_outputs_of_another_shape() -> None:
    x = minidl.tensor(np.array([0.5, 2.0]), requires_grad=True)
    with pytest.raises(ArgumentError, match=r"grad_outputs of output have shape \(1,\), the output \(2,\)"):
        gradgradcheck(lambda x: x**3, x, minidl.tensor([1.0]))
