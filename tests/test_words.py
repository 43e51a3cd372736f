"""Names and comments as house rules want them, as far as a machine can tell: no prepositions in front, no fragments.

Names of the package don't start with a preposition; comments and docstrings are sentences, or noun phrases that say
what something is, and don't start with "Of", "What" or "Where".
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "minidl"
PREPOSITIONS = frozenset(
    "about above after against along among around at before behind below beneath beside between beyond by for from in "
    "into of on over per through to towards under until with within without".split()
)
# Conversions are named so in NumPy and PyTorch: `to_dict`, `from_dlpack`; "as" is left to `as_tensor` and its kin.
CONVERSIONS = ("to", "from")
# PyTorch has these names; a problem's precision is a bound that an algorithm is within.
ALLOWED = frozenset({"in_channels", "in_features", "in_cooldown", "within_precision"})
FRAGMENT = re.compile(r"(Of|What|Where|Which|How|By how|By what|So that|The same)\b")


def python_names(text: str) -> Iterator[tuple[int, str]]:
    """Every name that a Python file gives: functions, classes, arguments, variables, attributes, imports."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.alias) and node.asname:
            yield getattr(node, "lineno", 0), node.asname


def compiled_names(text: str) -> Iterator[tuple[int, str]]:
    """The functions that a Cython file or a header defines."""
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r"\s*(?:static |cdef |cpdef |def )[^=;#]*?\b(\w+)\(", line)
        if found:
            yield number, found[1]


def starts_with_preposition(name: str) -> bool:
    first, *rest = name.strip("_").lower().split("_")
    return first in PREPOSITIONS and name not in ALLOWED and not (first in CONVERSIONS and (rest or name == "to"))


def python_remarks(text: str) -> Iterator[tuple[int, str]]:
    """The first line of each comment and of each docstring of a Python file."""
    last = -1
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != last + 1:
                yield token.start[0], token.string.lstrip("# ")
            last = token.start[0]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            documentation = ast.get_docstring(node)
            if documentation:
                yield getattr(node, "lineno", 1), documentation.splitlines()[0]


def compiled_remarks(text: str) -> Iterator[tuple[int, str]]:
    """The first line of each comment and docstring of a Cython file or a header."""
    before = ""
    for number, line in enumerate(text.splitlines(), 1):
        found = re.search(r'(?:/\*|"""|#\s) *([A-Z].*)', line)
        # A comment may go on from the line before.
        if found and not before.startswith("#"):
            yield number, found[1].removesuffix('"""')
        before = line.strip()


def prepositions_and_fragments(path: Path) -> tuple[list[str], list[str]]:
    text, place = path.read_text(), path.relative_to(PACKAGE.parent)
    is_python = path.suffix == ".py"
    names = python_names(text) if is_python else compiled_names(text)
    remarks = python_remarks(text) if is_python else compiled_remarks(text)
    return (
        [f"{place}:{line}: {name}" for line, name in names if starts_with_preposition(name)],
        [f"{place}:{line}: {remark}" for line, remark in remarks if FRAGMENT.match(remark)],
    )


def sources() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".pyx", ".pxd", ".h", ".c"))


def test_names_and_remarks_of_the_package() -> None:
    names: list[str] = []
    fragments: list[str] = []
    for path in sources():
        found = prepositions_and_fragments(path)
        names += found[0]
        fragments += found[1]
    assert not names, "names start with a preposition:\n" + "\n".join(names)
    assert not fragments, "a comment is a sentence with a subject and a verb:\n" + "\n".join(fragments)


def test_mistakes_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("test_words.PACKAGE", tmp_path / "minidl")
    (tmp_path / "minidl").mkdir()
    python, compiled = tmp_path / "minidl" / "a.py", tmp_path / "minidl" / "a.pyx"
    python.write_text(
        '"""What it is."""\n\n# Of one thing\n# Of which this goes on.\nof_x = 1\n\n\ndef f(by_name, at=0):\n'
        '    """Give it."""\n    self.before, offset = 1, 2  # Where it is.\n\n\n'
        "def to_dict(in_channels, information):\n    pass\n"
    )
    compiled.write_text('"""What it is."""\n\ncdef int of_rows(int x) nogil:\n    """Rows."""\n    # Of rows.\n')
    names, fragments = prepositions_and_fragments(python)
    assert sorted(each.split(": ")[1] for each in names) == ["at", "before", "by_name", "of_x"]
    assert sorted(each.split(": ", 1)[1] for each in fragments) == ["Of one thing", "What it is.", "Where it is."]
    names, fragments = prepositions_and_fragments(compiled)
    assert [each.split(": ")[1] for each in names] == ["of_rows"]
    assert [each.split(": ", 1)[1] for each in fragments] == ["What it is.", "Of rows."]
