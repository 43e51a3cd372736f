"""Dense layers."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any

import numpy as np

from minidl import functional as F
from minidl.errors import ArgumentError
from minidl.nn._affine import Affine, check_size
from minidl.ops._common import as_tensor

__all__ = ["Dense", "Linear"]


class Dense(Affine):
    """A fully connected layer: input weight^T + bias. `Linear` is PyTorch's name for it.

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

    _is_fusible = True

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
        layer = type(self).__name__
        self.in_features = check_size(layer, "in_features", in_features, optional=True)
        self.out_features: int = check_size(layer, "out_features", out_features)  # type: ignore[assignment]
        self._create(self.out_features, bias, dtype, generator)

    def _weight_shape(self) -> tuple[int | None, ...]:
        return (self.out_features, self.in_features)

    def forward(self, input: Any) -> Any:
        """Map (..., in_features) to (..., out_features)."""
        if not self._is_sized:
            x = as_tensor("linear", "input", input)
            if x.data.ndim == 0 or x.data.shape[-1] == 0:
                raise ArgumentError(f"linear: no number of features to infer from an input of shape {x.data.shape}")
            self._set_input_size(x.data.shape[-1])
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        bias = "" if self.bias is not None else ", bias=False"
        return f"in_features={self.in_features}, out_features={self.out_features}{bias}"


class Linear(Dense, metaclass=ABCMeta):
    """`Dense` under PyTorch's name, by which it and its errors then go; each is an instance of the other.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.Linear(400, 120)
    Linear(in_features=400, out_features=120)
    >>> nn.Linear(400, 120)(minidl.zeros(64, 400)).shape
    (64, 120)
    >>> isinstance(nn.Dense(400, 120), nn.Linear)
    True
    """

    @classmethod
    def __subclasshook__(cls, other: type) -> bool:
        # Scripts ask for nn.Linear of layers that were written nn.Dense. (Python asks this by way of ABCMeta.)
        return True if cls is Linear and issubclass(other, Dense) else NotImplemented
