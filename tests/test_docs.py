"""The examples in docs/*.md print what they say, and the pictures and files that the pages name are there."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import re
from pathlib import Path

import pytest

from minidl.errors import GradcheckError

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_pictures_are_drawn_and_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    pictures = importlib.import_module("pictures")
    committed = {path.name: path.stat().st_size for path in pictures.FOLDER.glob("*.png")}
    assert committed and max(committed.values()) < 100_000
    monkeypatch.setattr(pictures, "FOLDER", tmp_path / "pictures")
    pictures.main()
    assert {path.name for path in (tmp_path / "pictures").glob("*.png")} == committed.keys()
