"""Windows of generated geometries: values and all gradients beside the reference's and PyTorch's, in float64.

`MINIDL_EXAMPLES=3000 python -m pytest tests/test_geometries.py` tries more than the 150 geometries for each test. One
that fails is kept as an `@example` here or as a row of `op_cases`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from operator import ge
from typing import Any

import numpy as np
import parity
import pytest
from bits import bits
from geometries import (
    EXAMPLES,
    Geometry,
    convolutions,
    corners,
    dense_convolutions,
    pooling_corners,
    poolings,
    transposed_convolutions,
    values,
)
from hypothesis import given
from hypothesis import strategies as st
from parity import TOLERANCE, assert_close

import minidl
import minidl.functional as F
from minidl import reference
from minidl.kernels import REGISTRY, refusal

Array = np.ndarray
pytestmark = pytest.mark.usefixtures("threads_everywhere")

# How many examples ran, by what is compared, and by what was special about them.
examples: Counter[str] = Counter()
kinds: Counter[str] = Counter()


def value_and_gradients(function: Callable[..., Any], arrays: Sequence[Array | None], start: Array) -> list[Array]:
    """The value, and the gradients of all that is given, from the upstream gradient `start`."""
    tensors = [None if a is None else minidl.tensor(a, requires_grad=True) for a in arrays]
    y = function(*tensors)
    y.backward(start)
    return [y.data, *(t.grad.data for t in tensors if t is not None)]


def check(
    name: str,
    geometry: Geometry,
    arrays: Sequence[Array | None],
    ours: Callable[..., Any],
    theirs: Callable[..., Any],
    torch: Any,
    expected: Callable[[Array], Sequence[Array | None]],
) -> None:
    """Compare `ours` with PyTorch and with what `expected` gives for an upstream gradient, on one thread and two."""
    start = values(*ours(*arrays).shape) + 0.5
    results = []
    for threads in (1, 2):
        minidl.set_num_threads(threads)
        results.append(value_and_gradients(ours, arrays, start))
    for a, b in zip(*results, strict=True):
        assert bits(a) == bits(b), "two threads give other bits than one"
    found, scale = results[0], np.abs(start).max(initial=0)
    wanted = [a for a in expected(start) if a is not None]
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        assert_close(a, b.reshape(a.shape), TOLERANCE, f"{i} of {name} beside the reference", scale if i else 0)
    if torch is not None:
        tensors = [None if a is None else torch.tensor(a, requires_grad=True) for a in arrays]
        y = theirs(*tensors)
        y.backward(torch.tensor(start))
        wanted = [y.detach().numpy(), *(t.grad.numpy() for t in tensors if t is not None)]
        for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
            assert_close(a, b, TOLERANCE, f"{i} of {name} beside PyTorch", scale if i else 0)
    note(name, geometry)


def note(name: str, geometry: Geometry) -> None:
    """Count an example, and see that it is what the strategies promise."""
    g = geometry
    if not g.is_corner:
        for pair in (g.size, g.kernel_size, *([] if g.stride == (1, 1) else [g.stride])):
            assert len(set(pair)) == g.spatial, "square"
    examples[name.split(" by ")[0]] += 1
    if " by " in name:
        kinds[name] += 1
    kinds["an empty batch"] += g.batch == 0
    kinds["one image"] += g.batch is None
    kinds["groups"] += g.groups > 1
    kinds["four different paddings"] += len(set(g.padding)) == 4
    kinds["ceil_mode"] += g.ceil_mode
    kinds["dilation"] += max(g.dilation) > 1
    kinds["a stride beyond the kernel"] += any(s > k for s, k in zip(g.stride, g.kernel_size, strict=True))
    kinds["a kernel beyond the image"] += any(k > n for k, n in zip(g.kernel_size, g.size, strict=True))
    kinds["output padding of a stride and more"] += any(map(ge, g.output_padding, g.stride))


def has_bias(geometry: Geometry) -> bool:
    """Half of them."""
    return sum(geometry.size) % 2 == 0


def check_convolution(geometry: Geometry, torch: Any) -> None:
    g, window, groups = geometry, geometry.window, geometry.groups
    name = f"conv{g.spatial}d"
    x, weight = values(*g.shape), values(g.filters, g.channels // groups, *g.kernel_size)
    bias = values(g.filters) if has_bias(g) else None
    images, filters = g.as_batch(x), weight.reshape(*weight.shape[:2], *window.kernel_size)

    def theirs(x: Any, weight: Any, bias: Any) -> Any:
        image = torch.nn.functional.pad(x, g.sides)
        return getattr(torch.nn.functional, name)(image, weight, bias, g.stride, 0, g.dilation, groups)

    def expected(start: Array) -> list[Array | None]:
        grad = g.as_batch(start)
        value = reference.conv2d(images, filters, bias, window, groups)
        dx = reference.conv2d_input_gradient(grad, filters, window, groups)
        dw = reference.conv2d_weight_gradient(images, grad, window, groups)
        others = {
            "columns": (
                reference.conv2d_im2col(images, filters, bias, window, groups),
                *reference.conv2d_im2col_gradients(images, filters, grad, window, groups),
            ),
            "strided views": (
                reference.conv2d_im2col(images, filters, bias, window, groups, reference.unfold_strided),
                *reference.conv2d_im2col_gradients(images, filters, grad, window, groups, reference.unfold_strided),
            ),
            "a sparse matrix": (
                reference.conv2d_toeplitz(images, filters, bias, window, groups),
                *reference.conv2d_toeplitz_gradients(images, filters, grad, window, groups),
            ),
        }
        scale = np.abs(start).max(initial=0)
        for what, results in others.items():
            for i, (a, b) in enumerate(zip(results, (value, dx, dw), strict=True)):
                assert_close(a, b, TOLERANCE, f"{i} of the reference by {what}", scale if i else 0)
        return [value, dx, dw, None if bias is None else grad.sum(axis=(0, 2, 3))]

    for algorithm in ("auto", *REGISTRY) if g.spatial == 2 else ("auto",):
        if refusal(algorithm, g.channels, g.filters, groups, window, 8) is not None:
            continue
        how = {} if algorithm == "auto" else {"algorithm": algorithm}

        def ours(x: Any, weight: Any, bias: Any, how: dict[str, str] = how) -> Any:
            return getattr(F, name)(x, weight, bias, g.stride, g.padding, g.dilation, groups, **how)

        check(
            name if algorithm == "auto" else f"{name} by {algorithm}",
            g,
            [x, weight, bias],
            ours,
            theirs,
            torch,
            expected,
        )


@given(convolutions())
def test_convolution(peer: Any, geometry: Geometry) -> None:
    check_convolution(geometry, peer)


@given(dense_convolutions())
def test_dense_convolution(peer: Any, geometry: Geometry) -> None:
    check_convolution(geometry, peer)


@given(convolutions(spatial=1))
def test_convolution_in_one_dimension(peer: Any, geometry: Geometry) -> None:
    check_convolution(geometry, peer)


def check_transposed_convolution(geometry: Geometry, torch: Any) -> None:
    g, window, groups = geometry, geometry.transposed_window, geometry.groups
    name = f"conv_transpose{g.spatial}d"
    x, weight = values(*g.shape), values(g.channels, g.filters // groups, *g.kernel_size)
    bias = values(g.filters) if has_bias(g) else None
    images, filters = g.as_batch(x), weight.reshape(*weight.shape[:2], *window.kernel_size)

    def theirs(x: Any, weight: Any, bias: Any) -> Any:
        function = getattr(torch.nn.functional, name)
        y = function(x, weight, bias, g.stride, 0, g.output_padding, groups, g.dilation)
        return torch.nn.functional.pad(y, tuple(-n for n in g.sides))

    def expected(start: Array) -> list[Array | None]:
        grad = g.as_batch(start)
        extra = (0, *g.output_padding)[-2:]
        return [
            reference.conv_transpose2d(images, filters, bias, window.stride, g.padding, extra, groups, window.dilation),
            reference.conv2d(grad, filters, None, window, groups),
            reference.conv2d_weight_gradient(grad, images, window, groups),
            None if bias is None else grad.sum(axis=(0, 2, 3)),
        ]

    def ours(x: Any, weight: Any, bias: Any) -> Any:
        return getattr(F, name)(x, weight, bias, g.stride, g.padding, g.output_padding, groups, g.dilation)

    check(name, g, [x, weight, bias], ours, theirs, torch, expected)


@given(transposed_convolutions())
def test_transposed_convolution(peer: Any, geometry: Geometry) -> None:
    check_transposed_convolution(geometry, peer)


@given(transposed_convolutions(spatial=1))
def test_transposed_convolution_in_one_dimension(peer: Any, geometry: Geometry) -> None:
    check_transposed_convolution(geometry, peer)


def check_max_pooling(geometry: Geometry, ties: bool, torch: Any) -> None:
    g, window, name = geometry, geometry.window, f"max_pool{geometry.spatial}d"
    x = values(*g.shape, ties=ties)
    y, positions = reference.max_pool2d(g.as_batch(x), window)
    found = getattr(F, name)(x, g.kernel_size, g.stride, g.padding, g.dilation, g.ceil_mode, True)[1].data
    assert np.array_equal(found, positions.reshape(found.shape)), "the positions of the maxima"

    def theirs(x: Any) -> Any:
        image = torch.nn.functional.pad(x, g.sides, value=-np.inf)
        maxima, at = getattr(torch.nn.functional, name)(
            image, g.kernel_size, g.stride, 0, g.dilation, g.ceil_mode, return_indices=True
        )
        # In the padded image, where windows may also start in the padding below.
        inside = (..., *(slice(0, n) for n in window.output_size[-g.spatial :]))
        width = image.shape[-1]
        rows, columns = at[inside] // width - g.padding.top, at[inside] % width - g.padding.left
        assert np.array_equal(found, (rows * g.size[-1] + columns).numpy()), "PyTorch's positions of the maxima"
        return maxima[inside]

    def expected(start: Array) -> list[Array]:
        return [y, reference.scatter_positions(g.as_batch(start), positions, window.input_size)]

    def ours(x: Any) -> Any:
        return getattr(F, name)(x, g.kernel_size, g.stride, g.padding, g.dilation, g.ceil_mode)

    check(name, g, [x], ours, theirs, torch, expected)


@given(poolings(), st.booleans())
def test_max_pooling(peer: Any, geometry: Geometry, ties: bool) -> None:
    check_max_pooling(geometry, ties, peer)


@given(pooling_corners(), st.booleans())
def test_max_pooling_of_corners(peer: Any, geometry: Geometry, ties: bool) -> None:
    check_max_pooling(geometry, ties, peer)


@given(poolings(spatial=1), st.booleans())
def test_max_pooling_in_one_dimension(peer: Any, geometry: Geometry, ties: bool) -> None:
    check_max_pooling(geometry, ties, peer)


def counts(geometry: Geometry, count_include_pad: bool) -> Array:
    """How many positions of each window count, tap by tap."""
    window = geometry.window
    height, width = window.input_size
    top, bottom, left, right = window.padding if count_include_pad else (0, 0, 0, 0)
    out = np.zeros(window.output_size)
    for oh, ow in np.ndindex(window.output_size):
        for kh, kw in np.ndindex(window.kernel_size):
            h = oh * window.stride[0] + kh - window.padding.top
            w = ow * window.stride[1] + kw - window.padding.left
            out[oh, ow] += -top <= h < height + bottom and -left <= w < width + right
    return out


def check_mean_pooling(geometry: Geometry, count_include_pad: bool, divisor: int | None, torch: Any) -> None:
    g, window, name = geometry, geometry.window, f"avg_pool{geometry.spatial}d"
    x = values(*g.shape)
    options = {} if divisor is None else {"divisor_override": divisor}
    scale = 1 / (counts(g, count_include_pad) if divisor is None else np.full(window.output_size, divisor))

    def theirs(x: Any) -> Any:
        images = x if g.spatial == 2 else x[..., None, :]
        top, bottom, left, right = window.padding

        def sums(images: Any, outside: float) -> Any:
            padded = torch.nn.functional.pad(images, (left, right, top, bottom), value=outside)
            y = torch.nn.functional.avg_pool2d(
                padded, window.kernel_size, window.stride, 0, g.ceil_mode, divisor_override=1
            )
            # Of the padded image: there may be windows that start in the padding below.
            return y[..., : window.output_size[0], : window.output_size[1]]

        y = sums(images, 0) / (divisor or sums(torch.ones_like(images), float(count_include_pad)))
        return y if g.spatial == 2 else y[..., 0, :]

    def expected(start: Array) -> list[Array]:
        return [
            reference.avg_pool2d(g.as_batch(x), window, scale),
            reference.avg_pool2d_gradient(g.as_batch(start), window, scale),
        ]

    def ours(x: Any) -> Any:
        return getattr(F, name)(x, g.kernel_size, g.stride, g.padding, g.ceil_mode, count_include_pad, **options)

    check(name, g, [x], ours, theirs, torch, expected)


divisors = st.sampled_from([None, 1, 2, 7, -3])


@given(poolings(dilated=False), st.booleans(), divisors)
def test_mean_pooling(peer: Any, geometry: Geometry, count_include_pad: bool, divisor: int | None) -> None:
    check_mean_pooling(geometry, count_include_pad, divisor, peer)


@given(pooling_corners(dilated=False), st.booleans(), divisors)
def test_mean_pooling_of_corners(peer: Any, geometry: Geometry, count_include_pad: bool, divisor: int | None) -> None:
    check_mean_pooling(geometry, count_include_pad, divisor, peer)


@given(poolings(spatial=1, dilated=False), st.booleans())
def test_mean_pooling_in_one_dimension(peer: Any, geometry: Geometry, count_include_pad: bool) -> None:
    check_mean_pooling(geometry, count_include_pad, None, peer)


def check_unfold(geometry: Geometry, peer: Any) -> None:
    g, window = geometry, geometry.window
    x = values(*g.shape)

    def theirs(x: Any) -> Any:
        image = peer.nn.functional.pad(x, g.sides)
        return peer.nn.functional.unfold(image, g.kernel_size, g.dilation, 0, g.stride)

    def expected(start: Array) -> list[Array]:
        columns = start[None] if g.batch is None else start
        return [reference.unfold(g.as_batch(x), window), reference.fold(columns, g.channels, window)]

    def ours(x: Any) -> Any:
        return F.unfold(x, g.kernel_size, g.dilation, g.padding, g.stride)

    check("unfold", g, [x], ours, theirs, peer, expected)


@given(convolutions())
def test_unfold(peer: Any, geometry: Geometry) -> None:
    check_unfold(geometry, peer)


@given(corners())
def test_unfold_of_corners(peer: Any, geometry: Geometry) -> None:
    check_unfold(geometry, peer)


def check_fold(geometry: Geometry, peer: Any) -> None:
    g, window = geometry, geometry.window
    lead = () if g.batch is None else (g.batch,)
    columns = values(*lead, g.channels * window.taps, window.positions)

    def theirs(columns: Any) -> Any:
        top, bottom, left, right = g.padding
        size = g.size[0] + top + bottom, g.size[1] + left + right
        image = peer.nn.functional.fold(columns, size, g.kernel_size, g.dilation, 0, g.stride)
        return peer.nn.functional.pad(image, tuple(-n for n in g.sides))

    def expected(start: Array) -> list[Array]:
        batch = columns[None] if g.batch is None else columns
        return [reference.fold(batch, g.channels, window), reference.unfold(g.as_batch(start), window)]

    def ours(columns: Any) -> Any:
        return F.fold(columns, g.size, g.kernel_size, g.dilation, g.padding, g.stride)

    check("fold", g, [columns], ours, theirs, peer, expected)


@given(convolutions())
def test_fold(peer: Any, geometry: Geometry) -> None:
    check_fold(geometry, peer)


@given(corners())
def test_fold_of_corners(peer: Any, geometry: Geometry) -> None:
    check_fold(geometry, peer)


TESTED = (
    "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d",
    "unfold", "fold",
)  # fmt: skip


def test_enough_geometries_were_generated() -> None:
    """Last, so that a strategy that quietly gives less is noticed."""
    if set(examples) != set(TESTED):
        pytest.skip("only some of the tests of this file ran")
    for name in TESTED:
        print(f"{name}: {examples[name]:,} geometries")
        assert examples[name] >= EXAMPLES, name
    for kind, count in kinds.items():
        print(f"{count:,} with {kind}")
        # Few of those with groups have one for each channel.
        assert count >= sum(examples.values()) // (300 if kind.endswith("depthwise") else 100), kind
    parity.counts["generated geometries, each with all gradients, beside the reference's and PyTorch's"] = sum(
        examples.values()
    )
