"""Hints: right on planted mistakes of known patterns, silent on other mistakes and on what chance can do."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hint_cases import CASES, Case, is_right, said

from minidl.errors import ShapeError
from minidl.testing.hints import explain, hint, other_input

RNG = np.random.default_rng(5)
SOME = RNG.normal(size=(4, 3))


@pytest.mark.parametrize(
    ("case", "mode"),
    [pytest.param(case, mode, id=f"{case.name}-{mode}") for case in CASES for mode in case.modes],
)
def test_planted_mistakes(case: Case, mode: str) -> None:
    for seed in range(100, 103):
        sentence = said(case, seed, mode)
        assert is_right(case, sentence), f"seed {seed}: {sentence}"


@pytest.mark.parametrize(
    ("analytic", "says"),
    [
        (-SOME, "the gradient has the opposite sign of the numeric one"),
        (-2 * SOME, "the gradient is -2 times the numeric one, with the opposite sign: a factor of 1/2"),
        (3 * SOME, "the gradient is 3 times the numeric one: a mean over axis 1 of the input (of size 3) is missing"),
        (12 * SOME, "12 times the numeric one: a mean over axes 0 and 1 of the input (of size 12) is missing"),
        (SOME / 4, "1/4 of the numeric one: it was divided once too often by axis 0 of the input (of size 4)"),
        (7 * SOME, "7 times the numeric one: a mean over 7 (a batch size?)"),
        (np.sqrt(3) * SOME, "1.73205 times the numeric one, in all entries: the square root of 3, axis 1 of the input"),
        (1.317 * SOME, "1.317 times the numeric one, in all entries: a constant factor is wrong"),
        (SOME[::-1], "flipped along axis 0 of the input"),
        (SOME[::-1, ::-1], "flipped along axes 0 and 1 of the input"),
        (np.roll(SOME, 1, 0), "shifted by +1 along axis 0 of the input, wrapped around at the edge"),
        (np.vstack([SOME[1:], 0 * SOME[:1]]), "shifted by -1 along axis 0 of the input, with zeros at the edge"),
        (np.vstack([SOME[1:], 7 * SOME[:1]]), "shifted by -1 along axis 0 of the input (the edge is something else)"),
        (SOME.T.reshape(4, 3), "its data lie in the order of the transpose"),
        (SOME.reshape(3, 4).T, "its data lie in the order of the transpose"),
        (-SOME[::-1], "flipped along axis 0 of the input, with the opposite sign"),
        (np.abs(SOME), "the absolute value of the numeric one"),
        (np.broadcast_to(SOME.sum(0), (4, 3)), "the sum of the numeric one over axis 0 of the input"),
        (SOME * [[1], [1], [1], [0]], "right but for the last index of axis 0 of the input, where it is 0"),
        (SOME + [[0.3], [0.1], [-0.7], [0.2]], "differ by the same number all along axis 1 of the input"),
        (0 * SOME, "the gradient is 0 everywhere"),
    ],
)
def test_sentences(analytic: np.ndarray, says: str) -> None:
    sentence = hint(analytic, SOME, (), (4, 3))
    assert sentence is not None and says in sentence


def test_two_explanations_are_both_told() -> None:
    numeric = np.array([0.3, -1.7])
    sentence = hint(numeric[::-1], numeric, (), (2,))
    assert sentence == (
        "the gradient is the numeric one flipped along axis 0 of the input; or, which is the same here, the gradient "
        "is the numeric one shifted by +1 along axis 0 of the input, wrapped around at the edge"
    )


def test_exceptions_are_counted() -> None:
    numeric = RNG.normal(size=(20, 30))
    analytic = -numeric
    analytic[3, 4] = analytic[7, 7] = 5.0
    sentence = hint(analytic, numeric, (), (20, 30))
    assert sentence == ("the gradient has the opposite sign of the numeric one (2 of 600 entries are something else)")
    analytic[:1] = RNG.normal(size=(1, 30))
    assert hint(analytic, numeric, (), (20, 30)) is None


def test_other_shapes_name_the_size_behind_a_factor() -> None:
    numeric = {"x": np.ones((8, 4)), "w": RNG.normal(size=(4, 3))}
    assert explain("w", {"x": numeric["x"], "w": 8 * numeric["w"]}, numeric, ()) == (
        "the gradient is 8 times the numeric one: a mean over axis 0 of 'x' (of size 8) is missing"
    )
    assert explain("w", {"x": numeric["x"], "w": 5 * numeric["w"]}, numeric, (), others={"y": (5,)}) == (
        "the gradient is 5 times the numeric one: a mean over axis 0 of 'y' (of size 5) is missing"
    )


def test_swapped_gradients() -> None:
    numeric = {"a": RNG.normal(size=(5, 3)), "b": RNG.normal(size=(5, 3)), "c": RNG.normal(size=(3, 5))}
    swapped = {"a": numeric["b"], "b": numeric["a"], "c": numeric["c"]}
    says = "the gradient is that of 'b': two gradients are swapped, or one was computed twice"
    assert explain("a", swapped, numeric, ()) == says
    assert other_input(numeric["c"].T, numeric, "a") is not None
    assert other_input(numeric["b"] + 0.1, numeric, "a") is None
    assert other_input(numeric["a"], numeric, "a") is None


@pytest.mark.parametrize("shape", [(), (1,), (2,), (3,), (2, 2), (3, 3), (2, 3), (4, 1)], ids=str)
def test_chance_makes_no_hints(shape: tuple[int, ...]) -> None:
    """Unrelated numbers, whole ones too, which often agree by chance in a few places."""
    rng = np.random.default_rng(11)
    spoken = 0
    for _ in range(200):
        numeric, analytic = rng.normal(size=(2, *shape))
        spoken += hint(analytic, numeric, (), shape) is not None
    assert spoken == 0


def test_small_whole_numbers_agree_by_chance() -> None:
    """Jacobians of 0 and 1 and -1 are equal after a flip, a shift or a transposition more often than others."""
    rng = np.random.default_rng(12)
    spoken = []
    for _ in range(2000):
        shape = tuple(rng.integers(1, 4, 2))
        numeric, analytic = rng.integers(-1, 2, (2, *shape)).astype(float)
        sentence = hint(analytic, numeric, (), shape)
        # That all is 0 is no guess.
        if sentence is not None and "0 everywhere" not in sentence:
            spoken.append((analytic.tolist(), numeric.tolist(), sentence))
    assert len(spoken) <= 20, spoken


def test_one_plain_value_is_no_evidence() -> None:
    # 2 where 1 is right may be a factor, a sum, another formula.
    for shape in ((), (1,), (2,)):
        assert hint(np.full(shape, 2.0), np.ones(shape), (), shape) is None
    assert hint(np.array([2.0, 0.0, 0.0]), np.array([1.0, 1.0, 1.0]), (), (3,)) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nothing_is_said_of_what_is_not_finite(bad: float) -> None:
    analytic = -SOME
    analytic[0, 0] = bad
    assert hint(analytic, SOME, (), (4, 3)) is None
    assert hint(-SOME, analytic, (), (4, 3)) is None


def test_right_and_empty_gradients_have_no_hint() -> None:
    assert hint(SOME * (1 + 1e-9), SOME, (), (4, 3)) is None
    assert hint(np.zeros((0, 3)), np.zeros((0, 3)), (), (0, 3)) is None
    assert hint(np.zeros((3, 3)), np.zeros((3, 3)), (3,), (3,)) is None


def test_noise_of_the_numeric_side_does_not_hide_a_pattern() -> None:
    noise = 1 + 1e-6 * RNG.normal(size=SOME.shape)
    assert hint(-SOME * noise, SOME, (), (4, 3)) == "the gradient has the opposite sign of the numeric one"
    wide = SOME * 10.0 ** np.arange(-6, 6).reshape(4, 3)
    assert hint(2 * wide, wide, (), (4, 3)).startswith("the gradient is 2 times")


def test_the_shapes_are_checked() -> None:
    with pytest.raises(ShapeError, match=r"hint: numeric has shape \(4, 3\), expected \(2, 4, 3\)"):
        hint(np.zeros((2, 4, 3)), SOME, (2,), (4, 3))


def test_large_jacobians_take_no_minutes() -> None:
    """Only that it ends: a million entries, for which nothing fits."""
    numeric = RNG.normal(size=(10, 10, 100, 100))
    start = time.perf_counter()
    assert hint(RNG.normal(size=numeric.shape), numeric, (10, 10), (100, 100)) is None
    print(f"{time.perf_counter() - start:.2f} s")
