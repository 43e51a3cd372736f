"""Interpolation beside PyTorch's, values and all gradients, on random configurations in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from parity import Generator, compare, compared, generators

import minidl
import minidl.functional as F

MODES = [("nearest", 1), ("nearest", 2), ("linear", 1), ("bilinear", 2)]


def configuration(rng: Generator, spatial: int) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Sizes from 1 to 12 and what they become: smaller, larger or neither, along each axis for itself."""
    while True:
        sizes = tuple(int(v) for v in rng.integers(1, 13, spatial))
        kwargs: dict[str, Any] = {}
        if rng.random() < 0.5:
            size = tuple(int(v) for v in rng.integers(1, 25, spatial))
            kwargs["size"] = size[0] if rng.random() < 0.3 else size
        else:
            factors = tuple(float(v) for v in rng.choice([0.3, 0.5, 1.0, 1.1, 1.5, 2.0, 2.3, 3.0, 1 / 3], spatial))
            kwargs["scale_factor"] = factors[0] if rng.random() < 0.3 else factors
            if rng.random() < 0.5:
                kwargs["recompute_scale_factor"] = bool(rng.random() < 0.5)
            each = factors if isinstance(kwargs["scale_factor"], tuple) else factors[:1] * spatial
            if min(int(n * factor) for n, factor in zip(sizes, each, strict=True)) < 1:
                continue
        return (int(rng.integers(1, 4)), int(rng.integers(1, 4)), *sizes), kwargs


def agrees_with_itself(torch: Any, shape: tuple[int, ...], kwargs: dict[str, Any]) -> bool:
    """Whether PyTorch copies the same pixels in float32, in float64, and in its gradient, whatever the size.

    It does not where a position is a whole number but for rounding, and, on some of its paths only, where a factor
    leaves a size or twice the size as it was. minidl copies the pixels that PyTorch does in float32, on images that
    are not tiny; see `test_nearest_copies_the_pixels_that_pytorch_does_in_float32`.
    """
    pixels = np.arange(np.prod(shape[2:])).reshape(1, 1, *shape[2:])
    single = torch.nn.functional.interpolate(torch.tensor(pixels, dtype=torch.float32), **kwargs)
    x = torch.tensor(pixels, dtype=torch.float64, requires_grad=True)
    double = torch.nn.functional.interpolate(x, **kwargs)
    double.sum().backward()
    used = np.bincount(single.numpy().astype(int).ravel(), minlength=pixels.size)
    if "scale_factor" in kwargs and not kwargs.get("recompute_scale_factor"):
        factors = kwargs["scale_factor"]
        each = factors if isinstance(factors, tuple) else (factors,) * (len(shape) - 2)
        if any(m in (n, 2 * n) and m != n * f for n, m, f in zip(shape[2:], single.shape[2:], each, strict=True)):
            return False
    return np.array_equal(single, double.detach()) and np.array_equal(x.grad.numpy().ravel(), used)


@pytest.mark.parametrize(("mode", "spatial"), MODES)
def test_interpolate(torch: Any, mode: str, spatial: int) -> None:
    left_out = 0
    for rng in generators(f"interpolate {mode} {spatial}", 80):
        shape, kwargs = configuration(rng, spatial)
        if mode == "nearest" and not agrees_with_itself(torch, shape, kwargs):
            left_out += 1
            continue
        if mode != "nearest" and rng.random() < 0.7:
            kwargs["align_corners"] = bool(rng.random() < 0.5)
        compare(torch, "interpolate", [rng.normal(size=shape)], mode=mode, **kwargs)
    assert left_out <= 15


def test_nearest_copies_the_pixels_that_pytorch_does_in_float32(torch: Any) -> None:
    for rng in generators("nearest", 300):
        n = int(rng.integers(1, 200))
        factor = float(rng.uniform(0.3, 4)) if rng.random() < 0.5 else float(rng.choice([0.7, 1.1, 1 / 3, 2.3]))
        kwargs: dict[str, Any] = {"scale_factor": factor} if rng.random() < 0.5 else {"size": int(rng.integers(1, 400))}
        if int(n * factor) < 1:
            continue
        signal = np.arange(n, dtype=np.float32).reshape(1, 1, n)
        expected = torch.nn.functional.interpolate(torch.tensor(signal), **kwargs)
        assert np.array_equal(F.interpolate(signal, **kwargs).data, expected.numpy()), (n, kwargs)
        assert np.array_equal(F.interpolate(signal.astype(np.float64), **kwargs).data, expected.numpy()), (n, kwargs)
        # An image of the same columns, large enough for the path of PyTorch that is not for tiny ones.
        image = np.broadcast_to(signal[:, :, None], (1, 2, 60, n)).copy()
        kwargs = {name: (60, v) if name == "size" else (1.0, v) for name, v in kwargs.items()}
        pictured = torch.nn.functional.interpolate(torch.tensor(image), **kwargs).numpy()
        if pictured.shape[2] * pictured.shape[3] > 3000:
            assert np.array_equal(F.interpolate(image, **kwargs).data, pictured), (n, kwargs)


@pytest.mark.parametrize(("mode", "spatial"), MODES)
def test_special_values(torch: Any, mode: str, spatial: int) -> None:
    x = np.array([1e4, -1e4, 0.0, 1.0, 1e300, -1e300, 2.0, -0.0]).reshape((1, 1, 8) if spatial == 1 else (1, 1, 2, 4))
    compare(torch, "interpolate", [x], size=5, mode=mode)
    if mode == "nearest":
        x = np.where(x > 0, np.inf, np.where(x < 0, -np.inf, np.nan))
    compare(torch, "interpolate", [x], scale_factor=2, mode=mode)


def test_a_pixel_without_weight_has_no_influence() -> None:
    """PyTorch multiplies it with 0, which makes NaN of its infinities."""
    x = np.array([[[1.0, np.inf, 2.0, np.nan, 3.0]]])
    y = F.interpolate(x, 9, mode="linear", align_corners=True).data
    assert np.array_equal(y, [[[1, np.inf, np.inf, np.inf, 2, np.nan, np.nan, np.nan, 3]]], equal_nan=True)
    # Where the centres meet, as at every third position here.
    y = F.interpolate(x[..., :3], 9, mode="linear").data
    assert np.array_equal(y[0, 0, [0, 1, 4, 7, 8]], [1, 1, np.inf, 2, 2])
    grad = minidl.Tensor(np.ones((1, 1, 3)), requires_grad=True)
    F.interpolate(grad, 5, mode="linear", align_corners=True).backward(np.array([[[1.0, 0, 1, 0, np.inf]]]))
    assert np.array_equal(grad.grad.data, [[[1, 1, np.inf]]])


def test_infinite_neighbours() -> None:
    x = np.array([[[np.inf, -np.inf]]], np.float32)
    y = F.interpolate(x, 3, mode="linear", align_corners=True).data
    assert np.array_equal(y, [[[np.inf, np.nan, -np.inf]]], equal_nan=True)


@pytest.mark.parametrize("size", [4, 1000])
def test_float32_is_as_good_as_its_dtype(size: int) -> None:
    """PyTorch finds positions in float32 then, and is off by 1e-4 of a pixel at the far end of a wide image."""
    x = np.random.default_rng(0).normal(size=(1, 1, size, 3))
    kwargs: dict[str, Any] = {"size": (3 * size - 1, 4), "mode": "bilinear"}
    single, double = F.interpolate(x.astype(np.float32), **kwargs), F.interpolate(x, **kwargs)
    assert single.dtype == np.float32
    assert np.abs(single.data - double.data).max() < 3e-7 * np.abs(x).max()


def test_interpolate_was_compared_on_enough_configurations(torch: Any) -> None:
    """Last, so that a generator that quietly gives less is noticed."""
    if not compared["interpolate"]:
        pytest.skip("only some of the tests of this file ran")
    assert compared["interpolate"] >= 2 * 4 * 60
