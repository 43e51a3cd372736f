"""All operations on images, and on signals in one dimension, check and do this alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidl.errors import ShapeError
from minidl.ops._common import as_tensor, check_floating
from minidl.ops.shapes import Reshape

_AXES = {1: "L", 2: "H, W"}


def image_batch(op: str, input: Any, spatial: int = 2) -> tuple[Any, bool]:
    """A batch as it is, one image as a batch of one, both as (N, C, H, W); and whether it was a batch.

    With `spatial` 1 the input is (N, C, L) or (C, L), and its height becomes 1: all that is known of windows is known
    in two dimensions only.
    """
    x = as_tensor(op, "input", input)
    check_floating(op, "input", x)
    shape, axes = x.data.shape, _AXES[spatial]
    if len(shape) not in (spatial + 1, spatial + 2):
        raise ShapeError(
            f"{op}: input must have {spatial + 2} dimensions (N, C, {axes}) or {spatial + 1} (C, {axes}), "
            f"got {len(shape)}: {shape}"
        )
    if 0 in shape[-spatial - 1 :]:
        raise ShapeError(f"{op}: input has no channels or no pixels, its shape is {shape}; only N may be 0")
    is_batch = len(shape) == spatial + 2
    if is_batch and spatial == 2:
        return x, True
    lead = shape[:-spatial] if is_batch else (1, *shape[:-spatial])
    return Reshape((*lead, *(1,) * (2 - spatial), *shape[-spatial:]))(x), is_batch


def restored(result: Any, is_batch: bool, spatial: int = 2) -> Any:
    """A batch of images (N, C, H, W), or each of a tuple of them, as `image_batch` found its input."""
    if is_batch and spatial == 2:
        return result
    if isinstance(result, tuple):
        return tuple([restored(y, is_batch, spatial) for y in result])
    shape = result.data.shape
    return Reshape((*shape[0 if is_batch else 1 : 2], *shape[4 - spatial :]))(result)


def compute_images(op: str, input: Any, compute: Callable[[Any], Any], spatial: int = 2) -> Any:
    """Run `compute` on a batch of images (N, C, H, W), whether `input` is a batch or one image, of 2 dimensions or 1.

    `compute` gives one such batch, or a tuple of them; they come back as `input` came.
    """
    x, is_batch = image_batch(op, input, spatial)
    return restored(compute(x), is_batch, spatial)
