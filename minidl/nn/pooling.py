"""Pooling layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from minidl import functional as F
from minidl.errors import check_flag
from minidl.functional._pooling import check_divisor, default_stride
from minidl.geometry import IntOrPair
from minidl.nn.module import Module

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "MaxPool1d",
    "MaxPool2d",
]


class _Pooling(Module):
    """A function of the input and of the layer's settings, which are its attributes of the same names."""

    _function: ClassVar[Any]
    # The settings that are always shown, and those that are shown where they are not the default.
    _shown: ClassVar[tuple[str, ...]]
    _defaults: ClassVar[dict[str, Any]] = {}

    def __init__(self, **settings: Any) -> None:
        layer = type(self).__name__
        for name, value in settings.items():
            if name in ("ceil_mode", "return_indices", "count_include_pad"):
                check_flag(layer, name, value)
            elif name == "divisor_override":
                check_divisor(layer, value)
            setattr(self, name, value)

    def forward(self, input: Any) -> Any:
        """Pool a batch (N, C, ...) or one sample (C, ...)."""
        return type(self)._function(input, **{name: getattr(self, name) for name in (*self._shown, *self._defaults)})

    def extra_repr(self) -> str:
        """The window, and what differs from the defaults."""
        changed = [name for name, default in self._defaults.items() if getattr(self, name) != default]
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in (*self._shown, *changed))


class _Window(_Pooling):
    """A window that slides, by default by its own size."""

    def __init__(
        self, kernel_size: IntOrPair, stride: IntOrPair | None, padding: IntOrPair, ceil_mode: bool, **settings: Any
    ) -> None:
        step = default_stride(kernel_size, stride)
        super().__init__(kernel_size=kernel_size, stride=step, padding=padding, ceil_mode=ceil_mode, **settings)


class _MaxPool(_Window):
    _shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    _defaults: ClassVar = {"return_indices": False}

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        dilation: IntOrPair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, dilation=dilation, return_indices=return_indices)


class MaxPool1d(_MaxPool):
    """Keep the largest value of each window over signals; see `minidl.functional.max_pool1d`.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.MaxPool1d(2)(minidl.zeros(64, 6, 28)).shape
    (64, 6, 14)
    """

    _function = F.max_pool1d


class MaxPool2d(_MaxPool):
    """Keep the largest value of each window; see `minidl.functional.max_pool2d`.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.MaxPool2d(2)(minidl.zeros(64, 6, 28, 28)).shape
    (64, 6, 14, 14)
    """

    _is_fusible = True

    _function = F.max_pool2d


class _AvgPool(_Window):
    _shown = ("kernel_size", "stride", "padding")
    _defaults: ClassVar = {"ceil_mode": False, "count_include_pad": True}


class AvgPool1d(_AvgPool):
    """Keep the mean of each window over signals; see `minidl.functional.avg_pool1d`.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.AvgPool1d(2)(minidl.zeros(64, 6, 28)).shape
    (64, 6, 14)
    """

    _function = F.avg_pool1d

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad=count_include_pad)


class AvgPool2d(_AvgPool):
    """Keep the mean of each window; see `minidl.functional.avg_pool2d`.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.AvgPool2d(2)(minidl.zeros(64, 6, 28, 28)).shape
    (64, 6, 14, 14)
    """

    _function = F.avg_pool2d
    _defaults: ClassVar = {**_AvgPool._defaults, "divisor_override": None}

    def __init__(
        self,
        kernel_size: IntOrPair,
        stride: IntOrPair | None = None,
        padding: IntOrPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(
            kernel_size, stride, padding, ceil_mode, count_include_pad=count_include_pad,
            divisor_override=divisor_override,
        )  # fmt: skip


class _AdaptiveMaxPool(_Pooling):
    _shown = ("output_size",)
    _defaults: ClassVar = {"return_indices": False}

    def __init__(self, output_size: int | Sequence[int | None], return_indices: bool = False) -> None:
        super().__init__(output_size=output_size, return_indices=return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Keep the largest values of windows that share signals out; see `minidl.functional.adaptive_max_pool1d`.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.AdaptiveMaxPool1d(3)(minidl.zeros(64, 6, 28)).shape
    (64, 6, 3)
    """

    _function = F.adaptive_max_pool1d


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Keep the largest values of windows that share images out; see `minidl.functional.adaptive_max_pool2d`.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.AdaptiveMaxPool2d((None, 3))(minidl.zeros(64, 6, 28, 28)).shape
    (64, 6, 28, 3)
    """

    _function = F.adaptive_max_pool2d


class _AdaptiveAvgPool(_Pooling):
    _shown = ("output_size",)

    def __init__(self, output_size: int | Sequence[int | None]) -> None:
        super().__init__(output_size=output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Keep the means of windows that share signals out; see `minidl.functional.adaptive_avg_pool1d`.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.AdaptiveAvgPool1d(3)(minidl.zeros(64, 6, 28)).shape
    (64, 6, 3)
    """

    _function = F.adaptive_avg_pool1d


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Keep the means of windows that share images out; see `minidl.functional.adaptive_avg_pool2d`.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.AdaptiveAvgPool2d(1)(minidl.zeros(64, 6, 28, 28)).shape
    (64, 6, 1, 1)
    """

    _function = F.adaptive_avg_pool2d
