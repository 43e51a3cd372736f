"""Examples in docs print what they say, links lead somewhere, pictures and counts of lines are those of the code."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from minidl.errors import GradcheckError

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
LINKING = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
MAP = ROOT / "docs" / "architecture.md"
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


class Checker(doctest.OutputChecker):
    """Takes no offence at what differs between machines: rounding, times, and how many steps rounding asks for."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        """Whether both say the same."""
        return super().check_output(self.rounded(want), self.rounded(got), optionflags)

    @staticmethod
    def rounded(text: str) -> str:
        """Without times, counts of evaluations and errors, and with six digits of other numbers."""
        text = re.sub(r"[\d,]+ evaluations, [\d.]+ s", "evaluations", text)
        text = re.sub(r"\b\d\.\de[-+]\d\d\b", "error", text)
        return re.sub(r"\d+\.\d{5,}\b", lambda number: f"{float(number[0]):.6g}", text)


def examples(text: str) -> str:
    """The page without what does not belong to the examples' output, or can't run here."""
    blocks = re.split(r"^(```.*)$", text, flags=re.MULTILINE)
    for at in range(2, len(blocks), 4):
        # Reports have empty lines, which doctest takes for the output's end.
        blocks[at] = re.sub(r"\n(?=\n(?!>>>|\n|$))", "\n<BLANKLINE>", blocks[at])
        if ">>> import torch" in blocks[at] and importlib.util.find_spec("torch") is None:
            blocks[at] = "\n"
    # A closing fence would be taken for output.
    return "".join(block for block in blocks if not block.startswith("```"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_print_what_they_say(page: Path) -> None:
    parser, globs = doctest.DocTestParser(), {"__name__": "__main__"}
    test = parser.get_doctest(examples(page.read_text()), globs, page.name, str(page), 0)
    report: list[str] = []
    doctest.DocTestRunner(Checker(), optionflags=OPTIONS).run(test, out=report.append)
    assert not report, "".join(report)


def test_the_readme_prints_what_its_gradient_check_says() -> None:
    blocks = re.findall(r"^```\w*\n(.*?)^```$", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    at = next(k for k, block in enumerate(blocks) if "import check_vjp" in block)
    with pytest.raises(GradcheckError) as raised:
        exec(blocks[at], {})
    said = f"minidl.errors.GradcheckError: {raised.value}"
    assert Checker.rounded(blocks[at + 1]).split() == Checker.rounded(said).split()


def anchors(page: Path) -> set[str]:
    """The names by which a page's headings are linked to."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    missing = []
    for link, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", page.read_text()):
        if "://" in link:
            continue
        target = page.parent / link if link else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(f"{link}#{anchor}" if anchor else link)
    assert not missing


def test_a_link_to_a_heading_that_is_not_there_is_seen() -> None:
    assert "which-algorithm" in anchors(ROOT / "docs" / "convolution.md")
    assert "im2col-and-col2im-documents-002-003-004" in anchors(ROOT / "docs" / "convolution.md")
    assert "no-such-heading" not in anchors(ROOT / "docs" / "convolution.md")


def test_the_map_is_read_in_ten_minutes() -> None:
    assert len(MAP.read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", [MAP, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    names = re.findall(r"`([\w./]+\.(?:py|pyx|pxd|h|c|md|build)|[\w./]+/)`", page.read_text())
    assert names
    folders = (ROOT, ROOT / "minidl", page.parent)
    # NAME stands for what a reader adds.
    named = [name for name in names if "NAME" not in name]
    missing = [name for name in named if not any((folder / name).exists() for folder in folders)]
    assert not missing


def test_every_page_of_the_notebook_is_in_its_index() -> None:
    folder = ROOT / "docs" / "notebook"
    listed = re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", (folder / "README.md").read_text(), flags=re.M)
    assert sorted(listed) == sorted(path.name for path in folder.glob("*.md") if path.name != "README.md")


def load(folder: str, name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / folder))
    return importlib.import_module(name)


def test_each_kernel_has_a_row_with_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    count_kernels = load("tools", "count_kernels", monkeypatch)
    rows = count_kernels.rows(count_kernels.PAGE.read_text())
    files = [path for row in rows for path in row.files]
    assert sorted(files) == count_kernels.sources(), "each file belongs to one row of docs/kernels.md"
    now = {row.kernel: row.lines for row in count_kernels.rows(count_kernels.counted(count_kernels.PAGE.read_text()))}
    stale = [row.kernel for row in rows if abs(row.lines - now[row.kernel]) > row.lines / 5]
    assert not stale, "run `python tools/count_kernels.py --write`"


def test_lines_of_code_are_those_without_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count_kernels = load("tools", "count_kernels", monkeypatch)
    python = '"""A module.\n\nMore."""\n\nx = """two\nlines"""  # Why.\n\n\ndef f():\n    """Say."""\n    return 1\n'
    cython = '"""A module.\n\nMore."""\n\ncdef int f():\n    """Say."""\n    # A comment.\n    return 1\n'
    header = "/* A header,\n * with a comment. */\n#define F(x) \\\n    \\\n    (x) // Why.\n\nint f(void);\n"
    for name, text, lines in (("a.py", python, 4), ("a.pyx", cython, 2), ("a.h", header, 3)):
        (tmp_path / name).write_text(text)
        assert count_kernels.lines_of_code(tmp_path / name) == lines, name


def test_the_picture_has_the_layers_that_the_imports_are_held_to(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = load("docs", "pictures", monkeypatch)
    level = load("tests", "test_architecture", monkeypatch).LEVEL
    storeys = [modules for _, modules in pictures.STOREYS]
    assert sorted(name for modules in storeys for name in modules) == sorted(level)
    for above, below in pairwise(storeys):
        assert min(level[name] for name in above) >= max(level[name] for name in below)


def test_pictures_are_drawn_and_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = load("docs", "pictures", monkeypatch)
    committed = {path.name: path.stat().st_size for path in pictures.FOLDER.glob("*.png")}
    assert committed and max(committed.values()) < 100_000
    monkeypatch.setattr(pictures, "FOLDER", tmp_path / "pictures")
    pictures.main()
    assert {path.name for path in (tmp_path / "pictures").glob("*.png")} == committed.keys()
