"""A picture of the figures: times of LeNet's training step, and ratios of the layers by family."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from layer_shapes import DIRECTIONS, FAMILIES
from report import NAMES, Comparison, by_family, geometric_mean

COLORS = ("#1b6ca8", "#e08e45", "#7a9e7e", "#8e6c8a")


def draw(steps: Sequence[Comparison], grid: Sequence[Comparison], path: Path) -> None:
    """Draw whichever of the two was measured."""
    from matplotlib.figure import Figure

    drawn = [(found, paint) for found, paint in ((steps, _steps), (grid, _families)) if found]
    figure = Figure(figsize=(7 * len(drawn), 5), layout="constrained")
    axes = figure.subplots(1, len(drawn), squeeze=False)
    for axis, (found, paint) in zip(axes[0], drawn, strict=True):
        paint(axis, found)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def _steps(axis: Any, steps: Sequence[Comparison]) -> None:
    libraries = ["minidl", *dict.fromkeys(peer.library for step in steps for peer in step.peers)]
    width = 0.8 / len(libraries)
    for index, library in enumerate(libraries):
        timings = [step.ours if library == "minidl" else step.better(library) for step in steps]
        heights = [timing.median * 1e3 if timing else 0 for timing in timings]
        places = [at + (index - (len(libraries) - 1) / 2) * width for at in range(len(steps))]
        bars = axis.bar(places, heights, width, label=NAMES[library], color=COLORS[index % len(COLORS)])
        axis.bar_label(bars, [f"{height:.2g}" if height else "" for height in heights], fontsize=8)
    axis.set_xticks(range(len(steps)), [step.name for step in steps])
    axis.set_ylabel("milliseconds")
    axis.set_title("LeNet-5 training step (less is better)")
    axis.legend(frameon=False)


def _families(axis: Any, grid: Sequence[Comparison]) -> None:
    found = by_family(grid)
    families = [family for family in FAMILIES if family in found]
    for index, direction in enumerate(DIRECTIONS):
        for at, family in enumerate(families):
            ratios = [comparison.ratio for comparison in found[family].get(direction, [])]
            if not ratios:
                continue
            place = at + (index - 1) * 0.25
            label = direction if at == next(i for i, f in enumerate(families) if direction in found[f]) else None
            axis.plot([place] * len(ratios), ratios, ".", color=COLORS[index], alpha=0.4)
            axis.plot(place, geometric_mean(ratios), "_", color=COLORS[index], markersize=22, mew=3, label=label)
    axis.axhline(1, color="#555555", linewidth=1)
    axis.set_yscale("log", base=2)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_xticks(range(len(families)), [family.replace(", ", ",\n") for family in families])
    axis.set_ylabel("PyTorch's time / minidl's")
    axis.set_title("Convolutions: geometric means (bars) and layers (dots)")
    axis.legend(frameon=False)
