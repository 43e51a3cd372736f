"""Element-wise functions and softmax, forward and backward, in times of a copy, beside PyTorch (float32).

    python benchmarks/elementwise.py [--only 'gelu|softmax'] [--numbers 3200000] [--threads 2] [--quick]

Each library has a process of its own, and they take turns; the figures are medians. A copy is one by as many threads,
into memory that is reused, in minidl's process. Backward is the gradient alone, of a result that is there already.
Without PyTorch its columns are empty.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from cases import Options
from harness import Bench, disagreement, machine

ACTIVATIONS: dict[str, dict[str, Any]] = {
    "relu": {}, "relu6": {}, "leaky_relu": {}, "elu": {}, "selu": {}, "hardswish": {}, "tanh": {}, "sigmoid": {},
    "silu": {}, "logsigmoid": {}, "softplus": {}, "mish": {}, "gelu": {}, "gelu tanh": {"approximate": "tanh"},
    "exp": {}, "log": {}, "sqrt": {}, "abs": {},
}  # fmt: skip
# Along rows, columns and an axis between others.
SHAPES: dict[str, tuple[Callable[[int], tuple[int, ...]], int]] = {
    "rows of 1000": (lambda n: (n // 1000, 1000), 1),
    "rows of 64": (lambda n: (n // 64, 64), 1),
    "rows of 10": (lambda n: (n // 10, 10), 1),
    "columns of 3200": (lambda n: (3200, n // 3200), 0),
    "an axis of 100 before 1000": (lambda n: (n // 100_000, 100, 1000), 1),
    "an axis of 1000 before 100": (lambda n: (n // 100_000, 1000, 100), 1),
    "an axis of 800 before 4": (lambda n: (n // 3200, 800, 4), 1),
}


def _input(shape: tuple[int, ...], positive: bool) -> tuple[np.ndarray, np.ndarray]:
    """Values like those of a network, and a gradient."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape, np.float32) * 2
    return (np.abs(x) + 0.01 if positive else x), rng.standard_normal(shape, np.float32)


def minidl(threads: int, name: str, shape: list[int], kwargs: dict[str, Any]) -> Any:
    """Value, gradient and a copy in minidl."""
    import minidl
    import minidl.functional as F
    from minidl import kernels

    minidl.set_num_threads(threads)
    array, upstream = _input(tuple(shape), name in ("log", "sqrt"))
    function = getattr(F, name, None) or getattr(minidl, name)
    x, grad = minidl.Tensor(array), minidl.Tensor(upstream)
    leaf = minidl.Tensor(array, requires_grad=True)
    y = function(leaf, **kwargs)
    planes, still = array.reshape(16, 1, 1, -1), np.zeros(16, np.longlong)
    works = {
        "forward": lambda: function(x, **kwargs),
        "backward": lambda: minidl.grad(y, [leaf], grad, retain_graph=True),
        # Images that move nowhere are copied, each by one thread.
        "copy": lambda: kernels.shift(planes, still, still),
    }
    return works, {"results": {"forward": float(np.float64(y.data).sum())}}


def torch(threads: int, name: str, shape: list[int], kwargs: dict[str, Any]) -> Any:
    """Value and gradient in PyTorch."""
    import torch

    torch.set_num_threads(threads)
    array, upstream = _input(tuple(shape), name in ("log", "sqrt"))
    function = getattr(torch.nn.functional, name, None) or getattr(torch, name)
    x, grad = torch.from_numpy(array), torch.from_numpy(upstream)
    leaf = torch.from_numpy(array).requires_grad_()
    y = function(leaf, **kwargs)
    works = {
        "forward": lambda: function(x, **kwargs),
        "backward": lambda: torch.autograd.grad(y, leaf, grad, retain_graph=True),
    }
    return works, {"results": {"forward": float(y.detach().double().sum())}}


def cases(numbers: int) -> dict[str, dict[str, Any]]:
    """What is measured, by how it is called in the table."""
    found = {
        name: {"name": name.split()[0], "shape": [numbers], "kwargs": kwargs} for name, kwargs in ACTIVATIONS.items()
    }
    for name in ("softmax", "log_softmax"):
        for about, (shape_of, dim) in SHAPES.items():
            found[f"{name}, {about}"] = {"name": name, "shape": list(shape_of(numbers)), "kwargs": {"dim": dim}}
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="REGEX", help="only the cases in whose names it is found")
    parser.add_argument("--numbers", type=int, default=3_200_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="see that it works; the figures mean nothing")
    arguments = parser.parse_args()
    options = Options(only=arguments.only, quick=arguments.quick)
    sides = [("minidl", arguments.threads), ("torch", arguments.threads)]
    print(f"{machine()}, {arguments.threads} threads, {arguments.numbers:,} numbers, float32\n")
    print("| | ms | / copy | PyTorch / minidl | backward ms | / copy | PyTorch / minidl |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    with Bench("elementwise", sides, dict(os.environ)) as bench:
        for name, case in cases(arguments.numbers).items():
            if not options.wants(name):
                continue
            workers = bench.prepare(**case)
            rounds, seconds = options.turns(5, 0.1)
            columns = []
            for work in ("forward", "backward"):
                # In turns, so that all meet the same states of the machine.
                times: dict[str, list[float]] = defaultdict(list)
                for _ in range(rounds):
                    for worker in workers:
                        times[worker.library] += worker.run(work, seconds)
                    times["copy"] += workers[0].run("copy", seconds)
                median = {side: statistics.median(measured) for side, measured in times.items()}
                ours = median["minidl"]
                columns += [f"{ours * 1e3:.2f}", f"{ours / median['copy']:.1f}"]
                columns += [f"{median['torch'] / ours:.2f}" if "torch" in median else ""]
            if difference := disagreement(workers, "forward"):
                print(f"{name}: {difference}")
            print(f"| {name} | {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
