"""How much the direct convolution's choice between its two cuts costs: blocks of samples, or bands of rows.

    python benchmarks/direct_cuts.py [--rounds 5]

Both cuts of each direction are timed in alternation on two threads, float32, for a grid of small convolutions. A line
for each where the cut that `minidl.kernels.direct.direct_plan` takes is 10 % slower than the other; then, for each
direction, the loss on the geometric mean, and what either cut alone would lose.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Callable

import harness
import numpy as np

import minidl
from minidl.errors import ShapeError
from minidl.geometry import sliding_window
from minidl.kernels import direct

CUTS = {"blocks": direct._by_blocks, "bands": direct._by_bands}
GRID = itertools.product((9, 12, 16, 64), (8, 14, 20, 28, 32, 64), (1, 3, 8), (4, 6, 16), ((3, 1), (5, 0)), (1, 2))
REPEATS = 6


def seconds(work: Callable[[], object]) -> float:
    """The shortest of a few times."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def loss(times: list[dict[str, float]], taken: list[str]) -> float:
    """How much longer than the better cut, on the geometric mean."""
    return math.exp(np.mean([math.log(t[cut] / min(t.values())) for t, cut in zip(times, taken, strict=True)])) - 1


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    minidl.set_num_threads(2)
    print(f"{harness.machine()}, 2 threads, instruction set {minidl.kernels.instruction_set()}")
    generator = np.random.default_rng(0)
    chosen = direct.direct_plan
    found: dict[str, list[dict[str, float]]] = {}
    taken: dict[str, list[str]] = {}
    for N, size, C, F, (kernel, padding), stride in GRID:
        try:
            window = sliding_window("direct_cuts", (size, size), kernel, stride, padding)
        except ShapeError:
            continue
        x = generator.standard_normal((N, C, size, size), np.float32)
        weight = generator.standard_normal((F, C, kernel, kernel), np.float32)
        grad = generator.standard_normal((N, F, *window.output_size), np.float32)
        works = {
            "forward": lambda x=x, w=weight, window=window: direct.direct_conv2d(x, w, None, window),
            "input": lambda g=grad, w=weight, window=window: direct.direct_input_gradient(g, w, window),
            "weight": lambda x=x, g=grad, window=window: direct.direct_weight_gradient(x, g, window),
        }
        for direction, work in works.items():
            plans = {name: cut(direction, N, C, F, window, 4) for name, cut in CUTS.items()}
            times = dict.fromkeys(plans, math.inf)
            for _, (name, plan) in itertools.product(range(rounds), plans.items()):
                direct.direct_plan = lambda *_, plan=plan: plan
                times[name] = min(times[name], seconds(work))
            direct.direct_plan = chosen
            cut = "bands" if chosen(direction, N, C, F, window, 4).band else "blocks"
            found.setdefault(direction, []).append(times)
            taken.setdefault(direction, []).append(cut)
            if times[cut] > 1.1 * min(times.values()):
                other = min(times, key=lambda name: times[name])
                print(
                    f"{N}x{C}x{size}x{size} -> {F}, {kernel}x{kernel} stride {stride}, {direction}: {cut} "
                    f"{times[cut] * 1e6:.0f} us, {other} {times[other] * 1e6:.0f} us"
                )
    for direction, times in found.items():
        cuts = ", ".join(f"{name} alone {loss(times, [name] * len(times)):.1%}" for name in CUTS)
        print(f"{direction}: {len(times)} shapes, loss {loss(times, taken[direction]):.1%}; {cuts}")


if __name__ == "__main__":
    main()
