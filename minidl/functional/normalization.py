"""Normalisation by mean and variance; what differs is which values share them."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, prod
from typing import Any

import numpy as np

from minidl.autograd import TensorBase
from minidl.errors import ArgumentError, DTypeError, ShapeError, check_flag
from minidl.ops._common import as_tensor, check_same_dtype, read_number
from minidl.ops.normalization import Layout, Normalise
from minidl.runtime import locks

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm"]


def read_eps(op: str, eps: Any, positive: bool = False) -> float:
    """Read what is added to a variance: finite, and at least 0, or (`positive`) above it."""
    number = read_number(op, "eps", eps)
    if not 0 <= number < inf or (positive and number == 0):
        raise ArgumentError(f"{op}: eps must be a number {'above' if positive else 'of at least'} 0, got {eps!r}")
    return number


def read_momentum(op: str, momentum: Any) -> float:
    """The weight of new statistics in the running ones, from 0 to 1."""
    number = read_number(op, "momentum", momentum)
    if not 0 <= number <= 1:
        raise ArgumentError(f"{op}: momentum must be a number from 0 to 1, got {momentum!r}")
    return number


def read_sizes(op: str, normalized_shape: Any) -> tuple[int, ...]:
    """The sizes of the last dimensions, at least one."""
    sizes = tuple(normalized_shape) if isinstance(normalized_shape, Sequence) else ()
    if not sizes or not all(isinstance(s, int | np.integer) and not isinstance(s, bool) for s in sizes):
        raise ArgumentError(f"{op}: normalized_shape must be a tuple of at least one int, got {normalized_shape!r}")
    return tuple(map(int, sizes))


def _read(op: str, input: Any, **others: Any) -> list[Any]:
    """All as tensors of one floating dtype; None stays."""
    x = as_tensor(op, "input", input)
    tensors = {name: None if value is None else as_tensor(op, name, value) for name, value in others.items()}
    check_same_dtype(op, input=x, **tensors)
    return [x, *tensors.values()]


def _check_shapes(op: str, each: str, shape: tuple[int, ...], **tensors: Any) -> None:
    for name, tensor in tensors.items():
        if tensor is not None and tensor.data.shape != shape:
            raise ShapeError(f"{op}: {name} must have shape {shape}, one a {each}, got {tensor.data.shape}")


def _check_channels(op: str, x: Any, **tensors: Any) -> None:
    """Refuse an input without channels along axis 1, and what has not one number for each."""
    if x.data.ndim < 2:
        raise ShapeError(f"{op}: input must have at least 2 dimensions (N, C, ...), got shape {x.data.shape}")
    _check_shapes(op, "channel", (x.data.shape[1],), **tensors)


def _check_running(op: str, flag: str, is_updated: bool, given: dict[str, Any], tensors: list[Any]) -> None:
    """Refuse one running statistic without the other, and any that can't be what it is to be."""
    if (tensors[0] is None) != (tensors[1] is None):
        raise ArgumentError(f"{op}: running_mean and running_var must both be given, or neither")
    if tensors[0] is None and not is_updated:
        raise ArgumentError(f"{op}: running_mean and running_var must be given where {flag} is False")
    for (name, value), tensor in zip(given.items(), tensors, strict=True):
        if tensor is None:
            continue
        if tensor.requires_grad:
            raise ArgumentError(f"{op}: {name} must not require gradients, there are none for it")
        if is_updated and not isinstance(value, TensorBase):
            raise DTypeError(f"{op}: {name} is updated in place and must be a tensor, got {type(value).__name__}")
        if is_updated and not tensor.data.flags.writeable:
            raise ArgumentError(f"{op}: {name} is updated in place, but its memory is read-only")


def _channel_norm(
    op: str, flag: str, uses_input: bool, spans_batch: bool, input: Any, running: dict[str, Any], weight: Any,
    bias: Any, momentum: Any, eps: Any,
) -> Any:  # fmt: skip
    """Normalise each channel, with statistics of the input (across the batch or for each sample) or running ones."""
    check_flag(op, flag, uses_input)
    x, running_mean, running_var, w, b = _read(op, input, **running, weight=weight, bias=bias)
    _check_channels(op, x, running_mean=running_mean, running_var=running_var, weight=w, bias=b)
    _check_running(op, flag, uses_input, running, [running_mean, running_var])
    new_share, small = read_momentum(op, momentum), read_eps(op, eps, positive=spans_batch and uses_input)
    N, C, *size = x.data.shape
    if not uses_input:
        # Copies, since running statistics may be updated before the backward pass.
        constant = np.array(running_mean.data, np.float64), np.array(running_var.data, np.float64)
        return Normalise(Layout(N, 1, C, 1, prod(size)), small, constant, is_constant=True)(x, w, b)
    layout = Layout(N, 1, C, 1, prod(size)) if spans_batch else Layout(1, N, C, 1, prod(size))
    if layout.set_size == 1:
        each = "channel" if spans_batch else "channel of each sample"
        raise ShapeError(
            f"{op}: the variance of the input needs more than 1 value a {each}, got input of shape {x.data.shape}"
        )
    normalise = Normalise(layout, small)
    y = normalise(x, w, b)
    # Nothing has no statistics.
    if running_mean is not None and x.data.size:
        bessel = layout.set_size / (layout.set_size - 1)
        # Batches of several threads count one after the other.
        with locks.statistics, np.errstate(all="ignore"):
            for tensor, statistic, factor in zip(
                (running_mean, running_var), normalise.statistics, (1, bessel), strict=True
            ):
                new = statistic.reshape(layout.rows, C).mean(axis=0) * factor
                np.copyto(tensor.data, (1 - new_share) * tensor.data + new_share * new, casting="same_kind")
                tensor._version[0] += 1
    return y


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalise each channel over the batch and all positions.

    ``y = (x - mean) / sqrt(var + eps) weight + bias``, channel by channel

    Parameters
    ----------
    input : Tensor (N, C, ...)
        Float32 or float64, with any number of further dimensions.
    running_mean, running_var : Tensor (C,) or None
        In training, they are updated in place, unless both are None; the variance with a factor of n / (n - 1) for
        the n values of a channel. An input without values leaves them alone. Otherwise they are what the input is
        normalised by. They have no gradients.
    weight, bias : Tensor (C,), optional
        What each channel is multiplied by, and what is added then; 1 and 0 by default.
    training : bool
        Whether mean and variance are those of the input, or the running ones.
    momentum : float
        From 0 to 1: ``running = (1 - momentum) running + momentum new``.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor (N, C, ...)
        Of the shape of the input.

    Raises
    ------
    ShapeError
        If input has fewer than 2 dimensions, another has not shape (C,), or training meets one value a channel.
    DTypeError
        If float32 and float64 are mixed, or an argument is not floating.
    ArgumentError
        If running statistics are missing, or require gradients, momentum is not from 0 to 1, or eps is below 0, or 0
        in training.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
    shift", 2015.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> running_mean, running_var = minidl.zeros(1), minidl.ones(1)
    >>> F.batch_norm(minidl.tensor([[1.0], [3.0]]), running_mean, running_var, training=True)
    tensor([[-1.],
            [ 1.]])
    >>> running_mean, running_var
    (tensor([0.2]), tensor([1.1]))
    """
    running = {"running_mean": running_mean, "running_var": running_var}
    return _channel_norm("batch_norm", "training", training, True, input, running, weight, bias, momentum, eps)


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalise each channel of each sample over its positions.

    Parameters
    ----------
    input : Tensor (N, C, ...)
        Float32 or float64, with any number of further dimensions.
    running_mean, running_var : Tensor (C,), optional
        As in `batch_norm`; they are updated by the means of the samples' statistics.
    weight, bias : Tensor (C,), optional
        What each channel is multiplied by, and what is added then; 1 and 0 by default.
    use_input_stats : bool
        Whether mean and variance are those of the input, or the running ones.
    momentum, eps : float
        As in `batch_norm`.

    Returns
    -------
    Tensor (N, C, ...)
        Of the shape of the input.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As `batch_norm` does; a channel of a sample must have more than one value.

    References
    ----------
    Ulyanov, Vedaldi and Lempitsky, "Instance normalization: the missing ingredient for fast stylization", 2016.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.instance_norm(minidl.tensor([[[1.0, 3.0], [50.0, 10.0]]]))
    tensor([[[-1.,  1.],
             [ 1., -1.]]])
    """
    running = {"running_mean": running_mean, "running_var": running_var}
    return _channel_norm(
        "instance_norm", "use_input_stats", use_input_stats, False, input, running, weight, bias, momentum, eps
    )


def layer_norm(
    input: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Normalise over the last dimensions, position by position of the others.

    Parameters
    ----------
    input : Tensor (..., *normalized_shape)
        Float32 or float64.
    normalized_shape : sequence of int
        The sizes of the dimensions that are normalised together.
    weight, bias : Tensor (*normalized_shape), optional
        What each value is multiplied by, and what is added then; 1 and 0 by default.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor (..., *normalized_shape)
        Of the shape of the input.

    Raises
    ------
    ShapeError
        If the input does not end in `normalized_shape`, or weight or bias is of another shape.
    DTypeError
        If float32 and float64 are mixed, or an argument is not floating.
    ArgumentError
        If normalized_shape is no tuple of at least one int, or eps is below 0.

    References
    ----------
    Ba, Kiros and Hinton, "Layer normalization", 2016.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.layer_norm(minidl.tensor([[1.0, 3.0], [50.0, 10.0]]), (2,))
    tensor([[-1.,  1.],
            [ 1., -1.]])
    """
    sizes, small = read_sizes("layer_norm", normalized_shape), read_eps("layer_norm", eps)
    x, w, b = _read("layer_norm", input, weight=weight, bias=bias)
    shape = x.data.shape
    if shape[-len(sizes) :] != sizes:
        raise ShapeError(f"layer_norm: input must end in normalized_shape {sizes}, its shape is {shape}")
    _check_shapes("layer_norm", "value of normalized_shape", sizes, weight=w, bias=b)
    return Normalise(Layout(1, prod(shape[: -len(sizes)]), 1, prod(sizes), 1), small)(x, w, b)


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Normalise groups of neighbouring channels, each sample by itself.

    Parameters
    ----------
    input : Tensor (N, C, ...)
        Float32 or float64, with any number of further dimensions.
    num_groups : int
        Into how many groups the channels are split; it divides C.
    weight, bias : Tensor (C,), optional
        What each channel is multiplied by, and what is added then; 1 and 0 by default.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor (N, C, ...)
        Of the shape of the input.

    Raises
    ------
    ShapeError
        If input has fewer than 2 dimensions, its channels can't be split, weight or bias has not shape (C,), or the
        only sample has one value a group.
    DTypeError
        If float32 and float64 are mixed, or an argument is not floating.
    ArgumentError
        If num_groups is no int of at least 1, or eps is below 0.

    References
    ----------
    Wu and He, "Group normalization", 2018.

    Examples
    --------
    >>> import minidl
    >>> import minidl.functional as F
    >>> F.group_norm(minidl.tensor([[1.0, 3.0, 50.0, 10.0]]), 2)
    tensor([[-1.,  1.,  1., -1.]])
    """
    if isinstance(num_groups, bool) or not isinstance(num_groups, int | np.integer) or num_groups < 1:
        raise ArgumentError(f"group_norm: num_groups must be an int of at least 1, got {num_groups!r}")
    small = read_eps("group_norm", eps)
    x, w, b = _read("group_norm", input, weight=weight, bias=bias)
    _check_channels("group_norm", x, weight=w, bias=b)
    N, C, *size = x.data.shape
    if C % num_groups:
        raise ShapeError(f"group_norm: input has {C} channels (axis 1 of {x.data.shape}), not {num_groups} groups")
    layout = Layout(1, N, int(num_groups), C // int(num_groups), prod(size))
    if layout.set_size * N == 1:
        raise ShapeError(f"group_norm: one sample needs more than 1 value a group, got input of shape {x.data.shape}")
    return Normalise(layout, small)(x, w, b)
