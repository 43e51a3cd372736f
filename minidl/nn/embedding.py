"""Tables whose rows are learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import functional as F
from minidl.arguments import check_generator, check_room
from minidl.dtypes import get_default_dtype, to_dtype
from minidl.errors import ShapeError
from minidl.functional.embedding import check_embedding_options
from minidl.nn._affine import check_size
from minidl.nn.init import normal_
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter
from minidl.ops._common import as_tensor, check_floating
from minidl.runtime import fork_safe

__all__ = ["Embedding"]


class Embedding(Module):
    """A learned row for each number: `minidl.functional.embedding` with a table of its own.

    Parameters
    ----------
    num_embeddings : int
        The number of rows.
    embedding_dim : int
        The length of a row.
    padding_idx : int, optional
        A row that starts as 0 and is not learned; counted from the end if negative.
    max_norm, norm_type, scale_grad_by_freq
        As in `minidl.functional.embedding`.
    dtype : numpy dtype, optional
        Of the table; the default dtype if not given.
    generator : numpy.random.Generator, optional
        Draws the initial values; minidl's own (`manual_seed`) by default.

    Attributes
    ----------
    weight : Parameter (num_embeddings, embedding_dim)
        Drawn from the standard normal distribution, as in PyTorch.

    Raises
    ------
    ArgumentError
        If a size is less than 1, or an option is not allowed.
    OutOfRangeError
        If `padding_idx` is the number of no row.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.Embedding(10, 3, padding_idx=0)([[0, 2], [4, 4]]).shape
    (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        *,
        dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:
        layer = type(self).__name__
        self.num_embeddings: int = check_size(layer, "num_embeddings", num_embeddings)  # type: ignore[assignment]
        self.embedding_dim: int = check_size(layer, "embedding_dim", embedding_dim)  # type: ignore[assignment]
        self._set_options(padding_idx, max_norm, norm_type, scale_grad_by_freq)
        dtype = get_default_dtype() if dtype is None else to_dtype(layer, dtype)
        self._generator = fork_safe(check_generator(layer, generator))
        check_room(layer, (self.num_embeddings, self.embedding_dim), dtype.itemsize)
        self.weight = Parameter(np.empty((self.num_embeddings, self.embedding_dim), dtype))
        self.reset_parameters()

    def _set_options(self, padding_idx: Any, max_norm: Any, norm_type: Any, scale_grad_by_freq: Any) -> None:
        self.padding_idx = check_embedding_options(
            type(self).__name__, self.num_embeddings, padding_idx, max_norm, norm_type, scale_grad_by_freq
        )
        self.max_norm, self.norm_type, self.scale_grad_by_freq = max_norm, norm_type, scale_grad_by_freq

    def reset_parameters(self) -> None:
        """Draw the table from the standard normal distribution, and set its padding row to 0."""
        normal_(self.weight, generator=self._generator)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
    ) -> Embedding:
        """A layer with a given table, in the same memory where that is possible.

        Parameters
        ----------
        embeddings : Tensor (num_embeddings, embedding_dim)
            The table, float32 or float64.
        freeze : bool
            Whether it stays as it is; else it is learned.
        padding_idx, max_norm, norm_type, scale_grad_by_freq
            As in `minidl.functional.embedding`. The padding row keeps the values that are given.

        Returns
        -------
        Embedding
            The layer.

        Raises
        ------
        ShapeError
            If the table has not 2 dimensions.
        DTypeError
            If it is not floating.

        Examples
        --------
        >>> from minidl import nn
        >>> nn.Embedding.from_pretrained([[1.0, 2.0], [3.0, 4.0]])([1])
        tensor([[3., 4.]])
        """
        table = as_tensor(cls.__name__, "embeddings", embeddings)
        check_floating(cls.__name__, "embeddings", table)
        if table.data.ndim != 2:
            raise ShapeError(
                f"{cls.__name__}: embeddings must have 2 dimensions (num_embeddings, embedding_dim), got shape "
                f"{table.data.shape}"
            )
        layer = cls.__new__(cls)
        layer.num_embeddings, layer.embedding_dim = table.data.shape
        layer._set_options(padding_idx, max_norm, norm_type, scale_grad_by_freq)
        layer._generator = None
        layer.weight = Parameter(table.data, requires_grad=not freeze)
        return layer

    def forward(self, input: Any) -> Any:
        """The rows with the given numbers: (...) to (..., embedding_dim)."""
        return F.embedding(input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq)

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        defaults = {"padding_idx": None, "max_norm": None, "norm_type": 2, "scale_grad_by_freq": False}
        for name, default in defaults.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text
