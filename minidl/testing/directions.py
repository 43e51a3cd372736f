"""mode="random": derivatives along random directions, for inputs of millions of elements.

The gradient g of ``sum(u * outputs)``, for one random u, costs one backward pass. Along a direction v, ``<g, v>`` is
compared with the numeric derivative of that sum, which costs some twenty evaluations, however many elements there are.

**What is missed.** Let v be S z with z from a standard normal distribution and S a diagonal matrix. If g is wrong by
e, ``<e, v>`` is normal with mean 0 and standard deviation ``|S e|``. A direction passes if that is at most
``tolerance * |S g|`` in size; for an error of relative size ``delta = |S e| / |S g|`` this has the probability
``P(|N(0, 1)| <= tolerance / delta) = erf(tolerance / (sqrt(2) delta))``, and with K independent directions with its
K-th power.

**Groups.** S is one number an input, the reciprocal of its gradient's norm, so that an error of relative size delta in
one of n inputs is one of at least ``delta / sqrt(n)`` in all. Inputs whose gradients differ by more than a factor of
1000 in their effect have directions of their own, since the noise of the one would hide the other.
"""

from __future__ import annotations

import math
from math import inf

import numpy as np

from minidl.arguments import read_int, read_number
from minidl.errors import ArgumentError
from minidl.testing.checker import Checker
from minidl.testing.findings import Problem
from minidl.testing.numeric import RATIO, Ladder, typical_scale
from minidl.testing.report import GradcheckReport
from minidl.testing.rounding import backward_rounding, noise_along, rounded
from minidl.testing.subject import Found, Options, Subject

Array = np.ndarray

# Directions are added until an error of this relative size is missed with less than this probability.
_WRONG_BY = 1e-3
_MISSED = 1e-6
_FEWEST, _MOST = 3, 64
# Right gradients may differ by so much of the norm.
_TOLERANCE = 1e-6
_APART = 1e3
# A numeric side that leaves more of the norm open than this is worth another try.
_USELESS = 1e-4
# These of the steps are tried first, from the largest.
_FEW_STEPS = range(2, 9)
# Elements that bisection leaves, which are then compared one by one.
_BLOCK = 16


def miss_probability(relative_error: float, tolerance: float, directions: int) -> float:
    """The probability that mode="random" misses a wrong gradient.

    ``erf(tolerance / (sqrt(2) relative_error)) ** directions``

    Parameters
    ----------
    relative_error : float
        The norm of the gradient's error relative to the norm of the gradient.
    tolerance : float
        By how much of the gradient's norm a directional derivative may be off; the report's note says it.
    directions : int
        How many random directions are compared.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> from minidl.testing import miss_probability
    >>> print(f"{miss_probability(1e-3, 1e-6, 3):.1e}")
    5.1e-10
    """
    op = "miss_probability"
    error, allowed = (
        read_number(op, name, value) for name, value in (("relative_error", relative_error), ("tolerance", tolerance))
    )
    count = read_int(op, "directions", directions, 0)
    if not error >= 0 or not allowed >= 0:
        raise ArgumentError(f"{op}: relative_error and tolerance must be at least 0, got {error} and {allowed}")
    # As many standard deviations may lie between the two.
    width = inf if error == 0 else allowed / error
    return 1.0 if error == 0 else math.erf(width / math.sqrt(2)) ** count


class _Sum(Subject):
    """A random combination of all outputs, as one number."""

    def __init__(self, subject: Subject, weights: Array) -> None:
        self._subject, self._weights = subject, weights
        self.is_one = len(weights) == 1
        if self.is_one:
            self._weights = weights = np.ones(1)
        self._rounding: list[Array] | None = None
        super().__init__(subject.inputs, self._sum, self._back)
        self.start = subject.start
        self.output_names = [subject.output_names[0]] if self.is_one else ["sum(u * outputs)"]
        self.output_shapes = [subject.output_shapes[0] if self.is_one else ()]

    def rounding(self, gradients: list[Array]) -> list[Array]:
        """Estimate what rounding may have left in the gradients."""
        if self._rounding is None:
            self._rounding = backward_rounding(self, gradients)
        return self._rounding

    def _sum(self) -> list[tuple[str, Array]]:
        value = (self._subject.values() * self._weights).sum()
        return [(self.output_names[0], np.asarray(value).reshape(self.output_shapes[0]))]

    def _back(self, upstream: list[Array | None]) -> list[Array | None]:
        factor = 1.0 if upstream[0] is None else float(upstream[0].reshape(-1)[0])
        return self._subject.pull_back(list(self._subject.split(factor * self._weights)))


class _Derivative:
    """An analytic and a numeric derivative along one direction.

    `norm` is the gradient's, in the directions' measure, in relation to which the two may differ.
    """

    def __init__(
        self,
        subject: _Sum,
        gradients: list[Array],
        direction: list[Array | None],
        step: float,
        options: Options,
        norm: float | None = None,
    ) -> None:
        self._total, self._gradients, self._direction = subject, gradients, direction
        pairs = [(g, v) for g, v in zip(gradients, direction, strict=True) if v is not None]
        self.analytic = float(sum((g * v).sum() for g, v in pairs))
        size = math.sqrt(float(sum(((g * v) ** 2).sum() for g, v in pairs)))
        line = subject.line(direction)
        centre = subject.values()
        ladder = Ladder(line, centre, rounded(centre), np.arange(1))
        if options.has_tolerances:
            # Nobody asks for the numeric side's error, so its noise need not be known.
            self._look(ladder, size, [step * RATIO**-k for k in range(8)])
            return
        self._look(ladder, size, [step * RATIO**-k for k in _FEW_STEPS])
        # A direction that agrees closely with less noise in mind does so with more, and has been held to less.
        room = _TOLERANCE * (size if norm is None else norm)
        agree = abs(self.analytic - self.numeric) <= self.error + room
        if not agree or self.error > room > 0:
            ladder.noise = noise_along(lambda spacing, i: line(i * spacing * step * 4)[1], subject, centre)
            self._look(ladder, size, [step * RATIO**-k for k in range(14)])

    def _look(self, ladder: Ladder, size: float, steps: list[float]) -> None:
        """Take the derivative from both sides and from each."""
        ladder.add(steps)
        ladder.measure_noise(max(steps))
        value, error = ladder.central()
        self.numeric, self.error = float(value[0]), float(error[0])
        # Rounding of the sum itself.
        self.error += 1e-12 * size
        (low, low_error), (high, high_error) = ladder.one_sided()
        self.sides = sorted((float(low[0]), float(high[0])))
        self.sides_error = float(low_error[0] + high_error[0])

    def _backward_rounding(self) -> float:
        rounding = self._total.rounding(self._gradients)
        return float(
            sum((r * np.abs(v)).sum() for r, v in zip(rounding, self._direction, strict=True) if v is not None)
        )

    def excess(self, norm: float, options: Options) -> float:
        """Give how much the two differ, in units of what they may differ by."""
        distance = abs(self.analytic - self.numeric)
        if options.has_tolerances:
            allowed = float(options.allowed(np.asarray(self.numeric)))
            return distance / allowed if allowed else math.inf * (distance > 0)
        if not math.isfinite(self.error):
            return 0.0
        room = self.error + _TOLERANCE * norm
        is_between = self.sides[0] - self.sides_error - room <= self.analytic <= self.sides[1] + self.sides_error + room
        differ = self.sides[1] - self.sides[0] > 2 * self.sides_error + 1e-5 * max(map(abs, self.sides))
        if is_between and differ:
            return 0.0
        if distance > room:
            room += self._backward_rounding()
        return distance / room if room else math.inf * (distance > 0)


class _Group:
    """Inputs whose gradients are of one order of magnitude, and how far their directions reach.

    With `scaled`, each element moves in proportion to its own size: where sizes differ by orders of magnitude, a
    step that is little for the large ones may be far for the small.
    """

    def __init__(self, subject: Subject, gradients: list[Array], members: list[int], scaled: bool = False) -> None:
        self.members, self.scaled = members, scaled
        self.weights: dict[int, Array | float] = dict.fromkeys(members, 1.0)
        if scaled:
            for i in members:
                size, scale = np.abs(subject.start[i]), typical_scale(subject.start[i])
                self.weights[i] = np.where(size > 0, size, scale) / scale
            gradients = [g * self.weights[i] if i in self.weights else g for i, g in enumerate(gradients)]
        scales = {i: typical_scale(subject.start[i]) for i in members}
        norms = {i: _norm(gradients[i]) for i in members}
        # An input whose gradient is 0 goes by its own scale.
        self.factors = {i: 1 / norms[i] if norms[i] else scales[i] for i in members}
        self.step = min(scales[i] / self.factors[i] for i in members) / 16
        self.norm = math.sqrt(sum((self.factors[i] * norms[i]) ** 2 for i in members))

    def draw(self, subject: Subject, random: np.random.Generator) -> list[Array | None]:
        """One direction."""
        found: list[Array | None] = [None] * len(subject.inputs)
        for i in self.members:
            x = subject.start[i]
            found[i] = (self.factors[i] * self.weights[i] * random.standard_normal(x.shape)).astype(x.dtype)
        return found


def check_random(subject: Subject, options: Options, report: GradcheckReport) -> None:
    """Compare derivatives along random directions, and look for the place of what is wrong."""
    centre = subject.first(options.nondet_tol)
    subject.report_inputs(report)
    if not subject.has_something_to_check(report):
        return
    signs = np.where(options.random.random(len(centre)) < 0.5, -1.0, 1.0)
    total = _Sum(subject, np.round(options.random.uniform(0.5, 1.5, len(centre)) * 16) / 16 * signs)
    came = total.pull_back([np.ones(total.output_shapes[0])])
    gradients = []
    for each, g in zip(subject.inputs, came, strict=True):
        gradients.append(np.zeros(each.array.shape) if g is None else g.astype(np.float64))
        if not np.isfinite(gradients[-1]).all():
            position = np.unravel_index(int(np.argmax(~np.isfinite(gradients[-1]))), each.array.shape)
            where = f"[{', '.join(str(int(a)) for a in position)}]" if position else ""
            message = f"the gradient of {total.output_names[0]} with respect to {each.name}{where} is not finite"
            raise Found(Problem("nan gradient", message, each.name))
    _check_factor(total, gradients, report)
    summaries = []
    for group in _groups(subject, gradients):
        summaries.append(_check_group(total, group, gradients, came, options, report))
    subject.look_for_changes()
    passed = [summary for summary in summaries if summary is not None]
    # Nobody asks what a failed check would have missed.
    if passed and report:
        _note(passed, len(passed) < len(summaries), report)


def _check_factor(total: _Sum, gradients: list[Array], report: GradcheckReport) -> None:
    """Whether the upstream gradient of a single number is used as a factor."""
    found = total.pull_back([np.full(total.output_shapes[0], -2.0)])
    for each, one, g in zip(total.inputs, gradients, found, strict=True):
        two = np.zeros(one.shape) if g is None else g.astype(np.float64)
        if _norm(two + 2 * one) > 1e-4 * _norm(one):
            message = f"the gradient of {each.name} for an upstream gradient of -2 is not -2 times that for 1"
            report.problems.append(Problem("upstream", message, each.name))


def _norm(x: Array) -> float:
    largest = float(np.abs(x).max(initial=0))
    return largest * math.sqrt(float(((x / largest) ** 2).sum())) if largest else 0.0


def _groups(subject: Subject, gradients: list[Array]) -> list[_Group]:
    """The inputs by the effect that they have on the result."""
    effects = [
        (_norm(g) * typical_scale(x), i)
        for i, (g, x) in enumerate(zip(gradients, subject.start, strict=True))
        if g.size
    ]
    found: list[list[int]] = []
    largest = 0.0
    for effect, i in sorted(effects, reverse=True):
        if not found or effect * _APART < largest or (effect == 0) != (largest == 0):
            found.append([])
            largest = effect
        found[-1].append(i)
    return [_Group(subject, gradients, members) for members in found]


def _check_group(
    total: _Sum,
    group: _Group,
    gradients: list[Array],
    came: list[Array | None],
    options: Options,
    report: GradcheckReport,
) -> tuple[int, float] | None:
    """Compare a group's directions; give how many, and the largest tolerance, of the norm; None if one failed."""
    worst, done = 0.0, 0
    while True:
        direction = group.draw(total, options.random)
        derivative = _Derivative(total, gradients, direction, group.step, options, group.norm)
        if not options.has_tolerances and not group.scaled and done == 0 and derivative.error > _USELESS * group.norm:
            other = _Group(total, gradients, group.members, scaled=True)
            instead = other.draw(total, options.random)
            again = _Derivative(total, gradients, instead, other.step, options, other.norm)
            if again.error * group.norm < derivative.error * other.norm:
                group, direction, derivative = other, instead, again
        done += 1
        if derivative.excess(group.norm, options) > 1:
            _find_place(total, group, gradients, came, direction, derivative, options, report)
            return None
        allowed = float(options.allowed(np.asarray(derivative.numeric))) if options.has_tolerances else derivative.error
        worst = max(worst, allowed / group.norm if group.norm else 0.0)
        if options.directions is not None:
            if done >= options.directions:
                break
        elif done >= _MOST or (done >= _FEWEST and miss_probability(_WRONG_BY, worst + _TOLERANCE, done) <= _MISSED):
            break
    return done, worst + (0.0 if options.has_tolerances else _TOLERANCE)


def _find_place(
    total: _Sum,
    group: _Group,
    gradients: list[Array],
    came: list[Array | None],
    direction: list[Array | None],
    derivative: _Derivative,
    options: Options,
    report: GradcheckReport,
) -> None:
    """Bisect a direction to each input that is wrong, and there to a block of elements."""
    numbers = [i for i, v in enumerate(direction) if v is not None]
    wrong = []
    for i in numbers:
        only = [v if k == i else None for k, v in enumerate(direction)]
        norm = group.factors[i] * _norm(gradients[i])
        part = _Derivative(total, gradients, only, group.step, options, norm) if len(numbers) > 1 else derivative
        if part.excess(norm, options) > 1:
            wrong.append((i, only, part))
    if not wrong:
        message = (
            f"along a random direction, the derivative of {total.output_names[0]} is {derivative.numeric:.9g} "
            f"+- {derivative.error:.1e}, by the gradient it is {derivative.analytic:.9g}; no input alone shows it"
        )
        report.problems.append(Problem("direction", message))
    for i, only, part in wrong:
        name = total.inputs[i].name
        start, stop = _bisect(total, gradients, only, i, group, options)
        text = (
            f"along a random direction, the derivative of {total.output_names[0]} by {name} is {part.numeric:.9g} "
            f"+- {part.error:.1e}, by the gradient it is {part.analytic:.9g}"
        )
        if came[i] is None:
            text = f"no gradient came for {name} (None), and the outputs depend on it"
            report.problems.append(Problem("missing gradient", text, name, (start, stop)))
        checker = Checker(total, options, report, gradients)
        checker.check_input(i, range(start, stop))
        checker.check_again()
        if came[i] is None:
            continue
        if report.inputs[i].wrong or _is_wrong_at_own_scale(total, gradients, i, options):
            report.problems.append(Problem("direction", text, name, (start, stop)))
        else:
            report.notes.append(f"{text}; but its elements agree one by one, so the numeric side is taken to be wrong")


def _is_wrong_at_own_scale(total: _Sum, gradients: list[Array], number: int, options: Options) -> bool:
    """Whether directions fail that move each element in proportion to its own size, too."""
    group = _Group(total, gradients, [number], scaled=True)
    for _ in range(_FEWEST):
        derivative = _Derivative(total, gradients, group.draw(total, options.random), group.step, options, group.norm)
        if derivative.excess(group.norm, options) > 1:
            return True
    return False


def _bisect(
    total: _Sum, gradients: list[Array], direction: list[Array | None], number: int, group: _Group, options: Options
) -> tuple[int, int]:
    """The block of elements in which most of a direction's error lies."""
    whole = direction[number]
    size = 0 if whole is None else whole.size
    start, stop = 0, size
    while whole is not None and stop - start > _BLOCK:
        middle = (start + stop) // 2
        errors = []
        for first, last in ((start, middle), (middle, stop)):
            part = np.zeros(size, whole.dtype)
            part[first:last] = whole.reshape(-1)[first:last]
            only: list[Array | None] = [None] * len(direction)
            only[number] = part.reshape(whole.shape)
            derivative = _Derivative(total, gradients, only, group.step, options)
            errors.append(abs(derivative.analytic - derivative.numeric) - derivative.error)
        start, stop = (start, middle) if not errors[1] > errors[0] else (middle, stop)
    return start, stop


def _note(summaries: list[tuple[int, float]], others_failed: bool, report: GradcheckReport) -> None:
    fewest = min(done for done, _ in summaries)
    tolerance = max(worst for _, worst in summaries)
    other = "other " if others_failed else ""
    groups = f" for each of {len(summaries)} {other}groups of inputs" if len(summaries) > 1 else ""
    if others_failed and len(summaries) == 1:
        groups = " for the other group of inputs"
    parts = ", ".join(
        f"{delta:g} with probability {miss_probability(delta, tolerance, fewest):.1e}" for delta in (1e-2, 1e-3, 1e-4)
    )
    count = "1 random direction" if fewest == 1 else f"{fewest} random directions"
    report.notes.append(
        f"{count}{groups}, tolerance {tolerance:.1e} of the gradient's norm: a gradient wrong by a relative error (of "
        f"norms) of {parts} would have been missed"
    )
