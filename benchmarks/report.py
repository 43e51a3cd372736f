"""What was timed, what it says, and how it is written down."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

NAMES = {
    "minidl": "minidl", "torch": "PyTorch", "torch_compile": "torch.compile", "jax": "JAX jit",
    "onnxruntime": "ONNX Runtime", "numpy": "NumPy",
}  # fmt: skip


def spread_of(values: Sequence[float]) -> float:
    """Half the distance between the quartiles, over the median; NaN of fewer than two values."""
    if len(values) < 2:
        return float("nan")
    low, middle, high = statistics.quantiles(values, n=4)
    return (high - low) / 2 / middle


@dataclass
class Timing:
    """The times of one library with one number of threads, turn by turn, in seconds."""

    library: str
    threads: int
    turns: list[list[float]]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def times(self) -> list[float]:
        """Of all turns."""
        return [time for turn in self.turns for time in turn]

    @property
    def median(self) -> float:
        """Of all times."""
        return statistics.median(self.times)

    @property
    def spread(self) -> float:
        """Of all times, relative."""
        return spread_of(self.times)

    def __str__(self) -> str:
        return f"{seconds(self.median)} ±{percent(self.spread)}"


@dataclass
class Comparison:
    """One work, timed on our side and on the peers'."""

    name: str
    ours: Timing
    peers: list[Timing]
    disagreement: str = ""
    family: str = ""
    direction: str = ""

    @property
    def best(self) -> Timing | None:
        """The fastest peer, at its better number of threads, of those that had all their turns."""
        turns = max((len(peer.turns) for peer in self.peers), default=0)
        return min((peer for peer in self.peers if len(peer.turns) == turns), key=lambda t: t.median, default=None)

    def better(self, library: str) -> Timing | None:
        """A peer at its better number of threads."""
        return min((peer for peer in self.peers if peer.library == library), key=lambda t: t.median, default=None)

    def ratio_to(self, peer: Timing | None) -> float:
        """A peer's median time over ours."""
        return peer.median / self.ours.median if peer else float("nan")

    @property
    def ratio(self) -> float:
        """The fastest peer's median time over ours."""
        return self.ratio_to(self.best)

    @property
    def spread(self) -> float:
        """How the ratio scatters from turn to turn, relative: each turn's medians were measured side by side."""
        if self.best is None:
            return float("nan")
        turns = zip(self.ours.turns, self.best.turns, strict=False)
        return spread_of([statistics.median(theirs) / statistics.median(ours) for ours, theirs in turns])

    @property
    def is_slower(self) -> bool:
        """Whether we are behind the fastest peer by more than the ratio's spread."""
        spread = self.spread
        return self.ratio * (1 + (spread if spread == spread else 0)) < 1


def seconds(value: float) -> str:
    """A time with three digits and a unit."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if value * factor >= 1 or unit == "us":
            scaled = value * factor
            return f"{scaled:.{0 if scaled >= 100 else 1 if scaled >= 10 else 2}f} {unit}"
    raise AssertionError


def percent(value: float) -> str:
    """A share, or nothing for NaN."""
    return f"{value:.0%}" if value == value else "?"


def megabytes(value: float | None) -> str:
    """A size in units of a million bytes."""
    return "" if value is None else f"{round(value / 1e6, 1) + 0.0:.1f}"


def geometric_mean(values: Iterable[float]) -> float:
    """The geometric mean, or NaN of nothing."""
    known = [value for value in values if value == value]
    return statistics.geometric_mean(known) if known else float("nan")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, aligned for reading as it is."""
    lines = [list(head), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    cells = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def threads(count: int) -> str:
    """A number of threads in words."""
    return f"{count} thread{'s' if count > 1 else ''}"


def by_library(comparisons: Sequence[Comparison]) -> str:
    """A table of works by libraries, each peer at its better number of threads."""
    libraries = list(dict.fromkeys(peer.library for comparison in comparisons for peer in comparison.peers))
    rows = []
    for comparison in comparisons:
        row = [comparison.name, f"{comparison.ours} ({threads(comparison.ours.threads)})"]
        for library in libraries:
            peer = comparison.better(library)
            row.append(f"{peer} ({threads(peer.threads)})" if peer else "-")
        best = comparison.best
        ratio = f"{comparison.ratio:.2f} ±{percent(comparison.spread)} ({NAMES[best.library]})" if best else "-"
        rows.append([*row, ratio])
    head = ["", "minidl", *(NAMES[library] for library in libraries), "fastest peer / minidl"]
    return table(head, rows) + disagreements(comparisons)


def disagreements(comparisons: Iterable[Comparison]) -> str:
    """Lines about works of which the sides computed different results."""
    return "".join(f"\n\nRESULTS DIFFER: {c.name}: {c.disagreement}" for c in comparisons if c.disagreement)


def by_family(comparisons: Sequence[Comparison]) -> dict[str, dict[str, list[Comparison]]]:
    """The comparisons by family, then by direction."""
    found: dict[str, dict[str, list[Comparison]]] = {}
    for comparison in comparisons:
        found.setdefault(comparison.family, {}).setdefault(comparison.direction, []).append(comparison)
    return found


def families(comparisons: Sequence[Comparison]) -> str:
    """A table of geometric means of the ratios, families by directions."""
    directions = list(dict.fromkeys(c.direction for c in comparisons))
    rows = []
    for family, found in by_family(comparisons).items():
        every = [c for cs in found.values() for c in cs]
        layers = len({c.name for c in every})
        means = [f"{geometric_mean(c.ratio for c in found.get(direction, [])):.2f}" for direction in directions]
        rows.append([family, str(layers), *means, f"{geometric_mean(c.ratio for c in every):.2f}"])
    return table(["family", "layers", *directions, "all"], rows)


def grid(comparisons: Sequence[Comparison], memory: dict[str, dict[str, float]] | None = None) -> str:
    """A table of layers by directions: our time, the peer's, their ratio; and the memory above the tensors."""
    directions = list(dict.fromkeys(c.direction for c in comparisons))
    layers: dict[str, dict[str, Comparison]] = {}
    for comparison in comparisons:
        layers.setdefault(comparison.name, {})[comparison.direction] = comparison
    rows = []
    for name, found in layers.items():
        cells = [_cell(found.get(direction)) for direction in directions]
        above = (memory or {}).get(name, {})
        held = f"{megabytes(above.get('minidl'))} / {megabytes(above.get('torch'))}" if above else ""
        rows.append([name, next(iter(found.values())).family, *cells, held])
    head = ["layer", "family", *(f"{direction}: minidl, peer, ratio" for direction in directions)]
    return table([*head, "MB above the tensors: minidl / PyTorch"], rows) + disagreements(comparisons)


def _cell(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    theirs = seconds(comparison.best.median) if comparison.best else "-"
    ratio = f"{comparison.ratio:.2f} ±{percent(comparison.spread)}"
    return f"{seconds(comparison.ours.median)}, {theirs}, {f'**{ratio}**' if comparison.is_slower else ratio}"


def slower(comparisons: Iterable[Comparison]) -> str:
    """A line for each work at which we are behind by more than the spread."""
    found = [
        f"- {c.name}, {c.direction}: {c.ratio:.2f} ±{percent(c.spread)}"
        for c in sorted(comparisons, key=lambda c: c.ratio)
        if c.is_slower
    ]
    return "\n".join(found) or "None."
