"""Known patterns of mistakes."""

from typing import Any


def hint(analytic: Any, numeric: Any, output_shape: Any, input_shape: Any, tolerance: float) -> str | None:
    """Say what the mistake looks like, where the pattern is known."""
    return None
