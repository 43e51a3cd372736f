"""Copies and pickles of modules, and the number by which a changed structure is noticed."""

from __future__ import annotations

import itertools
from typing import Any, Self

import numpy as np

from minidl.copies import recorded_within
from minidl.errors import GraphError
from minidl.runtime import fork_safe

_versions = itertools.count(1)


class Structure:
    """The version of all modules' structure."""

    version = 0

    @classmethod
    def changed(cls) -> None:
        """Renew the version."""
        # A number that no thread has seen before.
        cls.version = next(_versions)


def structure_version() -> int:
    """A number that grows whenever an attribute of a module that may be computed together with others is changed."""
    return Structure.version


class Copyable:
    """The part of `Module` that copies and pickles it with all its attributes."""

    _is_fusible: bool = False

    def __reduce_ex__(self, protocol: Any) -> Any:
        self._refuse_recorded("", set())
        return super().__reduce_ex__(protocol)

    def __copy__(self) -> Self:
        # A shallow copy shares what is recorded, which a deep one and a pickle refuse.
        make, args, state = (*super().__reduce_ex__(4), None)[:3]
        twin = make(*args)
        if state is not None:
            twin.__setstate__(state)
        return twin

    def __setstate__(self, state: Any) -> None:
        attributes, slots = state if isinstance(state, tuple) else (state, None)
        self.__dict__.update(attributes or {})
        for value in self.__dict__.values():
            if isinstance(value, np.random.Generator):
                fork_safe(value)
        for name, value in (slots or {}).items():
            object.__setattr__(self, name, value)
        if self._is_fusible:
            Structure.changed()

    def _refuse_recorded(self, path: str, seen: set[int]) -> None:
        """Name an attribute that holds a recorded result, here or in a module below, before a copy begins."""
        cls = type(self)
        # A class that says itself what is copied may leave such an attribute out.
        is_plain = cls.__getstate__ is object.__getstate__ and cls.__reduce__ is object.__reduce__
        is_plain = is_plain and cls.__reduce_ex__ is Copyable.__reduce_ex__ and not hasattr(cls, "__deepcopy__")
        if id(self) in seen or not is_plain:
            return
        seen.add(id(self))
        for name, value in self.__dict__.items():
            if isinstance(value, Copyable):
                value._refuse_recorded(f"{path}.{name}" if path else name, seen)
            for attribute in recorded_within(value, name, seen):
                raise GraphError(
                    f"deepcopy or pickle: the attribute {attribute} of {path or 'the model itself'} ({cls.__name__}) "
                    f"is a recorded result, whose history can't be copied; store {attribute}.detach()"
                )
