"""What all operations on images check and do alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidl.errors import ShapeError
from minidl.ops._common import as_tensor, check_floating
from minidl.ops.shapes import Reshape


def image_batch(op: str, input: Any) -> tuple[Any, bool]:
    """(N, C, H, W) as it is, (C, H, W) as a batch of one; and which of them it was."""
    x = as_tensor(op, "input", input)
    check_floating(op, "input", x)
    shape = x.data.shape
    if len(shape) not in (3, 4):
        raise ShapeError(f"{op}: input must have 4 dimensions (N, C, H, W) or 3 (C, H, W), got {len(shape)}: {shape}")
    if 0 in shape[-3:]:
        raise ShapeError(f"{op}: input has no channels or no pixels, its shape is {shape}; only N may be 0")
    return (x, True) if len(shape) == 4 else (Reshape((1, *shape))(x), False)


def per_image(op: str, input: Any, compute: Callable[[Any], Any]) -> Any:
    """Run `compute` on a batch of images, whether `input` is a batch or one image."""
    x, is_batch = image_batch(op, input)
    result = compute(x)
    return result if is_batch else Reshape(result.data.shape[1:])(result)
