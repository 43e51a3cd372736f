"""The evidence that one array of derivatives explains another, and that chance could not do the same."""

from __future__ import annotations

import numpy as np

Array = np.ndarray

# An explanation may leave this share over, where there is much to explain: kinks, say, behave in their own way.
_LEFT_OVER, _MUCH = 0.02, 50
# A candidate is first tried on this many of the wrong entries, since most fail at once.
_TRIED = 64
_SEED = 20


class Evidence:
    """An analytic and a numeric Jacobian, and what a candidate in place of the numeric one explains of the analytic.

    Parameters
    ----------
    analytic, numeric : ndarray
        The Jacobians, outputs' axes first.
    outputs : int
        How many axes are the output's.
    tolerance : float
        The relative distance up to which two values count as equal.
    """

    def __init__(self, analytic: Array, numeric: Array, outputs: int, tolerance: float) -> None:
        # A scalar by a scalar is taken as an input of one element: indexing then needs no special case.
        self.analytic = np.atleast_1d(np.asarray(analytic, dtype=np.float64))
        self.numeric = np.atleast_1d(np.asarray(numeric, dtype=np.float64))
        self.outputs = outputs
        self.tolerance = max(float(tolerance), 1e-7)
        finite = np.isfinite(self.analytic) & np.isfinite(self.numeric)
        self.usable = bool(finite.all())
        if not self.usable:
            return
        scale = max(float(np.abs(self.numeric).max()), float(np.abs(self.analytic).max()))
        # Differences leave noise where the derivative is 0.
        self.floor = 1e-3 * self.tolerance * scale
        self.wrong = ~self.equal(self.analytic, self.numeric)
        self.number_wrong = int(np.count_nonzero(self.wrong))
        self.usable = self.number_wrong > 0
        if self.usable:
            places = np.flatnonzero(self.wrong)
            if len(places) > _TRIED:
                places = np.random.default_rng(_SEED).choice(places, _TRIED, replace=False)
            self._tried = np.unravel_index(places, self.wrong.shape)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of the output."""
        return self.numeric.shape[: self.outputs]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of the input."""
        return self.numeric.shape[self.outputs :]

    def axis(self, axis: int) -> str:
        """Name an axis of the Jacobian."""
        if axis < self.outputs:
            return f"axis {axis} of the output"
        return f"axis {axis - self.outputs} of the input"

    def equal(self, a: Array, b: Array) -> Array:
        """Tell where two arrays of derivatives agree."""
        near = np.abs(a - b) <= self.tolerance * np.maximum(np.abs(a), np.abs(b)) + self.floor
        return np.asarray(near)

    def informative(self, values: Array) -> int:
        """Measure how much it says that these values were met: distinct ones count, round ones (0, 1, 1/2) less."""
        sizes = np.abs(values)
        sizes = np.sort(sizes[sizes > 10 * self.floor])
        if not sizes.size:
            return 0
        steps = np.diff(sizes) > 10 * self.tolerance * sizes[1:]
        distinct = sizes[np.concatenate(([True], steps))][:50]
        twelfths = 60 * distinct
        is_round = (np.abs(twelfths - np.round(twelfths)) < 1e-5 * twelfths) & (distinct < 100)
        return int(2 * np.count_nonzero(~is_round) + np.count_nonzero(is_round) + min(values.size // 4, 3))

    def fits(
        self,
        candidate: Array,
        need: int,
        region: tuple[slice, ...] = (),
        base: Array | None = None,
    ) -> str | None:
        """Whether `candidate` is the analytic Jacobian, and not by chance.

        Parameters
        ----------
        candidate : ndarray
            What the pattern makes of the numeric Jacobian.
        need : int
            How informative the explained entries must be.
        region : tuple of slice, optional
            Compare only this part.
        base : ndarray, optional
            What the candidate would be without the pattern (a scaled numeric Jacobian, say): only entries in which it
            differs from that count as explained by the pattern.

        Returns
        -------
        str or None
            None if not; else what is left over, to be added to a sentence: "" if all is explained.
        """
        if not region:
            tried = self.equal(self.analytic[self._tried], candidate[self._tried])
            if np.count_nonzero(~tried) > 0.1 * tried.size:
                return None
        analytic, wrong, found = self.analytic[region], self.wrong[region], candidate[region]
        equal = self.equal(analytic, found)
        left = equal.size - int(np.count_nonzero(equal))
        if left > (_LEFT_OVER * equal.size if equal.size >= _MUCH else 0):
            return None
        explained = wrong & equal
        # Entries that are left over must be exceptions among the wrong ones, not only among all.
        if 10 * left > np.count_nonzero(explained) or 2 * np.count_nonzero(explained) < self.number_wrong:
            return None
        if base is not None:
            explained &= ~self.equal(found, base[region])
        # An entry's value and the one that it should have, both sides of a move, count.
        met = np.concatenate([found[explained], self.numeric[region][explained]])
        if self.informative(met) < need:
            return None
        return "" if not left else f" ({left:,} of {equal.size:,} entries are something else)"
