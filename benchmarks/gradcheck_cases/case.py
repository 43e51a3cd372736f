"""What a case is: a function, a gradient of it written by hand, where to check it, and what a checker should say.

`make(rng)` gives `forward(*arrays) -> array`, `backward(upstream, *arrays) -> gradients` and the arrays, all NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray

# What a checker should find in a planted mistake.
FINDINGS = ("wrong", "missing", "nan", "shape", "dtype", "modified", "nondeterministic")
# The patterns of mistakes that a hint can name. Where two describe the same numbers, either is right.
PATTERNS = ("transposed", "sign", "factor", "flipped", "shifted", "last use")


class Made(NamedTuple):
    """One problem. `exact` is the function in full precision, where `forward` computes it in less."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    arrays: list[Array]
    exact: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Case:
    """A gradient, wrong or right, with what is the matter or what is hard about it."""

    name: str
    family: str
    what: str
    make: Callable[[np.random.Generator], Made]
    # "right", or one of FINDINGS.
    finding: str
    # The patterns that a hint may name; none where the mistake has no known pattern.
    patterns: tuple[str, ...] = ()
    # How the correct value is known: "complex step" along every element; "one-sided", at kinks, by complex steps to
    # both sides; "joint", by a complex step of all elements together; "eigen", in 40 digits; "told", by construction.
    proof: str = "complex step"

    @property
    def is_right(self) -> bool:
        """Whether a checker should have nothing to say."""
        return self.finding == "right"


Maker = Callable[[np.random.Generator], tuple]


def wrong(
    into: list[Case], family: str, what: str, *patterns: str, finding: str = "wrong", proof: str = "complex step"
) -> Callable[[Maker], Maker]:
    """Make a planted mistake of a function that makes one; its name is the case's."""

    def add(make: Maker) -> Maker:
        into.append(Case(_name(make), family, what, lambda rng: Made(*make(rng)), finding, patterns, proof))
        return make

    return add


def right(into: list[Case], family: str, what: str, proof: str = "complex step") -> Callable[[Maker], Maker]:
    """Make a correct, but hard, gradient of a function that makes one."""

    def add(make: Maker) -> Maker:
        into.append(Case(_name(make), family, what, lambda rng: Made(*make(rng)), "right", (), proof))
        return make

    return add


def _name(make: Maker) -> str:
    return make.__name__.replace("_", " ").strip()
