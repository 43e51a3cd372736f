"""Modules made of modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, overload

from minidl.errors import ArgumentError, DTypeError, OutOfRangeError
from minidl.nn.module import Module

__all__ = ["Sequential"]


class Sequential(Module):
    """Modules run one after the other, each on the result of the one before.

    Parameters
    ----------
    *modules : Module, or one mapping from str to Module
        Named "0", "1", ... in a list, by its keys in a mapping.

    Raises
    ------
    DTypeError
        If one is no module.

    Examples
    --------
    >>> from minidl import nn
    >>> nn.Sequential(nn.Dense(4, 3), nn.ReLU())
    Sequential(
      (0): Dense(in_features=4, out_features=3)
      (1): ReLU()
    )
    """

    def __init__(self, *modules: Any) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            named = modules[0]
        else:
            named = {str(i): module for i, module in enumerate(modules)}
        for name, module in named.items():
            if not isinstance(name, str) or not name or "." in name:
                raise ArgumentError(f"Sequential: a name must be a word without a dot, got {name!r}")
            if not isinstance(module, Module):
                raise DTypeError(f"Sequential: module {name} must be a Module, got {type(module).__name__}")
            setattr(self, name, module)

    def forward(self, input: Any) -> Any:
        """Run them."""
        for module in self.children():
            input = module(input)
        return input

    def append(self, module: Module) -> Sequential:
        """Add a module at the end."""
        if not isinstance(module, Module):
            raise DTypeError(f"Sequential: append takes a Module, got {type(module).__name__}")
        # A slice of another one keeps its names, so the next number may be taken.
        number = len(self)
        while hasattr(self, str(number)):
            number += 1
        setattr(self, str(number), module)
        return self

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[Module]:
        return iter(list(self.children()))

    @overload
    def __getitem__(self, index: int) -> Module: ...

    @overload
    def __getitem__(self, index: slice) -> Sequential: ...

    def __getitem__(self, index: int | slice) -> Module | Sequential:
        named = list(self.named_children())
        if isinstance(index, slice):
            return Sequential(dict(named[index]))
        try:
            return named[index][1]
        except IndexError:
            raise OutOfRangeError(f"Sequential: no module {index} among {len(named)}") from None
