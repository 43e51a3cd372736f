"""Where the tests of this folder find data, and where not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for the cache, and no MINIDL_DATA."""
    monkeypatch.delenv("MINIDL_DATA", raising=False)
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def real_folder() -> str:
    """The folder with the real MNIST files."""
    folder = os.environ.get("MINIDL_DATA")
    if not folder:
        pytest.skip("needs the real MNIST files; MINIDL_DATA does not say where they are")
    return folder
