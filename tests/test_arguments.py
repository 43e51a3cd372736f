"""Readers of arguments: each refuses whatever is not of its kind, by name."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import arguments
from minidl.errors import ArgumentError, DTypeError, MinidlError, OutOfMemoryError, check_flag

ODD: list[Any] = [
    None, "x", b"x", [], (1,), {}, object(), 1j, np.array([1, 2]), np.array(None), np.zeros(0), minidl.ones(2),
    slice(1), np.str_("x"), np.complex64(1),
]  # fmt: skip


@pytest.mark.parametrize("value", [*ODD, True, np.True_, 1.0, nan, 2**63, -(2**63) - 1, 2**70, np.float32(1)])
def test_ints(value: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^op: size must be an int.*, got "):
        arguments.read_int("op", "size", value)


def test_ints_in_limits() -> None:
    assert type(arguments.read_int("op", "n", np.int8(3), 1, 3)) is int
    assert arguments.read_int("op", "n", 2**63 - 1) == 2**63 - 1
    for value in (0, 4):
        with pytest.raises(ArgumentError, match=rf"^op: n must be an int from 1 to 3, got {value}$"):
            arguments.read_int("op", "n", value, 1, 3)
    with pytest.raises(ArgumentError, match=r"^op: n must be an int of at least 1, got 0$"):
        arguments.read_int("op", "n", 0, 1)
    with pytest.raises(ArgumentError, match=r"^op: n must be an int of at least 1 that 64 bits hold, got 1180"):
        arguments.read_int("op", "n", 2**70, 1)


@pytest.mark.parametrize("value", [*ODD, False, 10**400])
def test_numbers(value: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^op: p must be a number.*, got "):
        arguments.read_number("op", "p", value)


def test_numbers_that_a_dtype_holds() -> None:
    assert arguments.read_number("op", "p", np.float32(0.5)) == 0.5
    assert arguments.read_number("op", "p", inf) == inf
    for value in (1e39, -(10**39), np.float64(1e300)):
        with pytest.raises(ArgumentError, match="op: p must be a number that float32 holds"):
            arguments.read_number("op", "p", value, np.dtype(np.float32))
    # NumPy would compare it as a float32, and warn of what does not fit.
    assert arguments.is_finite_number(np.float32(1)) and not arguments.is_finite_number(np.float32(inf))
    assert not any(map(arguments.is_finite_number, (True, nan, inf, 10**400, "1", None, np.ones(1))))


@pytest.mark.parametrize("value", [*ODD, 2, True, np.array("mean"), ["mean"]])
def test_choices(value: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^op: reduction must be one of 'mean', 1, got "):
        arguments.check_choice("op", "reduction", value, ("mean", 1))
    arguments.check_choice("op", "reduction", "mean", ("mean", 1))


@pytest.mark.parametrize("value", [*ODD, 0, 1, 1.0, np.array(True), np.array([True]), minidl.tensor(True)])
def test_flags(value: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^op: keepdim must be True or False, got "):
        check_flag("op", "keepdim", value)
    assert check_flag("op", "keepdim", np.True_) is True and check_flag("op", "keepdim", False) is False


def test_others() -> None:
    for value in (0, np.random.RandomState(0), "pcg"):
        with pytest.raises(DTypeError, match=r"^op: generator must be a numpy\.random\.Generator, got "):
            arguments.check_generator("op", value)
    with pytest.raises(DTypeError, match=r"^op: hook must be callable, got int"):
        arguments.check_callable("op", "hook", 3)
    for value in (3, None, np.array(1)):
        with pytest.raises(DTypeError, match=r"^op: parts must be a list of parts, got "):
            arguments.read_list("op", "parts", value, "a list of parts")
    assert arguments.read_list("op", "parts", (i for i in (1, 2)), "a list") == [1, 2]


def test_room() -> None:
    arguments.check_room("op", (1000, 1000))
    for shape in ((2**62,), (2**31, 2**31), (0, 2**70), (2**20, 2**20, 2**20)):
        with pytest.raises(
            OutOfMemoryError, match=r"^op: a result of shape .* takes .* GiB; this process has "
        ) as caught:
            arguments.check_room("op", shape)
        assert isinstance(caught.value, MemoryError)


@pytest.mark.parametrize("call", [
    lambda: minidl.zeros(2**40), lambda: minidl.full((2**31, 2**31), 1.0), lambda: minidl.ones(1).expand(2**45),
    lambda: minidl.functional.pad(minidl.ones(2, 2), (2**40, 0)),
    lambda: minidl.functional.pad(minidl.ones(1, 2, 2), (2**40, 0), mode="replicate"),
    lambda: minidl.functional.interpolate(minidl.ones(1, 1, 4), 2**40),
    lambda: minidl.functional.interpolate(minidl.ones(1, 1, 4), scale_factor=1e30),
    lambda: minidl.functional.adaptive_avg_pool2d(minidl.ones(1, 1, 4, 4), 2**31),
    lambda: minidl.functional.one_hot([2**40]), lambda: minidl.functional.one_hot([0], 2**40),
    lambda: minidl.functional.conv2d(minidl.ones(1, 1, 4, 4), minidl.ones(1, 1, 2, 2), padding=2**28),
    lambda: minidl.functional.conv_transpose2d(minidl.ones(1, 1, 4, 4), minidl.ones(1, 1, 2, 2), dilation=2**31),
    lambda: minidl.functional.unfold(minidl.ones(1, 1, 4, 4), 2, padding=2**28),
    lambda: minidl.nn.Dense(2**31, 2**31), lambda: minidl.nn.Conv2d(2**31, 2**20, 3), lambda: minidl.nn.PReLU(2**40),
    lambda: minidl.nn.BatchNorm2d(2**40), lambda: minidl.nn.LayerNorm(2**40), lambda: minidl.nn.Embedding(2**40, 3),
])  # fmt: skip
def test_sizes_that_no_memory_holds_are_refused(call: Any) -> None:
    with pytest.raises(OutOfMemoryError, match=r"^\w+: a result of shape"):
        call()


@pytest.mark.parametrize("call", [
    lambda x: x.sum(0, keepdim=np.array([True])), lambda x: x.mean(keepdim=1), lambda x: x.var(correction=(1,)),
    lambda x: x.std(correction=None), lambda x: x.max(0, keepdim="x"), lambda x: minidl.full((2,), x),
    lambda x: x.size("a"), lambda x: minidl.full((2,), None), lambda x: minidl.full("ab", 1),
    lambda x: minidl.full(2, 300, dtype="uint8"),
    lambda x: minidl.full((2,), nan, dtype="int64"), lambda x: minidl.grad(3, x), lambda x: minidl.grad(x.sum(), 0.5),
    lambda x: minidl.grad(x.sum(), x, 1.0), lambda x: minidl.grad(x.sum(), x, create_graph=np.array([1, 2])),
    lambda x: x.sum().backward(inputs=3), lambda x: x.sum().backward(retain_graph=np.zeros(0)), lambda x: x[2**63],
    lambda x: x[object()], lambda x: x.register_hook(3), lambda x: minidl.set_grad_enabled(np.array([True, False])),
    lambda x: minidl.Tensor(np.ones(2), requires_grad=np.ones(2)), lambda x: x.requires_grad_("x"),
    lambda x: minidl.no_grad()(3), lambda x: x.reshape((1,) * 65), lambda x: minidl.stack(np.array(0.5)),
    lambda x: x.__array__("no such"), lambda x: x.clip(min=1j),
    lambda x: minidl.data.Normalize(0.5, 0.5, dtype=3), lambda x: minidl.data.Normalize("a", 0.5),
    lambda x: minidl.data.Normalize([], []), lambda x: minidl.data.Normalize(0.5, 0.5)([1.0]),
    lambda x: minidl.data.Normalize(1e300, 1e-300), lambda x: minidl.data.RandomShift(2**40),
    lambda x: minidl.data.RandomShift(1)(np.ones((1, 1, 2, 2)), generator=np.random.RandomState(0)),
    lambda x: minidl.data.Compose(3), lambda x: minidl.data.Compose([lambda *a, **k: 3])(np.ones(2)),
    lambda x: minidl.data.ArrayDataset([1, 2])[5], lambda x: minidl.data.ArrayDataset([1, 2])["a"],
    lambda x: minidl.data.Subset(3, [0]), lambda x: minidl.data.DataLoader(3), lambda x: minidl.nn.ReLU().apply(3),
    lambda x: minidl.data.DataLoader(minidl.data.ArrayDataset([1]), shuffle="no"),
    lambda x: minidl.nn.ReLU().train("no"), lambda x: minidl.nn.Dense(2, 2).load_state_dict({1: 2}),
    lambda x: minidl.nn.Dense(2, 2, bias="x"), lambda x: minidl.nn.Dense(2, 2, generator=3),
    lambda x: minidl.nn.Dense(2, 2).load_state_dict({}, strict=None),
    lambda x: minidl.nn.init.uniform_(minidl.ones(2), -1e308, 1e308), lambda x: minidl.manual_seed(True),
    lambda x: minidl.nn.init.xavier_normal_(minidl.ones(2, 2), gain=-1), lambda x: minidl.set_precision(["fast"]),
    lambda x: minidl.optim.SGD([minidl.nn.Parameter([1.0])], lr=2**1100), lambda x: minidl.optim.SGD(np.array(1), lr=1),
    lambda x: minidl.optim.SGD([minidl.nn.Parameter([1.0])], lr=1).step("x"),
    lambda x: minidl.testing.miss_probability("x", 1, 1), lambda x: minidl.testing.miss_probability(1, 1, -1),
    lambda x: minidl.tensor([1.0], dtype=("a", "b")), lambda x: minidl.summary(minidl.nn.ReLU(), (2**40,)),
])  # fmt: skip
def test_what_the_fuzzer_found_is_refused(call: Any, recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(MinidlError):
        call(minidl.ones(2, 3, requires_grad=True))
    assert not recwarn.list


def test_values_beyond_a_dtype_are_infinite_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    x = minidl.ones(2)
    assert np.isinf(minidl.tensor(1e39).item()) and np.isinf((x * 1e300).data).all() and (x < 1e300).data.all()
    assert np.isinf(minidl.tensor([1e300], dtype="float64").astype("float32").data).all()
    assert x.clip(max=1e300).tolist() == [1, 1] and np.isinf(x.clip(min=1e300).data).all()
    assert minidl.tensor([nan], dtype="float64").astype("int64").shape == (1,)
    assert minidl.nn.init.calculate_gain("leaky_relu", 1e300) == 0
    assert not recwarn.list
