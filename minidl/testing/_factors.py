"""Gradients that are the right ones times a constant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from math import e, log, pi, prod, sqrt

import numpy as np

from minidl.testing._evidence import Evidence

_LARGEST_WHOLE = 4096
_KNOWN = {
    "ln 2": log(2),
    "1 / ln 2": 1 / log(2),
    "ln 10": log(10),
    "1 / ln 10": 1 / log(10),
    "pi": pi,
    "2 pi": 2 * pi,
    "pi / 180": pi / 180,
    "180 / pi": 180 / pi,
    "sqrt(2 pi)": sqrt(2 * pi),
    "sqrt(2 / pi)": sqrt(2 / pi),
    "2 / sqrt(pi)": 2 / sqrt(pi),
    "e": e,
}


def factor(evidence: Evidence, others: Mapping[str, tuple[int, ...]]) -> str | None:
    """The sentence for a zero gradient or a constant factor, or None."""
    if not evidence.analytic.any():
        if evidence.informative(evidence.numeric) < 1:
            return None
        return (
            "the gradient is 0 everywhere: nothing arrives at this input (a detached value, or a path that the "
            "backward pass leaves out)"
        )
    constant = _constant(evidence)
    if constant is None:
        return None
    informative = evidence.informative(evidence.numeric)
    rest = evidence.fits(constant * evidence.numeric, need=1)
    if rest is None:
        return None
    words = _words(evidence, constant, informative, others)
    return None if words is None else words + rest


def _constant(evidence: Evidence) -> float | None:
    large = np.abs(evidence.numeric) > 100 * evidence.floor
    if not large.any():
        return None
    constant = float(np.median(evidence.analytic[large] / evidence.numeric[large]))
    if not constant:
        return None
    # The median is as exact as one entry; a whole number or its inverse is meant.
    for whole in (round(abs(constant)), 1 / max(round(1 / abs(constant)), 1)):
        if whole and abs(abs(constant) - whole) <= 2 * evidence.tolerance * whole:
            return whole if constant > 0 else -whole
    return constant


def _words(evidence: Evidence, constant: float, informative: int, others: Mapping[str, tuple[int, ...]]) -> str | None:
    size = abs(constant)
    sign = "" if constant > 0 else ", with the opposite sign"
    minus = "" if constant > 0 else "-"
    if informative < 2:
        return None
    if size == 1:
        return "the gradient has the opposite sign of the numeric one" if constant < 0 else None
    if size == 2:
        axes = _named(evidence, 2, others)
        mean = f"a mean over {axes or 2} is missing"
        return (
            f"the gradient is {minus}2 times the numeric one{sign}: a factor of 1/2 is missing or one of 2 is too "
            f"much, something is counted twice, or {mean}"
        )
    if size == 0.5:
        axes = _named(evidence, 2, others)
        mean = f"it was divided once too often by {axes or 2}"
        return (
            f"the gradient is {minus}half of the numeric one{sign}: a factor of 2, or one of two uses, is missing, "
            f"or {mean}"
        )
    if size == round(size) and size <= _LARGEST_WHOLE:
        whole = round(size)
        axes = _named(evidence, whole, others)
        if axes:
            return f"the gradient is {minus}{whole} times the numeric one{sign}: a mean over {axes} is missing"
        if informative < 4:
            return None
        return (
            f"the gradient is {minus}{whole} times the numeric one{sign}: a mean over {whole} (a batch size?) is "
            f"missing, or something is counted {whole} times"
        )
    inverse = round(1 / size)
    if 1 < inverse <= _LARGEST_WHOLE and abs(1 / size - inverse) < 1e-9 * inverse:
        axes = _named(evidence, inverse, others)
        if axes:
            return (
                f"the gradient is {minus}1/{inverse} of the numeric one{sign}: it was divided once too often "
                f"by {axes}, or only one of {inverse} uses is counted"
            )
        if informative < 4:
            return None
        return (
            f"the gradient is {minus}1/{inverse} of the numeric one{sign}: it was divided once too often by {inverse} "
            f"(a batch size?), or only one of {inverse} uses is counted"
        )
    # An unknown constant has to be told from the values, which takes more of them.
    if informative < (4 if np.count_nonzero(np.abs(evidence.numeric) > evidence.floor) >= 8 else 6):
        return None
    times = f"the gradient is {constant:.6g} times the numeric one"
    remark = _remark(evidence, size, others)
    return f"{times}, in all entries: {remark}" if remark else f"{times}, in all entries: a constant factor is wrong"


def _remark(evidence: Evidence, size: float, others: Mapping[str, tuple[int, ...]]) -> str:
    near = 2 * evidence.tolerance

    def means(value: float) -> bool:
        return abs(size - value) <= near * value

    known = sorted({prod(axes) for axes, _ in _sizes(evidence, others)})
    for number in known:
        if number > 2 and means(number / (number - 1)) or number > 2 and means((number - 1) / number):
            kind = "n / (n - 1)" if size > 1 else "(n - 1) / n"
            return f"{kind} for n = {number}, {_named(evidence, number, others)}; a variance of the other definition?"
    for number in known:
        for kind, value in (("the square root of", sqrt(number)), ("1 over the square root of", 1 / sqrt(number))):
            if means(value):
                return f"{kind} {number}, {_named(evidence, number, others)}"
    for name, value in _KNOWN.items():
        if means(value):
            return f"that is {name}"
    for numerator in range(1, 17):
        for denominator in range(2, 17):
            if numerator % denominator and means(numerator / denominator):
                return f"that is {numerator}/{denominator}"
    for number in range(2, 1025):
        for kind, value in (("sqrt", sqrt(number)), ("1/sqrt", 1 / sqrt(number))):
            if round(sqrt(number)) ** 2 != number and means(value):
                return f"that is {kind}({number})" if near < 1e-3 / number else ""
    return ""


def _sizes(evidence: Evidence, others: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[tuple[int, ...], str]]:
    """Sizes of axes, then of two and more axes together, and what each is called."""
    shapes = {"the output": evidence.output_shape, "the input": evidence.input_shape}
    shapes |= {repr(name): tuple(shape) for name, shape in others.items()}
    for number in range(1, 5):
        for name, shape in shapes.items():
            for axes in combinations(range(len(shape)), number):
                sizes = tuple(shape[axis] for axis in axes)
                if min(sizes, default=0) > 1:
                    listed = ", ".join(map(str, axes[:-1]))
                    plural = f"axes {listed} and {axes[-1]}" if number > 1 else f"axis {axes[0]}"
                    yield sizes, f"{plural} of {name}"


def _named(evidence: Evidence, size: int, others: Mapping[str, tuple[int, ...]]) -> str:
    """Name the axes that have this size, at most two ways of saying it; "" if none."""
    names: list[str] = []
    fewest = 0
    for sizes, name in _sizes(evidence, others):
        if prod(sizes) == size and (not fewest or len(sizes) == fewest):
            fewest = len(sizes)
            names.append(name)
    if not names:
        return ""
    return f"{' or '.join(names[:2])} (of size {size})"
