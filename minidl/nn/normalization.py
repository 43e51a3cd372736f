"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import numpy as np

from minidl import functional as F
from minidl.arguments import check_room
from minidl.dtypes import get_default_dtype, to_dtype
from minidl.errors import ArgumentError, DTypeError, ShapeError, check_flag
from minidl.functional.normalization import read_eps, read_momentum, read_sizes
from minidl.grad_mode import no_grad
from minidl.nn._affine import check_size
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter
from minidl.ops._common import as_tensor
from minidl.runtime import locks
from minidl.tensor import Tensor

__all__ = ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "LayerNorm"]


class _Normalization(Module):
    """The base of all of them: eps, and a weight and a bias that start as 1 and 0, or neither."""

    weight: Parameter | None
    bias: Parameter | None

    def _create(self, shape: tuple[int, ...], eps: float, affine: bool, bias: bool, dtype: Any) -> np.dtype:
        layer = type(self).__name__
        check_flag(layer, "bias", bias)
        read_eps(layer, eps)
        self.eps = eps
        dtype = get_default_dtype() if dtype is None else to_dtype(layer, dtype)
        if dtype.kind != "f":
            raise DTypeError(f"{layer}: dtype must be float32 or float64, got {dtype}")
        check_room(layer, shape, dtype.itemsize)
        self.weight = Parameter(np.ones(shape, dtype)) if affine else None
        self.bias = Parameter(np.zeros(shape, dtype)) if affine and bias else None
        return dtype

    def reset_parameters(self) -> None:
        """Set the weight to 1 and the bias to 0."""
        with no_grad():
            if self.weight is not None:
                self.weight.fill_(1)
            if self.bias is not None:
                self.bias.fill_(0)


class LayerNorm(_Normalization):
    """Normalise over the last dimensions; see `minidl.functional.layer_norm`.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The sizes of the last dimensions, which are normalised together.
    eps : float
        Added to the variance.
    elementwise_affine : bool
        Whether there is a weight, and a bias, for each value.
    bias : bool
        Whether there is a bias then.
    dtype : numpy dtype, optional
        Of the parameters; the default dtype if not given.

    Attributes
    ----------
    weight, bias : Parameter (*normalized_shape) or None
        1 and 0 at first.

    Raises
    ------
    ArgumentError
        If a size is less than 1, there is none, or eps is below 0.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.LayerNorm(3)(minidl.tensor([[1.0, 2.0, 3.0]])).detach()
    tensor([[-1.2247,  0.    ,  1.2247]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = None,
    ) -> None:
        sizes = (normalized_shape,) if isinstance(normalized_shape, int | np.integer) else normalized_shape
        self.normalized_shape = read_sizes("LayerNorm", sizes)
        for size in self.normalized_shape:
            check_size("LayerNorm", "normalized_shape", size)
        check_flag("LayerNorm", "elementwise_affine", elementwise_affine)
        self.elementwise_affine = elementwise_affine
        self._create(self.normalized_shape, eps, elementwise_affine, bias, dtype)

    def forward(self, input: Any) -> Any:
        """Normalise (..., *normalized_shape)."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class GroupNorm(_Normalization):
    """Normalise groups of neighbouring channels, each sample by itself; see `minidl.functional.group_norm`.

    Parameters
    ----------
    num_groups : int
        Into how many groups the channels are split.
    num_channels : int
        The channels of the input (N, C, ...).
    eps : float
        Added to the variance.
    affine : bool
        Whether there is a weight, and a bias, for each channel.
    bias : bool
        Whether there is a bias then.
    dtype : numpy dtype, optional
        Of the parameters; the default dtype if not given.

    Attributes
    ----------
    weight, bias : Parameter (num_channels,) or None
        1 and 0 at first.

    Raises
    ------
    ArgumentError
        If a number is less than 1, num_groups does not divide num_channels, or eps is below 0.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.GroupNorm(2, 6)(minidl.zeros(4, 6, 5, 5)).shape
    (4, 6, 5, 5)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        self.num_groups: int = check_size("GroupNorm", "num_groups", num_groups)  # type: ignore[assignment]
        self.num_channels: int = check_size("GroupNorm", "num_channels", num_channels)  # type: ignore[assignment]
        if self.num_channels % self.num_groups:
            raise ArgumentError(f"GroupNorm: num_channels={num_channels} can't be split into {num_groups} groups")
        check_flag("GroupNorm", "affine", affine)
        self.affine = affine
        self._create((self.num_channels,), eps, affine, bias, dtype)

    def forward(self, input: Any) -> Any:
        """Normalise (N, C, ...)."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class _ChannelNorm(_Normalization):
    """The base of batch and instance normalisation: channels, and statistics that run along while training."""

    # The inputs that the layer takes, by their number of dimensions.
    _inputs: ClassVar[dict[int, str]] = {}

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        layer = type(self).__name__
        self.num_features: int = check_size(layer, "num_features", num_features)  # type: ignore[assignment]
        if momentum is not None:
            read_momentum(layer, momentum)
        check_flag(layer, "affine", affine)
        check_flag(layer, "track_running_stats", track_running_stats)
        self.momentum, self.affine, self.track_running_stats = momentum, affine, track_running_stats
        dtype = self._create((self.num_features,), eps, affine, bias, dtype)
        for name, value in (
            ("running_mean", np.zeros(self.num_features, dtype)),
            ("running_var", np.ones(self.num_features, dtype)),
            ("num_batches_tracked", np.zeros((), np.int64)),
        ):
            self.register_buffer(name, Tensor(value) if track_running_stats else None)

    def reset_running_stats(self) -> None:
        """Set the running mean to 0, the running variance to 1, and forget how many batches there were."""
        for buffer, value in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
            if buffer is not None:
                buffer.fill_(value)

    def reset_parameters(self) -> None:
        """Set weight, bias and running statistics to what they were at first."""
        super().reset_parameters()
        self.reset_running_stats()

    def _read(self, input: Any) -> Any:
        layer = type(self).__name__
        x = as_tensor(layer, "input", input)
        if x.data.ndim not in self._inputs:
            wanted = " or ".join(f"{ndim} dimensions {axes}" for ndim, axes in self._inputs.items())
            raise ShapeError(f"{layer}: input must have {wanted}, got {x.data.ndim}: {x.data.shape}")
        return x

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_ChannelNorm):
    def forward(self, input: Any) -> Any:
        """Normalise each channel, by the batch's own statistics in training or without running ones."""
        x = self._read(input)
        is_tracking = self.training and self.track_running_stats
        mean, var, batches = self.running_mean, self.running_var, self.num_batches_tracked
        if self.training and not is_tracking:
            mean = var = None
        momentum, counts = self.momentum, is_tracking and batches is not None
        # Each batch has the same share in the running mean of all so far, so that another thread's has to wait.
        with locks.statistics if counts and momentum is None else nullcontext():
            if momentum is None:
                momentum = 1 / (batches.item() + 1) if counts else 0.0  # type: ignore[union-attr]
            y = F.batch_norm(x, mean, var, self.weight, self.bias, self.training or mean is None, momentum, self.eps)
            if counts:
                with locks.statistics:
                    batches.add_(1)  # type: ignore[union-attr]
        return y


class BatchNorm1d(_BatchNorm):
    """Normalise each feature over the batch; see `minidl.functional.batch_norm`.

    Parameters
    ----------
    num_features : int
        C of the input (N, C) or (N, C, L).
    eps : float
        Added to the variance.
    momentum : float or None
        The share of each new batch in the running statistics; None makes them the mean over all batches so far.
    affine : bool
        Whether there is a weight, and a bias, for each feature.
    track_running_stats : bool
        Whether there are running statistics: training updates them in place, evaluation normalises by them. Without
        them evaluation normalises by the statistics of the batch, as training does.
    bias : bool
        Whether there is a bias, if `affine`.
    dtype : numpy dtype, optional
        Of parameters and running statistics; the default dtype if not given.

    Attributes
    ----------
    weight, bias : Parameter (num_features,) or None
        1 and 0 at first.
    running_mean, running_var : Tensor (num_features,) or None
        Buffers, 0 and 1 at first.
    num_batches_tracked : Tensor () or None
        A buffer of dtype int64, the number of batches in training.

    Raises
    ------
    ArgumentError
        If num_features is less than 1, momentum not from 0 to 1, or eps below 0.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> layer = nn.BatchNorm1d(1)
    >>> layer(minidl.tensor([[1.0], [3.0]])).detach()
    tensor([[-1.],
            [ 1.]])
    >>> layer.eval()(minidl.tensor([[0.2]])).detach()
    tensor([[0.]])
    """

    _inputs = {2: "(N, C)", 3: "(N, C, L)"}


class BatchNorm2d(_BatchNorm):
    """Normalise each channel over the batch and all pixels; see `minidl.functional.batch_norm`.

    It takes images (N, C, H, W); parameters, attributes and errors are those of `BatchNorm1d`.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.BatchNorm2d(6)(minidl.zeros(4, 6, 5, 5)).shape
    (4, 6, 5, 5)
    """

    _inputs = {4: "(N, C, H, W)"}


class _InstanceNorm(_ChannelNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias=bias, dtype=dtype)

    def forward(self, input: Any) -> Any:
        """Normalise each channel of each sample, by its own statistics in training or without running ones."""
        x = self._read(input)
        has_batch = x.data.ndim == max(self._inputs)
        channels = x.data.shape[1 if has_batch else 0]
        # PyTorch only warns of it where nothing has that size.
        if channels != self.num_features:
            raise ShapeError(
                f"{type(self).__name__}: input has {channels} channels (axis {1 if has_batch else 0} of "
                f"{x.data.shape}), the layer {self.num_features}"
            )
        y = F.instance_norm(
            x if has_batch else x.unsqueeze(0), self.running_mean, self.running_var, self.weight, self.bias,
            self.training or not self.track_running_stats, 0.0 if self.momentum is None else self.momentum, self.eps,
        )  # fmt: skip
        return y if has_batch else y.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """Normalise each channel of each sample over its positions; see `minidl.functional.instance_norm`.

    It takes signals (N, C, L), or one (C, L). Parameters, attributes and errors are those of `BatchNorm1d`, but
    `affine` and `track_running_stats` are False by default; `num_batches_tracked` stays 0, and with `momentum` None
    the running statistics stay what they are, all as in PyTorch.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.InstanceNorm1d(2)(minidl.tensor([[1.0, 3.0], [50.0, 10.0]]))
    tensor([[-1.,  1.],
            [ 1., -1.]])
    """

    _inputs = {2: "(C, L)", 3: "(N, C, L)"}


class InstanceNorm2d(_InstanceNorm):
    """Normalise each channel of each sample over its pixels; see `minidl.functional.instance_norm`.

    It takes images (N, C, H, W), or one (C, H, W); all else is as for `InstanceNorm1d`.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.InstanceNorm2d(6)(minidl.zeros(4, 6, 5, 5)).shape
    (4, 6, 5, 5)
    """

    _inputs = {3: "(C, H, W)", 4: "(N, C, H, W)"}
