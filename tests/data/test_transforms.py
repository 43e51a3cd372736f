"""Transforms, each against a slow loop that says the same."""

from __future__ import annotations

import numpy as np
import pytest

from minidl.data import Compose, Normalize, RandomShift
from minidl.errors import ArgumentError, DTypeError, ShapeError

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [None, np.float32, "float64"])
@pytest.mark.parametrize(
    "mean, std, channels", [(0.1307, 0.3081, 1), (0.5, 0.25, 3), ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6], 3)]
)
def test_normalize(dtype: object, mean: object, std: object, channels: int) -> None:
    images = RANDOM.integers(0, 256, (5, channels, 4, 6), dtype=np.uint8)
    labels = np.arange(5)
    before = images.copy()
    result, same = Normalize(mean, std, dtype)(images, labels, generator=None)
    means, stds = np.broadcast_to(mean, channels), np.broadcast_to(std, channels)
    expected = np.empty(images.shape)
    for n, c, h, w in np.ndindex(images.shape):
        expected[n, c, h, w] = (images[n, c, h, w] / 255 - means[c]) / stds[c]
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6 if result.dtype == np.float32 else 1e-14)
    assert result.dtype == np.dtype(dtype or np.float32)
    assert same is labels
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("mean, std", [(0.5, 0.25), ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])])
def test_normalize_takes_floating_images_as_they_are(dtype: type, mean: object, std: object) -> None:
    images = RANDOM.random((5, 3, 4, 6)).astype(dtype)
    before, labels = images.copy(), np.arange(5)
    for wanted in (np.float32, np.float64):
        result, same = Normalize(mean, std, wanted)(images[::2, :, ::-1], labels)
        means, stds = (np.reshape(np.broadcast_to(v, 3), (3, 1, 1)) for v in (mean, std))
        expected = (images[::2, :, ::-1].astype(np.float64) - means) / stds
        np.testing.assert_allclose(result, expected, rtol=0, atol=2e-6 if wanted == np.float32 else 1e-14)
        assert result.dtype == wanted
        assert same is labels
    np.testing.assert_array_equal(images, before)
    # What a loader normalises and what is normalised already from its bytes are the same images.
    pixels = RANDOM.integers(0, 256, (2, 3, 4, 4), dtype=np.uint8)
    scaled = (pixels / 255).astype(np.float32)
    np.testing.assert_allclose(Normalize(mean, std)(pixels)[0], Normalize(mean, std)(scaled)[0], rtol=0, atol=2e-6)


def test_normalize_takes_read_only_strided_empty_and_single_images() -> None:
    images = RANDOM.integers(0, 256, (6, 1, 8, 8), dtype=np.uint8)
    images.setflags(write=False)
    normalize = Normalize(0.1, 0.3)
    (full,) = normalize(images)
    np.testing.assert_array_equal(normalize(images[::-2, :, ::2])[0], full[::-2, :, ::2])
    np.testing.assert_array_equal(normalize(images[2])[0], full[2])
    assert normalize(images[:0])[0].shape == (0, 1, 8, 8)


@pytest.mark.parametrize("arguments, error, message", [
    ((0.1, 0.0), ArgumentError, "std must be finite and positive, got 0.0"),
    ((0.1, [1.0, -1.0]), ArgumentError, "std must be finite and positive"),
    ((np.nan, 1.0), ArgumentError, "mean must be finite, got nan"),
    (([[0.1]], 1.0), ShapeError, r"mean has shape \(1, 1\), expected a number or one per channel"),
    (([0.1, 0.2], [0.1, 0.2, 0.3]), ShapeError, "mean has 2 values, std 3"),
    ((0.1, 0.2, np.int32), DTypeError, "dtype is int32, expected a floating dtype"),
])  # fmt: skip
def test_normalize_refuses(arguments: tuple, error: type, message: str) -> None:
    with pytest.raises(error, match=f"Normalize: {message}"):
        Normalize(*arguments)


def test_normalize_refuses_images() -> None:
    for dtype in (np.int64, bool, np.complex64):
        with pytest.raises(
            DTypeError, match=f"Normalize: images have dtype {np.dtype(dtype)}, expected uint8 or a float"
        ):
            Normalize(0.1, 0.3)(np.zeros((2, 1, 3, 3), dtype))
    with pytest.raises(ShapeError, match=r"images have shape \(2, 1, 3, 3\), expected \(N, 3, H, W\)"):
        Normalize([0.1] * 3, 0.3)(np.zeros((2, 1, 3, 3), np.uint8))


@pytest.mark.parametrize("pixels", [0, 1, 3, 9])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_random_shift(pixels: int, dtype: type) -> None:
    images = RANDOM.integers(1, 256, (40, 2, 5, 7)).astype(dtype)
    before, labels = images.copy(), np.arange(40)
    result, same = RandomShift(pixels)(images, labels, generator=np.random.default_rng(3))
    downs, rights = pixels - np.random.default_rng(3).integers(0, 2 * pixels + 1, size=(2, 40))
    for n, (down, right) in enumerate(zip(downs, rights, strict=True)):
        expected = np.zeros_like(images[n])
        for c, h, w in np.ndindex(expected.shape):
            if 0 <= h - down < 5 and 0 <= w - right < 7:
                expected[c, h, w] = images[n, c, h - down, w - right]
        np.testing.assert_array_equal(result[n], expected)
    assert result.dtype == dtype
    assert result.flags.c_contiguous
    assert same is labels
    np.testing.assert_array_equal(images, before)


def test_random_shift_draws_every_shift() -> None:
    images = np.zeros((2000, 1, 5, 5), np.uint8)
    images[:, 0, 2, 2] = 1
    (result,) = RandomShift(2)(images, generator=np.random.default_rng(0))
    counts = result.sum(axis=(0, 1))
    assert counts.sum() == 2000
    assert counts.min() > 2000 / 25 / 2
    assert RandomShift(2)(images[:0], generator=np.random.default_rng(0))[0].shape == (0, 1, 5, 5)


def test_random_shift_refuses() -> None:
    for pixels in (-1, 1.5, True):
        with pytest.raises(ArgumentError, match="RandomShift: pixels must be a whole number of at least 0"):
            RandomShift(pixels)
    with pytest.raises(ShapeError, match=r"RandomShift: images have shape \(3, 3\), expected \(N, C, H, W\)"):
        RandomShift(1)(np.zeros((3, 3)), generator=np.random.default_rng(0))
    with pytest.raises(ArgumentError, match="RandomShift: needs a generator"):
        RandomShift(1)(np.zeros((1, 1, 3, 3)))


def test_compose() -> None:
    images = RANDOM.integers(0, 256, (8, 1, 6, 6), dtype=np.uint8)
    both = Compose([RandomShift(1), Normalize(0.5, 0.5)])
    result, labels = both(images, np.arange(8), generator=np.random.default_rng(1))
    shifted, _ = RandomShift(1)(images, np.arange(8), generator=np.random.default_rng(1))
    np.testing.assert_array_equal(result, Normalize(0.5, 0.5)(shifted)[0])
    assert repr(both) == "Compose([RandomShift(1), Normalize(mean=0.5, std=0.5, dtype=float32)])"
    with pytest.raises(ArgumentError, match="Compose: 3 is not callable"):
        Compose([3])
