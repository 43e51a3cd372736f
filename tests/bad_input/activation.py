"""Activations, softmax and dropout, as functions and as layers."""

from __future__ import annotations

import numpy as np

import minidl.functional as F
from bad_input._row import Row, ones
from minidl import nn
from minidl.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError

INTEGERS = ones(2, 3, dtype=np.int64)
FUNCTIONS = [getattr(F, name) for name in (*F.activation.__all__, *F.rectifiers.__all__) if name != "prelu"]
NAMES = [name for name in nn.activation.__all__ if name not in ("PReLU", "Softmax", "LogSoftmax")]
# Each with the function that it names when it refuses an input.
LAYERS = [
    *[(getattr(nn, name)(), getattr(nn, name).function.__name__) for name in NAMES],
    (nn.PReLU(), "prelu"), (nn.Softmax(1), "softmax"), (nn.LogSoftmax(1), "log_softmax"), (nn.Dropout(), "dropout"),
    (nn.Dropout2d(), "dropout2d"),
]  # fmt: skip
SETTINGS = [(F.leaky_relu, "negative_slope"), (F.elu, "alpha"), (F.softplus, "beta"), (F.softplus, "threshold")]
NO_NUMBERS = ("0.1", None, True, (0.1,), np.ones(1))
# float32 has no such number.
TOO_LARGE = (1e39, -1e300, np.float64(1e39), 10**400)

ROWS: list[Row] = [
    *[(f"{f.__name__} of integers", lambda f=f: f(INTEGERS), DTypeError,
       rf"^{f.__name__}: input must be float32 or float64, got int64$") for f in FUNCTIONS],
    *[(f"{f.__name__} of booleans", lambda f=f: f([True, False]), DTypeError,
       rf"^{f.__name__}: input must be float32 or float64, got bool$") for f in FUNCTIONS],
    *[(f"{f.__name__} of None", lambda f=f: f(None), DTypeError,
       rf"^{f.__name__}: input must be a tensor or an array, got NoneType$") for f in FUNCTIONS],
    *[(f"{f.__name__} of complex numbers", lambda f=f: f(ones(2, dtype=np.complex128)), DTypeError,
       rf"^{f.__name__}: .*complex128") for f in FUNCTIONS],
    *[(f"layer {name} of integers", lambda layer=layer: layer(INTEGERS), DTypeError,
       rf"^{name}: input must be float32 or float64, got int64\n  in layer .*\({type(layer).__name__}\)$")
      for layer, name in LAYERS],
    # Settings
    *[(f"{f.__name__}'s {name} {v!r:.10}", lambda f=f, name=name, v=v: f(ones(2), **{name: v}), ArgumentError,
       rf"^{f.__name__}: {name} must be a number, got ") for f, name in SETTINGS for v in NO_NUMBERS],
    *[(f"{f.__name__}'s {name} {v!r:.10}", lambda f=f, name=name, v=v: f(ones(2), **{name: v}), ArgumentError,
       rf"^{f.__name__}: {name} must be a number that float32 holds, got ") for f, name in SETTINGS for v in TOO_LARGE],
    *[(f"softplus's beta {v}", lambda v=v: F.softplus(ones(2), v), ArgumentError,
       r"^softplus: beta must not be 0, got ") for v in (0, -0.0, 1e-300)],
    *[(f"gelu's form {v!r}", lambda v=v: F.gelu(ones(2), v), ArgumentError,
       r"^gelu: approximate must be one of 'none', 'tanh', got ") for v in ("erf", None, True)],
    # prelu
    ("prelu of integers", lambda: F.prelu(INTEGERS, ones(3)), DTypeError,
     r"^prelu: input must be float32 or float64, got int64$"),
    ("prelu's integer weight", lambda: F.prelu(ones(2, 3), ones(3, dtype=np.int32)), DTypeError,
     r"^prelu: weight must be float32 or float64, got int32$"),
    ("prelu's dtypes", lambda: F.prelu(ones(2, 3), ones(3, dtype=np.float64)), DTypeError,
     r"^prelu: input is float32 and weight is float64; convert one with astype\(\)$"),
    ("prelu without a weight", lambda: F.prelu(ones(2, 3), None), DTypeError,
     r"^prelu: weight must be a tensor or an array, got NoneType$"),
    ("prelu's weight of 2 dimensions", lambda: F.prelu(ones(2, 3), ones(1, 3)), ShapeError,
     r"^prelu: weight must have 1 dimension or none, got shape \(1, 3\)$"),
    ("prelu's weight of 2 dimensions and one value", lambda: F.prelu(ones(2, 3), ones(1, 1)), ShapeError,
     r"^prelu: weight must have 1 dimension or none, got shape \(1, 1\)$"),
    ("prelu's channels", lambda: F.prelu(ones(2, 3), ones(2)), ShapeError,
     r"^prelu: weight must have 1 value or one for each of 3 channels \(dimension 1 of \(2, 3\)\), got shape \(2,\)$"),
    ("prelu's channels in the last dimension", lambda: F.prelu(ones(2, 3, 4), ones(4)), ShapeError,
     r"^prelu: weight must have 1 value or one for each of 3 channels"),
    ("prelu of one dimension", lambda: F.prelu(ones(3), ones(3)), ShapeError,
     r"^prelu: weight must have 1 value or one for each of 1 channels"),
    ("prelu of no dimension", lambda: F.prelu(ones(), ones(2)), ShapeError, r"^prelu: weight must have 1 value"),
    ("prelu's empty weight", lambda: F.prelu(ones(2, 3), ones(0)), ShapeError, r"^prelu: weight must have 1 value"),
    ("prelu's empty weight for one dimension", lambda: F.prelu(ones(1), ones(0)), ShapeError,
     r"^prelu: weight must have 1 value"),
    # softmax
    *[(f"{f.__name__} of integers", lambda f=f: f(INTEGERS, 1), DTypeError,
       rf"^{f.__name__}: input must be float32 or float64, got int64$") for f in (F.softmax, F.log_softmax)],
    *[(f"{f.__name__}'s dim for a number", lambda f=f: f(ones(), 1), OutOfRangeError,
       rf"^{f.__name__}: dim 1 is out of range for a tensor of 0 dimensions$") for f in (F.softmax, F.log_softmax)],
    *[(f"{f.__name__}'s dim {v!r}", lambda f=f, v=v: f(ones(2, 3), v), ArgumentError,
       rf"^{f.__name__}: dim must be an int") for f in (F.softmax, F.log_softmax) for v in (1.0, "1", (0, 1), True)],
    # dropout
    ("dropout of integers", lambda: F.dropout(INTEGERS), DTypeError, r"^dropout: input must be float32 or float64"),
    ("dropout2d of integers", lambda: F.dropout2d(ones(1, 1, 2, 2, dtype=np.int8)), DTypeError,
     r"^dropout2d: input must be float32 or float64, got int8$"),
    *[(f"dropout2d's p {p}", lambda p=p: F.dropout2d(ones(1, 1, 2, 2), p), ArgumentError,
       r"^dropout2d: p must be a number from 0 to 1, got ") for p in (-0.1, 1.1, float("nan"), "0.5", None, True)],
    *[(f"dropout2d of {len(s)} dimensions", lambda s=s: F.dropout2d(ones(*s)), ShapeError,
       rf"^dropout2d: input must have 4 dimensions \(N, C, H, W\) or 3 \(N, C, L\), got {len(s)}: ")
      for s in ((), (2,))],
    ("dropout2d's generator", lambda: F.dropout2d(ones(1, 1, 2, 2), generator=3), DTypeError,
     r"^dropout2d: generator must be a numpy.random.Generator, got int$"),
    # Layers' settings, refused when the layer is made
    ("LeakyReLU", lambda: nn.LeakyReLU("0.1"), ArgumentError,
     r"^LeakyReLU: negative_slope must be a number, got '0\.1'$"),
    ("ELU", lambda: nn.ELU(None), ArgumentError, r"^ELU: alpha must be a number, got None$"),
    ("GELU", lambda: nn.GELU("erf"), ArgumentError, r"^GELU: approximate must be one of 'none', 'tanh', got 'erf'$"),
    ("Softplus's beta", lambda: nn.Softplus(0), ArgumentError, r"^Softplus: beta must not be 0, got 0$"),
    ("Softplus's threshold", lambda: nn.Softplus(1, "20"), ArgumentError, r"^Softplus: threshold must be a number"),
    ("Softmax's dim", lambda: nn.Softmax("1"), ArgumentError, r"^Softmax: dim must be an int, got '1'$"),
    ("Softmax without a dim", lambda: nn.Softmax(None), ArgumentError, r"^Softmax: dim must be an int, got None$"),
    ("LogSoftmax's dim", lambda: nn.LogSoftmax(0.5), ArgumentError, r"^LogSoftmax: dim must be an int, got 0\.5$"),
    *[(f"PReLU of {n!r}", lambda n=n: nn.PReLU(n), ArgumentError,
       r"^PReLU: num_parameters must be an int of at least 1, got ") for n in (0, -1, 1.5, "1", None, True)],
    *[(f"PReLU's init {v!r:.10}", lambda v=v: nn.PReLU(1, v), ArgumentError,
       r"^PReLU: init must be a number, got ") for v in NO_NUMBERS],
    ("PReLU's init 1e39", lambda: nn.PReLU(1, 1e39), ArgumentError,
     r"^PReLU: init must be a number that float32 holds, got 1e\+39$"),
    ("PReLU's dtype", lambda: nn.PReLU(dtype="complex64"), DTypeError, r"^PReLU: dtype must be "),
    ("PReLU's integer dtype", lambda: nn.PReLU(dtype="int64"), DTypeError, r"^PReLU: dtype must be "),
    *[(f"{layer.__name__}'s p {p}", lambda layer=layer, p=p: layer(p), ArgumentError,
       rf"^{layer.__name__}: p must be a number from 0 to 1, got ")
      for layer in (nn.Dropout, nn.Dropout2d) for p in (-0.1, 1.1, float("nan"), "0.5", None, True)],
    # Layers' calls
    ("Softmax's call", lambda: nn.Softmax(2)(ones(2, 3)), OutOfRangeError,
     r"^softmax: dim 2 is out of range for a tensor of 2 dimensions\n  in layer .*\(Softmax\)$"),
    ("LogSoftmax's call", lambda: nn.LogSoftmax(-3)(ones(2, 3)), OutOfRangeError,
     r"^log_softmax: dim -3 is out of range for a tensor of 2 dimensions\n  in layer .*\(LogSoftmax\)$"),
    ("PReLU's call", lambda: nn.PReLU(2)(ones(2, 3)), ShapeError,
     r"^prelu: weight must have 1 value or one for each of 3 channels .*\n  in layer .*\(PReLU\)$"),
    ("PReLU's dtypes", lambda: nn.PReLU(3)(ones(2, 3, dtype=np.float64)), DTypeError,
     r"^prelu: input is float64 and weight is float32.*\n  in layer .*\(PReLU\)$"),
    ("Dropout2d's call", lambda: nn.Dropout2d()(ones(2)), ShapeError,
     r"^dropout2d: input must have 4 dimensions .*\n  in layer .*\(Dropout2d\)$"),
]  # fmt: skip
