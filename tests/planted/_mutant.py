"""What a row of the table of mutants is."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Mutant"]


@dataclass(frozen=True)
class Mutant:
    """One mistake: `new` in place of `old`, which occurs once in `file` (a path inside `minidl`)."""

    name: str
    file: str
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
