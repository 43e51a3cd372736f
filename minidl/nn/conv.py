"""Convolution layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import functional as F
from minidl.errors import ArgumentError
from minidl.geometry import IntOrPair, Pair, pair
from minidl.nn._affine import Affine, check_size
from minidl.ops._common import as_tensor

__all__ = ["Conv2d"]


class Conv2d(Affine):
    """A layer of filters: `minidl.functional.conv2d` with a weight and a bias of its own.

    Parameters
    ----------
    in_channels : int or None
        The channels of the input (N, in_channels, H, W); None infers them at the first call or from a state dict.
    out_channels : int
        The number of filters.
    kernel_size : int or (int, int)
        The height and width of a filter.
    stride, padding, dilation, groups
        As in `minidl.functional.conv2d`.
    bias : bool
        Whether a bias is added.
    dtype : numpy dtype, optional
        Of the parameters; the default dtype if not given.
    generator : numpy.random.Generator, optional
        Draws the initial values; minidl's own (`manual_seed`) by default.

    Attributes
    ----------
    weight : Parameter (out_channels, in_channels / groups, KH, KW)
        Drawn evenly from +-1 / sqrt(fan_in), as in PyTorch.
    bias : Parameter (out_channels,) or None
        Drawn alike.

    Raises
    ------
    ArgumentError
        If a size is less than 1, or groups does not divide both numbers of channels.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.Conv2d(1, 6, 5, padding=2)(minidl.zeros(64, 1, 28, 28)).shape
    (64, 6, 28, 28)
    """

    _input_name = "in_channels"

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: IntOrPair | str = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        self.in_channels = check_size("Conv2d", "in_channels", in_channels, optional=True)
        self.out_channels: int = check_size("Conv2d", "out_channels", out_channels)  # type: ignore[assignment]
        self.groups: int = check_size("Conv2d", "groups", groups)  # type: ignore[assignment]
        self.kernel_size: Pair = pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride: Pair = pair("Conv2d", "stride", stride, 1)
        self.dilation: Pair = pair("Conv2d", "dilation", dilation, 1)
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ArgumentError(f"Conv2d: padding must be an int, a pair of ints, 'same' or 'valid', got {padding!r}")
        self.padding = padding if isinstance(padding, str) else pair("Conv2d", "padding", padding, 0)
        for name in ("in_channels", "out_channels"):
            if (getattr(self, name) or 0) % self.groups:
                raise ArgumentError(f"Conv2d: {name}={getattr(self, name)} can't be split into {groups} groups")
        self._create(self.out_channels, bias, dtype, generator)

    def _weight_shape(self) -> tuple[int | None, ...]:
        channels = None if self.in_channels is None else self.in_channels // self.groups
        return (self.out_channels, channels, *self.kernel_size)

    def _input_size_from(self, weight_shape: tuple[int, ...]) -> int:
        return weight_shape[1] * self.groups

    def forward(self, input: Any) -> Any:
        """Convolve (N, C, H, W) or (C, H, W)."""
        if self.in_channels is None:
            x = as_tensor("conv2d", "input", input)
            if x.data.ndim in (3, 4) and x.data.shape[-3] and x.data.shape[-3] % self.groups == 0:
                self._set_input_size(x.data.shape[-3])
            else:
                raise ArgumentError(f"conv2d: no number of channels to infer from an input of shape {x.data.shape}")
        return F.conv2d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        for name, default in (("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1)):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)!r}"
        return text if self.bias is not None else text + ", bias=False"
