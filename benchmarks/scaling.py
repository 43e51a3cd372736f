"""What a second thread brings minidl on large layers, and what its threads cost NumPy's matmul right after an op.

    python benchmarks/scaling.py [--only '004|matmul'] [--quick]

OpenMP's environment is left as it is found.
"""

from __future__ import annotations

import time
from typing import Any

import layers
import networks
import numpy as np
import report
import training
from cases import Options, main
from harness import Bench
from layer_shapes import GRID, Layer

TITLE = "Threads"
FROM_FLOPS = 100_000_000
# What two threads should bring at the least.
WANTED = 1.8
MATMUL = "NumPy's matmul, 256x256"
SIZE = 256


def large_layers() -> list[Layer]:
    """Layers with at least 100 MFLOP a direction."""
    return [layer for layer in GRID if layer.flops >= FROM_FLOPS]


def _matmul() -> Any:
    matrix = np.random.default_rng(0).standard_normal((SIZE, SIZE), np.float32)
    return lambda: np.matmul(matrix, matrix)


def alone(threads: int) -> Any:
    """NumPy's matmul again and again."""
    return {"matmul": _matmul()}, {}


def after_minidl(threads: int) -> Any:
    """NumPy's matmul, each time right after a convolution; only the matmul is timed."""
    training.minidl_facts(threads)
    import minidl
    import minidl.functional as F

    matmul = _matmul()
    images, weight = (minidl.Tensor(a) for a in (networks.images(64), networks.weights(networks.LENET)[0]))

    def timed() -> float:
        F.conv2d(images, weight, padding=2)
        start = time.perf_counter()
        matmul()
        return time.perf_counter() - start

    return {"matmul": timed}, {}


def after_torch(threads: int) -> Any:
    """The same right after PyTorch's convolution."""
    training.torch_facts(threads)
    import torch

    matmul = _matmul()
    images, weight = (torch.from_numpy(a) for a in (networks.images(64), networks.weights(networks.LENET)[0]))

    def timed() -> float:
        torch.nn.functional.conv2d(images, weight, padding=2)
        start = time.perf_counter()
        matmul()
        return time.perf_counter() - start

    return {"matmul": timed}, {}


def measure(options: Options, environment: dict[str, str]) -> list[report.Comparison]:
    """The layers with two threads and with one; the matmul after two threads, after one, alone, and after PyTorch."""
    found = []
    if options.wants(MATMUL):
        sides = [("after_minidl", 2), ("after_minidl", 1), ("alone", 1), ("after_torch", 2)]
        with Bench("scaling", sides, environment) as bench:
            bench.prepare()
            found.append(bench.compare(MATMUL, "matmul", *options.turns(), family="matmul"))
    return found + layers.compare(large_layers(), [("minidl", 2), ("minidl", 1)], options, environment)


def show(comparisons: list[report.Comparison]) -> str:
    """A line for the matmul, and a table of the layers."""
    parts = []
    for comparison in comparisons:
        if comparison.family == "matmul":
            after_one, alone, *after_torch = comparison.peers
            parts.append(
                f"{comparison.name}: {alone} alone, {after_one} right after a convolution on one thread, "
                f"{comparison.ours} right after one on two threads"
                + "".join(f", {timing} right after PyTorch's on two" for timing in after_torch)
            )
    found = [c for c in comparisons if c.family != "matmul"]
    if found:
        directions = list(dict.fromkeys(c.direction for c in found))
        layers_found: dict[str, list[report.Comparison]] = {}
        for comparison in found:
            layers_found.setdefault(comparison.name, []).append(comparison)
        rows = [
            [name, *(f"{c.peers[0]}, {c.ours}, {c.ratio:.2f} ±{report.percent(c.spread)}" for c in every)]
            for name, every in layers_found.items()
        ]
        means = [f"{report.geometric_mean(c.ratio for c in found if c.direction == d):.2f}" for d in directions]
        head = ["layer", *(f"{direction}: 1 thread, 2 threads, ratio" for direction in directions)]
        parts.append(report.table(head, [*rows, ["geometric mean", *means]]))
        below = [c for c in found if c.ratio < WANTED]
        lines = [f"- {c.name}, {c.direction}: {c.ratio:.2f} ±{report.percent(c.spread)}" for c in below]
        parts.append(f"Below {WANTED}:\n\n" + ("\n".join(lines) or f"- none of {len(found)}"))
    return "\n\n".join(parts)


if __name__ == "__main__":
    main(TITLE, measure, __doc__, show)
