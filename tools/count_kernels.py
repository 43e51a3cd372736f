"""Count the lines of code of each row of docs/kernels.md, without blanks, comments and docstrings.

    python tools/count_kernels.py [--write]

Prints each row's lines and the sum. With --write the page's column is filled in.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "kernels.md"
FOLDERS = (ROOT / "minidl" / "_ext", ROOT / "minidl" / "kernels")
SUFFIXES = (".py", ".pyx", ".pxd", ".h", ".c")


@dataclass(frozen=True)
class Row:
    """A row of the page: what it is called, its files, and the lines that the page says they have."""

    kernel: str
    files: tuple[Path, ...]
    lines: int


def sources() -> list[Path]:
    """All files of the kernels, compiled and Python."""
    return sorted(path for folder in FOLDERS for path in folder.rglob("*") if path.suffix in SUFFIXES)


def lines_of_code(path: Path) -> int:
    """The lines of a file that are neither blank nor comment nor docstring."""
    text = path.read_text()
    if path.suffix in (".h", ".c"):
        text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
        return sum(line.strip() not in ("", "\\") for line in text.splitlines())
    if path.suffix == ".py":
        return len(python_code_lines(text))
    text = re.sub(r'^\s*""".*?"""', "", text, flags=re.DOTALL | re.MULTILINE)
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in text.splitlines())


def python_code_lines(text: str) -> set[int]:
    """The numbers of those lines of a Python file, from 1."""
    found: set[int] = set()
    starts_statement = True
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER):
            continue
        # A string that is a statement of its own is documentation.
        if not (token.type == tokenize.STRING and starts_statement) and token.type != tokenize.NEWLINE:
            found |= set(range(token.start[0], token.end[0] + 1))
        starts_statement = token.type == tokenize.NEWLINE
    return found


def resolve(name: str) -> Path:
    """The file that a row names by the end of its path, from `_ext` or `kernels` on."""
    found = [path for path in sources() if name in _names(path)]
    if len(found) != 1:
        raise SystemExit(f"docs/kernels.md names {name}, which {len(found)} files are called")
    return found[0]


def _names(path: Path) -> tuple[str, str]:
    folder = next(folder for folder in FOLDERS if folder in path.parents)
    inside = path.relative_to(folder).as_posix()
    return inside, f"{folder.name}/{inside}"


def rows(page: str) -> list[Row]:
    """The rows of the page's tables."""
    found = []
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 5 and cells[2].isdigit():
            files = tuple(resolve(name) for name in re.findall(r"`([^`]+)`", cells[1]))
            found.append(Row(cells[0], files, int(cells[2])))
    return found


def counted(page: str) -> str:
    """The page with the lines counted anew."""
    lines = {row.kernel: sum(map(lines_of_code, row.files)) for row in rows(page)}

    def fill(match: re.Match[str]) -> str:
        return f"{match[1]}{lines[match[2].strip()]}{match[4]}"

    return re.sub(r"^(\| ([^|]+) \| [^|]+ \| )(\d+)( \|)", fill, page, flags=re.MULTILINE)


def main() -> None:
    """Print the rows and their sum, and fill the page in if that is asked for."""
    page = counted(PAGE.read_text())
    for row in rows(page):
        print(f"{row.lines:6} {row.kernel}")
    print(f"{sum(row.lines for row in rows(page)):6} together")
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page)


if __name__ == "__main__":
    main()
