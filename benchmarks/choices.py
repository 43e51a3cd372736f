"""What "auto" chooses for the layers of the grid, what would have been best, and what the choice loses.

    python benchmarks/choices.py [--grid layers | small] [--algorithm auto] [--only REGEX] [--threads 2] [--rounds 3]

Every entry of the registry that applies (and is allowed by its rounding errors) computes each layer in each direction,
in turns; printed are medians in milliseconds and the loss, the chosen one's time over the best one's. A difference of
a few per cent is the machine's noise. `--algorithm` takes a family's name, too, among whose entries alone it chooses;
`--grid small` has 2,592 small convolutions, between whose cuts "direct" chooses.
"""

from __future__ import annotations

import argparse
import itertools
import re
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import harness
import numpy as np
from layer_shapes import GRID, Layer

import minidl
from minidl import kernels
from minidl.geometry import sliding_window
from minidl.kernels import DIRECTIONS, ConvProblem, choose, supported

_CLOSE = 0.03
# Batches, sizes, channels, filters, kernels with their paddings, strides.
_SMALL = (9, 12, 16, 64), (8, 14, 20, 28, 32, 64), (1, 3, 8), (4, 6, 16), ((3, 1), (5, 0)), (1, 2)


def _small() -> Iterator[Layer]:
    for batch, size, channels, filters, (kernel, padding), stride in itertools.product(*_SMALL):
        name = f"{batch}x{channels}x{size}x{size} -> {filters}, {kernel}x{kernel} by {stride}"
        yield Layer(name, batch, channels, (size, size), filters, (kernel, kernel), stride, padding)


def _medians(works: dict[str, Callable[[], Any]], rounds: int, seconds: float) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            end = time.perf_counter() + seconds
            while True:
                start = time.perf_counter()
                work()
                now = time.perf_counter()
                if turn:
                    times[name].append(now - start)
                if now > end:
                    break
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", choices=("layers", "small"), default="layers")
    parser.add_argument("--algorithm", choices=kernels.ALGORITHMS, default="auto")
    parser.add_argument("--only", default="")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.03)
    parser.add_argument("--fit", action="store_true", help="print the model's estimates too")
    options = parser.parse_args()
    minidl.set_num_threads(options.threads)
    print(f"{harness.machine()}, {options.threads} threads, instruction set {kernels.instruction_set()}")
    losses = []
    for layer in GRID if options.grid == "layers" else _small():
        if not re.search(options.only, layer.name):
            continue
        generator = np.random.default_rng(0)
        x, weight, grad = (
            generator.standard_normal(layer.shapes[name], np.float32) for name in ("input", "weight", "output")
        )
        window = sliding_window("conv2d", layer.image, layer.kernel, layer.stride, layer.padding)
        arguments = {"forward": (x, weight, None), "input": (grad, weight), "weight": (x, grad)}
        sizes = layer.batch, layer.channels, layer.filters, layer.groups
        for direction in DIRECTIONS:
            problem = ConvProblem(direction, *sizes, window, x.dtype)
            found_entries = {entry.name: entry for entry in supported(problem, options.algorithm)}
            if not found_entries:
                continue
            works: dict[str, Callable[[], Any]] = {
                name: partial(entry.plan(problem), *arguments[direction]) for name, entry in found_entries.items()
            }
            # One that is far behind at once need not be measured well.
            first = _medians(works, 1, 0)
            everything = works
            works = {name: work for name, work in works.items() if first[name] < 4 * min(first.values())}
            choice = choose(problem, options.algorithm).name
            works.setdefault(choice, everything[choice])
            found = _medians(works, options.rounds, options.seconds)
            loss = found[choice] / min(found.values())
            losses.append(loss)
            line = ", ".join(
                f"{name} {seconds * 1e3:.3f}"
                + (f" [{found_entries[name].cost(problem) / seconds / 1e9:.1f}]" if options.fit else "")
                for name, seconds in sorted(found.items(), key=lambda pair: pair[1])
            )
            mark = "" if loss < 1 + _CLOSE else f"  <- loses {loss - 1:.0%}"
            print(f"{layer.name:24} {direction:8} {choice:24} of {line}{mark}", flush=True)
    mean = np.exp(np.mean(np.log(losses)))
    print(f"{len(losses)} choices; loss on the geometric mean {mean - 1:.1%}, largest {max(losses) - 1:.0%}")


if __name__ == "__main__":
    main()
