"""What "auto" chooses for the layers of the grid, what would have been best, and what the choice loses.

    python benchmarks/choices.py [--only REGEX] [--threads 2] [--rounds 3]

Every algorithm that applies (and, for "auto", is allowed by its rounding errors) computes each layer in each direction,
in turns; printed are medians in milliseconds and the loss, the chosen one's time over the best one's. A difference of
a few per cent is the machine's noise.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import harness
import numpy as np
from layer_shapes import GRID

import minidl
from minidl import kernels
from minidl.geometry import sliding_window
from minidl.kernels.choice import COMPUTING, chosen, cost, within_precision

_CLOSE = 0.03
DIRECTIONS = ("forward", "input", "weight")


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
    parser.add_argument("--only", default="")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.03)
    parser.add_argument("--fit", action="store_true", help="print the model's estimates too")
    options = parser.parse_args()
    minidl.set_num_threads(options.threads)
    print(f"{harness.machine()}, {options.threads} threads, instruction set {kernels.instruction_set()}")
    losses = []
    for layer in GRID:
        if not re.search(options.only, layer.name):
            continue
        generator = np.random.default_rng(0)
        x, weight, grad = (
            generator.standard_normal(layer.shapes[name], np.float32) for name in ("input", "weight", "output")
        )
        window = sliding_window("conv2d", layer.image, layer.kernel, layer.stride, layer.padding)
        how = (layer.channels, layer.filters, layer.groups, window, 4)
        arguments = {
            "forward": (kernels.conv2d, x, weight, None),
            "input": (kernels.conv2d_input_gradient, grad, weight),
            "weight": (kernels.conv2d_weight_gradient, x, grad),
        }
        for direction in DIRECTIONS:
            works: dict[str, Callable[[], Any]] = {}
            for name in COMPUTING:
                if kernels.refusal(name, *how) is not None:
                    continue
                if not within_precision(name, direction, layer.channels, layer.filters, window, "default"):
                    continue
                works[name] = partial(*arguments[direction], window, layer.groups, name)
            # One that is far behind at once need not be measured well.
            first = _medians(works, 1, 0)
            everything = works
            works = {name: work for name, work in works.items() if first[name] < 4 * min(first.values())}
            choice = chosen(direction, "auto", layer.batch, *how, "default")
            works.setdefault(choice, everything[choice])
            found = _medians(works, options.rounds, options.seconds)
            loss = found[choice] / min(found.values())
            losses.append(loss)
            line = ", ".join(
                f"{name} {seconds * 1e3:.3f}"
                + (f" [{cost(name, direction, layer.batch, *how) / seconds / 1e9:.1f}]" if options.fit else "")
                for name, seconds in sorted(found.items(), key=lambda pair: pair[1])
            )
            mark = "" if loss < 1 + _CLOSE else f"  <- loses {loss - 1:.0%}"
            print(f"{layer.name:24} {direction:8} {choice:13} of {line}{mark}", flush=True)
    mean = np.exp(np.mean(np.log(losses)))
    print(f"{len(losses)} choices; loss on the geometric mean {mean - 1:.1%}, largest {max(losses) - 1:.0%}")


if __name__ == "__main__":
    main()
