"""Where in the package a name is defined, in Python, Cython and C: what mutants are anchored on.

A definition that moves to another file keeps its name, so that a mutant still finds it.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["PACKAGE", "Place", "find", "places_in", "places_of"]

PACKAGE = Path(__file__).resolve().parents[2] / "minidl"
SUFFIXES = (".py", ".pyx", ".pxd", ".h", ".c")

CYTHON = re.compile(
    r"^(?P<indent> *)(?:cdef |cpdef |ctypedef )?(?:inline |const |unsigned |public )*"
    r"(?:(?:class|struct|enum|union) (?P<kind>\w+)|(?:def |[\w.\[\], :]+?[ *]+)?(?P<function>\w+)\()"
)
C_FUNCTION = re.compile(r"^(?!typedef|#|extern|return)[\w][\w\s*()]*?\b(?:NAME\((?P<typed>\w+)\)|(?P<name>\w+))\(")
C_TYPE = re.compile(r"^}\s*(?P<name>\w+);")
# A row of a table of element-wise ops, which ends with the first line that ends with a bracket.
C_ROW = re.compile(r"^(?:(?:FAR_)?ROW|STEP)\((?P<name>\w+),")
C_MACRO = re.compile(r"^#\s*define (?P<name>\w+)")


class Place(NamedTuple):
    """The definition of a name, methods with that of their class before it: characters from start to stop of a file."""

    name: str
    file: str
    start: int
    stop: int


def _starts(text: str) -> list[int]:
    """Where each line begins, and the end of the text."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _python(text: str) -> Iterator[tuple[str, int, int]]:
    """Names with their first line and the line behind their last one."""

    def visit(node: ast.AST, prefix: str) -> Iterator[tuple[str, int, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                yield prefix + child.name, first - 1, child.end_lineno or first
                if isinstance(child, ast.ClassDef):
                    yield from visit(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.Assign | ast.AnnAssign):
                target = child.targets[0] if isinstance(child, ast.Assign) else child.target
                for named in target.elts if isinstance(target, ast.Tuple) else [target]:
                    if isinstance(named, ast.Name):
                        yield prefix + named.id, child.lineno - 1, child.end_lineno or child.lineno

    yield from visit(ast.parse(text), "")


def _cython(text: str) -> Iterator[tuple[str, int, int]]:
    lines = text.splitlines()
    classes: list[tuple[int, str]] = []
    for at, line in enumerate(lines):
        found = CYTHON.match(line)
        if found is None or line.lstrip().startswith(("if ", "for ", "while ", "return", "with ", "elif ", "#", '"')):
            continue
        indent, name = len(found["indent"]), found["kind"] or found["function"]
        classes = [(depth, owner) for depth, owner in classes if depth < indent]
        if indent and not classes:
            continue
        stop = at + 1
        while stop < len(lines):
            rest = lines[stop]
            if rest.strip() and len(rest) - len(rest.lstrip()) <= indent and not rest.lstrip().startswith(")"):
                break
            stop += 1
        if stop == at + 1 and not line.rstrip().endswith(")"):
            continue
        yield ".".join([*(owner for _, owner in classes), name]), at, stop
        if found["kind"] and "class " in line:
            classes.append((indent, name))


def _c(text: str) -> Iterator[tuple[str, int, int]]:
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        stop = at + 1
        if macro := C_MACRO.match(lines[at]):
            while stop < len(lines) and lines[stop - 1].endswith("\\"):
                stop += 1
            yield macro["name"], at, stop
        elif row := C_ROW.match(lines[at]):
            while stop < len(lines) and not lines[stop - 1].endswith(")"):
                stop += 1
            yield row["name"], at, stop
        elif (function := C_FUNCTION.match(lines[at])) or lines[at].startswith("typedef struct"):
            while stop < len(lines) and not lines[stop - 1].startswith(("}", "TYPED")) and ";" not in lines[at]:
                stop += 1
            if function:
                yield function["typed"] or function["name"], at, stop
            elif closing := C_TYPE.match(lines[stop - 1]):
                yield closing["name"], at, stop
        at = stop


@lru_cache(maxsize=512)
def _defined(suffix: str, text: str) -> list[tuple[str, int, int]]:
    read = _python if suffix == ".py" else _cython if suffix in (".pyx", ".pxd") else _c
    starts = _starts(text)
    return [(name, starts[first], starts[min(stop, len(starts) - 1)]) for name, first, stop in read(text)]


def places_in(package: Path, file: str) -> list[Place]:
    """All definitions of a file, in their order; methods behind their class."""
    text = (package / file).read_text()
    return [Place(name, file, start, stop) for name, start, stop in _defined(Path(file).suffix, text)]


@lru_cache(maxsize=8)
def places_of(package: Path) -> dict[str, list[Place]]:
    """All definitions of the package by their names, and by "file: name" with the file's name alone."""
    found: dict[str, list[Place]] = defaultdict(list)
    for path in sorted(package.rglob("*")):
        if path.suffix in SUFFIXES:
            for place in places_in(package, str(path.relative_to(package))):
                found[place.name].append(place)
                found[f"{path.stem}: {place.name}"].append(place)
    return found


def find(package: Path, name: str, text: str) -> Place:
    """The one definition of a name that has a text in it, once.

    Raises
    ------
    LookupError
        If none has, or several do.
    """
    places = places_of(package)[name] if name in places_of(package) else []
    counts = [(package / place.file).read_text()[place.start : place.stop].count(text) for place in places]
    if sum(counts) != 1:
        files = ", ".join(place.file for place in places) or "no file"
        raise LookupError(f"{text!r} must occur once where {name!r} is defined ({files}), it does {sum(counts)} times")
    return places[counts.index(1)]
