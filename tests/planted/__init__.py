"""The table of mutants: realistic mistakes that `mutants.py` plants one at a time, and the tests that must catch them.

A module is a family with its `MUTANTS`; a new module is found by itself. Those of `sanitizers` are planted under
AddressSanitizer and UndefinedBehaviorSanitizer instead.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from planted._mutant import Mutant

__all__ = ["MUTANTS", "SANITIZED", "Mutant"]

SANITIZED: list[Mutant] = import_module(f"{__name__}.sanitizers").MUTANTS
MUTANTS: list[Mutant] = [
    mutant
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    if module != "sanitizers"
    for mutant in import_module(f"{__name__}.{module}").MUTANTS
]
