"""What bounds the 1x1 convolutions: products at the pace of the best product in cache, bytes at that of a copy.

    python benchmarks/roofline.py [--only REGEX] [--seconds 0.3]

A direction needs at least the longer of two times: its multiply-adds at the highest pace that any product reached whose
operands stay in the caches, by minidl or by NumPy's BLAS; and its tensors' bytes, each number read once and each result
read for ownership and written, at the pace of a copy in as many threads.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import harness
import numpy as np
import training
from layer_shapes import GRID, Layer
from report import table

from minidl import kernels
from minidl.geometry import sliding_window

DIRECTIONS = {"forward": ("input", "weight", "output"), "input gradient": ("output", "weight", "input"),
              "weight gradient": ("input", "output", "weight")}  # fmt: skip


def seconds_of(call: Callable[[], object], seconds: float) -> float:
    """The median time of a call."""
    call()
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def calls_of(layer: Layer) -> dict[str, Callable[[], object]]:
    """Each direction as the kernels compute it."""
    rng = np.random.default_rng(0)
    x, weight, grad = (rng.standard_normal(layer.shapes[name], np.float32) for name in ("input", "weight", "output"))
    window = sliding_window("conv2d", layer.image, layer.kernel, layer.stride, layer.padding)
    return {
        "forward": partial(kernels.conv2d, x, weight, None, window, layer.groups, "auto"),
        "input gradient": partial(kernels.conv2d_input_gradient, grad, weight, window, layer.groups, "auto"),
        "weight gradient": partial(kernels.conv2d_weight_gradient, x, grad, window, layer.groups, "auto"),
    }


def product_pace(seconds: float) -> float:
    """Floating-point operations a second, of the faster of two products in cache."""
    rng = np.random.default_rng(0)
    found = []
    for K, F, P in ((192, 512, 960), (384, 256, 960)):
        x, weight = rng.standard_normal((1, K, 1, P), np.float32), rng.standard_normal((F, K, 1, 1), np.float32)
        window = sliding_window("conv2d", (1, P), 1)
        found.append(2 * K * F * P / seconds_of(partial(kernels.conv2d, x, weight, None, window, 1, "auto"), seconds))
    a, b = (rng.standard_normal((1536, 1536), np.float32) for _ in range(2))
    found.append(2 * 1536**3 / seconds_of(lambda: a @ b, seconds))
    return max(found)


def byte_pace(threads: int, seconds: float) -> float:
    """Bytes a second: a copied number is read, and its place read and written."""
    sides = [(np.zeros(8_000_000, np.float32), np.ones(8_000_000, np.float32)) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        taken = seconds_of(lambda: list(pool.map(lambda side: np.copyto(*side), sides)), seconds)
    return 3 * sum(side[0].nbytes for side in sides) / taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=r"-> \d+, 1x1$", metavar="REGEX", help="only layers in whose names it is")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each figure")
    options = parser.parse_args()
    threads = 2
    print(harness.machine())
    print(", ".join(f"{name} {value}" for name, value in training.minidl_facts(threads).items()))
    flops, bytes_ = product_pace(options.seconds), byte_pace(threads, options.seconds)
    print(f"{threads} threads: products in cache {flops / 1e9:.0f} GFLOP/s, copies {bytes_ / 1e9:.0f} GB/s\n")
    rows = []
    for layer in GRID:
        if not re.search(options.only, layer.name):
            continue
        row = [layer.name]
        for direction, call in calls_of(layer).items():
            *read, written = (4 * int(np.prod(layer.shapes[name])) for name in DIRECTIONS[direction])
            for_flops, for_bytes = layer.flops / flops, (sum(read) + 2 * written) / bytes_
            taken, bound = seconds_of(call, options.seconds), max(for_flops, for_bytes)
            row.append(f"{for_flops * 1e3:.2f}, {for_bytes * 1e3:.2f}, {taken * 1e3:.2f}, {bound / taken:.0%}")
        rows.append(row)
    print(table(["layer", *(f"{name}: flops, bytes, taken (ms), of the bound" for name in DIRECTIONS)], rows))


if __name__ == "__main__":
    main()
