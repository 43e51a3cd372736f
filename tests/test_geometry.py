"""Windows against brute force: every place that a window can stand on is counted."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from minidl.errors import ArgumentError, ShapeError
from minidl.geometry import (
    Padding,
    output_padding_for,
    pair,
    sides,
    sides_or_word,
    sliding_window,
    transposed_window,
)


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


def test_output_sizes_in_ceil_mode_equal_brute_force() -> None:
    count = 0
    for size, kernel, stride, dilation in product(range(1, 8), range(1, 6), range(1, 5), range(1, 4)):
        # What pooling takes: at most half a kernel of padding on a side.
        for before, after in product(range(kernel // 2 + 1), repeat=2):
            # The window that ends outside would fit if there were up to stride - 1 more positions.
            fitting = places(size, kernel, stride, before, after + stride - 1, dilation)
            expected = sum(place * stride < size + before for place in range(fitting))
            if expected == 0:
                with pytest.raises(ShapeError, match="larger than the input"):
                    sliding_window("test", (size, 1), (kernel, 1), (stride, 1), Padding(before, after, 0, 0),
                                   (dilation, 1), ceil_mode=True)  # fmt: skip
            else:
                for turned in (False, True):
                    size_, kernel_, stride_, dilation_, padding_ = (
                        ((9, size), (2, kernel), (3, stride), (4, dilation), Padding(1, 0, before, after)) if turned
                        else ((size, 9), (kernel, 2), (stride, 3), (dilation, 4), Padding(before, after, 1, 0))
                    )  # fmt: skip
                    window = sliding_window("test", size_, kernel_, stride_, padding_, dilation_, ceil_mode=True)
                    # 10 positions, 5 for a window, steps of 3: two, and a third that ends outside.
                    assert window.output_size == ((3, expected) if turned else (expected, 3))
            count += 1
    assert count == 7 * 4 * 3 * (1 + 4 + 4 + 9 + 9)


def test_windows_in_one_dimension_are_those_of_height_1() -> None:
    for ceil_mode in (False, True):
        window = sliding_window("test", (9,), (3,), (2,), (1,), 3, ceil_mode)
        assert window == sliding_window("test", (1, 9), (1, 3), (1, 2), (0, 1), (1, 3), ceil_mode)
        assert window == sliding_window("test", (9,), 3, 2, Padding(0, 0, 1, 1), (3,), ceil_mode)
    assert sliding_window("test", (9,), 4, 2, "same").padding == Padding(0, 0, 1, 2)
    assert transposed_window("test", (4,), 3, 2, 1, 1, 2) == transposed_window(
        "test", (1, 4), (1, 3), (1, 2), (0, 1), (0, 1), (1, 2)
    )


def test_messages_in_one_dimension() -> None:
    with pytest.raises(
        ShapeError, match=r"^op: the kernel of 3 \(dilated to 5\) is larger than the input of 2, padded"
    ):
        sliding_window("op", (2,), 3, 1, 1, 2)
    for name in ("kernel_size", "stride", "dilation"):
        with pytest.raises(ArgumentError, match=rf"^op: {name} must be an int or one in a tuple, got \(1, 2\)"):
            sliding_window("op", (5,), **{"kernel_size": 1, name: (1, 2)})
    with pytest.raises(
        ArgumentError, match=r"^op: padding must be an int, one in a tuple, 'same' or 'valid', got 'up'"
    ):
        sliding_window("op", (5,), 2, 1, "up")
    with pytest.raises(ArgumentError, match=r"^op: padding must have nothing above and below in one dimension"):
        sliding_window("op", (5,), 2, 1, Padding(0, 1, 2, 3))


def test_transposed_windows_give_back_the_size() -> None:
    count = 0
    for size, kernel, stride, dilation in product(range(1, 5), range(1, 5), range(1, 4), range(1, 4)):
        for before, after, extra in product(range(3), range(3), range(max(stride, dilation))):
            # By hand: the last window's last tap, cut by the padding.
            expected = (size - 1) * stride + (kernel - 1) * dilation + 1 - before - after + extra
            arguments = ((kernel, 2), (stride, 3), Padding(before, after, 1, 0), (extra, 1), (dilation, 2))
            if expected < 1:
                with pytest.raises(ShapeError, match=r"^op: an input of .* leaves nothing of it$"):
                    transposed_window("op", (size, 2), *arguments)
                continue
            window = transposed_window("op", (size, 2), *arguments)
            assert window.input_size == (expected, 6)
            assert window.output_size == tuple(window.packed[-2:]) == (size, 2)
            if extra < stride:
                forward = sliding_window("op", (expected, 6), *arguments[:3], arguments[4])
                assert window == forward
                least = tuple(n - e for n, e in zip(window.input_size, (extra, 1), strict=True))
                assert output_padding_for("op", (size, 2), window.input_size, *arguments[:3], arguments[4]) == (
                    (extra, 1)
                )
                for wrong in (least[0] - 1, least[0] + stride):
                    with pytest.raises(ArgumentError, match=r"^op: output_size must be from \("):
                        output_padding_for("op", (size, 2), (wrong, 6), *arguments[:3], arguments[4])
            count += 1
    assert count > 2000


def test_output_padding_outside_its_range_is_refused() -> None:
    for stride, dilation, extra in ((1, 1, 1), (2, 1, 2), (1, 3, 3), ((3, 2), 1, (2, 2)), (2, (3, 1), (1, 2))):
        with pytest.raises(ArgumentError, match=r"^op: output_padding must be less than stride or dilation, got"):
            transposed_window("op", (4, 5), 2, stride, 0, extra, dilation)
    with pytest.raises(ArgumentError, match="^op: output_padding must be at least 0, got -1"):
        transposed_window("op", (4, 5), 2, 2, 0, -1)
    for wrong in (9, (9,), (9, 10.0), (9, True), "ab", None, (1, 2, 9, 10)):
        with pytest.raises(ArgumentError, match="^op: output_size must be 2 ints, or a whole shape, got"):
            output_padding_for("op", (4, 5), wrong, 3, 2)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="^op: output_size must be 1 int, or"):
        output_padding_for("op", (4,), (9, 10), 3, 2)


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


def test_padding_as_layers_read_it() -> None:
    assert sides("op", 2) == Padding(2, 2, 2, 2)
    assert sides("op", (1, 2)) == Padding(1, 1, 2, 2)
    assert sides("op", 2, 1) == sides("op", (2,), 1) == Padding(0, 0, 2, 2)
    assert sides("op", Padding(*map(np.int64, (1, 2, 3, 4)))) == Padding(1, 2, 3, 4)
    assert [sides_or_word("op", word) for word in ("same", "valid")] == ["same", "valid"]
    assert sides_or_word("op", (1, 2)) == Padding(1, 1, 2, 2)
    with pytest.raises(ArgumentError, match="^op: padding must be an int or a pair of ints, got 'same'"):
        sides("op", "same")  # type: ignore[arg-type]


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
