"""What a row is, the inputs that rows are made of, and where rows find their references."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

__all__ = ["REFERENCES", "Array", "Case", "batchwise", "distinct", "normal", "other", "positive", "row"]

Array = np.ndarray


@dataclass(frozen=True)
class Case:
    """One row.

    `function` takes the inputs (tensors; None stays None) and `kwargs`; `reference` takes the arrays and `kwargs`.
    """

    function: Callable[..., Any]
    inputs: Sequence[Array | None]
    kwargs: dict[str, Any] = field(default_factory=dict)
    reference: Callable[..., Any] = None  # type: ignore[assignment]
    # The public function that the row tests, where `function` wraps it.
    covers: Callable[..., Any] | None = None
    name: str = ""
    # From the module torch to the function that does the same there; found by name for a public function if not
    # given. None says that there is none, and test_ops.py holds a list of those public functions.
    peer: Callable[[Any], Callable[..., Any]] | str | None = "by name"
    # 2: first and second gradients exist; 0: none, as for argmax.
    order: int = 2
    # Large rows, whose gradients test_kernels.py compares with the reference instead of numerically.
    numeric: bool = True
    # Which inputs have a batch along axis 0 that may be empty.
    batched: tuple[int, ...] = ()
    # Of the largest value; for the row's own rounding.
    tolerance: dict[str, float] = field(default_factory=lambda: {"float32": 1e-5, "float64": 1e-13})

    @property
    def has_peer(self) -> bool:
        """Whether PyTorch can be asked the same."""
        return callable(self.peer) or (self.peer is not None and self.covers is None)

    def peer_in(self, torch: Any) -> Callable[..., Any]:
        """PyTorch's function for this row."""
        if callable(self.peer):
            return self.peer(torch)
        name = {"power": "pow"}.get(self.function.__name__, self.function.__name__)
        return getattr(torch.nn.functional, name, None) or getattr(torch, name)

    @property
    def id(self) -> str:
        """What pytest calls the row."""
        shapes = "_".join("x".join(map(str, x.shape)) or "0d" if x is not None else "none" for x in self.inputs)
        kwargs = ",".join(f"{k}={v!r}".replace(" ", "") for k, v in self.kwargs.items())
        return "-".join(part for part in (self.name or self.function.__name__, shapes, kwargs) if part)


def normal(*shape: int) -> Array:
    """Values like those of a network, the same for the same shape."""
    return np.random.default_rng([len(shape), *shape]).normal(size=shape)


def other(*shape: int) -> Array:
    """As `normal`, but others."""
    return np.random.default_rng([7, len(shape), *shape]).normal(size=shape)


def distinct(*shape: int) -> Array:
    """Values in random order that lie far apart and off 0, so that a small step meets no kink."""
    n = prod(shape)
    order = np.random.default_rng([3, len(shape), *shape]).permutation(n)
    return np.asarray((order - n // 2 + 0.25) * 0.37).reshape(shape)


def positive(*shape: int) -> Array:
    """Values from 0.5 to 2."""
    return np.random.default_rng([5, len(shape), *shape]).uniform(0.5, 2, shape)


def batchwise(function: Callable[..., Array], *, rank: int) -> Callable[..., Array]:
    """`function` of a batch, also for one sample."""

    def either(x: Array, *rest: Any, **kwargs: Any) -> Array:
        return function(x, *rest, **kwargs) if x.ndim == rank else function(x[None], *rest, **kwargs)[0]

    return either


# The reference of each public function; each family adds its own.
REFERENCES: dict[Callable[..., Any], Callable[..., Any]] = {}


def row(
    function: Callable[..., Any], inputs: Sequence[Array | None], kwargs: dict[str, Any] | None = None, **options: Any
) -> Case:
    """A row whose reference comes from `REFERENCES`."""
    return Case(function, inputs, kwargs or {}, REFERENCES[function], **options)
