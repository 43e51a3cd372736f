"""Copies and pickles of tensors: all of a leaf, and no graph."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.copies import owned
from minidl.errors import GraphError

WAYS: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    **{
        f"protocol {p}": lambda x, p=p: pickle.loads(pickle.dumps(x, protocol=p))
        for p in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)

ARRAYS = {
    **{dtype: np.arange(6).reshape(2, 3).astype(dtype) for dtype in ("bool", "uint8", "int16", "int64", "uint64")},
    "float32": np.float32([[1.5, -0.0], [np.inf, np.nan]]),
    "float64": np.linspace(0, 1, 7),
    "no axes": np.array(2.5),
    "empty": np.zeros((2, 0, 3), np.float32),
    "Fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "channels last": np.arange(24.0).reshape(1, 4, 3, 2).transpose(0, 3, 1, 2),
    "three axes exchanged": np.arange(24.0).reshape(4, 3, 2).transpose(1, 2, 0),
    "every other": np.arange(12.0).reshape(3, 4)[:, ::2],
    "backwards": np.arange(6.0).reshape(2, 3)[::-1],
    "broadcast": np.broadcast_to(np.arange(3.0), (4, 3)),
    "large": np.arange(200_000.0),
}


@ways
@pytest.mark.parametrize("name", ARRAYS)
def test_values_dtype_and_layout_are_kept(way: Callable, name: str) -> None:
    x = minidl.Tensor(ARRAYS[name])
    twin = way(x)
    assert type(twin) is minidl.Tensor and type(twin.data) is np.ndarray
    assert twin.dtype == x.dtype and twin.shape == x.shape and twin.data.tobytes() == x.data.tobytes()
    assert not np.shares_memory(twin.data, ARRAYS[name]) and twin.data.flags.writeable and twin.is_leaf
    if name not in ("empty", "broadcast", "every other", "backwards"):
        assert twin.data.strides == x.data.strides
    assert name != "broadcast" or twin.data.flags.c_contiguous
    assert not twin.requires_grad and twin.grad is None


@ways
def test_gradients_and_requires_grad_are_kept(way: Callable) -> None:
    x = minidl.tensor([1.0, 2.0], requires_grad=True)
    (x * 3).sum().backward()
    twin = way(x)
    assert twin.requires_grad and twin.grad.tolist() == [3, 3] and not np.shares_memory(twin.grad.data, x.grad.data)
    (twin * 2).sum().backward()
    assert twin.grad.tolist() == [5, 5] and x.grad.tolist() == [3, 3]
    pair = way([x, x.grad])
    assert pair[0].grad is pair[1]
    frozen = way(nn.Parameter([1.0], requires_grad=False))
    assert type(frozen) is nn.Parameter and not frozen.requires_grad and frozen.is_initialised
    # The history of a gradient stays behind, the gradient does not.
    x.grad = None
    (x * x).sum().backward(create_graph=True)
    assert x.grad.requires_grad and not way(x).grad.requires_grad and way(x).grad.tolist() == [2, 4]


@ways
def test_what_is_one_stays_one(way: Callable) -> None:
    x = minidl.ones(2, 3)
    one, other, (third,) = way([x, x, (x,)])
    assert one is other is third
    tied = nn.Parameter(x.data)
    values, alias = way([x, tied])
    assert np.shares_memory(values.data, alias.data) and not np.shares_memory(values.data, x.data)


class Named(minidl.Tensor):
    """A subclass with a __dict__ and arguments."""

    def __init__(self, data: Any, name: str) -> None:
        super().__init__(data)
        self.name = name
        self.itself = [self]


class Slotted(nn.Parameter):
    """A subclass with slots, a private one too."""

    __slots__ = ("__hidden", "unit")

    def __init__(self, data: Any, unit: str) -> None:
        super().__init__(data)
        self.unit, self.__hidden = unit, [1]

    def hidden(self) -> list[int]:
        return self.__hidden


@ways
def test_subclasses_keep_their_attributes(way: Callable) -> None:
    named, slotted = Named([1.0], "mass"), Slotted([2.0], "kg")
    twin = way(named)
    assert type(twin) is Named and twin.name == "mass" and twin.itself == [twin] and twin.itself[0] is twin
    other = way(slotted)
    assert type(other) is Slotted and other.unit == "kg" and other.hidden() == [1] and other.is_initialised
    assert other.hidden() is not slotted.hidden()


@ways
def test_a_parameter_without_a_shape(way: Callable) -> None:
    twin = way(nn.Parameter())
    assert not twin.is_initialised and twin.requires_grad
    twin.initialise(np.ones(3))
    assert twin.tolist() == [1, 1, 1]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_recorded_result_is_not_pickled(protocol: int) -> None:
    y = minidl.ones(2, requires_grad=True) * 2
    with pytest.raises(
        GraphError, match=r"pickle: a recorded result can't be pickled with its history; use detach\(\)"
    ):
        pickle.dumps([y], protocol=protocol)
    assert pickle.loads(pickle.dumps(y.detach(), protocol=protocol)).tolist() == [2, 2]


def test_hooks_stay_behind_with_a_warning() -> None:
    x = minidl.ones(2, requires_grad=True)
    x.register_hook(lambda grad: grad * 10)
    with pytest.warns(UserWarning, match="pickle: the hooks of a tensor stay behind"):
        twin = pickle.loads(pickle.dumps(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        twins = [twin, copy.deepcopy(x)]
    for twin in twins:
        twin.sum().backward()
        assert twin.grad.tolist() == [1, 1]


def test_copies_know_nothing_of_changes_to_the_original() -> None:
    x = minidl.ones(2, requires_grad=True)
    twin = pickle.loads(pickle.dumps(x))
    loss = (twin * twin).sum()
    with minidl.no_grad():
        x.mul_(3)
    loss.backward()
    assert twin.grad.tolist() == [2, 2]


def test_buffers_out_of_band() -> None:
    x = minidl.Tensor(np.arange(1000.0))
    buffers: list[Any] = []
    packed = pickle.dumps(x, protocol=5, buffer_callback=buffers.append)
    assert len(packed) < 1000 and sum(buffer.raw().nbytes for buffer in buffers) == 8000
    # Buffers that can't be written to are copied, and others shared.
    twin = pickle.loads(packed, buffers=[bytes(buffer.raw()) for buffer in buffers])
    assert twin.data.flags.writeable and np.array_equal(twin.data, x.data)
    assert np.shares_memory(pickle.loads(packed, buffers=buffers).data, x.data)


def test_memory_of_others_is_copied(tmp_path: Any) -> None:
    array = np.arange(6.0).reshape(2, 3)
    assert owned(array) is array
    array.tofile(tmp_path / "array")
    mapped = np.memmap(tmp_path / "array", dtype=np.float64, mode="r", shape=(2, 3), order="F")
    found = owned(mapped)
    assert type(found) is np.ndarray and found.flags.writeable and found.flags.f_contiguous
    assert np.array_equal(found, mapped)
