"""PyTorch as the other implementation: optional for a newcomer's `make test`, required where MINIDL_PARITY=1."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import minidl
import minidl.functional as F

REQUIRED = os.environ.get("MINIDL_PARITY", "") == "1"


def import_torch() -> Any:
    """PyTorch on one thread; without it the test is skipped, or fails where comparisons are required."""
    try:
        import torch
    except ImportError:
        if REQUIRED:
            pytest.fail("MINIDL_PARITY=1, but PyTorch is not installed: this comparison would be skipped")
        pytest.skip("PyTorch is not installed")
    torch.set_num_threads(1)
    return torch


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float, what: str = "", scale: float = 0.0) -> None:
    """Equal shapes, NaN and infinities in the same places, the rest within `tolerance` of the largest value.

    `scale` is the largest value that went in, where what comes out may be small by cancellation.
    """
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, expected {expected.shape}"
    finite = np.isfinite(expected)
    assert np.array_equal(np.isfinite(found), finite), f"{what}: finite values in other places"
    assert np.array_equal(found[~finite], expected[~finite], equal_nan=True), f"{what}: other NaN or infinities"
    if finite.any():
        error = np.abs(found[finite].astype(np.float64) - expected[finite])
        scale = max(float(np.abs(expected[finite]).max()), scale)
        assert error.max() <= tolerance * scale, f"{what}: off by {error.max():.3g}, the largest value is {scale:.3g}"


Array = np.ndarray
Generator = np.random.Generator
TOLERANCE = 1e-10
CONFIGURATIONS = 200

# Arrays compared on random configurations, by function.
compared: Counter[str] = Counter()
# What else is worth a line at the end of the tests; see conftest.py.
counts: Counter[str] = Counter()


def compare_functions(
    torch: Any, name: str, ours: Callable, theirs: Callable, arrays: Sequence[Array | None], **kwargs: Any
) -> None:
    """Value and gradients of both, from the same inputs and the same upstream gradient."""
    note = f"{name}({', '.join(str(None if a is None else a.shape) for a in arrays)}, {kwargs})"
    mine = [None if a is None else minidl.Tensor(a.copy(), requires_grad=a.dtype.kind == "f") for a in arrays]
    other = [None if a is None else torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    y, z = ours(*mine, **kwargs), theirs(*other, **kwargs)
    assert_close(y.data, z.detach().numpy(), TOLERANCE, note)
    compared[name] += 1
    start = np.random.default_rng(5).normal(size=tuple(z.shape))
    y.backward(start)
    z.backward(torch.tensor(start))
    for i, (a, b) in enumerate(zip(mine, other, strict=True)):
        if b is not None and b.requires_grad:
            assert_close(
                a.grad.data, b.grad.numpy(), TOLERANCE, f"gradient {i} of {note}", np.abs(start).max(initial=0)
            )
            compared[name] += 1


def compare(torch: Any, name: str, arrays: Sequence[Array | None], **kwargs: Any) -> None:
    """The functions of one name in minidl and PyTorch."""
    ours = getattr(F, name, None) or getattr(minidl, name)
    theirs = getattr(torch.nn.functional, name, None) or getattr(torch, name)
    compare_functions(torch, name, ours, theirs, arrays, **kwargs)


def one_or_two(rng: Generator, low: int, high: int) -> Any:
    """An int, or a pair of them, from low to high."""
    a, b = (int(v) for v in rng.integers(low, high + 1, 2))
    return a if rng.random() < 0.3 else (a, b)


def as_pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def window(rng: Generator, pooling: bool = False) -> tuple[tuple[int, int], dict[str, Any]]:
    """An image size from 1 to 12, not square as a rule, and a window that fits it."""
    while True:
        size = tuple(int(v) for v in rng.integers(1, 13, 2))
        kernel = one_or_two(rng, 1, 5)
        kwargs = {
            "kernel_size": kernel,
            "stride": one_or_two(rng, 1, 4),
            "padding": tuple(int(rng.integers(0, k // 2 + 1)) for k in as_pair(kernel))
            if pooling
            else one_or_two(rng, 0, 4),
            "dilation": one_or_two(rng, 1, 3),
        }
        reach = [d * (k - 1) + 1 for d, k in zip(as_pair(kwargs["dilation"]), as_pair(kernel), strict=True)]
        padded = [s + 2 * p for s, p in zip(size, as_pair(kwargs["padding"]), strict=True)]
        if pooling and max(as_pair(kwargs["dilation"])) > 1:
            # PyTorch writes out of bounds where a dilated window sees nothing but padding; minidl refuses it.
            padded = list(size)
        if all(r <= p for r, p in zip(reach, padded, strict=True)):
            return size, kwargs  # type: ignore[return-value]


def lead(rng: Generator) -> tuple[int, ...]:
    """A batch of 1 to 3, or none."""
    return () if rng.random() < 0.2 else (int(rng.integers(1, 4)),)


def generators(name: str, count: int = CONFIGURATIONS) -> Iterator[Generator]:
    for i in range(count):
        yield np.random.default_rng([*name.encode(), i])


def shape_of(rng: Generator, most: int = 4) -> tuple[int, ...]:
    return tuple(int(v) for v in rng.integers(1, 6, rng.integers(0, most)))
