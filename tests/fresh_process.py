"""Programs in processes of their own, where nothing of minidl has been computed, planned or kept yet."""

from __future__ import annotations

import os
import subprocess
import sys


def printed_by(program: str) -> str:
    """What a program prints that may import the tests' modules; it must end well."""
    folders = [os.path.dirname(__file__), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()
