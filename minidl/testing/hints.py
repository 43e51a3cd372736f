"""Hints name known patterns of mistakes, told from the analytic and the numeric Jacobian.

A pattern is only named when it explains the entries, all of them or all but a few (which is then said), and when there
are enough different values among them that chance can be left out. Where two explanations fit, both are told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

import numpy as np

from minidl.errors import ShapeError
from minidl.testing import _factors, _moves, _uses
from minidl.testing._evidence import Evidence

Array = np.ndarray


def hint(
    analytic: Array,
    numeric: Array,
    output_shape: tuple[int, ...],
    input_shape: tuple[int, ...],
    tolerance: float = 1e-4,
    *,
    others: Mapping[str, tuple[int, ...]] | None = None,
) -> str | None:
    """Say what mistake makes one Jacobian of the other, where that is known.

    Known are: nothing arrives (all 0); another sign; a factor (2 or 1/2, the size of an axis or of several, another
    whole number, a square root, n / (n - 1), any constant); axes transposed, or data read in transposed order; axes
    flipped; a shift by one along an axis, or along two, or by up to eight along one; only the last (or first) use of a
    shared element counted; summed or averaged over an axis; absolute values; a constant along an axis too much; nothing
    at the first or last index; a part left out, or too much, where the rest is right.

    Parameters
    ----------
    analytic, numeric : ndarray, output_shape + input_shape
        The whole Jacobian of one output by one input, as the gradient says and as differences say. With the output
        shape (), the gradient of a scalar, or of a combination of the outputs.
    output_shape, input_shape : tuple of int
        How the axes are shared out.
    tolerance : float
        The relative distance up to which two values count as equal.
    others : mapping of str to tuple of int, optional
        The shapes of other inputs and outputs, in which the size behind a factor may be found.

    Returns
    -------
    str or None
        One sentence, or None where no pattern fits or there is too little to tell.

    Raises
    ------
    ShapeError
        If the Jacobians do not have the shape that the two shapes make.

    Examples
    --------
    >>> numeric = np.array([[0.3, -1.2, 0.7], [2.1, 0.4, -0.6]])
    >>> hint(-numeric, numeric, (), (2, 3))
    'the gradient has the opposite sign of the numeric one'
    >>> hint(numeric.T.reshape(2, 3), numeric, (), (2, 3))
    "the gradient is the numeric one transposed: its data lie in the order of the transpose, in the input's shape"
    >>> hint(numeric[:, ::-1], numeric, (), (2, 3))
    'the gradient is the numeric one flipped along axis 1 of the input'
    >>> hint(numeric + [[0, 0.1, 0], [0.3, 0, 0]], numeric, (), (2, 3)) is None
    True
    """
    shape = (*output_shape, *input_shape)
    for name, array in (("analytic", analytic), ("numeric", numeric)):
        if np.shape(array) != shape:
            raise ShapeError(f"hint: {name} has shape {np.shape(array)}, expected {shape} (output_shape + input_shape)")
    if not prod(shape):
        return None
    evidence = Evidence(analytic, numeric, len(output_shape), tolerance)
    if not evidence.usable:
        return None
    found: list[tuple[str, str]] = []
    for family, sentence in _explanations(evidence, others or {}):
        if family not in {name for name, _ in found}:
            found.append((family, sentence))
        if len(found) == 2:
            break
    if not found:
        return None
    sentence = found[0][1]
    return sentence if len(found) == 1 else f"{sentence}; or, which is the same here, {found[1][1]}"


def explain(
    own: str,
    analytic: Mapping[str, Array],
    numeric: Mapping[str, Array],
    output_shape: tuple[int, ...],
    tolerance: float = 1e-4,
    *,
    others: Mapping[str, tuple[int, ...]] | None = None,
) -> str | None:
    """Say what mistake is in the gradient of one of several inputs: `hint`, then `other_input`.

    Parameters
    ----------
    own : str
        Which input.
    analytic, numeric : mapping of str to ndarray, output_shape + the input's shape
        The Jacobians of one output by all inputs, by their names.
    output_shape : tuple of int
        The shape of the output.
    tolerance, others
        As in `hint`; the shapes of the other inputs are known without being told.

    Returns
    -------
    str or None
        One sentence, or None.

    Examples
    --------
    >>> numeric = {"x": np.ones((4, 3)), "bias": np.array([0.5, -0.75, 1.1])}
    >>> explain("bias", numeric | {"bias": 4 * numeric["bias"]}, numeric, ())
    "the gradient is 4 times the numeric one: a mean over axis 0 of 'x' (of size 4) is missing"
    """
    rank = len(output_shape)
    shapes = {name: each.shape[rank:] for name, each in numeric.items() if name != own}
    sentence = hint(
        analytic[own],
        numeric[own],
        output_shape,
        numeric[own].shape[rank:],
        tolerance,
        others=shapes | dict(others or {}),
    )
    return sentence or other_input(analytic[own], numeric, own, tolerance)


def other_input(analytic: Array, numeric: Mapping[str, Array], own: str, tolerance: float = 1e-4) -> str | None:
    """Say whether a gradient is that of another input.

    Parameters
    ----------
    analytic : ndarray
        The Jacobian that the gradient says.
    numeric : mapping of str to ndarray
        The Jacobians of all inputs, by their names, as differences say.
    own : str
        Which of them the gradient should be.
    tolerance : float
        As in `hint`.

    Returns
    -------
    str or None
        One sentence, or None where the gradient is of no other input, or there is too little to tell.

    Examples
    --------
    >>> numeric = {"a": np.array([0.3, -1.2, 0.7]), "b": np.array([2.1, 0.4, -0.6])}
    >>> other_input(numeric["b"], numeric, "a")
    "the gradient is that of 'b': two gradients are swapped, or one was computed twice"
    """
    # Scalars by scalars too are looked at by index.
    analytic = np.atleast_1d(analytic)
    for name, jacobian in numeric.items():
        other = np.atleast_1d(jacobian)
        if name == own or np.size(other) != np.size(analytic) or not np.size(other):
            continue
        arranged = [other] if other.shape == analytic.shape else []
        if other.ndim == analytic.ndim == 2 and other.shape == analytic.shape[::-1]:
            arranged.append(other.T)
        for candidate in arranged:
            evidence = Evidence(analytic, numeric[own], 0, tolerance)
            if evidence.usable and (rest := evidence.fits(candidate, need=3)) is not None:
                return f"the gradient is that of {name!r}: two gradients are swapped, or one was computed twice{rest}"
    return None


def _explanations(evidence: Evidence, others: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, str]]:
    """Yield what fits, as (family, sentence), the simplest first; a factor or a zero gradient ends the search."""
    sentence = _factors.factor(evidence, others)
    if sentence is not None:
        yield "factor", sentence
        return
    moved = False
    for family, sentence in _moves.moves(evidence):
        moved = True
        yield family, sentence
    if moved:
        return
    for explanation in (_uses.one_use, _uses.one_short, _uses.reduced, _uses.absolute, _uses.offset, _moves.wide_shift):
        sentence = explanation(evidence)
        if sentence is not None:
            yield "other", sentence
            return
    scaled = False
    for family, sentence in _moves.moves(evidence, allows_factor=True):
        scaled = True
        yield family, sentence
    if not scaled and (sentence := _uses.left_out(evidence)) is not None:
        yield "other", sentence
