"""Kinks: where the derivatives from below and from above differ, and any gradient between them is right.

ReLU at 0, ties in max pooling, the ends of clip. Along a single element, the analytic derivative must lie between the
one-sided ones. That lets a tie pass whose gradient is counted twice, since each of the two elements alone may have all
of it; along both together the function has one slope again, and it shows. So joint directions over all elements at
whose kinks an output is are looked at too.

Along a joint direction, kinks of opposite bend may cancel in the one-sided derivatives, although each one's gradient
may be chosen freely. What is right then is Clarke's generalised gradient: the slopes of nearby points at which the
function is smooth, and what lies between them (Clarke, Optimization and Nonsmooth Analysis, 1983). A direction counts
as a failure only if it lies outside those as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from minidl.testing.findings import VERDICTS, Problem
from minidl.testing.numeric import RATIO, Ladder, power_of_two, typical_scale
from minidl.testing.report import GradcheckReport
from minidl.testing.subject import Options, Subject

Array = np.ndarray

_KINK, _SKIPPED, _WRONG_KINK, _WRONG = (VERDICTS.index(v) for v in ("kink", "skipped", "wrong at a kink", "wrong"))
_OK = VERDICTS.index("ok")
# One-sided derivatives must differ by this share of the larger one, beyond their errors.
_CLEAR = 1e-5
# Joint directions: of random signs; and pairs, of as many elements as this.
_SIGNS = 8
_MAX_PAIRED = 6
# Outputs whose joint directions are looked at again nearby.
_MAX_LOOKED_AT = 20
_NEARBY = 2.0**-20
_LOOSE = 2e-5
# A slope may change by so much on half the way; more is another kink.
_BENT = 1e-3


def _sides(ladder: Ladder) -> tuple[Array, Array, Array, Array, Array]:
    """Derivatives and errors from below and above, and whether the function jumps at the point."""
    (left, left_error), (right, right_error) = ladder.one_sided()
    jumps = np.logical_or(*ladder.jumps())
    if jumps.any():
        (b, b_error), (a, a_error) = ladder.jump_sides()
        left, left_error = np.where(jumps, b, left), np.where(jumps, b_error, left_error)
        right, right_error = np.where(jumps, a, right), np.where(jumps, a_error, right_error)
    return left, left_error, right, right_error, jumps


def _differ(left: Array, left_error: Array, right: Array, right_error: Array) -> Array:
    with np.errstate(all="ignore"):
        larger = np.maximum(np.abs(left), np.abs(right))
        return np.abs(right - left) > 3 * (left_error + right_error) + _CLEAR * larger


def seems_kinked(ladder: Ladder) -> Array:
    """Whether the one-sided derivatives of each output differ, as far as these steps show."""
    left, left_error, right, right_error, jumps = _sides(ladder)
    return _differ(left, left_error, right, right_error) | jumps


def judge_element(
    ladder: Ladder,
    analytic: Array,
    numeric: Array,
    estimate: Array,
    verdict: Array,
    tolerance: Array,
    judge: Callable[[Array, Array, Array, Array], Array],
    option: str,
) -> dict[int, tuple[float, float]]:
    """Look at the entries of the ladder from both sides; change their numbers and verdicts in place.

    Parameters
    ----------
    ladder : Ladder
        Of the outputs in question.
    analytic, numeric, estimate, verdict, tolerance : ndarray
        Of all outputs.
    judge : callable
        Gives verdicts where there is no kink.
    option : str
        "detect", "fail" or "skip".

    Returns
    -------
    dict
        The one-sided derivatives of the rows at kinks.
    """
    rows = ladder.rows
    left, left_error, right, right_error, jumps = _sides(ladder)
    has_below, has_above = np.isfinite(left_error), np.isfinite(right_error)
    # At the edge of a domain there is one side alone, and its derivative is the derivative.
    edge = has_below != has_above
    if edge.any():
        offset = rows[edge]
        numeric[offset] = np.where(has_below, left, right)[edge]
        estimate[offset] = np.where(has_below, left_error, right_error)[edge]
        verdict[offset] = judge(analytic[offset], numeric[offset], estimate[offset], offset)
        verdict[rows[edge & ladder.diverges()]] = _WRONG
    is_kinked = (_differ(left, left_error, right, right_error) | jumps) & has_below & has_above
    smooth = rows[~is_kinked & ~edge]
    verdict[smooth] = judge(analytic[smooth], numeric[smooth], estimate[smooth], smooth)
    sides = {}
    with np.errstate(all="ignore"):
        low, high = np.minimum(left, right), np.maximum(left, right)
        margin = left_error + right_error + 1e-6 * np.maximum(np.abs(low), np.abs(high)) + tolerance[rows]
        inside = (analytic[rows] >= low - margin) & (analytic[rows] <= high + margin)
    for place in np.nonzero(is_kinked)[0].tolist():
        row = int(rows[place])
        sides[row] = float(left[place]), float(right[place])
        numeric[row] = np.clip(analytic[row], low[place], high[place])
        estimate[row] = margin[place]
        verdict[row] = _KINK if inside[place] else _WRONG_KINK
        if option != "detect":
            verdict[row] = _SKIPPED if option == "skip" else _WRONG_KINK
    return sides


def check_joint(
    subject: Subject,
    options: Options,
    report: GradcheckReport,
    centre: Array,
    jacobian: list[Array],
    noise: Array,
    kink_elements: dict[int, list[tuple[int, int]]],
) -> None:
    """Compare directional derivatives over all elements at whose kinks an output is, and note what fails."""
    if not kink_elements or options.kinks != "detect":
        return
    places = sorted({place for elements in kink_elements.values() for place in elements})
    rows = np.array(sorted(kink_elements))
    # Each moves by its own scale: a step that is little for one may be far beyond the kinks of another.
    typical = [typical_scale(x) for x in subject.start]
    scales = np.array([power_of_two(abs(float(subject.start[i].reshape(-1)[j])) or typical[i]) for i, j in places])
    matrix = np.stack([jacobian[i][rows, j] for i, j in places], axis=1) * scales
    failed: set[int] = set()
    for signs in _directions(len(places), options.random):
        line = subject.line(_arrays(subject, places, signs * scales))
        ladder = Ladder(line, centre, noise, rows)
        ladder.add([RATIO**k for k in range(-15, -1)])
        left, left_error, right, right_error, _ = _sides(ladder)
        expected = (matrix * signs).sum(axis=1)
        with np.errstate(all="ignore"):
            low, high = np.minimum(left, right), np.maximum(left, right)
            size = np.maximum(np.maximum(np.abs(low), np.abs(high)), (np.abs(matrix) * np.abs(signs)).sum(axis=1))
            margin = left_error + right_error + 1e-5 * size
            outside = (expected < low - margin) | (expected > high + margin)
        for place in np.nonzero(outside)[0].tolist():
            row = int(rows[place])
            if row in failed or len(failed) >= _MAX_LOOKED_AT:
                continue
            near = _slopes_nearby(subject, places, signs, row, scales, report, options.random)
            lowest, highest = min([*near, low[place]]), max([*near, high[place]])
            room = margin[place] + _LOOSE * size[place] + 100 * noise[row] / _NEARBY
            if lowest - room <= expected[place] <= highest + room:
                continue
            failed.add(row)
            slopes = expected[place], low[place], high[place]
            message = _message(subject, places, signs, scales, kink_elements[row], row, slopes)
            report.problems.append(Problem("direction", message, subject.inputs[kink_elements[row][0][0]].name))


def _directions(count: int, random: np.random.Generator) -> Iterator[Array]:
    """Signs of the elements of joint directions; 0 leaves one out."""
    yield np.ones(count)
    if count <= _MAX_PAIRED:
        for one, other in itertools.combinations(range(count), 2):
            for sign in (1.0, -1.0):
                signs = np.zeros(count)
                signs[one], signs[other] = 1, sign
                yield signs
    for number in range(_SIGNS):
        signs = np.where(random.random(count) < 0.5, -1.0, 1.0)
        # Half of them leave out elements, so that not all that belong together move together.
        yield np.where(random.random(count) < 0.5, 0.0, signs) if number % 2 else signs


def _arrays(subject: Subject, places: list[tuple[int, int]], values: Array) -> list[Array | None]:
    """One direction an input with these values at these places."""
    found: list[Array | None] = [None] * len(subject.inputs)
    for (i, j), value in zip(places, values.tolist(), strict=True):
        direction = found[i]
        if direction is None:
            found[i] = direction = np.zeros_like(subject.start[i])
        direction.reshape(-1)[j] = value
    return found


def _slopes_nearby(
    subject: Subject,
    places: list[tuple[int, int]],
    signs: Array,
    row: int,
    scales: Array,
    report: GradcheckReport,
    random: np.random.Generator,
) -> list[float]:
    """Slopes along a direction at points off the kinks, chosen so that they are as small and as large as can be.

    Each as it is towards the kinks: by how a function bends on the way there, nothing is excused nor complained of.
    """
    sides = {(e.input, e.index): e.one_sided for e in report.kinks if _row(subject, e) == row and e.one_sided}
    steeper = []
    for i, j in places:
        shape = subject.inputs[i].array.shape
        index = tuple(int(a) for a in np.unravel_index(j, shape)) if shape else ()
        left, right = sides.get((subject.inputs[i].name, index), (0.0, 0.0))
        steeper.append(np.sign(right - left) or 1.0)
    moves = np.sign(signs) * np.array(steeper)
    choices = [moves, -moves, signs, -signs, *(np.where(random.random(len(places)) < 0.5, -1.0, 1.0) for _ in range(8))]
    slopes = []
    for choice in choices:
        # Unlike distances, since equal ones may keep a tie.
        away = choice * random.uniform(0.5, 1.5, len(places))
        found = []
        for step in (_NEARBY, _NEARBY / 2):
            ends = [(away + t / 16 * signs) * step * scales for t in (1, -1)]
            values = [subject.line(_arrays(subject, places, end))(1.0)[1][row] for end in ends]
            found.append(float(values[0] - values[1]) / (step / 8))
        far, near = found
        if abs(far - near) <= _BENT * max(abs(far), abs(near)):
            near += near - far
        if np.isfinite(near):
            slopes.append(near)
    return slopes


def _row(subject: Subject, element: object) -> int:
    offset = 0
    for name, shape in zip(subject.output_names, subject.output_shapes, strict=True):
        if name == element.output:  # type: ignore[attr-defined]
            return offset + (int(np.ravel_multi_index(element.output_index, shape)) if shape else 0)  # type: ignore[attr-defined]
        offset += int(np.prod(shape))
    return -1


def _message(
    subject: Subject,
    places: list[tuple[int, int]],
    signs: Array,
    scales: Array,
    own: list[tuple[int, int]],
    row: int,
    slopes: tuple[float, float, float],
) -> str:
    k, index = subject.output_place(row)
    y = subject.output_names[k] + (f"[{', '.join(map(str, index))}]" if index else "")
    parts, moved = [], set()
    for (i, j), sign, scale in zip(places, signs.tolist(), scales.tolist(), strict=True):
        if sign and (i, j) in own:
            moved.add(scale)
            shape = subject.inputs[i].array.shape
            offset = ", ".join(str(int(a)) for a in np.unravel_index(j, shape)) if shape else ""
            parts.append(f"{'+' if sign > 0 else '-'} {subject.inputs[i].name}" + (f"[{offset}]" if shape else ""))
    shown = " ".join(parts[:6]) + (" ..." if len(parts) > 6 else "")
    expected, low, high = (slope / max(moved, default=1.0) for slope in slopes)
    if len(moved) > 1:
        shown += " (each in proportion to its size)"
    if abs(high - low) <= _CLEAR * max(abs(high), abs(low)):
        slope = f"is {high:.9g}"
    else:
        slope = f"lies between {low:.9g} and {high:.9g}"
    return (
        f"at a kink, the slope of {y} along {shown.removeprefix('+ ')} {slope}, by the gradient it is {expected:.9g}; "
        "each element alone would pass: is a tie counted twice?"
    )
