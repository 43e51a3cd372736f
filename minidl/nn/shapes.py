"""Layers that move values to other shapes and sizes, or do nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minidl import functional as F
from minidl.geometry import IntOrPair
from minidl.nn.module import Module
from minidl.ops._common import as_tensor
from minidl.ops.shapes import sizes_of_split, unflatten

__all__ = ["Flatten", "Fold", "Identity", "Unflatten", "Unfold", "Upsample"]


class Flatten(Module):
    """Join dimensions, all but the first by default; see `minidl.flatten`."""

    _is_fusible = True

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Any) -> Any:
        """Join them."""
        return as_tensor("flatten", "input", input).flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The first and the last of them."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Split a dimension into several; see `minidl.unflatten`.

    Parameters
    ----------
    dim : int
        Which one.
    unflattened_size : sequence of int
        What it becomes; one size may be -1.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.Unflatten(1, (16, 5, 5))(minidl.zeros(64, 400)).shape
    (64, 16, 5, 5)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        self.dim, self.unflattened_size = dim, sizes_of_split(type(self).__name__, unflattened_size)

    def forward(self, input: Any) -> Any:
        """Split it."""
        return unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """The dimension and what it becomes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Identity(Module):
    """The input as it is, in the place of a layer; arguments of that layer are taken and ignored.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.Identity(54, bias=False)(minidl.tensor([1.0]))
    tensor([1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, input: Any) -> Any:
        """Hand it on."""
        return as_tensor("Identity", "input", input)


class Unfold(Module):
    """Every position of a sliding window as a column; see `minidl.functional.unfold`.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.Unfold(3, padding=1)(minidl.zeros(64, 2, 10, 12)).shape
    (64, 18, 120)
    """

    def __init__(
        self, kernel_size: IntOrPair, dilation: IntOrPair = 1, padding: IntOrPair = 0, stride: IntOrPair = 1
    ) -> None:
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def forward(self, input: Any) -> Any:
        """Unfold (N, C, H, W) or (C, H, W)."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The window."""
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Unfold):
    """Columns added up to where a sliding window took them from; see `minidl.functional.fold`.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.Fold((10, 12), 3, padding=1)(minidl.zeros(64, 18, 120)).shape
    (64, 2, 10, 12)
    """

    def __init__(
        self,
        output_size: IntOrPair,
        kernel_size: IntOrPair,
        dilation: IntOrPair = 1,
        padding: IntOrPair = 0,
        stride: IntOrPair = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, input: Any) -> Any:
        """Fold (N, C KH KW, P) or (C KH KW, P)."""
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The size of the result and the window."""
        return f"output_size={self.output_size}, {super().extra_repr()}"


class Upsample(Module):
    """Resize images or signals; see `minidl.functional.interpolate`.

    Parameters
    ----------
    size, scale_factor, mode, align_corners, recompute_scale_factor
        As there.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.Upsample(scale_factor=2, mode="bilinear")(minidl.zeros(64, 3, 10, 12)).shape
    (64, 3, 20, 24)
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, input: Any) -> Any:
        """Resize (N, C, H, W) or (N, C, L)."""
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        """The size or the factor, and the mode."""
        size = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{size}, mode={self.mode!r}"
