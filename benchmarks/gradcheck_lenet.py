"""LeNet-5's 61,706 parameters with the loss: how long a gradient check takes.

    python benchmarks/gradcheck_lenet.py [--batch 4] [--data mnist] [--modes random] [--rounds 5] [--threads 2]

Checks examples/lenet.py's model in float64: every parameter, and random directions at the default setting; beside them
PyTorch's `gradcheck(fast_mode=True)` on the same model, weights, images and labels.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minidl
import minidl.functional as F
from minidl import data
from minidl.errors import DataNotFoundError

EXAMPLE = Path(__file__).parents[1] / "examples" / "lenet.py"


def model() -> Any:
    """The example's model, with its initial weights of seed 0."""
    spec = importlib.util.spec_from_file_location("lenet_example", EXAMPLE)
    assert spec is not None and spec.loader is not None
    # Its data classes look their module up by name.
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    minidl.manual_seed(0)
    return module.LeNet5()


def batch(size: int, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 1, 28, 28) and labels: digits of MNIST, where it is on this machine, or normal numbers."""
    if source == "mnist":
        try:
            test = data.MNIST(train=False, download=False)
        except DataNotFoundError:
            print("MNIST is not on this machine; the images are normal numbers")
        else:
            loader = data.DataLoader(test, size, transform=data.Normalize(0.1307, 0.3081))
            images, labels = next(iter(loader))
            return images.numpy(), labels.numpy()
    generator = np.random.default_rng(0)
    return generator.normal(size=(size, 1, 28, 28)).astype(np.float32), generator.integers(0, 10, size)


def timed(work: Callable[[], Any], rounds: int) -> tuple[list[float], Any]:
    """Seconds of each round, and the last result."""
    times, result = [], None
    for _ in range(rounds):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return times, result


def show(name: str, times: list[float], rest: str) -> None:
    """One line."""
    print(f"{name}: {statistics.median(times):.3g} s (of {len(times)}: {min(times):.3g} to {max(times):.3g}); {rest}")


def ours(net: Any, images: np.ndarray, labels: np.ndarray, rounds: int, modes: list[str]) -> None:
    """minidl's checks, in full and along random directions."""
    x, y = minidl.tensor(images), minidl.tensor(labels)

    def loss(x: Any) -> Any:
        return F.cross_entropy(net(x), y)

    for mode in modes:
        times, report = timed(
            lambda mode=mode: minidl.gradcheck(loss, x, params=net, mode=mode, raise_exception=False),
            rounds if mode == "random" else 1,
        )
        compared = sum(entry.compared for entry in report.inputs)
        unresolved = sum(entry.unresolved for entry in report.inputs)
        verdict = "all agree" if report else f"{len(report.failures)} failures"
        rest = (
            f"{verdict}, {report.evaluations:,} evaluations, {compared:,} entries compared, {unresolved:,} unresolved"
        )
        show(f"minidl, {mode}", times, f"{rest}, {len(report.kinks):,} at kinks")
        for note in report.notes:
            print(f"    {note}")


def torch(net: Any, images: np.ndarray, labels: np.ndarray, rounds: int, threads: int) -> None:
    """PyTorch's fast mode on the same numbers."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    twin = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    ).double()  # fmt: skip
    names = [name for name, _ in twin.named_parameters()]
    values = [torch.tensor(p.numpy(), dtype=torch.float64, requires_grad=True) for p in net.parameters()]
    x, y = torch.tensor(images, dtype=torch.float64), torch.tensor(labels)

    def loss(*parameters: Any) -> Any:
        logits = torch.func.functional_call(twin, dict(zip(names, parameters, strict=True)), (x,))
        return nn.functional.cross_entropy(logits, y)

    times, agree = timed(lambda: torch.autograd.gradcheck(loss, values, fast_mode=True, raise_exception=False), rounds)
    show("PyTorch, fast_mode=True", times, "all agree" if agree else "a mismatch")


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--data", choices=("mnist", "normal"), default="mnist")
    parser.add_argument("--modes", nargs="+", choices=("random", "full"), default=["random", "full"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(argv)
    minidl.set_num_threads(options.threads)
    net = model()
    images, labels = batch(options.batch, options.data)
    count = sum(p.numel() for p in net.parameters())
    print(f"LeNet-5, {count:,} parameters, {options.batch} images, cross-entropy, {options.threads} threads")
    ours(net, images, labels, options.rounds, options.modes)
    try:
        torch(net, images, labels, options.rounds, options.threads)
    except ImportError:
        print("PyTorch is not installed")


if __name__ == "__main__":
    main()
