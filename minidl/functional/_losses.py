"""Losses share their settings, how they read inputs, and how they are reduced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from math import inf
from typing import Any

import numpy as np

from minidl import kernels
from minidl.arguments import is_finite_number
from minidl.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError, check_flag
from minidl.ops._common import as_tensor, broadcast_shape, check_choice, check_floating, check_same_dtype
from minidl.ops.arithmetic import div
from minidl.ops.casting import cast
from minidl.ops.reductions import sum as sum_of
from minidl.ops.shapes import Permute, Reshape

Array = np.ndarray
# Takes the operation, the name of the setting and its value.
Rule = Callable[[str, str, Any], Any]


def _is_number(value: Any) -> bool:
    # Infinities are numbers here, and ints that no float holds are none.
    return is_finite_number(value) or (isinstance(value, float | np.floating) and not np.isnan(value))


def _choice(*choices: Any) -> Rule:
    return lambda op, name, value: check_choice(op, name, value, choices)


def _number(low: float = -inf, high: float = inf, is_open: bool = False) -> Rule:
    """A number from low to high, or above low; NaN never is."""
    limits = f" above {low:g}" if is_open else f" from {low:g} to {high:g}" if high < inf else f" of at least {low:g}"

    def check(op: str, name: str, value: Any) -> None:
        if not _is_number(value) or not low <= value <= high or (is_open and value == low):
            raise ArgumentError(f"{op}: {name} must be a number{limits if low > -inf else ''}, got {value!r}")

    return check


def _int64(op: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or abs(int(value)) >= 2**63:
        raise ArgumentError(f"{op}: {name} must be an int of 64 bits, got {value!r}")


_RULES: dict[str, Rule] = {
    "reduction": _choice("mean", "sum", "none"),
    "ignore_index": _int64,
    "label_smoothing": _number(0, 1),
    "beta": _number(0),
    "delta": _number(0, is_open=True),
    "margin": _number(),
    "p": _number(0),
    "eps": _number(),
    "swap": check_flag,
    "log_target": check_flag,
}
# Some functions' settings have rules of their own.
_RULES_OF: dict[str, dict[str, Rule]] = {
    "kl_div": {"reduction": _choice("mean", "batchmean", "sum", "none")},
    "multi_margin_loss": {"p": _choice(1, 2)},
    "triplet_margin_loss": {"margin": _number(0, is_open=True)},
}


def check_settings(function: str, settings: Mapping[str, Any], op: str | None = None) -> None:
    """Refuse a value that a setting of a loss can't have; messages start with `op`, or with the function's name."""
    try:
        _check_once(op or function, function, **settings)
    except TypeError:
        # The value has no hash.
        _check_once.__wrapped__(op or function, function, **settings)


# Values that have passed pass again, if they are of the same types too: True equals 1.
@lru_cache(maxsize=256, typed=True)
def _check_once(op: str, function: str, **settings: Any) -> None:
    own = _RULES_OF.get(function, {})
    for name, value in settings.items():
        (own.get(name) or _RULES[name])(op, name, value)


def read_pair(op: str, **given: Any) -> list[Any]:
    """Tensors of one floating dtype and one shape: a loss broadcasts nothing, since that is a mistake as a rule."""
    tensors = [as_tensor(op, name, value) for name, value in given.items()]
    kinds = {(x.data.dtype, x.data.shape) for x in tensors}
    if len(kinds) > 1 or tensors[0].data.dtype.kind != "f":
        _check_alike(op, dict(zip(given, tensors, strict=True)))
    return tensors


def _check_alike(op: str, tensors: dict[str, Any]) -> None:
    check_same_dtype(op, **tensors)
    (first, shape), *rest = [(name, x.data.shape) for name, x in tensors.items()]
    for name, other in rest:
        if other != shape:
            raise ShapeError(f"{op}: {name} must have the shape of {first}, {shape}, got {other}")


def read_weight(op: str, name: str, weight: Any, x: Any, shape: tuple[int, ...] | None, what: str = "") -> Any:
    """A weight of the dtype of `x`: of a certain shape, or (None) one that broadcasts to that of `x`."""
    w = as_tensor(op, name, weight)
    check_same_dtype(op, input=x, **{name: w})
    if shape is not None and w.data.shape != shape:
        raise ShapeError(f"{op}: {name} must have shape {shape}, {what}, got {w.data.shape}")
    if shape is None:
        if broadcast_shape(w.data.shape, x.data.shape) != x.data.shape:
            raise ShapeError(f"{op}: {name} of shape {w.data.shape} does not broadcast to input's, {x.data.shape}")
    return w


def constant(op: str, name: str, tensor: Any) -> Array:
    """The values of a tensor that no gradient flows to, in a copy, since they may change before the backward pass."""
    if tensor.requires_grad:
        raise ArgumentError(f"{op}: {name} gets no gradient, but requires one; use detach()")
    return tensor.data.copy()


def read_signs(op: str, target: Any, dtype: np.dtype) -> Any:
    """A target of 1 and -1, as any integers or as the input's floating dtype; a tensor of that dtype."""
    t = as_tensor(op, "target", target)
    if t.data.dtype.kind in "iu":
        t = cast(t, dtype)
    if t.data.dtype != dtype:
        raise DTypeError(f"{op}: target must be {dtype} as the input, or of an integer dtype, got {t.data.dtype}")
    return t


def read_classes(op: str, x: Any, target: Any, ignore_index: int | None = None) -> Array:
    """Class numbers for scores (N, C, ...) or (C,), checked, in an array of our own."""
    t = as_tensor(op, "target", target)._data
    shape = x._data.shape
    wanted = () if len(shape) == 1 else shape[:1] + shape[2:]
    if t.size == 0 and 0 in wanted:
        t = t.astype(np.int64)
    if t.dtype.kind not in "iu":
        raise DTypeError(f"{op}: target must be class numbers of an integer dtype, got {t.dtype}")
    if t.shape != wanted:
        each = "row" if len(shape) <= 2 else "position"
        raise ShapeError(f"{op}: target must have shape {wanted}, one a {each} of input {shape}, got {t.shape}")
    classes = shape[min(1, len(shape) - 1)]
    # A copy, so that nothing can change it before the backward pass.
    numbers = t.astype(np.longlong, "C")
    if kernels.all_below(numbers, classes):
        return numbers
    wrong = (t < 0) | (t >= classes)
    if ignore_index is not None and wrong.any():
        wrong &= t != ignore_index
    if wrong.any():
        position = ", ".join(map(str, np.argwhere(wrong)[0])) or "0"
        value = t[wrong].flat[0]
        raise OutOfRangeError(f"{op}: target[{position}] is {value}, input has the classes 0 to {classes - 1}")
    return numbers


def read_scores(op: str, input: Any, spatial: bool = True) -> Any:
    """Scores (N, C) or (C,), and (N, C, d1, ...) where `spatial`."""
    x = as_tensor(op, "input", input)
    check_floating(op, "input", x)
    shape = x._data.shape
    if not shape or (len(shape) > 2 and not spatial) or shape[min(1, len(shape) - 1)] == 0:
        ranks = "2 or more dimensions (N, C, ...)" if spatial else "2 dimensions (N, C)"
        raise ShapeError(f"{op}: input must have {ranks} or 1 (C,), and classes, got shape {shape}")
    return x


def reduced(losses: Any, reduction: str, total: Any = None) -> Any:
    """The losses as they are, their sum, or their mean: the sum over `total`, their number by default. 0 / 0 is NaN."""
    if reduction == "none":
        return losses
    whole = sum_of(losses)
    if reduction == "sum":
        return whole
    return div(whole, losses.data.size if total is None else total)


def as_rows(x: Any) -> Any:
    """Scores (N, C, d1, ...) or (C,) as rows (R, C)."""
    shape = x._data.shape
    if len(shape) > 2:
        x = Permute((0, *range(2, len(shape)), 1))(x)
    return x if len(shape) == 2 else Reshape((-1, shape[min(1, len(shape) - 1)]))(x)
