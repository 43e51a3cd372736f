"""The table of bad input: calls that must be refused, with the error and its message; see `test_bad_input.py`.

A module is a family with its `ROWS`; a new module is found by itself.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from bad_input._row import Row

ROWS: list[Row] = [
    row
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    for row in import_module(f"{__name__}.{module}").ROWS
]
