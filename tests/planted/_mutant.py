"""What a row of the table of mutants is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from planted._places import PACKAGE, Place, find

__all__ = ["Mutant"]


@dataclass(frozen=True)
class Mutant:
    """One mistake: `new` in place of `old`, which occurs once in the definition of `where`, in whatever file that is.

    Methods have their class before them ("ReLU.forward"). Where several definitions of a name have the text, the name
    of the file, without its folder and ending, tells which is meant ("depthwise: weight_gradient").
    """

    name: str
    where: str
    old: str
    new: str
    # What went wrong in the head of whoever makes this mistake.
    why: str
    # Arguments for pytest, one process each, the quickest first; a -k expression stands after the file, as in
    # "test_ops.py -k conv2d and numeric".
    tests: tuple[str, ...]
    # For mutants under sanitizers: a pattern that the report matches.
    report: str = ""
    # The compiled modules that are made again; all that the file goes into where nothing is said.
    modules: tuple[str, ...] = ()

    def place(self, package: Path = PACKAGE) -> Place:
        """Where its definition stands in a copy of the package; a LookupError if it does not fit."""
        return find(package, self.where, self.old)

    @property
    def file(self) -> str:
        """The path inside the package."""
        return self.place().file
