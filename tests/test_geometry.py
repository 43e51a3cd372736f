"""Windows against brute force: every place that a window can stand on is counted."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from minidl.errors import ArgumentError, ShapeError
from minidl.geometry import Padding, pair, sliding_window


def places(size: int, kernel: int, stride: int, before: int, after: int, dilation: int) -> int:
    """Try every start, and count those from which all taps stay inside the padded axis."""
    padded = size + before + after
    return sum(
        all(start + tap * dilation < padded for tap in range(kernel)) for start in range(0, padded, stride)
    )  # fmt: skip


def test_output_sizes_equal_brute_force() -> None:
    count = 0
    for size, kernel, stride, before, after, dilation in product(
        range(1, 8), range(1, 5), range(1, 4), range(3), range(3), range(1, 4)
    ):
        expected = places(size, kernel, stride, before, after, dilation)
        arguments = ((size, 9), (kernel, 2), (stride, 3), Padding(before, after, 1, 0), (dilation, 4))
        if expected == 0:
            with pytest.raises(ShapeError, match="larger than the input"):
                sliding_window("test", *arguments)
        else:
            window = sliding_window("test", *arguments)
            assert window.output_size == (expected, places(9, 2, 3, 1, 0, 4))
            # Rows and columns exchanged.
            turned = sliding_window(
                "test", (9, size), (2, kernel), (3, stride), Padding(1, 0, before, after), (4, dilation)
            )
            assert turned.output_size == window.output_size[::-1]
        count += 1
    assert count == 2268


def test_same_padding() -> None:
    for size, kernel, stride, dilation in product(range(1, 12), range(1, 6), range(1, 5), range(1, 4)):
        window = sliding_window("test", (size, 7), (kernel, 1), (stride, 1), "same", (dilation, 1))
        top, bottom, left, right = window.padding
        assert window.output_size == (-(-size // stride), 7)
        assert (left, right) == (0, 0)
        # The odd one goes below, and no more than is needed is added.
        assert bottom - top in (0, 1)
        if top + bottom:
            assert places(size, kernel, stride, top, bottom - 1, dilation) < window.output_size[0]


def test_a_window_knows_itself() -> None:
    window = sliding_window("test", (28, 30), (5, 3), 2, (2, 1), 1)
    assert window.padding == Padding(2, 2, 1, 1)
    assert window.taps == 15
    assert window.positions == 14 * 15
    assert window.packed.tolist() == [28, 30, 5, 3, 2, 2, 1, 1, 2, 1, 14, 15]
    assert not window.packed.flags.writeable
    assert sliding_window("test", (28, 30), (5, 3), 2, (2, 1), 1) is window
    assert sliding_window("test", (28, 30), [5, 3], [2, 2], [2, 1], np.int64(1)) == window
    assert hash(sliding_window("other", (28, 30), [5, 3], [2, 2], (2, 1))) == hash(window)


def test_paddings() -> None:
    assert sliding_window("test", (5, 5), 3, padding="valid").padding == Padding(0, 0, 0, 0)
    assert sliding_window("test", (5, 5), 3, padding=1).padding == Padding(1, 1, 1, 1)
    assert sliding_window("test", (5, 5), 3, padding=Padding(1, 2, 3, 4)).output_size == (6, 10)


def test_pairs() -> None:
    assert pair("op", "stride", 2, 1) == (2, 2)
    assert pair("op", "stride", (2, 3), 1) == (2, 3)
    assert pair("op", "stride", [np.int32(2), 3], 1) == (2, 3)
    assert pair("op", "stride", (4,), 1) == (4, 4)


BAD: list[Any] = [1.0, "1", None, True, (1, 2, 3), (), (1.0, 2), (True, 1), "same", {1, 2}, np.array([1, 2]), ([1], 2)]


@pytest.mark.parametrize("name", ["kernel_size", "stride", "dilation", "padding"])
@pytest.mark.parametrize("value", BAD, ids=str)
def test_what_is_no_pair_of_ints_is_refused(name: str, value: Any) -> None:
    if name == "padding" and isinstance(value, str) and value == "same":
        value = "both"
    arguments: dict[str, Any] = {"kernel_size": 1, name: value}
    # The same numbers as ints first: True and 1.0 are equal to 1, but not what is asked for.
    for good in (1, (1, 1), (1, 2)):
        sliding_window("conv2d", (5, 6), **{**arguments, name: good})
    with pytest.raises(ArgumentError, match=f"conv2d: {name} must be an int"):
        sliding_window("conv2d", (5, 6), **arguments)


@pytest.mark.parametrize("name", ["kernel_size", "stride", "dilation"])
@pytest.mark.parametrize("value", [0, -1, (1, 0), (-3, 2)], ids=str)
def test_sizes_below_one_are_refused(name: str, value: Any) -> None:
    arguments: dict[str, Any] = {"kernel_size": 1, name: value}
    with pytest.raises(ArgumentError, match=f"pool: {name} must be at least 1, got"):
        sliding_window("pool", (5, 6), **arguments)


@pytest.mark.parametrize("value", [-1, (0, -1), Padding(0, -1, 0, 0), Padding(0, 0, 0.5, 0), Padding(0, 0, True, 0)])  # type: ignore[arg-type]
def test_paddings_below_zero_and_fractions_are_refused(value: Any) -> None:
    with pytest.raises(ArgumentError, match="conv2d: padding must be"):
        sliding_window("conv2d", (5, 6), 2, padding=value)


def test_a_plain_tuple_of_four_is_no_padding() -> None:
    sliding_window("conv2d", (5, 6), 2, padding=Padding(1, 2, 1, 2))
    with pytest.raises(ArgumentError, match="padding must be an int or a pair"):
        sliding_window("conv2d", (5, 6), 2, padding=(1, 2, 1, 2))


@pytest.mark.parametrize(
    ("size", "arguments", "message"),
    [
        (
            (3, 9),
            {"kernel_size": (4, 2)},
            r"conv2d: the kernel of 4 x 2 is larger than the input of 3 x 9, padded to 3 x 9",
        ),
        (
            (9, 3),
            {"kernel_size": (2, 6), "padding": 1},
            r"kernel of 2 x 6 is larger than the input of 9 x 3, padded to 11 x 5",
        ),
        ((5, 5), {"kernel_size": 3, "dilation": (1, 3)}, r"kernel of 3 x 3 \(dilated to 3 x 7\) is larger"),
    ],
)
def test_a_window_larger_than_its_input_is_refused(size: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        sliding_window("conv2d", size, **arguments)


def test_a_dilation_that_overflows_is_refused() -> None:
    with pytest.raises(ShapeError, match="more positions than"):
        sliding_window("conv2d", (5, 6), 1, dilation=2**64)


@pytest.mark.parametrize("arguments", [{"dilation": 2**61}, {"stride": 2**61, "padding": 2**10}, {"padding": 2**61}])
def test_sizes_that_overflow_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ShapeError, match=r"larger than the input|more positions than"):
        sliding_window("conv2d", (5, 6), 3, **arguments)
