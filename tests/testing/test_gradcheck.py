"""The checker finds what is wrong, says what and where, passes what is right, and leaves everything as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minidl
import minidl.functional as F
from minidl import nn
from minidl.autograd import Op
from minidl.errors import ArgumentError, GradcheckError
from minidl.ops.arithmetic import mul
from minidl.testing import Element, GradcheckReport, gradcheck, gradgradcheck


def leaf(*values: float, dtype: str = "float64") -> Any:
    return minidl.tensor(list(values), dtype=dtype, requires_grad=True)


class Wrong(Op):
    """x^2 with a gradient that `slope` gets wrong."""

    def __init__(self, slope: Any) -> None:
        self.slope = slope

    def forward(self, x: Any) -> Any:
        self.save(x)
        return x * x

    def backward(self, grad: Any) -> Any:
        (x,) = self.saved
        return self.slope(grad, x)


def right(grad: Any, x: Any) -> Any:
    return mul(grad, x * 2)


def test_right_gradients_pass() -> None:
    x, y = leaf(0.5, -1.0, 2.0), leaf(1.0, 3.0, -2.0)
    assert gradcheck(lambda x: Wrong(right)(x), x)
    assert gradgradcheck(lambda x: Wrong(right)(x), x)
    assert gradcheck(lambda x, y: (x * y, x - y, minidl.exp(x).sum()), [x, y])
    assert gradgradcheck(lambda x, y: (x * y, x - y, minidl.exp(x).sum()), (x, y))


@pytest.mark.parametrize(
    "slope",
    [
        lambda grad, x: mul(grad, x * 2.001),
        lambda grad, x: mul(grad, x * -2),
        lambda grad, x: mul(grad, x),
        lambda grad, x: mul(grad, x * 2)[::-1],
        lambda grad, x: mul(grad, x * 2) + 1e-4,
        lambda grad, x: mul(grad.sum(), x * 2),
        lambda grad, x: (None,),
        lambda grad, x: mul(grad, x * float("nan")),
    ],
)
def test_wrong_gradients_are_found(slope: Any) -> None:
    x = leaf(0.5, -1.0, 2.0)
    assert not gradcheck(lambda x: Wrong(slope)(x), x, raise_exception=False)
    with pytest.raises(GradcheckError, match="gradcheck FAILED") as caught:
        gradcheck(lambda x: Wrong(slope)(x), x)
    assert isinstance(caught.value.report, GradcheckReport)
    assert caught.value.report.failures
    assert str(caught.value) == str(caught.value.report)


def test_the_message_names_input_element_and_both_values() -> None:
    x, y = leaf(1.0), minidl.tensor([[1.0, 2.0], [3.0, 4.0]], dtype="float64", requires_grad=True)

    def fn(x: Any, y: Any) -> Any:
        return x.sum(), Wrong(lambda grad, y: mul(grad, y * minidl.tensor([[2.0, 2.0], [2.0, 3.0]], dtype="float64")))(
            y
        )

    report = gradcheck(fn, (x, y), raise_exception=False)
    (failure,) = report.failures
    assert isinstance(failure, Element)
    assert (failure.input, failure.index) == ("inputs[1]", (1, 1))
    assert (failure.output, failure.output_index) == ("outputs[1]", (1, 1))
    assert failure.analytic == 12
    assert abs(failure.numeric - 8) <= failure.error_estimate <= 1e-5
    assert [each.wrong for each in report.inputs] == [0, 1]


def test_wrong_second_gradients_are_found() -> None:
    class Once(Op):
        """The first gradient is right, and no graph leads through it."""

        def forward(self, x: Any) -> Any:
            self.save(x)
            return x**3

        def backward(self, grad: Any) -> Any:
            (x,) = self.saved
            return mul(grad, 3 * x.detach() ** 2)

    x = leaf(0.5, 2.0)
    assert gradcheck(lambda x: Once()(x), x)
    report = gradgradcheck(lambda x: Once()(x), x, raise_exception=False)
    assert ("missing gradient", "inputs[0]") in [(p.kind, p.input) for p in report.problems]
    assert {e.analytic for e in report.failures if isinstance(e, Element)} == {0.0}
    with pytest.raises(GradcheckError, match="gradgradcheck FAILED"):
        gradgradcheck(lambda x: Once()(x), x)


def test_grad_outputs_of_ones_own() -> None:
    x = leaf(0.5, 2.0)
    assert gradgradcheck(lambda x: (x**3, x * x), x, [leaf(1.0, -2.0), leaf(0.0, 3.0)])
    with pytest.raises(ArgumentError, match="2 outputs, but 1 grad_outputs"):
        gradgradcheck(lambda x: (x, x * x), x, leaf(1.0, 1.0))


def test_linear_functions_have_no_second_gradient() -> None:
    assert gradgradcheck(lambda x: x * 3, leaf(1.0, 2.0))
    assert not gradgradcheck(lambda x: x.detach() * 3, leaf(1.0, 2.0), raise_exception=False)


def test_float32_is_checked_on_float64_copies() -> None:
    seen = set()

    def fn(x: Any, y: Any) -> Any:
        seen.add((x.dtype, y.dtype))
        return x * minidl.exp(y)

    assert gradcheck(fn, [leaf(0.5, dtype="float32"), minidl.tensor([1.0], dtype="float32")])
    assert seen == {(np.dtype("float64"), np.dtype("float64"))}


def test_nothing_of_the_users_changes() -> None:
    x, y = leaf(0.5, -1.0), leaf(3.0, 4.0)
    y.grad = minidl.tensor([7.0, 7.0], dtype="float64")
    before = x.data.copy(), y.data.copy(), minidl.default_generator().bit_generator.state
    gradcheck(lambda x, y: x * y, [x, y])
    gradgradcheck(lambda x, y: x * y, [x, y])
    assert np.array_equal(x.data, before[0])
    assert np.array_equal(y.data, before[1])
    assert x.grad is None
    assert y.grad.tolist() == [7.0, 7.0]
    assert minidl.default_generator().bit_generator.state == before[2]


def test_inputs_that_are_not_checked_are_handed_on() -> None:
    labels = minidl.tensor([1, 0])
    logits = minidl.tensor([[0.5, 1.0], [2.0, -1.0]], requires_grad=True)
    assert gradcheck(lambda x, t, ignore: F.cross_entropy(x, t, ignore_index=ignore), [logits, labels, -100])
    constant = minidl.tensor([2.0, 3.0])
    assert gradcheck(lambda x, c: x * c.detach(), [leaf(1.0, 2.0), constant])


def test_a_function_that_changes_its_input_is_found() -> None:
    def fn(x: Any) -> Any:
        y = x * x
        x.data[0] += 1
        return y

    with pytest.raises(GradcheckError, match=r"fn changes inputs\[0\]\[0\] in place, from 1 to 2"):
        gradcheck(fn, leaf(1.0, 2.0))


def test_values_that_are_not_finite_are_found() -> None:
    with pytest.raises(GradcheckError, match=r"nan output: output\[1\] is -inf"):
        gradcheck(minidl.log, leaf(1.0, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        with pytest.raises(GradcheckError, match="nan gradient") as caught:
            gradcheck(minidl.sqrt, leaf(0.0))
    (problem,) = caught.value.report.problems
    assert problem.message == "the gradient of output[0] with respect to inputs[0][0] is inf"


def test_a_gradient_of_the_wrong_shape_is_found() -> None:
    with pytest.raises(GradcheckError, match="shape"):
        gradcheck(lambda x: Wrong(lambda grad, x: mul(grad, x * 2).sum())(x), leaf(1.0, 2.0))


def test_scalars_and_empty_inputs() -> None:
    assert gradcheck(lambda x: x * x, minidl.tensor(3.0, dtype="float64", requires_grad=True))
    empty, weight = (minidl.tensor(np.ones(shape), requires_grad=True) for shape in ((0, 3), (2, 3)))
    for check in (gradcheck, gradgradcheck):
        for mode in ("full", "random"):
            assert check(lambda x, weight: F.linear(x, weight), (empty, weight), mode=mode)
            assert check(lambda x, weight: (x * x).sum(0) + weight**2, (empty, weight), mode=mode)


def test_it_works_where_nothing_is_recorded() -> None:
    with minidl.no_grad():
        assert gradcheck(lambda x: x * x, leaf(1.0, 2.0))
        assert gradgradcheck(lambda x: x * x, leaf(1.0, 2.0))
        assert not minidl.is_grad_enabled()


def test_bad_arguments() -> None:
    with pytest.raises(ArgumentError, match="gradcheck: no input requires gradients"):
        gradcheck(lambda x: x, minidl.tensor([1.0]))
    with pytest.raises(ArgumentError, match="gradcheck: fn must return Tensors, got ndarray"):
        gradcheck(lambda x: x.data, leaf(1.0))


MODELS = {
    "Conv2d": (lambda: nn.Conv2d(2, 4, (2, 3), padding=1, groups=2, dtype="float64"), (2, 2, 3, 4)),
    "Dense": (lambda: nn.Dense(4, 3, dtype="float64"), (2, 4)),
    "MaxPool2d": (lambda: nn.MaxPool2d((2, 1)), (1, 2, 4, 3)),
    "AvgPool2d": (lambda: nn.AvgPool2d((2, 1), padding=(1, 0)), (1, 2, 4, 3)),
    "Tanh": (nn.Tanh, (3, 2)),
    "Sigmoid": (nn.Sigmoid, (3, 2)),
    "ReLU": (nn.ReLU, (3, 2)),
    "Flatten": (nn.Flatten, (2, 2, 2)),
    "LeNet in small": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1, dtype="float64"), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
            nn.Dense(8, 3, dtype="float64"),
        ),
        (2, 1, 4, 4),
    ),
}  # fmt: skip


class StandIn(minidl.Tensor):
    """A result in place of a parameter, so that gradients flow on to what it was computed from."""

    __slots__ = ()
    is_initialised = True


@pytest.mark.parametrize("name", MODELS)
def test_layers(name: str) -> None:
    create, shape = MODELS[name]
    minidl.manual_seed(3)
    model = create()
    names = [name for name, _ in model.named_parameters()]
    x = minidl.tensor(np.random.default_rng(0).normal(size=shape), requires_grad=True)

    def fn(x: Any, *values: Any) -> Any:
        """The model with these tensors in place of its parameters."""
        copy = create()
        for path, value in zip(names, values, strict=True):
            owner = copy
            *folders, last = path.split(".")
            for folder in folders:
                owner = dict(owner.named_children())[folder]
            result = value * 1
            result.__class__ = StandIn
            object.__setattr__(owner, last, result)
        return copy(x)

    values = [minidl.tensor(p.data, requires_grad=True) for p in model.parameters()]
    assert gradcheck(fn, [x, *values])
    assert gradgradcheck(fn, [x, *values])


def test_a_model_with_its_loss() -> None:
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Dense(4, 5, dtype="float64"), nn.Tanh(), nn.Dense(5, 3, dtype="float64"))
    x = minidl.tensor(np.random.default_rng(0).normal(size=(2, 4)), requires_grad=True)
    loss = nn.CrossEntropyLoss()
    assert gradcheck(lambda x: loss(model(x), [0, 2]), x)
    assert gradgradcheck(lambda x: loss(model(x), [0, 2]), x)
