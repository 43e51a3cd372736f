"""PyTorch as the other implementation: optional for a newcomer's `make test`, required where MINIDL_PARITY=1."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

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
