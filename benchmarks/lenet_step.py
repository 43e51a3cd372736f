"""A training step of LeNet-5 (Adam, float32) in minidl and in PyTorch eager: forward, backward, update.

    python benchmarks/lenet_step.py [--batch-size 64] [--threads 2]

Both get the same batch and take turns in processes of their own; printed are medians, spreads and the ratio, with
what pins OpenBLAS to a processor core removed and as found.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np


def _batch(batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    images = generator.normal(size=(batch_size, 1, 28, 28)).astype(np.float32)
    return images, generator.integers(0, 10, batch_size)


def minidl(batch_size: int, threads: int) -> tuple[Any, dict[str, Any]]:
    """The step in minidl, through its public API."""
    import minidl
    from minidl import nn
    from minidl.config import config

    minidl.set_num_threads(threads)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dense(400, 120), nn.ReLU(), nn.Dense(120, 84), nn.ReLU(), nn.Dense(84, 10),
    )  # fmt: skip
    loss_of, optimizer = nn.CrossEntropyLoss(), minidl.optim.Adam(model.parameters())
    images, labels = (minidl.Tensor(array) for array in _batch(batch_size))

    def step() -> None:
        optimizer.zero_grad()
        loss_of(model(images), labels).backward()
        optimizer.step()

    facts = config()
    return step, {key: facts[key] for key in ("threads", "instruction set", "blas core")}


def torch(batch_size: int, threads: int) -> tuple[Any, dict[str, Any]]:
    """The step in PyTorch eager, with its fused Adam."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    loss_of, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), fused=True)
    images, labels = (torch.from_numpy(array) for array in _batch(batch_size))

    def step() -> None:
        optimizer.zero_grad()
        loss_of(model(images), labels).backward()
        optimizer.step()

    return step, {"threads": torch.get_num_threads(), "version": torch.__version__}


def main() -> None:
    """Measure and print."""
    import harness

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    print(harness.machine())
    print(f"LeNet-5 training step, batch {options.batch_size}, Adam, float32")
    found = {pin: os.environ[pin] for pin in harness.PINS if pin in os.environ}
    for pinned in (False, True) if found else (False,):
        as_found = " ".join(f"{key}={value}" for key, value in found.items())
        print(f"\n{f'as found: {as_found}' if pinned else 'OpenBLAS not pinned'}")
        sides = ["minidl", "torch"]
        arguments = {"batch_size": options.batch_size}
        workers = [harness.Worker("lenet_step", s, pinned, threads=options.threads, **arguments) for s in sides]
        # The peer's better thread count is the one to beat.
        if options.threads > 1:
            workers.append(harness.Worker("lenet_step", "torch", pinned, threads=1, **arguments))
        try:
            harness.alternate(workers, options.rounds)
        finally:
            for worker in workers:
                worker.close()
        for worker in workers:
            facts = ", ".join(f"{key} {value}" for key, value in worker.facts.items())
            figures = f"{worker.median * 1e3:7.3f} ms +-{worker.spread:4.0%} of {len(worker.times)}"
            print(f"  {worker.library:7} {figures} ({facts})")
        best = min(worker.median for worker in workers[1:])
        print(f"  PyTorch's time / minidl's: {best / workers[0].median:.2f}")


if __name__ == "__main__":
    main()
