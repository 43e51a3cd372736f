"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import parity
import pytest

import minidl
from minidl import runtime


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch, or a skip; a failure where MINIDL_PARITY=1."""
    return parity.import_torch()


@pytest.fixture
def threads_everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Share out even the smallest work among threads; restores their number afterwards."""
    before = minidl.get_num_threads()
    monkeypatch.setattr(runtime, "_WORK_FOR_A_SECOND_THREAD", 0)
    yield
    minidl.set_num_threads(before)
