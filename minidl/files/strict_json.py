"""JSON from files of others: read strictly, and quoted in messages at a length that one reads."""

from __future__ import annotations

import json
from reprlib import Repr
from typing import Any

_short = Repr()
_short.maxstring = _short.maxother = _short.maxlong = 80
_short.maxlevel = 3

# It is `repr`, cut in the middle of strings, lists and levels; unlike that, it never fails or takes long.
shortened = _short.repr

_LONGEST_MESSAGE = 2000


def cut(message: str) -> str:
    """A message as it is, or where it quotes more of a file than anybody reads, its beginning."""
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}..."


def read_json(text: str) -> Any:
    """Read JSON strictly: no name twice, no NaN.

    Raises
    ------
    ValueError
        If it is no JSON, or nested more deeply than Python reads.
    """
    try:
        return json.loads(text, object_pairs_hook=_refuse_twins, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"JSON has {max(names, key=names.count)!r:.80} twice")
    return read


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")
