"""mode="full": every entry of the Jacobian."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from minidl.errors import ArgumentError
from minidl.testing import kinks
from minidl.testing.numeric import RATIO, Ladder, complex_step, power_of_two
from minidl.testing.report import VERDICTS, Element, GradcheckReport, Problem, relative_error
from minidl.testing.rounding import backward_rounding, measure, rounded
from minidl.testing.scales import Scales, all_steps
from minidl.testing.subject import Options, Subject

Array = np.ndarray

# What right gradients may differ by for other reasons than the numeric side's error: their own rounding.
RTOL = 1e-6
# An entry is resolved when the numeric side leaves no more than this of it open: the first is aimed at; with the
# second, for want of more, 1e-4 can't hide.
FINE = 3e-6
RESOLUTION = 3e-5
# What the numeric side may leave open where 0 is right, of the sensitivity to other elements: at first, and at last.
_NEGLIGIBLE = 1e-8
_NEGLIGIBLE_AT_LAST = 1e-5
# The first step, of the element's scale: an error of h^2 = 1.5e-8, and little noise.
_FIRST = 2.0**-13
_WORST = 5
# What an element may change an output by without showing, in units of its noise.
_HIDDEN = 20
# Entries that seem wrong are looked at with all steps, until so many were.
_MOST_CONFIRMED = 200

OK, UNRESOLVED, SKIPPED, KINK, WRONG_KINK, WRONG = range(1, len(VERDICTS))


def check_full(
    subject: Subject,
    options: Options,
    report: GradcheckReport,
    complex_values: Callable[[int, int, complex], Array] | None = None,
    hint: Callable[..., str | None] | None = None,
) -> None:
    """Compare all entries, and write what was found into the report."""
    centre = subject.first(options.nondet_tol)
    subject.report_inputs(report)
    if not centre.size or not any(each.array.size for each in subject.inputs):
        return
    jacobian, came = subject.jacobian()
    checker = Checker(subject, options, report, jacobian, complex_values)
    report.problems += check_linearity(checker)
    for number in range(len(subject.inputs)):
        checker.check_input(number, came[number])
        subject.look_for_changes()
    if checker.at_kinks:
        checker.measure_noise()
    kinks.check_joint(subject, options, report, centre, jacobian, checker.noise, checker.at_kinks)
    if hint is not None:
        checker.add_hints(hint)


def check_linearity(checker: Checker) -> Iterator[Problem]:
    """Whether the gradients of unit upstreams add up to that of a random one, and are the same every time.

    A backward pass that forgets to multiply by its upstream gradient is right for an upstream of 1.
    """
    subject, jacobian, options = checker.subject, checker.jacobian, checker.options
    count = len(checker.rows)
    u = options.random.uniform(0.5, 1.5, count) * np.where(options.random.random(count) < 0.5, -1.0, 1.0)
    # Few digits, so that float32 holds them too.
    u = np.round(u * 16) / 16
    size = np.abs(u)
    found = subject.pull_back(list(subject.split(u)))
    again = subject.pull_back(list(subject.split(u)))
    for each, one, other in zip(subject.inputs, found, again, strict=True):
        if one is not None and other is not None:
            differs = ~(np.abs(one - other) <= options.nondet_tol)
            if differs.any():
                j = int(np.argmax(differs))
                message = (
                    f"the gradient of {each.name} is {one.reshape(-1)[j]:.9g} in one backward pass and "
                    f"{other.reshape(-1)[j]:.9g} in the next (element {j}), for the same inputs and upstream gradient"
                )
                yield Problem("nondeterministic", message, each.name)
    for number, (each, rows, g) in enumerate(zip(subject.inputs, jacobian, found, strict=True)):
        expected = (rows * u[:, None]).sum(axis=0)
        actual = np.zeros(expected.shape) if g is None else g.reshape(-1).astype(np.float64)
        relative = 1e-9 if each.array.dtype == np.float64 else 1e-4
        # An element's own size, since what cancels may have come through it alone.
        small = (relative * checker.scales.sensitivity * size).sum() / checker.scales.own[number]
        small = small + 1e-4 * (np.abs(rows) * size[:, None]).sum(axis=0)
        wrong = ~(np.abs(actual - expected) <= small)
        if wrong.any():
            checker.measure_noise()
            small = small + (100 * checker.noise * size).sum() / checker.scales.own[number]
            small = small + (checker.backward_rounding[number] * size[:, None]).sum(axis=0)
            wrong = ~(np.abs(actual - expected) <= small)
        if wrong.any():
            j = int(np.argmax(wrong))
            yield Problem(
                "upstream",
                f"the gradient of {each.name} is not linear in the upstream gradient: element {j} is "
                f"{actual[j]:.9g} for a random one, whose parts alone add up to {expected[j]:.9g}; is the upstream "
                "gradient used as a factor?",
                each.name,
            )


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
        self.rows = np.arange(len(self.centre))
        self.jacobian = [rows.reshape(len(self.rows), -1) for rows in jacobian]
        self.numeric = [np.zeros_like(rows) for rows in self.jacobian]
        self.scales = Scales(subject, self.jacobian, self.centre)
        self.complex_values = complex_values
        self.wrong = 0
        self._backward_rounding: list[Array] | None = None
        # Of the current element, the largest differences of each output at any step.
        self.steepest = np.zeros(len(self.rows))
        # For each output's row, the elements (input, element) at whose kinks it is.
        self.at_kinks: dict[int, list[tuple[int, int]]] = {}

    def measure_noise(self) -> None:
        """Measure the outputs' noise, once.

        Only where something does not agree, since it costs more evaluations than most checks: whatever agrees closely
        with less noise in mind does so with more.
        """
        if not self._is_measured:
            self._is_measured = True
            self.noise = measure(self.subject, self.centre)

    def check_input(self, number: int, came: bool, elements: range | None = None) -> None:
        """All elements of one input, or some of them."""
        each, summary = self.subject.inputs[number], self.report.inputs[number]
        size = each.array.size
        error, state = np.full(size, np.nan), np.zeros(size, np.int8)
        worst: list[tuple[tuple[float, ...], Element]] = []
        for j in range(size) if elements is None else elements:
            numeric, estimate, verdict, sides = self._element(number, j)
            analytic = self.jacobian[number][:, j]
            self.numeric[number][:, j] = numeric
            relative = relative_error(analytic, numeric, estimate)
            error[j] = relative.max()
            state[j] = verdict.max()
            summary.compared += len(verdict)
            summary.wrong += int((verdict >= WRONG_KINK).sum())
            summary.kinks += int((verdict == KINK).sum())
            summary.unresolved += int((verdict == UNRESOLVED).sum())
            self._note(worst, number, j, relative, (analytic, numeric, estimate), verdict, sides)
        summary.error, summary.state = error.reshape(each.array.shape), state.reshape(each.array.shape)
        summary.worst = [element for _, element in worst]
        if not came and summary.compared:
            # Where a gradient that is always 0 is right, None is as well.
            if summary.wrong:
                message = f"no gradient came for {each.name} (None), and the outputs depend on it"
                self.report.problems.append(Problem("missing gradient", message, each.name))
            else:
                message = f"nothing depends on {each.name}, and no gradient came for it"
                self.report.problems.append(Problem("unused", message, each.name))

    def _note(
        self,
        worst: list,
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
        shape = self.subject.inputs[number].array.shape
        index = tuple(int(a) for a in np.unravel_index(j, shape)) if shape else ()

        def element(row: int) -> Element:
            k, place = self.subject.output_place(row)
            return Element(
                self.subject.inputs[number].name, index, self.subject.output_names[k], place, float(analytic[row]),
                float(numeric[row]), float(estimate[row]), VERDICTS[verdict[row]], sides.get(row),
            )  # fmt: skip

        for row in listed:
            self.report.kinks.append(element(row))
            self.at_kinks.setdefault(row, []).append((number, j))
        for row in order.tolist():
            key = (float(verdict[row]), *(float(each[row]) for each in keys))
            if len(worst) < _WORST or key > worst[-1][0]:
                worst.append((key, element(row)))
                worst.sort(key=lambda pair: pair[0], reverse=True)
                del worst[_WORST:]

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
                ladder = ladder.keep(np.nonzero(verdict != OK)[0])
            else:
                ladder.add([first])
            if len(ladder.rows):
                self.measure_noise()
                ladder.noise = self.noise[ladder.rows]
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
            part = ladder.keep(left)
            if stage:
                part.measure_noise(broad)
            numeric[rows], estimate[rows] = part.central()
            self.steepest[rows] = part.steepest(broad / 64)
            analytic = self.jacobian[number][rows, j]
            found = self._judge(number, j, analytic, numeric[rows], estimate[rows], rows, last=stage == 2)
            # What bends like a kink is looked at from both sides, whatever their mean is.
            found[(found == OK) & kinks.seems_kinked(part)] = WRONG
            verdict[rows] = found
            clear = (found == WRONG) & (estimate[rows] <= RESOLUTION * np.abs(numeric[rows]))
            if stage == 2:
                self.wrong += int(clear.sum())
            elif self.wrong > _MOST_CONFIRMED and clear.all():
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
            # What has no numeric value at all can't be told either.
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
        """What rounding leaves in the analytic Jacobians."""
        if self._backward_rounding is None:
            self._backward_rounding = backward_rounding(self.subject, self.jacobian)
        return self._backward_rounding

    def _complex(self, number: int, j: int, analytic: Array) -> tuple[Array, Array, Array, dict]:
        """By the complex step, which has rounding as its only error."""
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
