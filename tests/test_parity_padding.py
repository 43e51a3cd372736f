"""Padding beside PyTorch's, values and all gradients, on random configurations in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from parity import Generator, compare, compared, generators, lead

import minidl
import minidl.functional as F


def widths(rng: Generator, mode: str, size: int) -> tuple[int, int]:
    """What the mode allows, cropping included, of which something is left."""
    while True:
        most = {"constant": 5, "replicate": 5, "reflect": size - 1, "circular": size}[mode]
        before, after = (int(v) for v in rng.integers(-min(3, size), most + 1, 2))
        rest = size + min(before, 0) + min(after, 0)
        fits = rest >= max(before, after, 0) if mode == "circular" else rest >= 0 if mode == "constant" else True
        if fits and size + before + after > 0:
            return before, after


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_pad(torch: Any, mode: str) -> None:
    for rng in generators(f"pad {mode}", 80):
        padded = int(rng.integers(1, 4))
        sizes = [int(v) for v in rng.integers(1, 8 if padded < 3 else 4, padded)]
        shape = (*lead(rng), int(rng.integers(1, 4)), *sizes)
        if mode == "constant":
            padded = int(rng.integers(0, len(shape) + 1))
        pad = [width for size in shape[::-1][:padded] for width in widths(rng, mode, size)]
        kwargs: dict[str, Any] = {"value": float(rng.normal())} if mode == "constant" and rng.random() < 0.7 else {}
        compare(
            torch, "pad", [rng.normal(size=shape)], pad=pad if rng.random() < 0.5 else tuple(pad), mode=mode, **kwargs
        )


SPECIAL = np.array([[-np.inf, -1e4, -0.0, 0.0], [1e4, np.inf, np.nan, 1.0]])


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_special_values(torch: Any, mode: str) -> None:
    compare(torch, "pad", [SPECIAL], pad=(2, 1), mode=mode)
    compare(torch, "pad", [SPECIAL], pad=(-1, 2), mode=mode)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e300, -0.0])
def test_special_constants(torch: Any, value: float) -> None:
    compare(torch, "pad", [SPECIAL], pad=(1, -1, 0, 1), value=value)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_an_infinite_gradient_stays_where_it_belongs(torch: Any, mode: str) -> None:
    x = minidl.Tensor(np.ones((1, 4)), requires_grad=True)
    z = torch.ones(1, 4, dtype=torch.float64, requires_grad=True)
    start = np.array([[np.inf, 1, 2, np.nan, 3, 4, 5]])
    F.pad(x, (2, 1), mode).backward(start)
    torch.nn.functional.pad(z, (2, 1), mode).backward(torch.tensor(start))
    assert np.array_equal(x.grad.data, z.grad.numpy(), equal_nan=True)


def test_the_result_is_a_copy() -> None:
    x = np.ones((1, 2, 3))
    for mode in ("constant", "reflect", "replicate", "circular"):
        assert not np.shares_memory(F.pad(x, (0, 0), mode).data, x)


def test_pad_was_compared_on_enough_configurations(torch: Any) -> None:
    """Last, so that a generator that quietly gives less is noticed."""
    if not compared["pad"]:
        pytest.skip("only some of the tests of this file ran")
    assert compared["pad"] >= 2 * 4 * 80
