"""The table: a row for each way of calling each operation, with inputs, keyword arguments and a reference in NumPy.

`test_ops.py` runs every check on every row. A new operation needs a row here; without one the tests fail. A family of
operations is a module with a function `rows()`; a new module is found by itself.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from op_cases._case import Case

__all__ = ["CASES", "Case"]


def _collect() -> dict[str, Case]:
    table: dict[str, Case] = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")):
        for case in import_module(f"{__name__}.{module}").rows():
            key, count = case.id, 1
            while key in table:
                count += 1
                key = f"{case.id}#{count}"
            table[key] = case
    return table


CASES = _collect()
