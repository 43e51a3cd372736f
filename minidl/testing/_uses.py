"""Gradients in which something is left out or taken together: uses, an edge, an axis, a sign, a mean."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidl.testing._evidence import Evidence

Array = np.ndarray


def one_use(evidence: Evidence) -> str | None:
    """Tell whether only the last (or first) of several outputs that use an element of the input counts."""
    if not evidence.outputs:
        return None
    used = np.abs(evidence.numeric) > evidence.floor
    # Entries that are not kept must be 0, which is quickly seen.
    gone = evidence.wrong & used
    if not gone.any() or evidence.equal(evidence.analytic[gone], np.zeros(1)).mean() < 0.9:
        return None
    for axes, name in _orders(evidence):
        count = int(np.prod([evidence.output_shape[axis] for axis in axes]))
        rest = [axis for axis in range(evidence.outputs) if axis not in axes]
        order = [*axes, *rest, *range(evidence.outputs, evidence.numeric.ndim)]
        flattened = used.transpose(order).reshape(count, -1, *evidence.input_shape)
        used_at: Array = np.asarray(flattened.any(axis=1))
        if not (used_at.sum(axis=0) > 1).any():
            continue
        kept = {"last": count - 1 - np.argmax(used_at[::-1], axis=0), "first": np.argmax(used_at, axis=0)}
        number = np.arange(count).reshape(
            [evidence.output_shape[a] if a in axes else 1 for a in range(evidence.outputs)]
        )
        number = number.reshape(number.shape + (1,) * len(evidence.input_shape))
        for which, step in kept.items():
            left = evidence.fits(np.where(number == step, evidence.numeric, 0), 3)
            if left is not None:
                return (
                    f"only the {which} use of each element counts: where several {name} use one, the gradient has "
                    f"only the {which} one's share (assigned in place of added up?){left}"
                )
    return None


def _orders(evidence: Evidence) -> Iterator[tuple[tuple[int, ...], str]]:
    """The orders in which outputs may be gone through: along one axis, several leading ones, all."""
    rank = evidence.outputs
    for axis in range(rank):
        if evidence.output_shape[axis] > 1:
            yield (axis,), f"indices of axis {axis} of the output"
    for number in range(2, rank + 1):
        names = "elements of the output" if number == rank else f"indices of axes 0 to {number - 1} of the output"
        yield tuple(range(number)), names


def one_short(evidence: Evidence) -> str | None:
    """All is right but for the first or last index of an axis, where the gradient is 0."""
    for axis in [*range(evidence.outputs, evidence.numeric.ndim), *range(evidence.outputs)]:
        size = evidence.numeric.shape[axis]
        if size < 3:
            continue
        for index, name in ((size - 1, "last"), (0, "first")):
            reduced_numeric = evidence.numeric.copy()
            where = (slice(None),) * axis + (index,)
            reduced_numeric[where] = 0
            left = evidence.fits(reduced_numeric, 3)
            if left is not None:
                return (
                    f"the gradient is right but for the {name} index of {evidence.axis(axis)}, where it is 0 "
                    f"(a loop or a slice that is one short?){left}"
                )
    return None


def reduced(evidence: Evidence) -> str | None:
    """The gradient is the same along an axis of the input: the sum or the mean of the numeric one."""
    for axis in range(evidence.outputs, evidence.numeric.ndim):
        size = evidence.numeric.shape[axis]
        if size < 2:
            continue
        total = evidence.numeric.sum(axis=axis, keepdims=True)
        for value, name in ((total, "sum"), (total / size, "mean")):
            left = evidence.fits(np.broadcast_to(value, evidence.numeric.shape), 4)
            if left is not None:
                return (
                    f"the gradient is the {name} of the numeric one over {evidence.axis(axis)}, repeated along it{left}"
                )
    return None


def absolute(evidence: Evidence) -> str | None:
    """The gradient is the absolute value of the numeric one."""
    for sign, name in ((1, ""), (-1, "minus ")):
        left = evidence.fits(sign * np.abs(evidence.numeric), 6)
        if left is not None:
            return f"the gradient is {name}the absolute value of the numeric one: a sign is lost{left}"
    return None


def offset(evidence: Evidence) -> str | None:
    """The two differ by the same number all along an axis of the input, as when a mean is not subtracted."""
    difference = evidence.analytic - evidence.numeric
    for axis in range(evidence.outputs, evidence.numeric.ndim):
        if evidence.numeric.shape[axis] < 3:
            continue
        centre = np.median(difference, axis=axis, keepdims=True)
        left = evidence.fits(evidence.numeric + centre, 6)
        if left is not None and evidence.informative(centre) >= 2:
            return (
                f"the gradient and the numeric one differ by the same number all along {evidence.axis(axis)}: "
                f"a mean over it, or the way through one, is missing{left}"
            )
    return None


def left_out(evidence: Evidence) -> str | None:
    """All that is wrong is 0 where it should not be, or should be 0 and is not; the rest is right."""
    right = ~evidence.wrong
    if evidence.number_wrong < 4 or np.count_nonzero(np.abs(evidence.numeric[right]) > evidence.floor) < 4:
        return None
    share = f"in the {evidence.number_wrong:,} of {evidence.wrong.size:,} entries that are wrong"
    nothing = np.zeros(1)
    if evidence.equal(evidence.analytic[evidence.wrong], nothing).all():
        if evidence.informative(evidence.numeric[evidence.wrong]) >= 4:
            return f"the gradient is 0 {share}, and right elsewhere: a part of it is left out"
    elif evidence.equal(evidence.numeric[evidence.wrong], nothing).all():
        if evidence.informative(evidence.analytic[evidence.wrong]) >= 4:
            return (
                f"the numeric gradient is 0 {share}, and the gradient is right elsewhere: it has a part too much "
                f"(a mask that is missing?)"
            )
    return None
