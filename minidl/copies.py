"""Copies and pickles of tensors hold a leaf's values, gradient and settings, and never a graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minidl.autograd import TensorBase
from minidl.errors import GraphError


def leaf_state(tensor: TensorBase, op: str, refusal: str) -> dict[str, Any]:
    """All there is to a leaf but its hooks, and what subclasses have added; a recorded result is refused."""
    if not tensor.is_leaf:
        raise GraphError(f"{op}: a recorded result can't be {refusal}")
    array, order = tensor.data, None
    if array.size and 0 in array.strides:
        # The copy of an expanded array has memory for every element, in the order of C.
        array = np.ascontiguousarray(array)
    if not (array.flags.c_contiguous or array.flags.f_contiguous):
        # NumPy keeps the orders of C and Fortran alone, so other ones are brought to that of C.
        order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
        array = array.transpose(order)
    grad = tensor.grad
    added: Any = object.__getstate__(tensor)
    attributes, slots = added
    own = {name: value for name, value in slots.items() if name not in TensorBase.__slots__}
    return {
        "data": array,
        "order": order,
        "requires_grad": tensor.requires_grad,
        "grad": grad if grad is None or grad.is_leaf else grad.detach(),
        "attributes": {**(attributes or {}), **own},
    }


def restore_leaf(tensor: TensorBase, state: dict[str, Any]) -> None:
    """Fill a tensor that has nothing yet with what `leaf_state` gave."""
    array = owned(state["data"])
    TensorBase.__init__(tensor, array if state["order"] is None else array.transpose(np.argsort(state["order"])))
    tensor.requires_grad = state["requires_grad"]
    tensor.grad = state["grad"]
    for name, value in state["attributes"].items():
        object.__setattr__(tensor, name, value)


def owned(array: np.ndarray) -> np.ndarray:
    """An unpickled array that can be written to; joblib hands over large ones as files that are only read."""
    flags = array.flags
    if type(array) is np.ndarray and flags.writeable and flags.aligned:
        return array
    return np.array(array, order="K")


# Entries of a list that are searched for recorded results, at most; a larger one is data, and slow to go through.
_MAX_SEARCHED = 10_000


def recorded_within(value: Any, path: str, seen: set[int]) -> Iterator[str]:
    """The paths of recorded results in an attribute: itself, or what the lists, tuples, sets and dicts in it hold."""
    if isinstance(value, TensorBase):
        if not value.is_leaf:
            yield path
    elif isinstance(value, dict | list | tuple | set) and len(value) <= _MAX_SEARCHED and id(value) not in seen:
        # A list may hold itself.
        seen.add(id(value))
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for key, entry in entries:
            yield from recorded_within(entry, f"{path}[{key!r}]", seen)
