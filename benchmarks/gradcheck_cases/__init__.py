"""Gradients to try gradient checkers on: 40 with a planted mistake, 40 correct but hard; plain NumPy."""

from __future__ import annotations

from .case import FINDINGS, PATTERNS, Case, Made
from .kinks import CASES as _KINKS
from .patterns import CASES as _PATTERNS
from .scales import CASES as _SCALES
from .subtle import CASES as _SUBTLE

WRONG: tuple[Case, ...] = (*_PATTERNS, *_SUBTLE)
RIGHT: tuple[Case, ...] = (*_SCALES, *_KINKS)

__all__ = ["FINDINGS", "PATTERNS", "RIGHT", "WRONG", "Case", "Made"]
