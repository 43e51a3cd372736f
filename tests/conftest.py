"""Fixtures that all tests share."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import parity
import pytest

import minidl
from minidl import runtime

# The checkout is not installed, so that pytest does not find its plugin by itself.
pytest_plugins = ["pytest_minidl", "pytester"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With MINIDL_SAMPLE=3, of each test function the first set of arguments and every third of the others."""
    step = int(os.environ.get("MINIDL_SAMPLE", "1"))
    if step == 1:
        return
    counts: Counter[str] = Counter()
    kept, left_out = [], []
    for item in items:
        function = item.nodeid.partition("[")[0]
        (left_out if counts[function] % step else kept).append(item)
        counts[function] += 1
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch, or a skip; a failure where MINIDL_PARITY=1."""
    return parity.import_torch()


@pytest.fixture(scope="session")
def peer() -> Any:
    """PyTorch, or None if it is not there and need not be."""
    try:
        return parity.import_torch()
    except pytest.skip.Exception:
        return None


@pytest.fixture
def threads_everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Share out even the smallest work among threads; restores their number afterwards."""
    before = minidl.get_num_threads()
    monkeypatch.setattr(runtime, "_WORK_FOR_A_SECOND_THREAD", 0)
    yield
    minidl.set_num_threads(before)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How much was compared, which a list of passed tests does not say."""
    counts = dict(parity.counts)
    if parity.compared:
        counts[f"arrays beside PyTorch's on random configurations of {len(parity.compared)} functions"] = sum(
            parity.compared.values()
        )
    for what, count in counts.items():
        terminalreporter.write_line(f"{count:,} {what}")
