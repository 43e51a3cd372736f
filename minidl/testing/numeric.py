"""Derivatives of functions of arrays from their values alone, each with an estimate of its own error.

**Differences.** ``(f(x + h) - f(x - h)) / 2h`` has two errors: what the higher derivatives leave, which falls with h^2,
and the noise of f divided by h, which rises as h falls. No single step serves a gradient of unknown scale, so
differences are taken on a ladder of steps, and Richardson's extrapolation to h = 0 (as arranged by Ridders, Adv. Eng.
Software 4 (1982) 75) combines neighbours. How far an extrapolated value moved from what it was extrapolated from is
the estimate of its error by truncation.

**Noise** is measured, not assumed: in a table of differences of values at equal distances, what a smooth function
leaves vanishes and noise grows in a known way (Hamming; Moré and Wild, SIAM J. Sci. Comput. 33 (2011) 1292). A function
that computes in float32 inside is then judged by the noise that it has.

**Regimes.** Where a function changes its character between two steps (a kink nearby, values of 1e-9 beside 1, the edge
of a domain), large steps may agree among themselves and still be wrong. An estimate from larger steps is therefore
taken only while it agrees with everything that smaller steps allow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

Array = np.ndarray
# Gives the values of all outputs at x + t v, and the t that was really taken after rounding.
Line = Callable[[float], tuple[float, Array]]

# Neighbouring steps of a ladder.
RATIO = 4.0
# An extrapolated value may be off by so many times its last move.
_CAUTION = 3.0
# An error estimate holds so many standard deviations of the noise.
_DEVIATIONS = 5.0
# Points of the table that noise is read from.
_POINTS = 14
# Noise in relation to the values: more is in question.
_MUCH = 2e-5
# Less than this is left of results that are computed from many rounded ones.
_ROUNDED = 2.0**-44
# Points are so many times closer together where kinks are told from noise.
_CLOSER = 4
# That many numbers from a standard normal distribution have a 4th, 5th and 6th largest entry of this size.
_EXPECTED = {3: 0.9, 4: 0.67, 5: 0.45}
# Points are these shares of the scale apart. The finest show rounding in float64, the coarsest in float32.
_SPACINGS = {8: (2.0**-44, 2.0**-36, 2.0**-29, 2.0**-22, 2.0**-16, 2.0**-10), 4: (2.0**-20, 2.0**-17, 2.0**-14)}


def typical_scale(x: Array) -> float:
    """The scale of an array's elements: the root of the mean square of those that are not 0; 1 if all are."""
    size = np.abs(x[(x != 0) & np.isfinite(x)])
    if not size.size:
        return 1.0
    largest = size.max()
    return float(largest * np.sqrt(np.mean((size / largest) ** 2)))


def power_of_two(x: float) -> float:
    """The power of two at or below a positive number: steps by it keep x + h free of rounding where they can."""
    return math.ldexp(1.0, math.frexp(x)[1] - 1) if 0 < x < math.inf else 1.0


def spread_of(noise: Array, width: Array | float) -> Array:
    """Estimate what noise may do to a difference over a width."""
    return _DEVIATIONS * 2**0.5 * noise / width


def noise_of(values: Callable[[float, int], Array], itemsize: int) -> Array:
    """The standard deviation of the noise of each output.

    Parameters
    ----------
    values : callable
        ``values(spacing, i)`` gives the outputs i steps from the point, each about that fraction of the inputs' scale.
    itemsize : int
        Of the inputs: 8 for float64, 4 for float32.

    Returns
    -------
    ndarray
        One number an output; 0 where values stay the same or are not finite.

    Notes
    -----
    The points lie on one side, because a kink at the point itself would look like noise. At each level of the table
    the largest entries are left out, as many as a single kink or jump between two of the points touches. Levels that
    fall are a smooth function's; those of noise stay what they are, whether it is many small roundings or the few
    steps of a function that computes in less precision.

    Between points that lie far apart there may be many kinks, as in a network with ReLU. What first shows at a spacing,
    and grows with it from there, is therefore looked at again with the points closer together, if it is much more than
    results are rounded by: steps are rarer there and as high as before, or there are none and the function stands
    still; but what a kink does to a table falls with the spacing.
    """
    tables = [_table(values, spacing) for spacing in _SPACINGS[itemsize]]
    noise = np.stack([_noise_in(table) for table in tables])
    sizes = np.abs(tables).max(axis=1)
    for k in range(1, len(noise)):
        suspect = (noise[k] > 10 * noise[:k].max(axis=0)) & (noise[k] > _ROUNDED * sizes[k])
        if k + 1 < len(noise):
            suspect &= noise[k + 1] > 8 * noise[k]
        if suspect.any():
            closer = _table(values, _SPACINGS[itemsize][k] / _CLOSER)
            still = (closer[1:] == closer[:-1]).sum(axis=0) >= _POINTS // 3
            highest, previous = (np.abs(np.diff(table, 3, axis=0)).max(axis=0) for table in (closer, tables[k]))
            noise[k][suspect & ~still & (highest < 0.6 * previous)] = 0
    # A wave within the points looks like much noise at their spacing; real noise that is so large is everywhere.
    waves = (noise > _MUCH * sizes) & ((noise > 0.1 * noise.max(axis=0)).sum(axis=0) < 3)
    return np.where(waves, 0, noise).max(axis=0)


def _table(values: Callable[[float, int], Array], spacing: float) -> Array:
    """Values of all outputs at points of equal distance, shape (points, outputs)."""
    return np.stack([values(spacing, i) for i in range(1, _POINTS + 1)])


def _noise_in(table: Array) -> Array:
    """Estimate the noise of each output from a table of values."""
    found = []
    for level in range(1, 6):
        table = table[1:] - table[:-1]
        if level >= 3:
            # A level's variance is the noise's times the sum of the squared binomial coefficients.
            deviation = math.sqrt(math.comb(2 * level, level)) * _EXPECTED[level]
            found.append(np.sort(np.abs(table), axis=0)[-(level + 1)] / deviation)
    with np.errstate(all="ignore"):
        least = np.minimum(np.minimum(found[0], found[1]), found[2])
        least[~(np.isfinite(least) & (found[0] <= 10 * found[2]))] = 0
    return least


class Ladder:
    """Values of some outputs on both sides of a point, at steps of which each is 4 times the one before."""

    def __init__(self, line: Line, centre: Array, noise: Array, rows: Array) -> None:
        self._line, self.rows = line, rows
        self.centre = centre[rows]
        self.noise = noise[rows]
        self._found: dict[float, tuple[float, Array, float, Array]] = {}
        self._steps: list[float] = []

    def add(self, steps: Sequence[float]) -> None:
        """Take the values at more steps."""
        for step in steps:
            if step not in self._found and 0 < step < math.inf:
                upper, high = self._line(step)
                lower, low = self._line(-step)
                if upper > 0 > lower:
                    self._found[step] = upper, high[self.rows], -lower, low[self.rows]
        self._steps = sorted(self._found)

    def pair(self, step: float) -> tuple[Array, Array, Array] | None:
        """At one step: the central difference, how much the sides differ, and what noise may do to it."""
        if step not in self._found:
            return None
        upper, high, lower, low = self._found[step]
        with np.errstate(all="ignore"):
            slope = (high - low) / (upper + lower)
            bend = np.abs((high - self.centre) / upper - (self.centre - low) / lower)
            return slope, bend, spread_of(self.noise, upper + lower)

    def keep(self, chosen: Array) -> Ladder:
        """Restrict the ladder to some of the outputs."""
        part = Ladder(self._line, self.centre, self.noise, chosen)
        part.rows = self.rows[chosen]
        part._found = {step: (a, high[chosen], b, low[chosen]) for step, (a, high, b, low) in self._found.items()}
        part._steps = self._steps
        return part

    def _arrays(self) -> tuple[Array, Array, Array, Array]:
        """Distances above and below [step], and values there [step, output]."""
        found = [self._found[step] for step in self._steps]
        upper, lower = (np.array([each[i] for each in found]) for i in (0, 2))
        high, low = (np.stack([each[i] for each in found]) for i in (1, 3))
        return upper, high, lower, low

    def measure_noise(self, scale: float) -> None:
        """Raise the noise to what the smallest steps show, where that is more than was known.

        ``f(x + h) - 2 f(x) + f(x - h)`` is noise at the three smallest, unless it grows with h as at a kink. Where a
        function stands still on both sides and then moves on both, at much less than the scale of x, it goes by steps,
        and these are its noise.
        """
        if len(self._steps) < 3:
            return
        upper, high, lower, low = self._arrays()
        up, down = high - self.centre, low - self.centre
        with np.errstate(all="ignore"):
            bend = np.abs(up[:3] + down[:3] * (upper / lower)[:3, None])
        grows = (bend[1] >= 2 * bend[0]) & (bend[2] >= 2 * bend[1])
        seen = np.median(bend, axis=0) / 2.5
        more = np.isfinite(seen) & ~grows & (seen > self.noise)
        self.noise = np.where(more, seen, self.noise)
        # The first steps on which there is a change.
        first_up, first_down = (np.argmax(moved != 0, axis=0) for moved in (up, down))
        places = np.arange(len(self.rows))
        up, down = up[first_up, places], down[first_down, places]
        near = np.array(self._steps)[np.maximum(first_up, first_down)] < 2.0**-8 * scale
        apart = np.abs(first_up - first_down)
        with np.errstate(all="ignore"):
            stairs = near & (np.minimum(first_up, first_down) >= 2) & (apart <= 3) & (up * down < 0)
            self.noise = np.where(stairs, np.maximum(self.noise, np.fmin(np.abs(up), np.abs(down)) / 2), self.noise)

    def measure_steps(self, scale: float, chosen: Array) -> None:
        """Raise the noise of some outputs that go by steps on one side and never move on the other.

        As at the edge of a clip that is followed by less precision. A function that stands still at first may as well
        have a kink nearby; but what moves by itself from there has another value at each point.
        """
        if len(self._steps) < 3:
            return
        upper, high, lower, low = self._arrays()
        sides = [(1.0, high - self.centre), (-1.0, low - self.centre)]
        for (sign, moved), (_, other) in (sides, sides[::-1]):
            first = np.argmax(moved != 0, axis=0)
            is_near = (first >= 2) & (np.array(self._steps)[first] < 2.0**-8 * scale)
            one_sided = np.isin(np.arange(len(self.rows)), chosen) & is_near & (other == 0).all(axis=0)
            for k in np.unique(first[one_sided]).tolist():
                points = [self._line(sign * self._steps[k] * (1 + i / 32))[1][self.rows] for i in range(1, 7)]
                changes = (np.diff(np.stack(points), axis=0) != 0).sum(axis=0)
                steps = one_sided & (first == k) & (changes <= 1)
                self.noise = np.where(steps, np.fmax(self.noise, np.abs(moved[k]) / 2), self.noise)

    def central(self) -> tuple[Array, Array]:
        """Derivatives from both sides, and their errors."""
        upper, high, lower, low = self._arrays()
        width = (upper + lower)[:, None]
        with np.errstate(all="ignore"):
            slopes = (high - low) / width
            noise = spread_of(self.noise, width)
        return extrapolate(width[:, 0] / 2, slopes, noise, 2)

    def steepest(self, smallest: float) -> Array:
        """The largest one-sided difference in size, of the steps from `smallest` on."""
        upper, high, lower, low = self._arrays()
        largest = np.zeros(len(self.rows))
        for distance, values in ((upper, high), (lower, low)):
            with np.errstate(all="ignore"):
                slopes = np.abs((values - self.centre) / distance[:, None])
            slopes[~np.isfinite(slopes) | (distance < smallest)[:, None]] = 0
            np.maximum(largest, slopes.max(axis=0), out=largest)
        return largest

    def one_sided(self) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """Derivatives from below and from above, each with its error."""
        upper, high, lower, low = self._arrays()
        sides = []
        for distance, values in ((-lower, low), (upper, high)):
            with np.errstate(all="ignore"):
                slopes = (values - self.centre) / distance[:, None]
                noise = spread_of(self.noise, np.abs(distance)[:, None])
            sides.append(extrapolate(np.abs(distance), slopes, noise, 1))
        return sides[0], sides[1]

    def jump_sides(self) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """Give what `one_sided` does, without the value at the point itself, which may be on neither side's curve."""
        upper, high, lower, low = self._arrays()
        sides = []
        for distance, values in ((-lower, low), (upper, high)):
            width = np.diff(distance)[:, None]
            with np.errstate(all="ignore"):
                slopes = np.diff(values, axis=0) / width
                noise = spread_of(self.noise, np.abs(width))
            sides.append(extrapolate(np.abs(distance[1:]), slopes, noise, 1))
        return sides[0], sides[1]

    def jumps(self) -> tuple[Array, Array]:
        """Whether the function jumps below the point, and above it."""
        upper, high, lower, low = self._arrays()
        found = []
        for values in (low, high):
            with np.errstate(all="ignore"):
                gap = np.abs(values[:3] - self.centre)
            if len(gap) < 3:
                found.append(np.zeros(len(self.rows), bool))
                continue
            # At a kink or on a smooth curve it shrinks by 4 with the step, at a root by 2.
            found.append((gap[0] > 0.8 * gap[1]) & (gap[1] > 0.8 * gap[2]) & (gap[0] > 40 * self.noise))
        return found[0], found[1]

    def diverges(self) -> Array:
        """Whether the one side on which there are values gets steeper and steeper."""
        upper, high, lower, low = self._arrays()
        result = np.zeros(len(self.rows), bool)
        for distance, values in ((lower, low), (upper, high)):
            with np.errstate(all="ignore"):
                steep = np.abs(values - self.centre)[:6] / distance[:6, None]
                noise = self.noise / distance[:6, None]
                if len(steep) == 6:
                    result |= ((steep[:-1] > 1.3 * steep[1:]) & (steep[:-1] > 10 * noise[:-1])).all(axis=0)
        return result


def extrapolate(steps: Array, slopes: Array, noise: Array, power: int, levels: int = 3) -> tuple[Array, Array]:
    """The limits of slopes for steps towards 0.

    Parameters
    ----------
    steps : ndarray
        Ascending, shape (K,).
    slopes, noise : ndarray
        What the differences are at each step, and what their noise may be, shape (K, R). NaN: no value there.
    power : int
        The error of a slope falls with step^power and its multiples: 2 for central differences, 1 for one-sided ones.
    levels : int
        How many times neighbours are combined.

    Returns
    -------
    limit, error : ndarray
        Shape (R,); NaN and infinity where there is no slope at all.
    """
    count = len(steps)
    values, spreads = [slopes], [noise]
    with np.errstate(all="ignore"):
        # Without a neighbour to combine with, the difference from one says enough.
        change = np.full(slopes.shape, np.inf)
        if count > 1:
            differences = np.abs(slopes[1:] - slopes[:-1])
            change[:-1] = differences
            change[1:] = np.where(np.isfinite(change[1:]), change[1:], differences)
            change[-1] = differences[-1]
        elif count:
            change[0] = np.abs(slopes[0])
        errors = [change + noise]
        if count > 1:
            # A difference of values that rounding explains says nothing of convergence.
            quiet = differences <= 0.5 * (noise[1:] + noise[:-1])
            doubt = _doubt(differences, quiet, power)
            left = change[:-1] * doubt
            errors[0][:-1] = left + noise[:-1]
        for level in range(1, min(levels, count - 1) + 1):
            gain = ((steps[level:] / steps[:-level]) ** power)[:, None]
            fine, coarse = values[-1][:-1], values[-1][1:]
            quiet = np.abs(fine - coarse) <= 0.5 * (spreads[-1][:-1] + spreads[-1][1:])
            move = (fine - coarse) / (gain - 1)
            spread = (gain * spreads[-1][:-1] + spreads[-1][1:]) / (gain - 1)
            values.append(fine + move)
            spreads.append(spread)
            own = _doubt(np.abs(move), quiet, power * level)
            # A combination of doubtful values is doubtful.
            doubt = own if level == 1 else np.maximum(own, np.maximum(doubt[:-1], doubt[1:]))
            size = _CAUTION * np.abs(move) * np.where(quiet, 1.0, doubt)
            # Combining more values gains nothing where the steps' powers are not those of a smooth function.
            left = np.where((doubt > 1) & ~quiet, np.maximum(size, left[: len(size)]), size)
            errors.append(left + spread)
        best = np.full(slopes.shape[1], np.nan)
        error = np.full(slopes.shape[1], np.inf)
        blocked = np.zeros(slopes.shape[1], bool)
        # Slopes say how wide the function is, not how steep, where a larger step changes the value clearly less than a
        # smaller one did.
        moved = np.abs(slopes) * steps[:, None]
        most = np.fmax.accumulate(np.where(np.isfinite(moved), moved, 0), axis=0)
        narrower = (moved < 0.5 * most) & (most > 4 * noise * steps[:, None])
        for k in range(count):
            blocked |= narrower[k]
            for level in range(len(values)):
                if k + level >= count:
                    break
                value, own = values[level][k], errors[level][k]
                usable = np.isfinite(own) & np.isfinite(value) & ~blocked
                apart = np.abs(value - best)
                blocked |= usable & (apart > 2 * (own + error))
                # One small move of an extrapolation may be chance: it also has to agree with what smaller steps gave.
                own = np.fmax(own, apart)
                take = usable & ~blocked & (own < error)
                best = np.where(take, value, best)
                error = np.where(take, own, error)
    return best, error


def _doubt(move: Array, quiet: Array, power: int) -> Array:
    """Give what an estimated error is to be multiplied by, because moves don't shrink with the step as they should.

    For a smooth function each is the one at the next larger step, divided by the ratio of the steps to this power. If
    they shrink less, what is left is a geometric series; if they hardly shrink, there is no telling. That holds no
    more once the moves are noise.
    """
    # Two values alone have to do; of more, the last one and one beside a gap are not needed.
    factor = np.full(move.shape, 2.0 if len(move) < 3 else np.inf)
    q = move[:-1] / move[1:]
    smooth = q <= 1.3 * RATIO**-power
    factor[:-1] = np.where(smooth, 1.0, np.where(q < 0.9, 1.5 / (1 - q), factor[-1]))
    factor[quiet] = 1.0
    return factor


def complex_step(values: Callable[[complex], Array], scale: float) -> Array:
    """Derivatives without differences: the imaginary part of ``f(x + ih) / h`` at a tiny h.

    Nothing is subtracted, so h may be so small that no truncation is left (Squire and Trapp, SIAM Review 40 (1998)
    110). The function must be analytic: no absolute values, comparisons of complex numbers, or casts to real ones.
    """
    step = 2.0**-70 * power_of_two(scale)
    return values(1j * step).imag / step
