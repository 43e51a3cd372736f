"""The gradients that checkers are compared on are what they say, and ours is mistaken in none of them.

That the correct ones are correct and the planted ones wrong is shown without differences, by complex steps.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from gradcheck_cases import FINDINGS, PATTERNS, RIGHT, WRONG, Case, Made
from gradcheck_comparison import minidl as ask_minidl

from minidl.testing import check_vjp

Array = np.ndarray
SEEDS = range(20)
TINY = 1e-200
by_name = pytest.mark.parametrize("case", [*WRONG, *RIGHT], ids=lambda case: case.name)


def analytic(made: Made, arrays: list[Array]) -> list[Array | None]:
    """The Jacobians (outputs, elements) that backward gives, a row an upstream gradient of one 1."""
    outputs = np.asarray(made.forward(*[array.copy() for array in arrays]))
    rows: list[Any] = []
    for place in range(outputs.size):
        upstream = np.zeros(outputs.shape)
        upstream.reshape(-1)[place] = 1
        found = made.backward(upstream, *[array.copy() for array in arrays])
        rows.append(found if isinstance(found, tuple) else (found,))
    return [
        np.stack([np.reshape(row[k], -1) for row in rows]) if rows and rows[0][k] is not None else None
        for k in range(len(arrays))
    ]


def by_complex_steps(made: Made, arrays: list[Array], sign: float = 1.0) -> list[Array]:
    """Exact but for rounding: Im f(x + ih) / h (Squire and Trapp, 1998); at kinks the derivative to one side."""
    function, jacobians = made.exact or made.forward, []
    for k, array in enumerate(arrays):
        if array.dtype.kind != "f":
            continue
        columns = []
        for place in range(array.size):
            moved: list[Any] = list(arrays)
            moved[k] = array.astype(complex)
            moved[k].reshape(-1)[place] += sign * TINY * 1j
            columns.append(sign * np.imag(function(*moved)).reshape(-1) / TINY)
        jacobians.append(np.stack(columns, axis=1) if columns else np.zeros((0, 0)))
    return jacobians


def of_eigenvalues(array: Array) -> Array:
    """Eigenvalues' Jacobian from vectors of 40 digits."""
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(40):
        n = len(array)
        values, vectors = mpmath.eigsy(mpmath.matrix(array.tolist()))
        order = sorted(range(n), key=lambda k: values[k])
        return np.array([[float(vectors[i, k] * vectors[j, k]) for i in range(n) for j in range(n)] for k in order])


def rounding(made: Made, arrays: list[Array], true: Array) -> Array:
    """What double precision may cost, beside the value itself, the outputs and the row of the Jacobian."""
    outputs = np.abs(np.asarray(made.forward(*[a.copy() for a in arrays]), float)).reshape(-1, 1)
    return 1e-7 * np.abs(true) + 1e-15 * outputs + 1e-15 * np.abs(true).max(axis=1, keepdims=True, initial=0)


def test_there_are_40_of_each_with_names_of_their_own() -> None:
    assert len(WRONG) == len(RIGHT) == 40
    assert len({case.name for case in (*WRONG, *RIGHT)}) == 80
    assert {case.finding for case in WRONG} == set(FINDINGS) and {case.finding for case in RIGHT} == {"right"}
    assert {pattern for case in WRONG for pattern in case.patterns} == set(PATTERNS)


@by_name
def test_a_seed_gives_the_same_case(case: Case) -> None:
    first, again, other = (case.make(np.random.default_rng(seed)).arrays for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(a.size for a in first) or any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.name)
def test_right_gradients_are_right(case: Case) -> None:
    for seed in SEEDS if case.name != "many elements" else SEEDS[:1]:
        made = case.make(np.random.default_rng(seed))
        arrays = [a.astype(float) if a.dtype == np.float32 else a for a in made.arrays]
        found = [jacobian for jacobian in analytic(made, arrays) if jacobian is not None]
        if case.proof == "eigen":
            low = high = [of_eigenvalues(arrays[0])]
        else:
            high = by_complex_steps(made, arrays)
            low = by_complex_steps(made, arrays, -1.0) if case.proof == "one-sided" else high
        for jacobian, one, other in zip(found, low, high, strict=False):
            allowed = rounding(made, arrays, np.maximum(np.abs(one), np.abs(other)))
            # Eigenvectors are uncertain by the rounding over the gap.
            allowed = 1e-9 if case.proof == "eigen" else allowed
            assert (jacobian >= np.minimum(one, other) - allowed).all(), seed
            assert (jacobian <= np.maximum(one, other) + allowed).all(), seed
        if case.family == "at kinks" and case.proof == "one-sided":
            assert any(not np.array_equal(one, other) for one, other in zip(low, high, strict=True))


@pytest.mark.parametrize("case", [case for case in WRONG if case.proof != "told"], ids=lambda case: case.name)
def test_wrong_gradients_are_wrong(case: Case) -> None:
    for seed in SEEDS:
        made = case.make(np.random.default_rng(seed))
        low, high = by_complex_steps(made, made.arrays, -1.0), by_complex_steps(made, made.arrays)
        worst = 0.0
        for jacobian, one, other in zip(analytic(made, made.arrays), low, high, strict=True):
            assert jacobian is not None
            outside = np.maximum(np.minimum(one, other) - jacobian, jacobian - np.maximum(one, other))
            relative = outside / np.maximum(np.maximum(np.abs(one), np.abs(other)), 1e-12)
            if case.proof == "joint":
                together = np.imag(made.forward(*[array + TINY * 1j for array in made.arrays])).reshape(-1) / TINY
                relative = np.abs(jacobian.sum(axis=1) - together)
            worst = max(worst, relative.max())
        assert worst > 0.9e-4, (seed, worst)
        if case.family == "small" and "1e-4" in case.what:
            assert worst < 1.1e-4


@pytest.mark.parametrize("case", [case for case in WRONG if case.proof == "told"], ids=lambda case: case.name)
def test_other_mistakes_are_as_told(case: Case) -> None:
    made = case.make(np.random.default_rng(0))
    arrays = [array.copy() for array in made.arrays]
    first = np.array(made.forward(*arrays))
    unchanged = all(np.array_equal(a, b) for a, b in zip(arrays, made.arrays, strict=True))
    upstream = np.ones(first.shape)
    gradients = made.backward(upstream, *made.arrays)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    same = np.array_equal(first, made.forward(*[array.copy() for array in made.arrays]))
    present = [gradient for gradient in gradients if gradient is not None]
    shapes = all(g.shape == a.shape for g, a in zip(gradients, arrays, strict=True) if g is not None)
    signs = {
        "missing": len(present) < len(arrays),
        "nan": any(np.isnan(gradient).any() for gradient in present),
        "shape": not shapes,
        "dtype": any(gradient.dtype != np.float64 for gradient in present),
        "modified": not unchanged or not (upstream == 1).all(),
        "nondeterministic": not same,
    }
    assert {sign for sign, shows in signs.items() if shows} == {case.finding}


# Nobody can tell: a gradient that is rounding alone, values that are constant but for rounding, subgradients at will.
UNDECIDABLE = {"empty batch", "sum of softmax", "saturated tanh", "relu at 0 any subgradient"}


def judged(case: Case, seed: int) -> None:
    answer = ask_minidl(case.make(np.random.default_rng(seed)))
    if case.is_right:
        assert not answer.complained, f"seed {seed}: {answer.text}"
    else:
        assert case.finding in answer.findings, f"seed {seed}: {answer.text}"


@by_name
def test_our_checker_is_right(case: Case) -> None:
    judged(case, 0)


@pytest.mark.slow
@by_name
def test_our_checker_is_right_at_other_seeds(case: Case) -> None:
    """At a few; benchmarks/gradcheck_comparison.py takes minutes for 20."""
    for seed in range(1, 5):
        judged(case, seed)


@pytest.mark.parametrize("case", [c for c in RIGHT if c.name not in UNDECIDABLE], ids=lambda case: case.name)
def test_an_error_of_1e_4_in_a_right_gradient_is_caught(case: Case) -> None:
    made = case.make(np.random.default_rng(0))
    outputs = np.asarray(made.forward(*[array.copy() for array in made.arrays]))
    first = made.backward(np.ones(outputs.shape), *made.arrays)
    place = int(np.argmax(np.abs(first[0] if isinstance(first, tuple) else first)))

    def backward(upstream: Array, *arrays: Array) -> Any:
        found = made.backward(upstream, *arrays)
        gradients = list(found) if isinstance(found, tuple) else [found]
        gradients[0] = np.array(gradients[0])
        gradients[0].reshape(-1)[place] *= 1 + 1e-4
        return tuple(gradients)

    assert not check_vjp(made.forward, backward, made.arrays, raise_exception=False)
