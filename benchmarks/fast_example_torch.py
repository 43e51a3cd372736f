"""The recipe of `examples/lenet.py --fast` in PyTorch, as a program of its own; prints accuracy and seconds as JSON.

    python benchmarks/fast_example_torch.py DATA_DIR SEED THREADS RECIPE

The recipe comes as JSON from the example itself. Model, initialisation's kind, optimiser (fused), schedule, batches,
shifts, epochs and evaluation are the same; the random numbers are not. The data are read once and cut into batches
as arrays, which is faster than PyTorch's DataLoader.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

MEAN, DEVIATION = 0.1307, 0.3081
TEST_BATCH = 1000


def read(folder: Path, name: str, header: int) -> np.ndarray:
    """The bytes of one of MNIST's files, gzip or not."""
    path = folder / name
    content = path.read_bytes() if path.exists() else gzip.decompress((folder / f"{name}.gz").read_bytes())
    return np.frombuffer(content, np.uint8, offset=header)


def load(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 1, 28, 28) and labels."""
    images = read(folder, f"{part}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)
    return images, read(folder, f"{part}-labels-idx1-ubyte", 8).astype(np.int64)


def shifted(images: np.ndarray, pixels: int, generator: np.random.Generator) -> np.ndarray:
    """Every image moved by up to so many pixels along each axis, zeros entering."""
    padded = np.pad(images, ((0, 0), (0, 0), (pixels, pixels), (pixels, pixels)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, images.shape[2:], axis=(2, 3))
    rows, columns = generator.integers(0, 2 * pixels + 1, size=(2, len(images)))
    return windows[np.arange(len(images)), :, rows, columns]


def normalized(images: np.ndarray) -> torch.Tensor:
    """Bytes as the model takes them."""
    return torch.from_numpy(images * np.float32(1 / (255 * DEVIATION)) - np.float32(MEAN / DEVIATION))


def seconds_since_process_start() -> float:
    """How old this process is."""
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def main() -> None:
    """Train, test, print."""
    folder, seed, threads, recipe = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    images, labels = load(folder, "train")
    tests, truth = load(folder, "t10k")
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
    optimizer = kinds[recipe["optimizer"]](model.parameters(), lr=recipe["lr"], fused=True)
    size, samples = recipe["batch_size"], recipe["samples"] or len(images)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe["lr"], total_steps=recipe["epochs"] * -(-samples // size),
        pct_start=recipe["warm_up"], anneal_strategy=recipe["anneal"],
    )  # fmt: skip
    criterion = nn.CrossEntropyLoss()
    for _ in range(recipe["epochs"]):
        order = generator.permutation(len(images))[:samples]
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            batch = images[chosen]
            inputs = normalized(shifted(batch, recipe["shift"], generator) if recipe["shift"] else batch)
            targets = torch.from_numpy(labels[chosen])
            logits = model(inputs)
            loss = criterion(logits, targets)
            loss.item()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            (logits.argmax(1) == targets).sum().item()
        # The example tests after each epoch.
        model.eval()
        with torch.no_grad():
            batches = range(0, len(tests), TEST_BATCH)
            guesses = torch.cat([model(normalized(tests[i : i + TEST_BATCH])).argmax(1) for i in batches])
        model.train()
        accuracy = float((guesses.numpy() == truth).mean())
    print(json.dumps({"test_accuracy": accuracy, "elapsed": seconds_since_process_start()}))


if __name__ == "__main__":
    main()
