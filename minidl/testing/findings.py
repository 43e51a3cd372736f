"""A gradient check finds these: elements, problems, and what is known of each input (data alone, no numerics)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minidl.errors import check_flag

Array = np.ndarray

Verdict = str

# From the best to the worst, so that the worst of several is their maximum. "ok": they agree; "unresolved": the numeric
# side is too uncertain to tell, which is listed and is no failure; "skipped": at a kink, with kinks="skip"; "kink":
# one-sided derivatives differ and the gradient lies between them; "wrong at a kink": it doesn't; "wrong": beyond what
# the error of the numeric side allows.
VERDICTS: tuple[Verdict, ...] = ("not compared", "ok", "unresolved", "skipped", "kink", "wrong at a kink", "wrong")
# Problems of these kinds are told and fail nothing.
_HARMLESS = {"unused"}
# The kind of problem of a check that could compare nothing, which is no success.
NOTHING_TO_CHECK = "nothing to check"


def relative_error(analytic: Any, numeric: Any, estimate: Any = 0.0) -> Array:
    """Measure how far two values are apart, relative to the larger one.

    ``max(|analytic - numeric| - estimate, 0) / max(|analytic|, |numeric|)``

    Parameters
    ----------
    analytic, numeric : array_like
        The values; they broadcast.
    estimate : array_like
        What the error of the numeric side may be, which is then not held against the analytic one.

    Returns
    -------
    ndarray
        From 0 (equal) over 1 (one of them is 0) to 2 (other sign); NaN where a value is NaN, infinite where one is
        infinite and the other is not the same.

    Examples
    --------
    >>> relative_error([1.0, 2.0, 0.0, 3.0], [1.0, 1.0, 0.0, -3.0]).tolist()
    [0.0, 0.5, 0.0, 2.0]
    >>> relative_error(1.0, 1.0 + 1e-9, estimate=1e-8).item()
    0.0
    """
    a, n, e = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in (analytic, numeric, estimate)))
    with np.errstate(all="ignore"):
        # An estimate that is not finite explains nothing away: such elements are unresolved, and shown as they are.
        distance = np.maximum(np.abs(a - n) - np.where(np.isfinite(e), e, 0), 0)
        found = np.array(distance / np.maximum(np.abs(a), np.abs(n)))
    found[np.isinf(a) | np.isinf(n)] = np.inf
    found[a == n] = 0
    found[np.isnan(a) | np.isnan(n)] = np.nan
    return found


@dataclass(frozen=True)
class Element:
    """One entry of a Jacobian.

    Attributes
    ----------
    input, output : str
        Names of the input and of the output; an output that is alone may have none.
    index, output_index : tuple of int
        Which elements of them; () for a scalar.
    analytic, numeric : float
        The derivative of the one by the other, as the gradient says and as differences say.
    error_estimate : float
        How far the numeric value may be from the true one, by its own estimate.
    verdict : str
        One of `VERDICTS`.
    one_sided : tuple of float, optional
        At kinks, the derivatives from below and from above.

    Examples
    --------
    >>> element = Element("x", (0, 1), "y", (0,), analytic=2.0, numeric=1.0, error_estimate=1e-12, verdict="wrong")
    >>> element.absolute_error, element.relative_error
    (1.0, 0.5)
    """

    input: str
    index: tuple[int, ...]
    output: str
    output_index: tuple[int, ...]
    analytic: float
    numeric: float
    error_estimate: float
    verdict: Verdict
    one_sided: tuple[float, float] | None = None

    @property
    def absolute_error(self) -> float:
        """``|analytic - numeric|``; 0 where both are the same infinity."""
        return 0.0 if self.analytic == self.numeric else abs(self.analytic - self.numeric)

    @property
    def relative_error(self) -> float:
        """``|analytic - numeric| / max(|analytic|, |numeric|)``, see `relative_error`."""
        return float(relative_error(self.analytic, self.numeric))

    def to_dict(self) -> dict[str, Any]:
        """All of it in types that JSON has, see `GradcheckReport.to_dict`."""
        return {
            "input": self.input,
            "index": [int(i) for i in self.index],
            "output": self.output,
            "output_index": [int(i) for i in self.output_index],
            "analytic": json_number(self.analytic),
            "numeric": json_number(self.numeric),
            "error_estimate": json_number(self.error_estimate),
            "absolute_error": json_number(self.absolute_error),
            "relative_error": json_number(self.relative_error),
            "verdict": self.verdict,
            "one_sided": None if self.one_sided is None else [json_number(value) for value in self.one_sided],
        }


@dataclass(frozen=True)
class Problem:
    """A finding that needs no comparison of numbers, or concerns more than one element.

    Attributes
    ----------
    kind : str
        "nondeterministic", "modified input", "missing gradient", "shape", "dtype", "nan gradient", "nan output",
        "upstream", "direction" (a directional derivative: in random mode, or a joint direction at a kink), "nothing to
        check" (there was no entry to compare, which is no success), or "unused" (an input that nothing depends on;
        told, and no failure).
    message : str
        What is wrong.
    input : str, optional
        The name of the input that it is about.
    block : tuple of int, optional
        In random mode, the elements that bisection found, as (start, stop) of the flat input.
    """

    kind: str
    message: str
    input: str | None = None
    block: tuple[int, int] | None = None

    @property
    def is_failure(self) -> bool:
        """Whether the check fails because of it."""
        return self.kind not in _HARMLESS

    def to_dict(self) -> dict[str, Any]:
        """All of it in types that JSON has."""
        block = None if self.block is None else [int(place) for place in self.block]
        return {"kind": self.kind, "message": self.message, "input": self.input, "block": block}


@dataclass
class InputReport:
    """The findings about one input.

    Attributes
    ----------
    name : str
        What the input is called.
    shape : tuple of int
        Its shape.
    dtype : str
        Its dtype, as it came.
    compared, wrong, kinks, unresolved : int
        Entries of the Jacobian that were compared, and how many among them have these verdicts ("wrong at a kink"
        counts as wrong).
    worst : list of Element
        The worst entries, the worst first.
    error : ndarray, optional
        Of the input's shape: the largest relative error over all outputs, without what the numeric side's own error
        explains (`relative_error`); NaN where nothing was compared or a value is NaN.
    state : ndarray of int8, optional
        Of the input's shape: the worst verdict over all outputs, as an index into `VERDICTS`.
    hint : str, optional
        What the mistake looks like, where the pattern is known.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    compared: int = 0
    wrong: int = 0
    kinks: int = 0
    unresolved: int = 0
    worst: list[Element] = field(default_factory=list)
    error: Array | None = None
    state: Array | None = None
    hint: str | None = None

    @property
    def verdict(self) -> str:
        """In words, what was compared and what came of it."""
        if not self.compared:
            return "empty, nothing to compare" if 0 in self.shape else "nothing compared"
        entries = "1 entry" if self.compared == 1 else f"{self.compared:,} entries"
        if self.wrong == self.compared:
            parts = [f"all {entries} wrong" if self.compared > 1 else "its only entry is wrong"]
        elif self.wrong:
            parts = [f"{self.wrong:,} of {entries} wrong"]
        elif self.unresolved == self.compared:
            return f"{entries}, all unresolved" if self.compared > 1 else "its only entry is unresolved"
        else:
            parts = [f"{entries}, ok"]
        if self.kinks:
            parts.append("1 at a kink" if self.kinks == 1 else f"{self.kinks:,} at kinks")
        if self.unresolved:
            parts.append(f"{self.unresolved:,} unresolved")
        return ", ".join(parts)

    def to_dict(self, *, errors: bool = False) -> dict[str, Any]:
        """All of it in types that JSON has, see `GradcheckReport.to_dict`."""
        found: dict[str, Any] = {
            "name": self.name,
            "shape": [int(size) for size in self.shape],
            "dtype": self.dtype,
            "compared": int(self.compared),
            "wrong": int(self.wrong),
            "kinks": int(self.kinks),
            "unresolved": int(self.unresolved),
            "hint": self.hint,
            "worst": [element.to_dict() for element in self.worst],
        }
        if check_flag("to_dict", "errors", errors):
            flat = None if self.error is None else [json_number(value) for value in self.error.reshape(-1).tolist()]
            states = None if self.state is None else [VERDICTS[value] for value in self.state.reshape(-1).tolist()]
            found |= {"error": flat, "state": states}
        return found


@dataclass
class Findings:
    """The data of a gradient check's report; see `GradcheckReport` for the attributes, and for how they are shown."""

    name: str
    order: int
    method: str
    mode: str
    inputs: list[InputReport] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    kinks: list[Element] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    evaluations: int = 0
    seconds: float = 0.0

    def __bool__(self) -> bool:
        return not any(problem.is_failure for problem in self.problems) and not any(each.wrong for each in self.inputs)

    @property
    def failures(self) -> list[Element | Problem]:
        """The problems that are failures, then the wrong ones among each input's worst elements.

        Only the worst are kept one by one; how many there are is in each input's `wrong`.
        """
        wrong = [e for each in self.inputs for e in each.worst if e.verdict.startswith("wrong")]
        return [*(problem for problem in self.problems if problem.is_failure), *wrong]


def json_number(value: float) -> float | str:
    """A number as JSON can have it: what is not finite is its name, which `float` reads."""
    number = float(value)
    return number if np.isfinite(number) else str(number)
