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


def has_its_gradient(torch: Any, shape: tuple[int, ...], kwargs: dict[str, Any]) -> bool:
    """Whether PyTorch's gradient of "nearest" is that of the pixels that it copied.

    It is not where a position is a whole number but for rounding, and, of signals and large images, where a factor
    leaves a size or twice the size as it was.
    """
    pixels = np.arange(np.prod(shape[2:])).reshape(1, 1, *shape[2:])
    x = torch.tensor(pixels, dtype=torch.float64, requires_grad=True)
    y = torch.nn.functional.interpolate(x, **kwargs)
    y.sum().backward()
    used = np.bincount(y.detach().numpy().astype(int).ravel(), minlength=pixels.size)
    return np.array_equal(x.grad.numpy().ravel(), used)


@pytest.mark.parametrize(("mode", "spatial"), MODES)
def test_interpolate(torch: Any, mode: str, spatial: int) -> None:
    left_out = 0
    for rng in generators(f"interpolate {mode} {spatial}", 80):
        shape, kwargs = configuration(rng, spatial)
        if mode == "nearest" and not has_its_gradient(torch, shape, kwargs):
            left_out += 1
            continue
        if mode != "nearest" and rng.random() < 0.7:
            kwargs["align_corners"] = bool(rng.random() < 0.5)
        compare(torch, "interpolate", [rng.normal(size=shape)], mode=mode, **kwargs)
    assert left_out <= 15


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spatial", [1, 2])
def test_nearest_copies_the_pixels_that_pytorch_copies(torch: Any, spatial: int, dtype: str) -> None:
    """Of any size, since PyTorch has one kernel for images of up to 128 rows and columns together, and another one."""
    sums: list[int] = []
    for rng in generators(f"nearest {spatial}", 400):
        sizes = [int(n) for n in rng.choice([1, 2, 3, 5, 7, 10, 13, 20, 40, 60, 64, 65, 100], spatial)]
        some = [0.3, 0.5, 0.7, 1, 1.05, 1.1, 1.3, 1.9, 2, 2.1, 3, 1 / 3, rng.uniform(0.3, 4)]
        factors = [float(f) for f in rng.choice(some, spatial)]
        kwargs: dict[str, Any] = {"scale_factor": tuple(factors)}
        if rng.random() < 0.3:
            kwargs = {"size": tuple(int(n * rng.choice([0.5, 1, 1.4, 2, 2.2]) + 1) for n in sizes)}
        elif rng.random() < 0.3:
            kwargs["recompute_scale_factor"] = bool(rng.random() < 0.5)
        if "size" not in kwargs and min(int(n * f) for n, f in zip(sizes, factors, strict=True)) < 1:
            continue
        x = np.arange(np.prod(sizes), dtype=dtype).reshape(1, 1, *sizes)
        expected = torch.nn.functional.interpolate(torch.tensor(x), **kwargs).numpy()
        mine = minidl.Tensor(x, requires_grad=True)
        found = F.interpolate(mine, **kwargs)
        assert np.array_equal(found.data, expected), (sizes, kwargs)
        found.sum().backward()
        used = np.bincount(expected.astype(int).ravel(), minlength=x.size)
        assert np.array_equal(mine.grad.data.ravel(), used), (sizes, kwargs)
        sums.append(sum(expected.shape[2:]))
    assert min(sum(s <= 128 for s in sums), sum(s > 128 for s in sums)) > 30


def test_a_factor_that_leaves_the_size_as_it_was(torch: Any) -> None:
    row = np.arange(7.0)
    for shape, expected in {(1, 1, 7): [0, 0, 1, 2, 3, 4, 5], (1, 1, 7, 7): list(range(7)),
                            (1, 1, 200, 7): [0, 0, 1, 2, 3, 4, 5]}.items():  # fmt: skip
        x = np.broadcast_to(row, shape).copy()
        y, z = (
            F.interpolate(x, scale_factor=1.1).data,
            torch.nn.functional.interpolate(torch.tensor(x), scale_factor=1.1),
        )
        assert np.array_equal(y, z.numpy())
        assert y.reshape(-1, 7)[0].tolist() == expected
        assert np.array_equal(
            F.interpolate(x, scale_factor=1.1, recompute_scale_factor=True).data.reshape(-1, 7)[0], row
        )


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
