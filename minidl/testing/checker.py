"""Compares the entries of Jacobians one by one, each with as many values as it needs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minidl.errors import ArgumentError
from minidl.testing import kinks
from minidl.testing.findings import VERDICTS, Element, relative_error
from minidl.testing.numeric import RATIO, Ladder, complex_step, power_of_two, spread_of
from minidl.testing.report import GradcheckReport
from minidl.testing.rounding import backward_rounding, measure, rounded
from minidl.testing.scales import Scales, all_steps
from minidl.testing.subject import Options, Subject

Array = np.ndarray

# Right gradients may differ by so much for other reasons than the numeric side's error: their own rounding.
RTOL = 1e-6
# An entry is resolved when the numeric side leaves no more than this of it open: the first is aimed at; with the
# second, for want of more, 1e-4 can't hide.
FINE = 3e-6
RESOLUTION = 3e-5
# The numeric side may leave so much open where 0 is right, of the sensitivity to other elements: at first, and last.
_NEGLIGIBLE = 1e-8
_NEGLIGIBLE_AT_LAST = 1e-5
# The first step, of the element's scale: an error of h^2 = 1.5e-8, and little noise.
_FIRST = 2.0**-13
_WORST = 5
# An element may change an output by so much without showing, in units of its noise.
_HIDDEN = 20
# Entries that seem wrong are looked at with all steps, until so many were.
_MAX_CONFIRMED = 200

OK, UNRESOLVED, SKIPPED, KINK, WRONG_KINK, WRONG = range(1, len(VERDICTS))


class Checker:
    """Compares the elements of inputs one by one.

    Parameters
    ----------
    jacobian : list of ndarray
        Analytic, [output, element] for each input; or the gradient itself, where there is a single output.
    complex_values : callable, optional
        For the complex step: the outputs with a complex number added to an element of an input.
    """

    def __init__(
        self,
        subject: Subject,
        options: Options,
        report: GradcheckReport,
        jacobian: list[Array],
        complex_values: Callable[[int, int, complex], Array] | None = None,
    ) -> None:
        self.subject, self.options, self.report = subject, options, report
        self.centre = subject.values()
        self.noise = rounded(self.centre)
        self._is_measured = False
        # These agreed before the noise was measured: input, element and step.
        self._unmeasured: list[tuple[int, int, float]] = []
        # Each input's elements have a largest error and a worst verdict.
        self._error = [np.full(each.array.size, np.nan) for each in subject.inputs]
        self._state = [np.zeros(each.array.size, np.int8) for each in subject.inputs]
        # Each input has its worst entries, with what they are sorted by.
        self._worst: list[list[tuple[tuple[float, ...], Element]]] = [[] for _ in subject.inputs]
        self.rows = np.arange(len(self.centre))
        self.jacobian = [rows.reshape(len(self.rows), -1) for rows in jacobian]
        self.numeric = [np.zeros_like(rows) for rows in self.jacobian]
        self.scales = Scales(subject, self.jacobian, self.centre)
        self.complex_values = complex_values
        self.wrong = 0
        self._backward_rounding: list[Array] | None = None
        # The current element has made these largest differences of each output at any step.
        self.steepest = np.zeros(len(self.rows))
        # Each output's row may be at the kinks of elements (input, element).
        self.kink_elements: dict[int, list[tuple[int, int]]] = {}

    def measure_noise(self) -> None:
        """Measure the outputs' noise, once.

        Only where something does not agree, since it costs more evaluations than most checks.
        """
        if not self._is_measured:
            self._is_measured = True
            self.noise = measure(self.subject, self.centre)

    def check_input(self, number: int, elements: range | None = None) -> None:
        """All elements of one input, or some of them."""
        each, summary = self.subject.inputs[number], self.report.inputs[number]
        self._error[number][:], self._state[number][:] = np.nan, 0
        summary.error = self._error[number].reshape(each.array.shape)
        summary.state = self._state[number].reshape(each.array.shape)
        for j in range(each.array.size) if elements is None else elements:
            self._check_element(number, j)
            summary.compared += len(self.rows)

    def check_again(self) -> None:
        """Look again at what agreed before the noise was known, where it agrees no more with that.

        Not by chance does a value agree within a part in a million; but a function that computes in less precision
        stands still at a small step, and so agrees with a gradient of 0.
        """
        if not self._is_measured:
            return
        for number, j, first in self._unmeasured:
            analytic, numeric = self.jacobian[number][:, j], self.numeric[number][:, j]
            spread = spread_of(self.noise, 2 * first)
            if (self._judge(number, j, analytic, numeric, spread, self.rows, last=False) != OK).any():
                index = self._index(number, j)
                self._worst[number] = [found for found in self._worst[number] if found[1].index != index]
                self._check_element(number, j)
        self._unmeasured.clear()

    def _check_element(self, number: int, j: int) -> None:
        """Compare the entries of one element, and write into the report what was found."""
        summary = self.report.inputs[number]
        numeric, estimate, verdict, sides = self._element(number, j)
        analytic = self.jacobian[number][:, j]
        self.numeric[number][:, j] = numeric
        relative = relative_error(analytic, numeric, estimate)
        self._error[number][j], self._state[number][j] = relative.max(), verdict.max()
        summary.wrong += int((verdict >= WRONG_KINK).sum())
        summary.kinks += int((verdict == KINK).sum())
        summary.unresolved += int((verdict == UNRESOLVED).sum())
        self._note(number, j, relative, (analytic, numeric, estimate), verdict, sides)
        summary.worst = [element for _, element in self._worst[number]]

    def _note(
        self,
        number: int,
        j: int,
        relative: Array,
        found: tuple[Array, Array, Array],
        verdict: Array,
        sides: dict[int, tuple[float, float]],
    ) -> None:
        """Keep this element's entries if they are among the worst, and all its kinks."""
        analytic, numeric, estimate = found
        keys = [relative, relative_error(analytic, numeric), np.abs(analytic)]
        keys = [np.where(np.isnan(key), np.inf, key) for key in keys]
        # Among equals the first comes first.
        order = np.lexsort((-self.rows, *reversed(keys), verdict))[::-1][:_WORST]
        listed = set(np.nonzero((verdict == KINK) | (verdict == SKIPPED))[0].tolist())
        index, worst = self._index(number, j), self._worst[number]

        def element(row: int) -> Element:
            k, place = self.subject.output_place(row)
            return Element(
                self.subject.inputs[number].name, index, self.subject.output_names[k], place, float(analytic[row]),
                float(numeric[row]), float(estimate[row]), VERDICTS[verdict[row]], sides.get(row),
            )  # fmt: skip

        for row in listed:
            self.report.kinks.append(element(row))
            self.kink_elements.setdefault(row, []).append((number, j))
        for row in order.tolist():
            key = (float(verdict[row]), *(float(each[row]) for each in keys))
            if len(worst) < _WORST or key > worst[-1][0]:
                worst.append((key, element(row)))
                worst.sort(key=lambda pair: pair[0], reverse=True)
                del worst[_WORST:]

    def _index(self, number: int, j: int) -> tuple[int, ...]:
        shape = self.subject.inputs[number].array.shape
        return tuple(int(a) for a in np.unravel_index(j, shape)) if shape else ()

    def _element(self, number: int, j: int) -> tuple[Array, Array, Array, dict[int, tuple[float, float]]]:
        """Numeric derivatives by one element, their errors and verdicts, and one-sided ones at kinks."""
        analytic, options = self.jacobian[number][:, j], self.options
        if self.complex_values is not None:
            return self._complex(number, j, analytic)
        own, broad = float(self.scales.own[number][j]), float(self.scales.broad[number][j])
        single = self.subject.inputs[number].array.dtype.itemsize == 4
        first = options.eps if options.eps is not None else (2.0**-5 if single else _FIRST) * power_of_two(broad)
        line = self.subject.element_line(number, j)
        ladder = Ladder(line, self.centre, self.noise, self.rows)
        self.steepest[:] = 0
        numeric = np.full(len(analytic), np.nan)
        estimate = np.full(len(analytic), np.inf)
        verdict = np.full(len(analytic), WRONG, np.int8)
        if options.method == "central":
            self.measure_noise()
            ladder = Ladder(line, self.centre, self.noise, self.rows)
            ladder.add([first, first * 2 if single else first / 2])
            numeric, estimate = ladder.central()
            verdict = self._judge(number, j, analytic, numeric, estimate, self.rows)
            ladder = ladder.keep(np.nonzero(verdict == WRONG)[0])
        else:
            if options.method == "auto":
                numeric, estimate, verdict = self._pair(number, j, ladder, first, analytic)
                if not self._is_measured and (verdict == OK).all():
                    self._unmeasured.append((number, j, first))
                elif not self._is_measured:
                    self.measure_noise()
                    ladder.noise = self.noise
                    numeric, estimate, verdict = self._pair(number, j, ladder, first, analytic)
                ladder = ladder.keep(np.nonzero(verdict != OK)[0])
            else:
                self.measure_noise()
                ladder.noise = self.noise.copy()
                ladder.add([first])
            self._escalate(number, j, ladder, (first, own, broad, single), numeric, estimate, verdict)
            ladder = ladder.keep(np.nonzero(verdict[ladder.rows] != OK)[0])
        if not len(ladder.rows):
            return numeric, estimate, verdict, {}

        def judge(a: Array, n: Array, e: Array, rows: Array) -> Array:
            return self._judge(number, j, a, n, e, rows)

        tolerance = self.scales.rounding(self.noise) / broad
        sides = kinks.judge_element(ladder, analytic, numeric, estimate, verdict, tolerance, judge, options.kinks)
        return numeric, estimate, verdict, sides

    def _pair(self, number: int, j: int, ladder: Ladder, first: float, analytic: Array) -> tuple[Array, Array, Array]:
        """One pair of values, which is enough where it agrees closely and little noise is in it."""
        ladder.add([first])
        found = ladder.pair(first)
        verdict = np.full(len(analytic), WRONG, np.int8)
        if found is None:
            return np.full(len(analytic), np.nan), np.full(len(analytic), np.inf), verdict
        slope, bend, spread = found
        close = self._judge(number, j, analytic, slope, spread, self.rows, last=False) == OK
        # The mean of two unlike sides may agree as well.
        verdict[close & (bend <= 0.02 * np.abs(slope) + 2 * spread)] = OK
        # Agreement shows that no more than this was left by the step.
        return slope, spread + RTOL * np.abs(slope), verdict

    def _escalate(
        self,
        number: int,
        j: int,
        ladder: Ladder,
        scale: tuple[float, float, float, bool],
        numeric: Array,
        estimate: Array,
        verdict: Array,
    ) -> None:
        """Extrapolate: from steps around the first one, then from all, then from extreme ones, as far as needed."""
        first, own, broad, single = scale
        near = [first * RATIO**k for k in ((-1, 1, 2) if single else (-1, 1, 2, 3, 4))]
        for stage in range(3):
            left = np.nonzero(verdict[ladder.rows] != OK)[0]
            rows = ladder.rows[left]
            if not rows.size:
                return
            ladder.add(near if stage == 0 else all_steps(first, own, broad, single, stage == 2))
            if stage:
                ladder.measure_steps(broad, left)
            part = ladder.keep(left)
            if stage:
                part.measure_noise(broad)
            numeric[rows], estimate[rows] = part.central()
            self.steepest[rows] = part.steepest(broad / 64)
            analytic = self.jacobian[number][rows, j]
            found = self._judge(number, j, analytic, numeric[rows], estimate[rows], rows, last=stage == 2)
            # Outputs that bend like a kink are looked at from both sides, whatever their mean is.
            found[(found == OK) & kinks.seems_kinked(part)] = WRONG
            verdict[rows] = found
            clear = (found == WRONG) & (estimate[rows] <= RESOLUTION * np.abs(numeric[rows]))
            if stage == 2:
                self.wrong += int(clear.sum())
            elif self.wrong > _MAX_CONFIRMED and clear.all():
                # Many were looked at closely and are as wrong as they seemed.
                return

    def _judge(
        self, number: int, j: int, analytic: Array, numeric: Array, error: Array, rows: Array, last: bool = True
    ) -> Array:
        """A verdict for each entry, as if there were no kinks; a stricter one where it is not the last."""
        found = np.full(len(analytic), OK, np.int8)
        with np.errstate(all="ignore"):
            distance = np.abs(analytic - numeric)
            if self.options.has_tolerances:
                # Written so that NaN counts as wrong.
                found[~(distance <= self.options.allowed(numeric))] = WRONG
                return found
            broad = self.scales.broad[number][j]
            size = np.maximum(np.abs(analytic), np.abs(numeric))
            rounding = self.scales.rounding(self.noise)[rows] / broad
            if last and (distance > error + rounding + RTOL * size).any():
                rounding = np.maximum(rounding, self.backward_rounding[number][rows, j])
            open_part = error + rounding
            # Nothing can be said of 0 in relation to itself, nor of what rounding leaves in its place.
            negligible = _NEGLIGIBLE_AT_LAST if last else _NEGLIGIBLE
            little = (negligible * self.scales.sensitivity[rows] + 100 * self.noise[rows]) / broad
            if last:
                little = np.maximum(little, negligible * self.steepest[rows])
            left_over = np.maximum(rounding, self.scales.left_over / broad)
            is_zero = (np.abs(analytic) <= left_over) & (np.abs(numeric) <= open_part) & (error <= little)
            resolved = (open_part <= (RESOLUTION if last else FINE) * size) | is_zero
            found[~resolved] = UNRESOLVED
            # Entries that have no numeric value at all can't be told either.
            found[(distance > open_part + RTOL * size) & np.isfinite(numeric) & ~is_zero] = WRONG
            if last:
                # A function may be flat far from a small element and have all its slope near it, where noise hides it.
                flat = (found == WRONG) & (np.abs(numeric) < 0.1 * np.abs(analytic))
                if flat.any():
                    own = self.scales.own[number]
                    # Nor is all rounding of a backward pass seen at each element.
                    rounded = (self.backward_rounding[number][rows] * own).max(axis=1)
                    hidden = distance * own[j] <= np.maximum(_HIDDEN * self.noise[rows], rounded)
                    found[flat & hidden] = UNRESOLVED
        return found

    @property
    def backward_rounding(self) -> list[Array]:
        """Measure what rounding leaves in the analytic Jacobians."""
        if self._backward_rounding is None:
            self._backward_rounding = backward_rounding(self.subject, self.jacobian)
        return self._backward_rounding

    def _complex(self, number: int, j: int, analytic: Array) -> tuple[Array, Array, Array, dict]:
        """Differentiate by the complex step, which has rounding as its only error."""
        values = self.complex_values
        if values is None:
            raise ArgumentError("method='complex' needs a function of plain arrays")
        self.measure_noise()
        numeric = complex_step(lambda t: values(number, j, t), float(self.scales.own[number][j]))
        estimate = 1e-12 * np.abs(numeric) + self.scales.rounding(self.noise) / self.scales.broad[number][j]
        return numeric, estimate, self._judge(number, j, analytic, numeric, estimate, self.rows), {}

    def add_hints(self, hint: Callable[..., str | None]) -> None:
        """Name the pattern of the mistake, for the first output of each input where one is known."""
        bounds = np.cumsum([0, *(int(np.prod(shape)) for shape in self.subject.output_shapes)])
        inputs = self.subject.inputs
        for each, summary in zip(inputs, self.report.inputs, strict=True):
            if not summary.wrong:
                continue
            for k, shape in enumerate(self.subject.output_shapes):
                rows = slice(bounds[k], bounds[k + 1])
                both = [
                    {other.name: m[i][rows].reshape(shape + other.array.shape) for i, other in enumerate(inputs)}
                    for m in (self.jacobian, self.numeric)
                ]
                others = dict(zip(self.subject.output_names, self.subject.output_shapes, strict=True))
                summary.hint = hint(each.name, both[0], both[1], shape, others=others)
                if summary.hint is not None:
                    break
