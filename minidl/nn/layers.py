"""The layers: parameters around the functions of `minidl.functional`."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from minidl import functional as F
from minidl.dtypes import get_default_dtype, to_dtype
from minidl.errors import ArgumentError
from minidl.functional.activation import check_probability
from minidl.geometry import IntOrPair, Pair, pair
from minidl.nn.init import fan_in_of, kaiming_uniform_, uniform_
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter
from minidl.ops._common import as_tensor
from minidl.tensor import Tensor


def _check_size(layer: str, name: str, value: Any, optional: bool = False) -> int | None:
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ArgumentError(
            f"{layer}: {name} must be an int of at least 1{' or None' if optional else ''}, got {value!r}"
        )
    return int(value)


class Affine(Module):
    """What convolution and dense layers share: a weight, a bias, and an input size that may be inferred.

    The parameters exist from the start. While the input size is open, the weight has no shape; it and the bias are
    drawn once the size is known.
    """

    # The attribute that holds the input size.
    _input_name = ""

    def _create(self, out: int, bias: bool, dtype: Any, generator: np.random.Generator | None) -> None:
        dtype = get_default_dtype() if dtype is None else to_dtype(type(self).__name__, dtype)
        self._generator = generator
        self.weight = Parameter(None)
        # Its dtype, until it has a shape; Module.to may change it meanwhile.
        self.weight.data = np.empty(0, dtype)
        self.bias = Parameter(np.zeros(out, dtype)) if bias else None
        if getattr(self, self._input_name) is not None:
            self.weight.initialise(np.empty(self._weight_shape(), dtype))  # type: ignore[arg-type]
            self.reset_parameters()

    def _weight_shape(self) -> tuple[int | None, ...]:
        raise NotImplementedError

    def _input_size_from(self, weight_shape: tuple[int, ...]) -> int:
        return weight_shape[1]

    def reset_parameters(self) -> None:
        """Draw weight and bias evenly from +-1 / sqrt(fan_in), as PyTorch does."""
        kaiming_uniform_(self.weight, sqrt(5), self._generator)
        if self.bias is not None:
            bound = 1 / sqrt(max(fan_in_of(self.weight.data.shape), 1))
            uniform_(self.bias, -bound, bound, self._generator)

    def _set_input_size(self, size: int) -> None:
        object.__setattr__(self, self._input_name, size)
        self.weight.initialise(np.empty(self._weight_shape(), self.weight.data.dtype))  # type: ignore[arg-type]
        self.reset_parameters()

    def _infer_sizes(self, arrays: dict[str, np.ndarray]) -> None:
        if "weight" in arrays and not self.weight.is_initialised:
            self._set_input_size(self._input_size_from(arrays["weight"].shape))

    def _shape_of(self, name: str, tensor: Tensor) -> tuple[int | None, ...]:
        return self._weight_shape() if name == "weight" and not self.weight.is_initialised else tensor.data.shape


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
        self.in_channels = _check_size("Conv2d", "in_channels", in_channels, optional=True)
        self.out_channels: int = _check_size("Conv2d", "out_channels", out_channels)  # type: ignore[assignment]
        self.groups: int = _check_size("Conv2d", "groups", groups)  # type: ignore[assignment]
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


class Dense(Affine):
    """A fully connected layer: input weight^T + bias. `Linear` is another name for it.

    Parameters
    ----------
    in_features : int or None
        The size of the input's last axis; None infers it at the first call or from a state dict.
    out_features : int
        The size of the output's last axis.
    bias : bool
        Whether a bias is added.
    dtype : numpy dtype, optional
        Of the parameters; the default dtype if not given.
    generator : numpy.random.Generator, optional
        Draws the initial values; minidl's own (`manual_seed`) by default.

    Attributes
    ----------
    weight : Parameter (out_features, in_features)
        Drawn evenly from +-1 / sqrt(in_features), as in PyTorch.
    bias : Parameter (out_features,) or None
        Drawn alike.

    Raises
    ------
    ArgumentError
        If a size is less than 1.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.Dense(400, 120)(minidl.zeros(64, 400)).shape
    (64, 120)
    """

    _input_name = "in_features"

    def __init__(
        self,
        in_features: int | None,
        out_features: int,
        bias: bool = True,
        *,
        dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        self.in_features = _check_size("Dense", "in_features", in_features, optional=True)
        self.out_features: int = _check_size("Dense", "out_features", out_features)  # type: ignore[assignment]
        self._create(self.out_features, bias, dtype, generator)

    def _weight_shape(self) -> tuple[int | None, ...]:
        return (self.out_features, self.in_features)

    def forward(self, input: Any) -> Any:
        """Map (..., in_features) to (..., out_features)."""
        if self.in_features is None:
            x = as_tensor("linear", "input", input)
            if x.data.ndim == 0 or x.data.shape[-1] == 0:
                raise ArgumentError(f"linear: no number of features to infer from an input of shape {x.data.shape}")
            self._set_input_size(x.data.shape[-1])
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        bias = "" if self.bias is not None else ", bias=False"
        return f"in_features={self.in_features}, out_features={self.out_features}{bias}"


Linear = Dense


class MaxPool2d(Module):
    """Keep the largest value of each window; see `minidl.functional.max_pool2d`.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.MaxPool2d(2)(minidl.zeros(64, 6, 28, 28)).shape
    (64, 6, 14, 14)
    """

    def __init__(
        self, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: IntOrPair = 0, dilation: IntOrPair = 1
    ) -> None:
        self.kernel_size, self.padding, self.dilation = kernel_size, padding, dilation
        self.stride = kernel_size if stride is None else stride

    def forward(self, input: Any) -> Any:
        """Pool (N, C, H, W) or (C, H, W)."""
        return F.max_pool2d(input, self.kernel_size, self.stride, self.padding, self.dilation)

    def extra_repr(self) -> str:
        """The window."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}"


class AvgPool2d(Module):
    """Keep the mean of each window; see `minidl.functional.avg_pool2d`.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.AvgPool2d(2)(minidl.zeros(64, 6, 28, 28)).shape
    (64, 6, 14, 14)
    """

    def __init__(self, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: IntOrPair = 0) -> None:
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride

    def forward(self, input: Any) -> Any:
        """Pool (N, C, H, W) or (C, H, W)."""
        return F.avg_pool2d(input, self.kernel_size, self.stride, self.padding)

    def extra_repr(self) -> str:
        """The window."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class ReLU(Module):
    """max(x, 0); see `minidl.functional.relu`."""

    def forward(self, input: Any) -> Any:
        """Apply it element by element."""
        return F.relu(input)


class Tanh(Module):
    """The hyperbolic tangent; see `minidl.functional.tanh`."""

    def forward(self, input: Any) -> Any:
        """Apply it element by element."""
        return F.tanh(input)


class Sigmoid(Module):
    """1 / (1 + exp(-x)); see `minidl.functional.sigmoid`."""

    def forward(self, input: Any) -> Any:
        """Apply it element by element."""
        return F.sigmoid(input)


class Dropout(Module):
    """Set elements to 0 with probability p while training; see `minidl.functional.dropout`.

    Parameters
    ----------
    p : float
        From 0 to 1.
    generator : numpy.random.Generator, optional
        minidl's own (`manual_seed`) by default.
    """

    def __init__(self, p: float = 0.5, *, generator: np.random.Generator | None = None) -> None:
        check_probability("Dropout", p)
        self.p, self.generator = p, generator

    def forward(self, input: Any) -> Any:
        """Drop elements in training mode, else nothing."""
        return F.dropout(input, self.p, self.training, self.generator)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"


class Flatten(Module):
    """Join dimensions, all but the first by default; see `minidl.flatten`."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Any) -> Any:
        """Join them."""
        return as_tensor("flatten", "input", input).flatten(self.start_dim, self.end_dim)


class CrossEntropyLoss(Module):
    """The negative log-probability of the right class; see `minidl.functional.cross_entropy`."""

    def __init__(self, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        self.ignore_index, self.reduction = ignore_index, reduction

    def forward(self, input: Any, target: Any) -> Any:
        """The loss of logits (N, C) for class numbers (N,)."""
        return F.cross_entropy(input, target, ignore_index=self.ignore_index, reduction=self.reduction)
