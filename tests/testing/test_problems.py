"""What is wrong beside numbers has a message of its own, and bad arguments are refused by name."""

from __future__ import annotations

import re
import threading
from typing import Any

import numpy as np
import pytest

import minidl
import minidl.functional as F
from minidl.autograd import Op
from minidl.errors import ArgumentError, GradcheckError
from minidl.testing import GradcheckReport, check_vjp, gradcheck, gradgradcheck

X = np.array([0.5, -1.0, 2.0])


def only(report: GradcheckReport) -> tuple[str, str]:
    assert not report
    (problem,) = report.problems
    return problem.kind, problem.message


def vjp(forward: Any, backward: Any, *arrays: Any, **options: Any) -> GradcheckReport:
    return check_vjp(forward, backward, arrays or (X,), raise_exception=False, **options)


def test_a_forward_that_changes_its_argument() -> None:
    def forward(x: Any) -> Any:
        x[1] = 3
        return x * x

    kind, message = only(vjp(forward, lambda u, x: 2 * u * x))
    assert kind == "modified input"
    assert "arrays[0][1] in place, from -1 to 3" in message


def test_a_backward_that_changes_its_arguments() -> None:
    def changes_x(u: Any, x: Any) -> Any:
        x *= 2
        return u * x

    def changes_upstream(u: Any, x: Any) -> Any:
        u *= 2
        return u * x

    assert only(vjp(np.square, changes_x)) == ("modified input", "backward changes arrays[0] in place")
    assert only(vjp(np.square, changes_upstream)) == (
        "modified input",
        "backward changes its argument upstream in place",
    )


def test_gradients_that_are_missing() -> None:
    assert only(vjp(np.multiply, lambda u, x, y: (u * y, None), X, X)) == (
        "missing gradient", "backward gives None as the gradient of arrays[1]",
    )  # fmt: skip
    assert only(vjp(np.multiply, lambda u, x, y: u * y, X, X)) == (
        "missing gradient", "backward gives 1 gradient for 2 arrays: too few",
    )  # fmt: skip
    x = minidl.tensor(X, requires_grad=True)
    report = gradcheck(lambda x: x.detach() * 2, x, raise_exception=False)
    assert [p.kind for p in report.problems] == ["missing gradient"]


def test_none_is_right_for_what_nothing_depends_on() -> None:
    x, y = minidl.tensor(X, requires_grad=True), minidl.tensor(X, requires_grad=True)
    report = gradcheck(lambda x, y: x * 2, (x, y))
    assert [(p.kind, p.input) for p in report.problems] == [("unused", "inputs[1]")]


def test_gradients_of_another_shape_or_dtype() -> None:
    assert only(vjp(np.square, lambda u, x: (2 * u * x)[:2])) == (
        "shape", "the gradient of arrays[0] has shape (2,), the input (3,)",
    )  # fmt: skip
    assert only(vjp(np.square, lambda u, x: (2 * u * x).astype(np.float32))) == (
        "dtype", "the gradient of arrays[0] has dtype float32, the input float64",
    )  # fmt: skip


def test_nan_gradients_and_outputs() -> None:
    assert only(vjp(np.square, lambda u, x: np.where(x < 0, np.nan, 2 * u * x))) == (
        "nan gradient", "the gradient of output[0] with respect to arrays[0][1] is nan",
    )  # fmt: skip
    with np.errstate(all="ignore"):
        assert only(vjp(np.log, lambda u, x: u / x)) == (
            "nan output", "output[1] is nan: there is no slope to compare with",
        )  # fmt: skip


def test_what_is_random() -> None:
    generator = np.random.default_rng(0)
    kind, message = only(vjp(lambda x: x * generator.random(3), lambda u, x: u))
    assert kind == "nondeterministic"
    assert "dropout" in message
    x = minidl.tensor(np.ones((4, 4)), requires_grad=True)
    report = gradcheck(lambda x: F.dropout(x, 0.5), x, raise_exception=False)
    assert [p.kind for p in report.problems] == ["nondeterministic"]

    def seeded(x: Any) -> Any:
        minidl.manual_seed(0)
        return F.dropout(x, 0.5)

    assert gradcheck(seeded, x)


def test_how_much_calls_may_differ() -> None:
    generator = np.random.default_rng(0)

    def forward(x: Any) -> Any:
        return x * x + 1e-9 * generator.random(3)

    assert only(vjp(forward, lambda u, x: 2 * u * x))[0] == "nondeterministic"
    assert vjp(forward, lambda u, x: 2 * u * x, nondet_tol=1e-8)


def test_a_backward_that_is_random() -> None:
    generator = np.random.default_rng(0)
    report = vjp(np.square, lambda u, x: 2 * u * x * (1 + 1e-12 * generator.random(3)))
    assert [p.kind for p in report.problems] == ["nondeterministic"]


def test_terms_that_cancel_but_for_rounding_are_linear() -> None:
    """For the upstream gradient of one output they cancel altogether, for those of many only nearly."""
    factors = np.array([3.93, 26.61, 0.77, 1.31])

    def forward(x: Any) -> Any:
        return np.zeros((6, 1)) * x

    def backward(u: Any, x: Any) -> Any:
        terms = u * factors
        return sum(terms) - sum(terms[::-1])

    x = np.array([0.3, 1.7, -2.2, 0.1])
    assert np.any(backward(np.linspace(-1, 1, 6)[:, None], x))
    assert check_vjp(forward, backward, x)
    wrong = check_vjp(forward, lambda u, x: backward(u, x) + 1e-12 * (u * (u - 1)).sum(), x, raise_exception=False)
    assert [p.kind for p in wrong.problems] == ["upstream"]


def test_an_upstream_gradient_that_is_not_used() -> None:
    kind, message = only(vjp(lambda x: (x * x).sum(), lambda u, x: 2 * x))
    assert kind == "upstream"
    assert "not linear" in message


def test_an_op_whose_gradient_has_another_shape() -> None:
    class Wrong(Op):
        def forward(self, x: Any) -> Any:
            return x * 1

        def backward(self, grad: Any) -> Any:
            return grad.sum()

    x = minidl.tensor(X, requires_grad=True)
    assert only(gradcheck(lambda x: Wrong()(x), x, raise_exception=False))[0] == "shape"
    assert only(gradcheck(lambda x: Wrong()(x * 1), x, raise_exception=False))[0] == "shape"


NOTHING: list[tuple[Any, str]] = [
    (lambda x: x.argmax(), "no output is of floating numbers"),
    (lambda x: x > 0, "no output is of floating numbers"),
    (lambda x: x.astype("int64"), "no output is of floating numbers"),
    (lambda x: (), "no output is of floating numbers"),
    (lambda x: {}, "no output is of floating numbers"),
    (lambda x: x[:0], "output is empty"),
    (lambda x: (x[:0], x[1:1] * 2, x.argmin()), "outputs[0] and outputs[1] are empty"),
]


@pytest.mark.parametrize("mode", ["full", "random"])
@pytest.mark.parametrize(("function", "reason"), NOTHING)
def test_nothing_to_check_is_no_success(function: Any, reason: str, mode: str) -> None:
    x = minidl.tensor(X, requires_grad=True)
    for check, why in ((gradcheck, reason), (gradgradcheck, "no output has a gradient to take the gradient of")):
        report = check(function, x, mode=mode, raise_exception=False)
        assert not report and not report.to_dict()["ok"]
        kind, message = only(report)
        assert kind == "nothing to check" and message.startswith(why)
        assert str(report).splitlines()[0].startswith(f"{report.name} compared nothing (order {report.order}, ")
        assert str(report).splitlines()[1].startswith(f"  nothing to check: {why}")
        with pytest.raises(GradcheckError, match=f"compared nothing(.|\n)*{re.escape(why)}"):
            check(function, x, mode=mode)


@pytest.mark.parametrize("mode", ["full", "random"])
def test_nothing_to_check_by_arrays(mode: str) -> None:
    def checked(forward: Any, backward: Any, *arrays: Any) -> tuple[str, str]:
        return only(check_vjp(forward, backward, arrays, mode=mode, raise_exception=False))

    none = np.zeros((0, 3))
    assert checked(lambda x: x.sum(0), lambda u, x: none, none) == ("nothing to check", "arrays[0] is empty")
    assert checked(np.add, lambda u, x, y: (u, u), none, none) == ("nothing to check", "every input is empty")
    assert checked(lambda x: x[:0], lambda u, x: np.zeros(3), X) == ("nothing to check", "output is empty")
    assert checked(np.argmax, lambda u, x: x, X)[1].startswith("no output is of floating numbers")


@pytest.mark.parametrize("mode", ["full", "random"])
def test_an_empty_input_among_others(mode: str) -> None:
    def checked(backward: Any, **options: Any) -> Any:
        return check_vjp(lambda x, w: x @ w.T, backward, (np.zeros((0, 3)), np.ones((2, 3))), mode=mode, **options)

    assert checked(lambda u, x, w: (u @ w, u.T @ x))
    # What goes back to the other is looked at, although there is no number to compare.
    assert only(checked(lambda u, x, w: (u @ w, u.T @ x + 1), raise_exception=False)) == (
        "upstream", "the gradient of arrays[1][0, 0] is 1, of outputs that are empty; it must be 0",
    )  # fmt: skip
    assert only(checked(lambda u, x, w: (u @ w, x.T @ u), raise_exception=False))[0] == "shape"


def test_arrays_of_integers_are_handed_on() -> None:
    report = check_vjp(
        lambda x, rows: x[rows], lambda u, x, rows: (np.bincount(rows, u, 3), None), (X, np.array([0, 2, 2]))
    )
    assert [each.name for each in report.inputs] == ["arrays[0]"]


def test_several_outputs() -> None:
    def backward(u: Any, x: Any) -> Any:
        return u[0] * np.cos(x) + u[1]

    assert check_vjp(lambda x: (np.sin(x), x.sum(), np.argmax(x)), lambda u, x: backward(u, x), X)
    report = check_vjp(lambda x: (np.sin(x), 2 * x.sum()), backward, X, raise_exception=False)
    assert {e.output for e in report.failures} == {"outputs[1]"}


def test_the_same_report_twice() -> None:
    def report() -> dict[str, Any]:
        found = vjp(lambda x: np.maximum(x, 0) ** 2, lambda u, x: 2.01 * u * np.maximum(x, 0)).to_dict()
        return {key: value for key, value in found.items() if key != "seconds"}

    assert report() == report()


def test_two_threads() -> None:
    found: list[Any] = [None, None]

    def work(place: int) -> None:
        x = minidl.tensor(np.linspace(-1, 1, 20), requires_grad=True)
        found[place] = gradcheck(lambda x: minidl.exp(x) * x, x).to_dict()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in found:
        each.pop("seconds")
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "newton"}, "method must be one of 'auto', 'central', 'richardson', 'complex', got 'newton'"),
        ({"mode": "fast"}, "mode must be one of 'full', 'random', got 'fast'"),
        ({"kinks": True}, "kinks must be one of"),
        ({"eps": 0}, "eps must be more than 0"),
        ({"eps": -1.0}, "eps must be a number from 0, got -1.0"),
        ({"atol": "small"}, "atol must be a number from 0, got 'small'"),
        ({"rtol": np.nan}, "rtol must be a number from 0, got nan"),
        ({"nondet_tol": None}, "nondet_tol must be a number from 0, got None"),
        ({"directions": 0}, "directions must be a whole number from 1, got 0"),
        ({"directions": 2.5}, "directions must be a whole number from 1, got 2.5"),
        ({"generator": 3}, "generator must be a numpy.random.Generator or None, got int"),
        ({"dtype": "float16"}, "dtype must be 'float64' or None, got 'float16'"),
        ({"names": ["x", "y"]}, "1 arrays, but 2 names"),
        ({"method": "complex", "mode": "random"}, "method='complex' is for mode='full'"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        check_vjp(np.square, lambda u, x: 2 * u * x, X, **options)
    assert str(caught.value).startswith("check_vjp: ")
    assert message in str(caught.value)


def test_bad_arguments() -> None:
    x = minidl.tensor(X, requires_grad=True)
    cases = [
        (lambda: check_vjp(None, np.square, X), "forward must be callable, got NoneType"),
        (lambda: check_vjp(np.square, 3, X), "backward must be callable, got int"),
        (lambda: check_vjp(np.square, np.square, np.array([1, 2])), "no array is of floating numbers"),
        (lambda: check_vjp(np.square, np.square, np.array([1j])), "arrays must be of real numbers, got complex128"),
        (lambda: check_vjp(lambda x: x * 1j, np.square, X), "forward must give arrays of real numbers, got complex128"),
        (lambda: gradcheck(3, x), "fn must be callable, got int"),
        (lambda: gradcheck(lambda x: x, x, order=3), "order must be 1 or 2, got 3"),
        (lambda: gradcheck(lambda x: x, x, grad_outputs=x), "grad_outputs are for order=2"),
        (lambda: gradcheck(lambda x: x, x, params=3), "params must be a Module"),
        (lambda: gradcheck(lambda x: x, x, params=[x * 2]), "must be a leaf that requires gradients"),
        (lambda: gradcheck(lambda x: x, x, params=[3]), "params must hold Tensors"),
    ]
    for call, message in cases:
        with pytest.raises(ArgumentError, match=message):
            call()


def test_scalars_have_hints() -> None:
    report = check_vjp(
        lambda a, b: a * b, lambda u, a, b: (u * b * 1.5, u * a), [np.array(2.0), np.array(3.0)], raise_exception=False
    )
    assert [each.wrong for each in report.inputs] == [1, 0]
