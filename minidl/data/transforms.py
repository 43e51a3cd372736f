"""Transforms change a batch on its way from the data set to the model.

A transform is called as `transform(*arrays, generator=generator)` with the arrays of a batch and the loader's random
generator, and returns as many arrays in a tuple. The ones here change the first array (the images) and hand on
the others (the labels).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl import kernels
from minidl.arguments import check_generator, is_int, read_list
from minidl.dtypes import converted, get_default_dtype, to_array, to_dtype
from minidl.errors import ArgumentError, DTypeError, ShapeError

Arrays = tuple[np.ndarray, ...]
Transform = Callable[..., Arrays]


def _check_images(transform: str, images: Any) -> None:
    if not isinstance(images, np.ndarray):
        raise DTypeError(
            f"{transform}: images must be an array, got {type(images).__name__}; for samples that are dicts or nested, "
            "write a transform that calls it with their images"
        )


class Normalize:
    """Turn images into floating-point ones of mean 0 and deviation 1: (images - mean) / std.

    Images of uint8 are divided by 255 first. Floating ones, whose brightest value is 1 as a rule, are taken as they
    are.

    Parameters
    ----------
    mean, std : float or sequence of float
        In units of the brightest value (0 to 1): one number, or one for each channel.
    dtype : dtype, optional
        What comes out; by default minidl's default dtype, float32 if it was not set.

    Raises
    ------
    ArgumentError
        If `mean` or `std` is not finite or `std` not positive.
    DTypeError
        If `dtype` is not a floating dtype; in a call, if the images are neither uint8 nor floating.
    ShapeError
        If `mean` or `std` is no number or vector; in a call, if the images lack the axes or channels.

    Examples
    --------
    >>> images, labels = Normalize(0.5, 0.5)(np.array([[[[0, 255]]]], dtype=np.uint8), np.array([7]))
    >>> images
    array([[[[-1.,  1.]]]], dtype=float32)
    >>> Normalize(0.5, 0.5)(np.array([[[[0.0, 1.0]]]]))
    (array([[[[-1.,  1.]]]], dtype=float32),)
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float], dtype: Any = None) -> None:
        self.mean, self.std = (to_array("Normalize", value, np.float64) for value in (mean, std))
        self.dtype = get_default_dtype() if dtype is None else to_dtype("Normalize", dtype)
        if self.dtype.kind != "f":
            raise DTypeError(f"Normalize: dtype is {self.dtype}, expected a floating dtype")
        for name, value in (("mean", self.mean), ("std", self.std)):
            if value.ndim > 1:
                raise ShapeError(f"Normalize: {name} has shape {value.shape}, expected a number or one per channel")
            if not np.isfinite(value).all() or (name == "std" and not (value > 0).all()):
                raise ArgumentError(f"Normalize: {name} must be finite{' and positive' * (name == 'std')}, got {value}")
        if self.mean.ndim == self.std.ndim and self.mean.size != self.std.size:
            raise ShapeError(f"Normalize: mean has {self.mean.size} values, std {self.std.size}")
        if 0 in (self.mean.size, self.std.size):
            raise ShapeError("Normalize: mean and std must have a value for each channel, got none")
        with np.errstate(all="ignore"):
            factors = 1 / (255 * self.std), -self.mean / self.std, self.mean, self.std
            scale, offset, *plain = np.broadcast_arrays(*factors)
        # One multiplication and one addition took a quarter of the time of a 256-entry table (MNIST, batch 64).
        self._scale, self._offset = self._shape_channels(scale), self._shape_channels(offset)
        self._plain_mean, self._plain_std = map(self._shape_channels, plain)

    def _shape_channels(self, values: np.ndarray) -> np.ndarray:
        found = converted(values.reshape(-1, 1, 1), self.dtype)
        if not np.isfinite(found).all():
            raise ArgumentError(f"Normalize: mean {self.mean} and std {self.std} are beyond what {self.dtype} holds")
        return found

    def __call__(self, images: np.ndarray, *others: np.ndarray, generator: Any = None) -> Arrays:
        """Normalise images of shape (N, C, H, W) or (C, H, W)."""
        _check_images("Normalize", images)
        if images.dtype != np.uint8 and images.dtype.kind != "f":
            raise DTypeError(f"Normalize: images have dtype {images.dtype}, expected uint8 or a floating dtype")
        channels = len(self._scale)
        if images.ndim < 3 or (channels > 1 and images.shape[-3] != channels):
            raise ShapeError(f"Normalize: images have shape {images.shape}, expected (N, {channels}, H, W)")
        if images.dtype == np.uint8:
            result = np.multiply(images, self._scale, dtype=self.dtype)
            result += self._offset
        else:
            result = np.subtract(images, self._plain_mean, dtype=self.dtype)
            result /= self._plain_std
        return result, *others

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean.tolist()}, std={self.std.tolist()}, dtype={self.dtype.name})"


class RandomShift:
    """Move every image by whole pixels, up to so many along each axis, zeros entering.

    Each image's two shifts are drawn anew for every batch, all as likely.

    Parameters
    ----------
    pixels : int, optional
        The largest shift, in either direction.

    Raises
    ------
    ArgumentError
        If `pixels` is not a whole number of at least 0; in a call, if there is no generator.
    DTypeError
        In a call, if the images hold Python objects.
    ShapeError
        In a call, if the images do not have four axes.

    Examples
    --------
    >>> shift = RandomShift(1)
    >>> (images,) = shift(np.ones((5, 1, 4, 4), dtype=np.uint8), generator=np.random.default_rng(0))
    >>> images.shape
    (5, 1, 4, 4)
    """

    def __init__(self, pixels: int = 1) -> None:
        # The kernel counts pixels in 32 bits; no image has so many in a row.
        if not is_int(pixels) or not 0 <= pixels < 2**30:
            raise ArgumentError(f"RandomShift: pixels must be a whole number of at least 0, got {pixels!r}")
        self.pixels = int(pixels)

    def __call__(self, images: np.ndarray, *others: np.ndarray, generator: np.random.Generator | None = None) -> Arrays:
        """Shift images of shape (N, C, H, W)."""
        _check_images("RandomShift", images)
        if images.dtype.kind not in "biuf":
            raise DTypeError(f"RandomShift: images have dtype {images.dtype}, expected numbers")
        if images.ndim != 4:
            raise ShapeError(f"RandomShift: images have shape {images.shape}, expected (N, C, H, W)")
        generator = check_generator("RandomShift", generator)
        if generator is None:
            raise ArgumentError("RandomShift: needs a generator")
        down, right = self.pixels - generator.integers(0, 2 * self.pixels + 1, size=(2, len(images)))
        return kernels.shift(images, down, right), *others

    def __repr__(self) -> str:
        return f"RandomShift({self.pixels})"


class Compose:
    """Do one transform after the other.

    Parameters
    ----------
    transforms : sequence of callable
        Each as described at the top of this module.

    Examples
    --------
    >>> Compose([RandomShift(1), Normalize(0.1307, 0.3081)])
    Compose([RandomShift(1), Normalize(mean=0.1307, std=0.3081, dtype=float32)])
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = read_list("Compose", "transforms", transforms, "a sequence of transforms")
        for transform in self.transforms:
            if not callable(transform):
                raise ArgumentError(f"Compose: {transform!r} is not callable")

    def __call__(self, *arrays: np.ndarray, generator: np.random.Generator | None = None) -> Arrays:
        """Apply all of them to the arrays of a batch."""
        for transform in self.transforms:
            arrays = transform(*arrays, generator=generator)
            if not isinstance(arrays, tuple | list):
                raise DTypeError(
                    f"Compose: {transform!r:.80} returned {type(arrays).__name__}, expected a tuple of arrays"
                )
        return arrays

    def __repr__(self) -> str:
        return f"Compose([{', '.join(map(repr, self.transforms))}])"
