"""Random directions: what they miss, and where they find it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from functions import HARD

import minidl
from minidl.testing import Element, Problem, check_vjp, miss_probability, rounding
from minidl.testing import directions as random_mode


def squares(x: Any, y: Any) -> Any:
    return (x**2).sum() + (y**3).sum()


def gradients(u: Any, x: Any, y: Any) -> Any:
    return 2 * u * x, 3 * u * y**2


@pytest.mark.parametrize("name", sorted(HARD))
def test_right_gradients_pass(name: str) -> None:
    forward, backward, x = HARD[name]
    with np.errstate(all="ignore"):
        assert check_vjp(forward, backward, x, mode="random")


def test_an_element_of_many_is_found() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=3_000), generator.normal(size=(130, 60))

    def wrong(u: Any, x: Any, y: Any) -> Any:
        g, h = gradients(u, x, y)
        h[123, 45] *= 1.5
        return g, h

    assert check_vjp(squares, gradients, (x, y), mode="random")
    report = check_vjp(squares, wrong, (x, y), mode="random", raise_exception=False)
    (problem,) = report.problems
    assert (problem.kind, problem.input) == ("direction", "arrays[1]")
    assert problem.block is not None
    assert problem.block[0] <= 123 * 60 + 45 < problem.block[1] <= problem.block[0] + 16
    assert [e.index for e in report.failures if isinstance(e, Element)] == [(123, 45)]
    assert report.evaluations < 5000


def test_every_wrong_input_is_named() -> None:
    report = check_vjp(
        squares, lambda u, x, y: (2.1 * u * x, 2.9 * u * y**2), (np.ones(50), np.ones(70)), mode="random",
        raise_exception=False,
    )  # fmt: skip
    assert {p.input for p in report.problems} == {"arrays[0]", "arrays[1]"}


def test_inputs_of_little_effect_have_directions_of_their_own() -> None:
    def forward(x: Any, y: Any) -> Any:
        return 1e6 * (x**2).sum() + 1e-3 * np.sin(y).sum()

    def backward(u: Any, x: Any, y: Any, factor: float = 1.0) -> Any:
        return 2e6 * u * x, factor * 1e-3 * u * np.cos(y)

    points = (np.linspace(-1, 1, 30), np.linspace(-1, 2, 40))
    assert check_vjp(forward, backward, points, mode="random")
    report = check_vjp(forward, lambda u, x, y: backward(u, x, y, 1.01), points, mode="random", raise_exception=False)
    assert {p.input for p in report.problems} == {"arrays[1]"}


def test_problems_are_found_too() -> None:
    x = np.ones(5)
    kinds = [
        (lambda u, x: 2 * x, "upstream"),
        (lambda u, x: np.full(5, np.nan), "nan gradient"),
        (lambda u, x: None, "missing gradient"),
        (lambda u, x: np.zeros(4), "shape"),
    ]
    for backward, kind in kinds:
        report = check_vjp(lambda x: (x**2).sum(), backward, x, mode="random", raise_exception=False)
        assert kind in [p.kind for p in report.problems]
    tensor = minidl.tensor(x, requires_grad=True)
    report = minidl.gradcheck(lambda x: (x.detach() ** 2).sum(), tensor, mode="random", raise_exception=False)
    assert [p.kind for p in report.problems] == ["missing gradient"]


def test_the_formula() -> None:
    assert miss_probability(1.0, 1.0, 1) == pytest.approx(0.6826894921, rel=1e-9)
    assert miss_probability(1e-3, 1e-6, 3) == pytest.approx(math.erf(1e-3 / math.sqrt(2)) ** 3)
    assert miss_probability(0.0, 1e-6, 3) == 1.0


@pytest.mark.parametrize(("relative", "directions"), [(1.0, 1), (1.0, 3), (2.0, 2)])
def test_the_stated_probability_is_that_of_misses(
    monkeypatch: pytest.MonkeyPatch, relative: float, directions: int
) -> None:
    """With a tolerance so loose that many a wrong gradient passes, as many pass as the formula says."""
    # Where it is takes much longer to find than that it is.
    monkeypatch.setattr(random_mode, "_find_place", lambda *args: args[-1].problems.append(Problem("direction", "")))
    generator = np.random.default_rng(5)
    true = generator.normal(size=40)
    error = generator.normal(size=40)
    error *= relative * np.linalg.norm(true) / np.linalg.norm(error)
    wrong = true + error
    # A direction's tolerance is absolute here; directions are scaled to the norm of the gradient that is claimed.
    tolerance = 1.0 * relative * np.linalg.norm(true) / np.linalg.norm(wrong)
    expected = miss_probability(relative * np.linalg.norm(true), tolerance * np.linalg.norm(wrong), directions)
    runs, missed = 400, 0
    for _ in range(runs):
        report = check_vjp(
            lambda x: (true * x).sum(), lambda u, x: u * wrong, np.ones(40), mode="random", directions=directions,
            atol=tolerance, generator=generator, raise_exception=False,
        )  # fmt: skip
        missed += bool(report)
    # Four standard deviations of a binomial count.
    assert abs(missed / runs - expected) <= 4 * math.sqrt(expected * (1 - expected) / runs)


def test_the_report_states_it() -> None:
    report = check_vjp(np.square, lambda u, x: 2 * u * x, np.ones(50), mode="random")
    note = report.notes[-1]
    assert "3 random directions" in note
    assert "0.001 with probability" in note


def logarithms(u: Any, x: Any) -> Any:
    return u / x


@pytest.mark.parametrize("decades", [0, 5])
@pytest.mark.parametrize("seed", range(2))
def test_an_error_spread_thinly_over_all_elements_is_a_failure(decades: int, seed: int) -> None:
    """Also where no element alone is far off, and where elements need steps of their own."""
    generator = np.random.default_rng(seed)
    x = generator.uniform(0.5, 2, size=200) * 10 ** generator.uniform(-decades, decades, size=200)

    def forward(x: Any) -> Any:
        return np.log(x).sum() + 1e6

    assert check_vjp(forward, logarithms, x, mode="random", generator=generator)
    for wrong in (1e-3 * np.ones(200), 1e-3 * generator.normal(size=200)):
        report = check_vjp(
            forward, lambda u, x, by=1 + wrong: by * logarithms(u, x), x, mode="random", generator=generator,
            raise_exception=False,
        )  # fmt: skip
        assert [p.kind for p in report.problems] == ["direction"]


@pytest.mark.parametrize("seed", range(20))
def test_nothing_fails_before_its_noise_is_known(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Of one element, a direction may be much longer than most; what differs is measured by the usual length."""
    measured = []

    def noise_along(*args: Any) -> Any:
        measured.append(1)
        return rounding.noise_along(*args)

    def find_place(*args: Any) -> None:
        args[-1].problems.append(Problem("direction", f"after {len(measured)} measurements"))

    monkeypatch.setattr(random_mode, "noise_along", noise_along)
    monkeypatch.setattr(random_mode, "_find_place", find_place)
    report = check_vjp(
        np.square, lambda u, x: (2 + 1.8e-6) * u * x, np.array([1.5]), mode="random", raise_exception=False,
        generator=np.random.default_rng(seed),
    )  # fmt: skip
    assert all(problem.message != "after 0 measurements" for problem in report.problems)


def test_what_would_have_been_missed_is_no_matter_once_it_failed() -> None:
    report = check_vjp(np.square, lambda u, x: 3 * u * x, np.ones(50), mode="random", raise_exception=False)
    assert not report
    assert not any("would have been missed" in note for note in report.notes)


def test_an_upstream_gradient_of_one_sign_alone_is_no_excuse() -> None:
    """Linear in positive upstream gradients only: not taken for rounding."""
    x = np.linspace(1, 2, 12)
    report = check_vjp(np.sqrt, lambda u, x: np.abs(u) / np.sqrt(x) / 2, x, mode="random", raise_exception=False)
    assert "upstream" in [p.kind for p in report.problems]


def test_generators_of_ones_own() -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = check_vjp(np.square, lambda u, x: 2 * u * x, np.ones(50), mode="random", directions=5)
    again = check_vjp(np.square, lambda u, x: 2 * u * x, np.ones(50), mode="random", directions=5)
    assert first.notes == again.notes
    assert first.evaluations == again.evaluations
    assert "5 random directions" in first.notes[-1]
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002
