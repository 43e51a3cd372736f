"""Normalisations, as functions and as layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import minidl
import minidl.functional as F
from bad_input._row import Row, ones
from minidl import nn
from minidl.errors import ArgumentError, DTypeError, ShapeError, StateDictError

X = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
DOUBLE = {"dtype": np.float64}


def t(*shape: int, **options: Any) -> Any:
    """A tensor of ones, for what is updated in place."""
    return minidl.ones(*shape, **options)


def read_only(size: int) -> Any:
    """A tensor whose memory may not be written to."""
    array = ones(size)
    array.flags.writeable = False
    return minidl.Tensor(array)


def batch(input: Any = X, mean: Any = None, var: Any = None, **options: Any) -> Any:
    """A call in training."""
    return F.batch_norm(input, mean, var, **{"training": True, **options})


def by_channel(name: str, flag: str) -> Iterator[Row]:
    """What batch_norm and instance_norm refuse alike; `flag` is True where statistics are those of the input."""
    function = getattr(F, name)
    of_input, from_running = {flag: True}, {flag: False}
    none: dict[str, Any] = {"running_mean": None, "running_var": None}
    running = {"running_mean": t(3), "running_var": t(3)}

    def refused(what: str, error: type[Exception], message: str, input: Any = X, **options: Any) -> Row:
        return f"{name}: {what}", lambda: function(input, **options), error, rf"^{name}: {message}"

    for shape in ((3,), ()):
        message = r"input must have at least 2 dimensions \(N, C, \.\.\.\), got shape \("
        yield refused(f"{len(shape)} axes", ShapeError, message, ones(*shape), **running, **from_running)
    message = "input must be float32 or float64, got int64"
    yield refused("integers", DTypeError, message, X.astype(int), **none, **of_input)
    yield refused("input None", DTypeError, "input must be a tensor", None, **none, **of_input)

    for argument in ("running_mean", "running_var", "weight", "bias"):
        for shape in ((2,), (1, 3), (3, 1), (), (1,)):
            message = rf"{argument} must have shape \(3,\), one a channel, got \("
            options = {**running, **from_running, argument: t(*shape)}
            yield refused(f"{argument} of {shape}", ShapeError, message, **options)
        for value, message in (
            (t(3, **DOUBLE), rf"input is float32 and {argument} is float64"),
            (t(3, dtype=np.int64), rf"{argument} must be float32 or float64, got int64"),
            ("ones", rf"{argument} must be a tensor or an array, got str"),
        ):
            options = {**running, **from_running, argument: value}
            yield refused(f"{argument}, {message[-7:]}", DTypeError, message, **options)

    for argument in running:
        for mode in (of_input, from_running):
            message = "running_mean and running_var must both be given, or neither"
            yield refused(f"{argument} alone, {mode}", ArgumentError, message, **{**none, argument: t(3), **mode})
            message = f"{argument} must not require gradients"
            options = {**running, argument: t(3, requires_grad=True), **mode}
            yield refused(f"{argument} with gradients, {mode}", ArgumentError, message, **options)
        message = f"{argument} is updated in place and must be a tensor, got ndarray"
        yield refused(f"{argument} an array", DTypeError, message, **{**running, argument: ones(3), **of_input})
        message = f"{argument} is updated in place, but its memory is read-only"
        options = {**running, argument: read_only(3), **of_input}
        yield refused(f"{argument} read-only", ArgumentError, message, **options)
    message = f"running_mean and running_var must be given where {flag} is False"
    yield refused("no running statistics", ArgumentError, message, **none, **from_running)

    for value in (None, 1, "yes"):
        message = f"{flag} must be True or False, got {value!r}"
        yield refused(f"{flag} {value!r}", ArgumentError, message, **running, **{flag: value})
    for argument in ("momentum", "eps"):
        for value in (None, "0.1", True):
            message = f"{argument} must be a number, got {value!r}"
            options = {**none, **of_input, argument: value}
            yield refused(f"{argument} {value!r}", ArgumentError, message, **options)
    for value in (-0.1, 1.5, float("nan")):
        message = f"momentum must be a number from 0 to 1, got {value!r}"
        yield refused(f"momentum {value!r}", ArgumentError, message, **none, **of_input, momentum=value)
    for value in (-1e-5, float("nan"), float("inf")):
        message = f"eps must be a number of at least 0, got {value!r}"
        yield refused(f"eps {value!r}", ArgumentError, message, **running, **from_running, eps=value)


ROWS: list[Row] = [
    *by_channel("batch_norm", "training"),
    *by_channel("instance_norm", "use_input_stats"),
    # Not enough values for a variance
    *[(f"batch_norm: one value in {shape}", lambda shape=shape: batch(ones(*shape)), ShapeError,
       r"^batch_norm: the variance of the input needs more than 1 value a channel, got input of shape \(1, 3")
      for shape in ((1, 3), (1, 3, 1), (1, 3, 1, 1))],
    *[(f"instance_norm: one value in {shape}", lambda shape=shape: F.instance_norm(ones(*shape)), ShapeError,
       r"^instance_norm: the variance of the input needs more than 1 value a channel of each sample, got input of sh")
      for shape in ((1, 3), (4, 3), (4, 3, 1), (4, 3, 1, 1))],
    ("batch_norm: eps 0 in training", lambda: batch(eps=0), ArgumentError,
     r"^batch_norm: eps must be a number above 0, got 0$"),
    # layer_norm
    ("layer_norm: another size", lambda: F.layer_norm(X, (3,)), ShapeError,
     r"^layer_norm: input must end in normalized_shape \(3,\), its shape is \(2, 3, 4\)$"),
    ("layer_norm: sizes in front", lambda: F.layer_norm(X, (2, 3)), ShapeError, r"^layer_norm: input must end in"),
    ("layer_norm: too many sizes", lambda: F.layer_norm(X, (1, 2, 3, 4)), ShapeError,
     r"^layer_norm: input must end in normalized_shape \(1, 2, 3, 4\)"),
    ("layer_norm: a number", lambda: F.layer_norm(np.float32(1), (1,)), ShapeError,
     r"^layer_norm: input must end in normalized_shape \(1,\), its shape is \(\)"),
    ("layer_norm: negative", lambda: F.layer_norm(X, (-4,)), ShapeError, r"^layer_norm: input must end in"),
    *[(f"layer_norm: normalized_shape {sizes!r}", lambda sizes=sizes: F.layer_norm(X, sizes), ArgumentError,
       r"^layer_norm: normalized_shape must be a tuple of at least one int, got ")
      for sizes in (4, (), [], None, (4.0,), (True,), ("4",), "4", (None,))],
    ("layer_norm: weight", lambda: F.layer_norm(X, (4,), ones(3)), ShapeError,
     r"^layer_norm: weight must have shape \(4,\), one a value of normalized_shape, got \(3,\)$"),
    ("layer_norm: weight of 2 axes", lambda: F.layer_norm(X, (4,), ones(1, 4)), ShapeError,
     r"^layer_norm: weight must have shape \(4,\)"),
    ("layer_norm: flat weight", lambda: F.layer_norm(X, (3, 4), ones(12)), ShapeError,
     r"^layer_norm: weight must have shape \(3, 4\)"),
    ("layer_norm: bias", lambda: F.layer_norm(X, (4,), ones(4), ones(1)), ShapeError,
     r"^layer_norm: bias must have shape \(4,\), .* got \(1,\)$"),
    ("layer_norm: dtypes", lambda: F.layer_norm(X, (4,), ones(4, **DOUBLE)), DTypeError,
     r"^layer_norm: input is float32 and weight is float64; convert one with astype\(\)$"),
    ("layer_norm: bias's dtype", lambda: F.layer_norm(X, (4,), None, ones(4, **DOUBLE)), DTypeError,
     r"^layer_norm: input is float32 and bias is float64"),
    ("layer_norm: integers", lambda: F.layer_norm(X.astype(int), (4,)), DTypeError,
     r"^layer_norm: input must be float32 or float64, got int64$"),
    ("layer_norm: input None", lambda: F.layer_norm(None, (4,)), DTypeError, r"^layer_norm: input must be a tensor"),
    ("layer_norm: eps", lambda: F.layer_norm(X, (4,), eps=-1), ArgumentError,
     r"^layer_norm: eps must be a number of at least 0, got -1$"),
    ("layer_norm: eps None", lambda: F.layer_norm(X, (4,), eps=None), ArgumentError,
     r"^layer_norm: eps must be a number, got None$"),
    # group_norm
    ("group_norm: one axis", lambda: F.group_norm(ones(4), 2), ShapeError,
     r"^group_norm: input must have at least 2 dimensions \(N, C, \.\.\.\), got shape \(4,\)$"),
    ("group_norm: groups that don't divide", lambda: F.group_norm(X, 2), ShapeError,
     r"^group_norm: input has 3 channels \(axis 1 of \(2, 3, 4\)\), not 2 groups$"),
    ("group_norm: more groups than channels", lambda: F.group_norm(X, 6), ShapeError,
     r"^group_norm: input has 3 channels .*, not 6 groups$"),
    *[(f"group_norm: num_groups {n!r}", lambda n=n: F.group_norm(X, n), ArgumentError,
       r"^group_norm: num_groups must be an int of at least 1, got ") for n in (0, -3, 1.0, True, None, "1")],
    *[(f"group_norm: one value in {shape}", lambda shape=shape: F.group_norm(ones(*shape), 3), ShapeError,
       r"^group_norm: one sample needs more than 1 value a group, got input of shape \(1, 3")
      for shape in ((1, 3), (1, 3, 1, 1))],
    ("group_norm: weight", lambda: F.group_norm(X, 3, ones(1)), ShapeError,
     r"^group_norm: weight must have shape \(3,\), one a channel, got \(1,\)$"),
    ("group_norm: weight of 2 axes", lambda: F.group_norm(X, 3, ones(1, 3)), ShapeError,
     r"^group_norm: weight must have shape \(3,\)"),
    ("group_norm: bias", lambda: F.group_norm(X, 1, ones(3), ones(2)), ShapeError,
     r"^group_norm: bias must have shape \(3,\), one a channel, got \(2,\)$"),
    ("group_norm: dtypes", lambda: F.group_norm(X, 3, ones(3, **DOUBLE)), DTypeError,
     r"^group_norm: input is float32 and weight is float64"),
    ("group_norm: integers", lambda: F.group_norm(X.astype(int), 3), DTypeError,
     r"^group_norm: input must be float32 or float64, got int64$"),
    ("group_norm: eps", lambda: F.group_norm(X, 3, eps=float("nan")), ArgumentError,
     r"^group_norm: eps must be a number of at least 0, got nan$"),
    ("group_norm: eps a word", lambda: F.group_norm(X, 3, eps="1"), ArgumentError,
     r"^group_norm: eps must be a number, got '1'$"),
    # Layers
    *[(f"{name}: num_features {n!r}", lambda name=name, n=n: getattr(nn, name)(n), ArgumentError,
       rf"^{name}: num_features must be an int of at least 1, got ")
      for name in ("BatchNorm1d", "BatchNorm2d", "InstanceNorm1d", "InstanceNorm2d")
      for n in (0, -1, None, 1.5, True)],
    *[(f"{name}: {option} {value!r}", lambda name=name, o=option, v=value: getattr(nn, name)(3, **{o: v}),
       ArgumentError, rf"^{name}: {option} must be {wanted}, got ")
      for name in ("BatchNorm1d", "BatchNorm2d", "InstanceNorm1d", "InstanceNorm2d")
      for option, value, wanted in (
          ("eps", -1, "a number of at least 0"), ("eps", None, "a number"), ("momentum", 2, "a number from 0 to 1"),
          ("momentum", "a", "a number"), ("affine", 1, "True or False"), ("bias", None, "True or False"),
          ("track_running_stats", "no", "True or False"))],
    *[(f"{name}: dtype", lambda name=name, n=n: getattr(nn, name)(*n, dtype="int64"), DTypeError,
       rf"^{name}: dtype must be float32 or float64, got int64$")
      for name, n in (("BatchNorm1d", (3,)), ("InstanceNorm2d", (3,)), ("LayerNorm", (3,)), ("GroupNorm", (1, 3)))],
    *[(f"{name}: {len(shape)} axes", lambda name=name, s=shape: getattr(nn, name)(3)(ones(*s)), ShapeError,
       rf"^{name}: input must have {wanted}, got {len(shape)}: ")
      for name, shapes, wanted in (
          ("BatchNorm1d", [(3,), (2, 3, 4, 4)], r"2 dimensions \(N, C\) or 3 dimensions \(N, C, L\)"),
          ("BatchNorm2d", [(2, 3), (2, 3, 4), (2, 3, 4, 4, 4)], r"4 dimensions \(N, C, H, W\)"),
          ("InstanceNorm1d", [(3,), (2, 3, 4, 4)], r"2 dimensions \(C, L\) or 3 dimensions \(N, C, L\)"),
          ("InstanceNorm2d", [(2, 3), (2, 3, 4, 4, 4)], r"3 dimensions \(C, H, W\) or 4 dimensions \(N, C, H, W\)"))
      for shape in shapes],
    ("BatchNorm1d: channels", lambda: nn.BatchNorm1d(4)(X), ShapeError,
     r"^batch_norm: running_mean must have shape \(3,\), one a channel, got \(4,\)\n  in layer .*\(BatchNorm1d\)$"),
    ("BatchNorm2d: channels", lambda: nn.BatchNorm2d(4, track_running_stats=False)(ones(2, 3, 4, 4)), ShapeError,
     r"^batch_norm: weight must have shape \(3,\), one a channel, got \(4,\)"),
    ("BatchNorm1d: one value", lambda: nn.BatchNorm1d(3)(ones(1, 3)), ShapeError,
     r"^batch_norm: the variance of the input needs more than 1 value a channel"),
    ("BatchNorm1d: dtype of the input", lambda: nn.BatchNorm1d(3)(X.astype(np.float64)), DTypeError,
     r"^batch_norm: input is float64 and running_mean is float32"),
    ("BatchNorm1d: input None", lambda: nn.BatchNorm1d(3)(None), DTypeError,
     r"^BatchNorm1d: input must be a tensor or an array, got NoneType"),
    *[(f"InstanceNorm: channels, {options}", lambda o=options: nn.InstanceNorm1d(4, **o)(X), ShapeError,
       r"^InstanceNorm1d: input has 3 channels \(axis 1 of \(2, 3, 4\)\), the layer 4")
      for options in ({}, {"affine": True}, {"track_running_stats": True})],
    ("InstanceNorm2d: channels of one image", lambda: nn.InstanceNorm2d(4)(X), ShapeError,
     r"^InstanceNorm2d: input has 2 channels \(axis 0 of \(2, 3, 4\)\), the layer 4"),
    ("InstanceNorm1d: one value", lambda: nn.InstanceNorm1d(3)(ones(2, 3, 1)), ShapeError,
     r"^instance_norm: the variance of the input needs more than 1 value"),
    *[(f"LayerNorm: {sizes!r}", lambda s=sizes: nn.LayerNorm(s), ArgumentError,
       r"^LayerNorm: normalized_shape must be a") for sizes in (0, -1, (), None, 3.5, True, (2, 0), "3")],
    ("LayerNorm: elementwise_affine", lambda: nn.LayerNorm(3, elementwise_affine=0), ArgumentError,
     r"^LayerNorm: elementwise_affine must be True or False, got 0$"),
    ("LayerNorm: eps", lambda: nn.LayerNorm(3, eps=-1), ArgumentError, r"^LayerNorm: eps must be a number of at least"),
    ("LayerNorm: bias", lambda: nn.LayerNorm(3, bias=1), ArgumentError, r"^LayerNorm: bias must be True or False"),
    ("LayerNorm: input", lambda: nn.LayerNorm(3)(X), ShapeError,
     r"^layer_norm: input must end in normalized_shape \(3,\), its shape is \(2, 3, 4\)\n  in layer .*\(LayerNorm\)$"),
    *[(f"GroupNorm{arguments}", lambda a=arguments: nn.GroupNorm(*a), ArgumentError, rf"^GroupNorm: {message}")
      for arguments, message in (
          ((0, 4), "num_groups must be an int of at least 1, got 0"), ((-2, 4), "num_groups must be"),
          ((2.0, 4), "num_groups must be"), ((2, 0), "num_channels must be an int of at least 1, got 0"),
          ((3, 4), "num_channels=4 can't be split into 3 groups"), ((2, 4, -1), "eps must be"),
          ((2, 4, 1e-5, 1), "affine must be True or False"))],
    ("GroupNorm: channels", lambda: nn.GroupNorm(3, 6)(X), ShapeError,
     r"^group_norm: weight must have shape \(3,\), one a channel, got \(6,\)"),
    ("GroupNorm: one axis", lambda: nn.GroupNorm(3, 3)(ones(3)), ShapeError,
     r"^group_norm: input must have at least 2 dimensions"),
    ("BatchNorm: a state dict without its statistics",
     lambda: nn.BatchNorm1d(3).load_state_dict({"weight": ones(3), "bias": ones(3)}), StateDictError,
     r"^load_state_dict: BatchNorm1d does not fit; missing: running_mean, running_var, num_batches_tracked$"),
    ("InstanceNorm: a state dict with statistics that it has not",
     lambda: nn.InstanceNorm1d(3).load_state_dict({"running_mean": ones(3), "running_var": ones(3)}), StateDictError,
     r"^load_state_dict: InstanceNorm1d does not fit; unexpected: running_mean, running_var$"),
]  # fmt: skip
