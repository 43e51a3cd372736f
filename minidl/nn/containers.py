"""Modules made of modules, and lists of parameters."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, ClassVar, Self

import numpy as np

from minidl.autograd import TensorBase
from minidl.errors import ArgumentError, DTypeError, OutOfRangeError, ShapeError
from minidl.nn._fusion import run_modules
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter
from minidl.ops._common import as_tensor

__all__ = ["ModuleDict", "ModuleList", "ParameterList", "Residual", "Sequential"]


class MissingKeyError(OutOfRangeError, KeyError):
    """A container has no entry of this name."""


class _Container(Module):
    """The base of containers, whose entries are the attributes of one kind, in their order, under checked names."""

    _kind: ClassVar[type] = Module

    def _entries(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if isinstance(value, self._kind)}

    def _checked(self, what: str, value: Any) -> Any:
        """`value`, if it may be an entry."""
        if not isinstance(value, self._kind):
            raise DTypeError(f"{type(self).__name__}: {what} a {self._kind.__name__}, got {type(value).__name__}")
        return value

    def _put(self, name: Any, value: Any) -> None:
        layer = type(self).__name__
        if not isinstance(name, str) or not name or "." in name:
            raise ArgumentError(f"{layer}: a name must be a word without a dot, got {name!r}")
        if name not in self._entries() and hasattr(self, name):
            raise ArgumentError(f"{layer}: the name {name!r} is taken by an attribute of its own")
        setattr(self, name, self._checked(f"module {name} must be", value))

    def _replace(self, named: Mapping[str, Any]) -> None:
        """Have these entries instead of those that there are."""
        for name in self._entries():
            delattr(self, name)
        for name, value in named.items():
            setattr(self, name, value)


class _Numbered(_Container):
    """A container whose entries have an order, and numbers as names as far as nobody gave them others."""

    def _several(self, values: Any) -> list[Any]:
        """Entries from an iterable."""
        if not isinstance(values, Iterable) or isinstance(values, str | Mapping | TensorBase | np.ndarray):
            raise DTypeError(
                f"{type(self).__name__}: {self._kind.__name__}s must come in an iterable, got {type(values).__name__}"
            )
        return [self._checked(f"module {i} must be", value) for i, value in enumerate(values)]

    def _renumber(self, values: Iterable[Any]) -> None:
        self._replace({str(i): value for i, value in enumerate(values)})

    def _name_at(self, index: Any) -> str:
        names = list(self._entries())
        if isinstance(index, bool) or not isinstance(index, int | np.integer):
            raise ArgumentError(f"{type(self).__name__}: an index must be an int or a slice, got {index!r}")
        if not -len(names) <= index < len(names):
            raise OutOfRangeError(f"{type(self).__name__}: no {self._kind.__name__.lower()} {index} among {len(names)}")
        return names[index]

    def _slice(self, named: dict[str, Any]) -> Any:
        """A container of these entries alone."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._entries())

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._entries().values()))

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._slice(dict(list(self._entries().items())[index]))
        return self._entries()[self._name_at(index)]

    def __setitem__(self, index: int, value: Any) -> None:
        self._put(self._name_at(index), value)

    def __delitem__(self, index: int | slice) -> None:
        values = list(self)
        if isinstance(index, slice):
            del values[index]
        else:
            del values[list(self._entries()).index(self._name_at(index))]
        self._renumber(values)

    def __add__(self, other: Any) -> Any:
        return self[:].extend(other)

    def __iadd__(self, other: Any) -> Self:
        return self.extend(other)

    def append(self, value: Any) -> Self:
        """Add one at the end; returns the container."""
        value = self._checked("append takes", value)
        # A slice of another one may keep its names, so the next number may be taken.
        number = len(self)
        while hasattr(self, str(number)):
            number += 1
        self._put(str(number), value)
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add several at the end; returns the container."""
        for value in self._several(values):
            self.append(value)
        return self

    def insert(self, index: int, value: Any) -> Self:
        """Add one before the one at `index`, and number all anew; returns the container."""
        value, values = self._checked("insert takes", value), list(self)
        if isinstance(index, bool) or not isinstance(index, int | np.integer):
            raise ArgumentError(f"{type(self).__name__}: an index must be an int, got {index!r}")
        if not -len(values) <= index <= len(values):
            raise OutOfRangeError(f"{type(self).__name__}: no place {index} among {len(values)}")
        values.insert(index, value)
        self._renumber(values)
        return self

    def pop(self, index: int | slice) -> Any:
        """Take away the one at `index`, or those of a slice, and number the rest anew; returns what was taken."""
        value = self[index]
        del self[index]
        return value


class Sequential(_Numbered):
    """Modules run one after the other, each on the result of the one before.

    Parameters
    ----------
    *modules : Module, or one mapping from str to Module
        Named "0", "1", ... in a list, by its keys in a mapping. Slices keep the names.

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

    _is_fusible = True

    def __init__(self, *modules: Any) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            named = modules[0]
        else:
            named = {str(i): module for i, module in enumerate(modules)}
        for name, module in named.items():
            self._put(name, module)

    def forward(self, input: Any) -> Any:
        """Run them; layers between which nobody can look may be computed together."""
        return run_modules(self, input)

    def _slice(self, named: dict[str, Any]) -> Sequential:
        return Sequential(named)


class ModuleList(_Numbered):
    """A list of modules, which what they belong to calls as it likes.

    Parameters
    ----------
    modules : iterable of Module, optional
        Named "0", "1", ...

    Raises
    ------
    DTypeError
        If one is no module.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> layers = nn.ModuleList(nn.Dense(4, 4) for _ in range(3))
    >>> x = minidl.ones(2, 4)
    >>> for layer in layers[1:]:
    ...     x = layer(x) + x
    >>> sorted(layers.state_dict())[:2]
    ['0.bias', '0.weight']
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        self._renumber(self._several(() if modules is None else modules))

    def _slice(self, named: dict[str, Any]) -> ModuleList:
        return ModuleList(named.values())


class ParameterList(_Numbered):
    """A list of parameters.

    Parameters
    ----------
    values : iterable of Parameter, Tensor or array, optional
        Named "0", "1", ... What is no parameter yet becomes one, of the same memory where that is possible.

    Raises
    ------
    DTypeError
        If one is neither.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> nn.ParameterList([minidl.ones(2), minidl.zeros(2, 3)])
    ParameterList(
      (0): Parameter of shape (2,), float32
      (1): Parameter of shape (2, 3), float32
    )
    """

    _kind = Parameter

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        self._renumber(self._several(() if values is None else values))

    def _checked(self, what: str, value: Any) -> Any:
        is_data = isinstance(value, TensorBase | np.ndarray) and not isinstance(value, Parameter)
        return super()._checked(what.replace("module", "value"), Parameter(value) if is_data else value)

    def _slice(self, named: dict[str, Any]) -> ParameterList:
        return ParameterList(named.values())

    def __repr__(self) -> str:
        lines = [f"  ({name}): Parameter of shape {p.shape}, {p.dtype}" for name, p in self._entries().items()]
        return "\n".join(["ParameterList(", *lines, ")"]) if lines else "ParameterList()"


class ModuleDict(_Container):
    """A dictionary of modules, which what they belong to calls as it likes.

    Parameters
    ----------
    modules : mapping from str to Module, or iterable of such pairs, optional
        Names are words without a dot, and none that the dictionary itself has as an attribute.

    Raises
    ------
    ArgumentError
        If a name is not allowed.
    DTypeError
        If a value is no module.

    Examples
    --------
    >>> from minidl import nn
    >>> heads = nn.ModuleDict({"digit": nn.Dense(8, 10), "parity": nn.Dense(8, 2)})
    >>> list(heads), "digit" in heads, heads["parity"]
    (['digit', 'parity'], True, Dense(in_features=8, out_features=2))
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        self.update({} if modules is None else modules)

    def __getitem__(self, name: str) -> Module:
        entries = self._entries()
        if name not in self:
            raise MissingKeyError(f"ModuleDict: no module {name!r} among {', '.join(entries) or 'none'}")
        return entries[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self._put(name, module)

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def __len__(self) -> int:
        return len(self._entries())

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._entries()

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._entries().keys()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return self._entries().values()

    def items(self) -> ItemsView[str, Module]:
        """Names and modules."""
        return self._entries().items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Take over the modules of a mapping, a ModuleDict or an iterable of pairs."""
        try:
            pairs = list(modules.items() if isinstance(modules, Mapping | ModuleDict) else modules)
            named = [(name, module) for name, module in pairs]
        except (TypeError, ValueError):
            raise DTypeError(
                f"ModuleDict: modules must be a mapping or an iterable of pairs, got {modules!r:.80}"
            ) from None
        for name, module in named:
            self._put(name, module)

    def pop(self, name: str) -> Module:
        """Take a module away and return it."""
        module = self[name]
        delattr(self, name)
        return module

    def clear(self) -> None:
        """Take all modules away."""
        self._replace({})


class Residual(_Container):
    """Modules with a way around them: input + modules(input).

    Parameters
    ----------
    *modules : Module
        Run one after the other.
    shortcut : Module, optional
        Is run on the input that is added, to give it the shape of what the modules make.

    Raises
    ------
    DTypeError
        If one is no module.
    ShapeError
        At a call, if both have not the same shape; nothing is broadcast.

    References
    ----------
    He et al., "Deep residual learning for image recognition", CVPR 2016, equations 1 and 2.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> block = nn.Residual(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
    >>> block(minidl.zeros(2, 8, 5, 5)).shape
    (2, 8, 5, 5)
    """

    def __init__(self, *modules: Module, shortcut: Module | None = None) -> None:
        if not modules:
            raise ArgumentError("Residual: modules must be at least one, got none")
        for i, module in enumerate(modules):
            self._checked(f"module {i} must be", module)
        if shortcut is not None:
            self._checked("shortcut must be None or", shortcut)
        self.body = Sequential(*modules)
        self.shortcut = shortcut

    def forward(self, input: Any) -> Any:
        """Run both ways and add."""
        x = as_tensor("Residual", "input", input)
        change, kept = self.body(x), x if self.shortcut is None else self.shortcut(x)
        if change.shape != kept.shape:
            source = "input" if self.shortcut is None else "shortcut"
            raise ShapeError(
                f"Residual: the modules give shape {change.shape}, the {source} has {kept.shape}; both must be the same"
            )
        return change + kept
