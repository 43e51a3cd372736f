"""The table of mutants fits the code: what they replace is there, once. `make mutants` plants them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from planted import MUTANTS, SANITIZED, Mutant

ROOT = Path(__file__).resolve().parents[1]
ALL = [*MUTANTS, *SANITIZED]


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_a_mutant_fits(mutant: Mutant) -> None:
    place = mutant.place()
    text = (ROOT / "minidl" / place.file).read_text()
    changed = text[: place.start] + text[place.start : place.stop].replace(mutant.old, mutant.new) + text[place.stop :]
    assert changed != text
    if place.file.endswith(".py"):
        compile(changed, place.file, "exec")
    assert mutant.why and mutant.tests
    for tests in mutant.tests:
        assert (ROOT / "tests" / tests.split(" -k ")[0]).is_file(), tests


def test_names_are_unique() -> None:
    assert max(Counter(mutant.name for mutant in ALL).values()) == 1


def test_there_are_enough() -> None:
    assert len(MUTANTS) >= 60
    folders = Counter(mutant.file.split("/")[0] for mutant in MUTANTS)
    assert min(folders[folder] for folder in ("_ext", "ops", "nn", "optim")) >= 5
    assert all(mutant.report for mutant in SANITIZED)
