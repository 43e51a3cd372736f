"""Convolution layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl import functional as F
from minidl.errors import ArgumentError
from minidl.functional._images import image_batch
from minidl.geometry import IntOrPair, Padding, output_padding_for, pair, sides, sides_or_word, sliding_window
from minidl.nn._affine import Affine, check_size
from minidl.ops._common import as_tensor, check_choice

__all__ = ["Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d"]

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Filters(Affine):
    """The base of the layers of this file; each says its function, and in how many dimensions that works."""

    _input_name = "in_channels"
    _function: Callable[..., Any]
    _spatial = 2

    def _set_sizes(
        self, in_channels: Any, out_channels: Any, kernel_size: Any, stride: Any, dilation: Any, groups: Any
    ) -> None:
        layer = type(self).__name__
        self.in_channels = check_size(layer, "in_channels", in_channels, optional=True)
        self.out_channels: int = check_size(layer, "out_channels", out_channels)  # type: ignore[assignment]
        self.groups: int = check_size(layer, "groups", groups)  # type: ignore[assignment]
        self.kernel_size = self._read_axes("kernel_size", kernel_size, 1)
        self.stride = self._read_axes("stride", stride, 1)
        self.dilation = self._read_axes("dilation", dilation, 1)
        for name in ("in_channels", "out_channels"):
            if (getattr(self, name) or 0) % self.groups:
                raise ArgumentError(f"{layer}: {name}={getattr(self, name)} can't be split into {groups} groups")

    def _read_axes(self, name: str, value: Any, minimum: int) -> tuple[int, ...]:
        return pair(type(self).__name__, name, value, minimum, self._spatial)[-self._spatial :]

    def _infer_channels(self, input: Any) -> None:
        if not self._is_sized:
            op = self._function.__name__
            shape = as_tensor(op, "input", input).data.shape
            channels = shape[-self._spatial - 1] if len(shape) in (self._spatial + 1, self._spatial + 2) else 0
            if not channels or channels % self.groups:
                raise ArgumentError(f"{op}: no number of channels to infer from an input of shape {shape}")
            self._set_input_size(channels)

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        zeros, ones = (0,) * self._spatial, (1,) * self._spatial
        defaults = {
            "padding": zeros, "dilation": ones, "output_padding": zeros, "groups": 1, "padding_mode": "zeros",
        }  # fmt: skip
        for name, default in defaults.items():
            if getattr(self, name, default) != default:
                text += f", {name}={getattr(self, name)!r}"
        return text if self.bias is not None else text + ", bias=False"


class _Convolution(_Filters):
    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: IntOrPair | str | Padding = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        self._set_sizes(in_channels, out_channels, kernel_size, stride, dilation, groups)
        layer = type(self).__name__
        self.padding: Any = sides_or_word(layer, padding, self._spatial)
        if not isinstance(padding, str | Padding):
            self.padding = self._read_axes("padding", padding, 0)
        check_choice(layer, "padding_mode", padding_mode, _PADDING_MODES)
        self.padding_mode = padding_mode
        self._create(self.out_channels, bias, dtype, generator)

    def _weight_shape(self) -> tuple[int | None, ...]:
        channels = None if self.in_channels is None else self.in_channels // self.groups
        return (self.out_channels, channels, *self.kernel_size)

    def _input_size_from(self, weight_shape: tuple[int, ...]) -> int:
        return weight_shape[1] * self.groups

    def forward(self, input: Any) -> Any:
        """Convolve a batch or one sample."""
        self._infer_channels(input)
        function, padding = type(self)._function, self.padding
        if self.padding_mode != "zeros":
            op = function.__name__
            images, _ = image_batch(op, input, self._spatial)
            size = images.data.shape[4 - self._spatial :]
            top, bottom, left, right = sliding_window(
                op, size, self.kernel_size, self.stride, padding, self.dilation
            ).padding
            input, padding = F.pad(input, (left, right, top, bottom)[: 2 * self._spatial], self.padding_mode), 0
        return function(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class _TransposedConvolution(_Filters):
    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: IntOrPair,
        stride: IntOrPair = 1,
        padding: IntOrPair | Padding = 0,
        output_padding: IntOrPair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntOrPair = 1,
        padding_mode: str = "zeros",
        *,
        dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        self._set_sizes(in_channels, out_channels, kernel_size, stride, dilation, groups)
        layer = type(self).__name__
        margins = sides(layer, padding, self._spatial)
        self.padding: Any = margins if isinstance(padding, Padding) else self._read_axes("padding", padding, 0)
        self.output_padding = self._read_axes("output_padding", output_padding, 0)
        check_choice(layer, "padding_mode", padding_mode, ("zeros",))
        self._create(self.out_channels, bias, dtype, generator)

    def _weight_shape(self) -> tuple[int | None, ...]:
        return (self.in_channels, self.out_channels // self.groups, *self.kernel_size)

    def _input_size_from(self, weight_shape: tuple[int, ...]) -> int:
        return weight_shape[0]

    def forward(self, input: Any, output_size: Sequence[int] | None = None) -> Any:
        """Spread a batch or one sample; `output_size`, if given, takes the place of `output_padding`."""
        self._infer_channels(input)
        function, extra = type(self)._function, self.output_padding
        if output_size is not None:
            images, is_batch = image_batch(function.__name__, input, self._spatial)
            if isinstance(output_size, Sequence) and len(output_size) == self._spatial + 1 + is_batch:
                output_size = output_size[1 + is_batch :]
            extra = output_padding_for(
                function.__name__, images.data.shape[4 - self._spatial :], output_size, self.kernel_size, self.stride,
                self.padding, self.dilation,
            )  # fmt: skip
        return function(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)


class Conv2d(_Convolution):
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
    padding_mode : str
        What the padding holds: "zeros", or what `minidl.functional.pad` puts there in the mode "reflect", "replicate"
        or "circular".
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

    _is_fusible = True

    _function = staticmethod(F.conv2d)


class Conv1d(_Convolution):
    """A layer of filters for signals (N, C, L): `minidl.functional.conv1d` with a weight and a bias of its own.

    Its arguments are those of `Conv2d`, with one int where that has two; the weight is
    (out_channels, in_channels / groups, K).

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.Conv1d(2, 8, 5, padding="same", padding_mode="circular")(minidl.zeros(16, 2, 100)).shape
    (16, 8, 100)
    """

    _function = staticmethod(F.conv1d)
    _spatial = 1


class ConvTranspose2d(_TransposedConvolution):
    """A layer that enlarges images: `minidl.functional.conv_transpose2d` with a weight and a bias of its own.

    Parameters
    ----------
    in_channels : int or None
        The channels of the input (N, in_channels, H, W); None infers them at the first call or from a state dict.
    out_channels : int
        The channels of the result.
    kernel_size : int or (int, int)
        The height and width of a filter.
    stride, padding, output_padding, groups, dilation
        As in `minidl.functional.conv_transpose2d`.
    bias : bool
        Whether a bias is added.
    padding_mode : str
        "zeros" alone, as in PyTorch.
    dtype : numpy dtype, optional
        Of the parameters; the default dtype if not given.
    generator : numpy.random.Generator, optional
        Draws the initial values; minidl's own (`manual_seed`) by default.

    Attributes
    ----------
    weight : Parameter (in_channels, out_channels / groups, KH, KW)
        Drawn evenly from +-1 / sqrt(out_channels / groups KH KW), as in PyTorch.
    bias : Parameter (out_channels,) or None
        Drawn alike.

    Raises
    ------
    ArgumentError
        If a size is less than 1, groups does not divide both numbers of channels, or (at a call) no result has the
        `output_size` that is asked for.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> smaller = minidl.zeros(64, 16, 7, 7)
    >>> nn.ConvTranspose2d(16, 6, 3, stride=2, padding=1)(smaller, output_size=(14, 14)).shape
    (64, 6, 14, 14)
    """

    _function = staticmethod(F.conv_transpose2d)


class ConvTranspose1d(_TransposedConvolution):
    """A layer that lengthens signals (N, C, L): `minidl.functional.conv_transpose1d` with parameters of its own.

    Its arguments are those of `ConvTranspose2d`, with one int where that has two; the weight is
    (in_channels, out_channels / groups, K).

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.ConvTranspose1d(8, 2, 4, stride=2, padding=1)(minidl.zeros(16, 8, 50)).shape
    (16, 2, 100)
    """

    _function = staticmethod(F.conv_transpose1d)
    _spatial = 1
