"""Gradients whose entries are right and stand in the wrong place: transposed, flipped, shifted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations, product

import numpy as np

from minidl.testing._evidence import Evidence

Array = np.ndarray

_NEED = 3
# A kernel turned around is told from its values: in Jacobians of 0 and 1 other mistakes look the same.
_NEED_TURNED = 5
_FARTHEST = 9
# All orders of up to four axes; of more, only two axes are swapped.
_MAX_AXES = 4


def moves(evidence: Evidence, allows_factor: bool = False) -> Iterator[tuple[str, str]]:
    """The moves that explain the gradient, as (family, sentence), the simplest first.

    With a factor, the numeric Jacobian is also scaled to the analytic one's size: two mistakes at once.
    """
    for sign, words in _scales(evidence) if allows_factor else [(1.0, "")]:
        numeric = sign * evidence.numeric
        if abs(_norm(evidence.analytic) / max(_norm(numeric), 1e-300) - 1) < 10 * evidence.tolerance:
            yield from _bijections(evidence, numeric, words)
        if not allows_factor:
            yield from _shifts(evidence, numeric)


def _scales(evidence: Evidence) -> list[tuple[float, str]]:
    ratio = _norm(evidence.analytic) / max(_norm(evidence.numeric), 1e-300)
    found = [(-1.0, ", with the opposite sign")]
    sizes = {2, *evidence.output_shape, *evidence.input_shape} - {0, 1}
    for size in sorted(sizes):
        for value, name in ((float(size), f"{size}"), (1 / size, f"1/{size}")):
            if abs(ratio / value - 1) < 10 * evidence.tolerance:
                found += [(value, f", times {name}"), (-value, f", times -{name}")]
    return found


def _norm(array: Array) -> float:
    scale = float(np.abs(array).max())
    return scale * float(np.sqrt(np.square(array / scale).sum())) if scale else 0.0


def _bijections(evidence: Evidence, numeric: Array, words: str) -> Iterator[tuple[str, str]]:
    sides = [range(evidence.outputs, numeric.ndim), range(evidence.outputs)]
    for axes in sides:
        for candidate, sentence in _transposes(evidence, numeric, axes):
            if (rest := evidence.fits(candidate, _NEED, base=numeric)) is not None:
                yield "transposed", sentence + words + rest
                break
    for pairs in _exchanges(evidence):
        transposed = numeric
        for a, b in pairs:
            transposed = transposed.swapaxes(a, b)
        if (rest := evidence.fits(transposed, _NEED, base=numeric)) is not None:
            which = " and ".join(str(a) for a, _ in pairs)
            own = " and ".join(str(b - evidence.outputs) for _, b in pairs)
            kind = "axes" if len(pairs) > 1 else "axis"
            yield (
                "transposed",
                f"the Jacobian is transposed: {kind} {which} of the output and {kind} {own} of the input have changed "
                f"places (a matrix in place of its transpose, or a kernel or a sum that is not turned around)"
                f"{words}{rest}",
            )
            break
    for axes in sides:
        wide = [axis for axis in axes if numeric.shape[axis] > 1]
        chosen = (some for number in range(1, len(wide) + 1) for some in combinations(wide, number))
        for some in chosen:
            if (rest := evidence.fits(np.flip(numeric, some), _NEED, base=numeric)) is not None:
                where = _listed(evidence, some)
                kernel = len(some) == 2 and some == (numeric.ndim - 2, numeric.ndim - 1) and numeric.shape[-1] < 12
                guess = " (convolution in place of correlation?)" if kernel and len(axes) > 2 else ""
                yield "flipped", f"the gradient is the numeric one flipped along {where}{guess}{words}{rest}"
                break
    shape, outputs = numeric.shape, evidence.outputs
    for number in range(1, min(outputs, numeric.ndim - outputs) + 1):
        both = tuple(place for last in range(1, number + 1) for place in (outputs - last, numeric.ndim - last))
        if (
            min(shape[axis] for axis in both) > 1
            and (rest := evidence.fits(np.flip(numeric, both), _NEED_TURNED, base=numeric)) is not None
        ):
            out = _listed(evidence, tuple(range(outputs - number, outputs)))
            own = _listed(evidence, tuple(range(numeric.ndim - number, numeric.ndim)))
            yield (
                "turned",
                f"the Jacobian is flipped along {out} and {own} together: a kernel is turned around (convolution in "
                f"place of correlation?){words}{rest}",
            )
            return


def _transposes(evidence: Evidence, numeric: Array, axes: range) -> Iterator[tuple[Array, str]]:
    """The Jacobian with some axes in another order, those of two swapped axes first."""
    fixed = [axis for axis in range(numeric.ndim) if axis not in axes]
    orders = []
    if len(axes) <= _MAX_AXES:
        orders = [order for order in permutations(axes) if order != tuple(axes)]
    else:
        for a, b in combinations(axes, 2):
            swapped = list(axes)
            swapped[a - axes.start], swapped[b - axes.start] = b, a
            orders.append(tuple(swapped))
    orders.sort(key=lambda order: sum(a != b for a, b in zip(order, axes, strict=True)))
    is_input = axes.start == evidence.outputs
    for order in orders:
        whole = fixed + list(order) if axes.start else list(order) + fixed
        transposed = numeric.transpose(whole)
        own = tuple(axis - axes.start for axis in order)
        moved = [place for place, axis in enumerate(own) if place != axis]
        two = len(moved) == 2 and len(axes) == 2
        how = "transposed" if two else _ordered(moved, own)
        read = "its data lie in the order of the transpose, in the input's shape"
        if transposed.shape == numeric.shape:
            image = "the transpose of the numeric one" if two else f"the numeric one {how}"
            yield transposed, f"the gradient is {image}" if is_input else f"the upstream gradient is used {how}"
        else:
            sentence = (
                f"the gradient is the numeric one {how}: {read}"
                if is_input
                else f"the upstream gradient is used {how}: its data are read in the order of the transpose"
            )
            yield transposed.reshape(numeric.shape), sentence
            yield numeric.reshape(transposed.shape).transpose(np.argsort(whole)), sentence


def _exchanges(evidence: Evidence) -> Iterator[tuple[tuple[int, int], ...]]:
    """Axes of the output and of the input that can change places: one pair, then the last ones of both."""
    shape, outputs = evidence.numeric.shape, evidence.outputs
    inputs = len(shape) - outputs
    for a, b in product(range(outputs), range(outputs, len(shape))):
        if shape[a] == shape[b] > 1:
            yield ((a, b),)
    for number in range(2, min(outputs, inputs) + 1):
        pairs = tuple((outputs - place, len(shape) - place) for place in range(number, 0, -1))
        if all(shape[a] == shape[b] for a, b in pairs):
            yield pairs


def _ordered(moved: list[int], order: tuple[int, ...]) -> str:
    if len(moved) == 2:
        return f"with the axes {moved[0]} and {moved[1]} swapped"
    return f"with its axes in the order {order}"


def _shifts(evidence: Evidence, numeric: Array) -> Iterator[tuple[str, str]]:
    inputs = [axis for axis in range(evidence.outputs, numeric.ndim) if numeric.shape[axis] > 1]
    outputs = [axis for axis in range(evidence.outputs) if numeric.shape[axis] > 1]
    for axes in (inputs, outputs):
        steps: list[tuple[tuple[int, int], ...]] = [((axis, distance),) for axis in axes for distance in (1, -1)]
        steps += [((a, i), (b, j)) for a, b in combinations(axes, 2) for i, j in product((1, -1), repeat=2)]
        for step in steps:
            if (sentence := _shift(evidence, numeric, step)) is not None:
                yield "shifted", sentence
                return


def wide_shift(evidence: Evidence) -> str | None:
    """A shift by more than one along one axis, as when a slice begins at the wrong place."""
    for axis in [*range(evidence.outputs, evidence.numeric.ndim), *range(evidence.outputs)]:
        for distance in range(2, min(evidence.numeric.shape[axis], _FARTHEST)):
            for way in (distance, -distance):
                if (sentence := _shift(evidence, evidence.numeric, ((axis, way),))) is not None:
                    return sentence
    return None


def _shift(evidence: Evidence, numeric: Array, step: tuple[tuple[int, int], ...]) -> str | None:
    axes = tuple(axis for axis, _ in step)
    rolled = np.roll(numeric, tuple(distance for _, distance in step), axes)
    where = " and ".join(f"{distance:+} along {evidence.axis(axis)}" for axis, distance in step)
    what = f"the gradient is the numeric one shifted by {where}"
    if (rest := evidence.fits(rolled, _NEED)) is not None:
        return f"{what}, wrapped around at the edge{rest}"
    if any(numeric.shape[axis] < 2 * abs(distance) + 1 for axis, distance in step):
        return _edge_shift(evidence, rolled, step, what)
    inside = [slice(None)] * numeric.ndim
    for axis, distance in step:
        inside[axis] = slice(distance, None) if distance > 0 else slice(None, distance)
    region = tuple(inside)
    rest = evidence.fits(rolled, _NEED + 1, region)
    if rest is None:
        return None
    edge = np.ones(numeric.shape, dtype=bool)
    edge[region] = False
    empty = evidence.equal(evidence.analytic[edge], np.zeros(1)).all()
    return f"{what}{', with zeros at the edge' if empty else ' (the edge is something else)'}{rest}"


def _edge_shift(evidence: Evidence, rolled: Array, step: tuple[tuple[int, int], ...], what: str) -> str | None:
    """A shift so wide that what is left is little: it only counts if zeros come in."""
    shifted = rolled.copy()
    for axis, distance in step:
        shifted[(slice(None),) * axis + (slice(distance) if distance > 0 else slice(distance, None),)] = 0
    rest = evidence.fits(shifted, _NEED)
    return None if rest is None else f"{what}, with zeros at the edge{rest}"


def _listed(evidence: Evidence, axes: tuple[int, ...]) -> str:
    names = [evidence.axis(axis) for axis in axes]
    if len(names) == 1:
        return names[0]
    numbers = [name.split()[1] for name in names]
    return f"axes {', '.join(numbers[:-1])} and {numbers[-1]} of {names[0].split(' of ')[1]}"
