"""At kinks a gradient between the one-sided ones is right, is listed, and ties may not be counted twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minidl
import minidl.functional as F
from minidl.testing import check_vjp, gradcheck, gradgradcheck

X = np.array([0.0, 1.0, -2.0])


def relu(x: Any) -> Any:
    return np.maximum(x, 0)


@pytest.mark.parametrize("at_0", [0.0, 0.5, 1.0])
def test_relu_at_0_may_have_any_gradient_from_0_to_1(at_0: float) -> None:
    report = check_vjp(relu, lambda u, x: u * np.where(x == 0, at_0, x > 0), X)
    (kink,) = report.kinks
    assert (kink.index, kink.output_index, kink.verdict) == ((0,), (0,), "kink")
    assert kink.one_sided == pytest.approx((0, 1), abs=1e-9)
    assert report.inputs[0].kinks == 1


@pytest.mark.parametrize("at_0", [-0.001, 1.001, 2.0])
def test_what_is_not_between_is_wrong(at_0: float) -> None:
    report = check_vjp(relu, lambda u, x: u * np.where(x == 0, at_0, x > 0), X, raise_exception=False)
    (failure,) = report.failures
    assert failure.verdict == "wrong at a kink"
    assert report.inputs[0].wrong == 1
    assert report.kinks == []


def test_kinks_may_fail_or_be_skipped() -> None:
    def backward(u: Any, x: Any) -> Any:
        return u * (x > 0)

    assert [f.verdict for f in check_vjp(relu, backward, X, kinks="fail", raise_exception=False).failures] == [
        "wrong at a kink"
    ]
    report = check_vjp(relu, lambda u, x: u * np.where(x == 0, 7, x > 0), X, kinks="skip")
    assert report
    assert [k.verdict for k in report.kinks] == ["skipped"]


@pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-7, 1e-9])
def test_beside_a_kink_there_is_one_gradient(distance: float) -> None:
    x = np.array([distance, 1.0, -distance])
    assert check_vjp(relu, lambda u, x: u * (x > 0), x).kinks == []
    report = check_vjp(relu, lambda u, x: u * np.where(np.abs(x) < 0.1, 0.5, x > 0), x, raise_exception=False)
    assert [f.verdict for f in report.failures] == ["wrong", "wrong"]


def test_ties_counted_twice_fail() -> None:
    x = np.array([2.0, 1.0, 2.0, 0.5])
    shares = (
        lambda u, x: u * (x == x.max()) / (x == x.max()).sum(),
        lambda u, x: u * (np.arange(4) == x.argmax()),
    )
    for share in shares:
        report = check_vjp(lambda x: x.max(), share, x)
        assert len(report.kinks) == 2
    report = check_vjp(lambda x: x.max(), lambda u, x: u * (x == x.max()), x, raise_exception=False)
    (problem,) = report.problems
    assert problem.kind == "direction"
    assert "is 1, by the gradient it is 2" in problem.message
    assert "arrays[0][0] + arrays[0][2]" in problem.message


def test_a_share_of_a_tie_that_is_lost_fails() -> None:
    x = np.array([2.0, 1.0, 2.0, 0.5])
    assert not check_vjp(lambda x: x.max(), lambda u, x: u * (x == x.max()) / 3, x, raise_exception=False)


def test_max_pooling_of_equal_pixels() -> None:
    pixels = minidl.zeros(1, 2, 4, 4, dtype="float64", requires_grad=True)
    report = gradcheck(lambda x: F.max_pool2d(x, 2), pixels)
    assert len(report.kinks) == 32


def test_kinks_of_opposite_bend_may_cancel() -> None:
    # Each ReLU has a gradient of its own choice at 0, and along (1, -1) the function has one slope that is not theirs.
    weights = np.array([[1.0], [-1.0], [2.0], [-0.5]])
    report = check_vjp(lambda x: relu(x) @ weights, lambda u, x: (weights @ u) * (x > 0), np.zeros(4))
    assert len(report.kinks) == 4


def test_clip_and_absolute_value_at_their_kinks() -> None:
    x = minidl.tensor([-1.0, 1.0, 0.0, 0.5], dtype="float64", requires_grad=True)
    assert len(gradcheck(lambda x: minidl.clip(x, -1, 1), x).kinks) == 2
    assert len(gradcheck(minidl.abs, x).kinks) == 1


def test_a_function_that_bends_beside_its_kinks() -> None:
    """The slopes nearby are those of nearby; at the kinks they are what they come to on the way there."""
    x = np.array([1.5, -1.0, 1.5])

    def forward(x: Any) -> Any:
        return np.asarray((np.clip(x, -1, 1.5).sum() - 1.99) ** 2)

    def backward(u: Any, x: Any, times: float = 1.0) -> Any:
        return times * u * 2 * (x.sum() - 1.99) * np.ones(3)

    assert len(check_vjp(forward, backward, x).kinks) == 3
    assert not check_vjp(forward, lambda u, x: backward(u, x, 1 + 1e-4), x, raise_exception=False)


def test_a_kink_of_what_is_rounded_further_on() -> None:
    """On the one side it stands still, on the other it goes by steps of float32."""
    x = np.array([1.0, 0.3, 2.0])

    def forward(x: Any) -> Any:
        return 1e6 * np.float32(np.minimum(x, 0.3) * 240.7).astype(np.float64)

    def backward(u: Any, x: Any, times: float = 1.0) -> Any:
        return times * u * 240.7e6 * (x <= 0.3)

    assert [k.index for k in check_vjp(forward, backward, x).kinks] == [(1,)]
    for times in (-0.1, 1.1):
        assert not check_vjp(forward, lambda u, x, by=times: backward(u, x, by), x, raise_exception=False)


@pytest.mark.parametrize("away", [2.0**-20, 2.0**-12 * 3, 1e-7, 1e-4])
def test_standing_still_up_to_a_kink_is_not_rounding(away: float) -> None:
    x = np.array([1.0, -away, 2.0])
    assert not check_vjp(relu, lambda u, x: u * (x > 0), x).kinks
    report = check_vjp(relu, lambda u, x: u * (x != 0), x, raise_exception=False)
    assert [e.index for e in report.failures] == [(1,)]


def test_jumps_of_a_gradient() -> None:
    x = minidl.tensor([0.0, 1.0, -1.0], dtype="float64", requires_grad=True)
    report = gradgradcheck(F.relu, x)
    assert [(k.input, k.index) for k in report.kinks] == [("inputs[0]", (0,))]


def test_one_side_alone_at_the_edge_of_a_domain() -> None:
    def backward(u: Any, x: Any) -> Any:
        return 1.5 * u * np.sqrt(x)

    with np.errstate(invalid="ignore"):
        assert check_vjp(lambda x: x**1.5, backward, np.array([0.0, 1.0]))
        wrong = check_vjp(
            lambda x: x**1.5, lambda u, x: backward(u, x) + u, np.array([0.0, 1.0]), raise_exception=False
        )
    assert wrong.inputs[0].wrong >= 2


def test_a_root_at_0_has_no_slope() -> None:
    with np.errstate(all="ignore"):
        assert not check_vjp(np.sqrt, lambda u, x: u * 0, np.array([0.0]), raise_exception=False)
