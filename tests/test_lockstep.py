"""LeNet side by side with PyTorch: the same weights, the same batches, the same losses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import nn

BATCH = 64
# Steps in which losses have to agree within the limit, and how far apart they may be later (relative).
EARLY, PARTED = 5, {"float32": 0.05, "float64": 1e-6}


def lenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dense(400, 120), nn.ReLU(), nn.Dense(120, 84), nn.ReLU(), nn.Dense(84, 10),
    )  # fmt: skip


def torch_lenet(torch: Any) -> Any:
    t = torch.nn
    return t.Sequential(
        t.Conv2d(1, 6, 5, padding=2), t.ReLU(), t.MaxPool2d(2), t.Conv2d(6, 16, 5), t.ReLU(), t.MaxPool2d(2),
        t.Flatten(), t.Linear(400, 120), t.ReLU(), t.Linear(120, 84), t.ReLU(), t.Linear(84, 10),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One thread: the results don't depend on it, and a machine that is busy otherwise runs one fastest."""
    before = minidl.get_num_threads()
    minidl.set_num_threads(1)
    yield
    minidl.set_num_threads(before)


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    """Real digits: MNIST where MINIDL_DATA says where it is, else scikit-learn's."""
    from minidl.data import MNIST, Digits

    if os.environ.get("MINIDL_DATA"):
        data: Any = MNIST(train=True, download=False)
    else:
        pytest.importorskip("sklearn")
        data = Digits()
    return np.asarray(data.images).reshape(-1, 1, 28, 28), np.asarray(data.labels)


def normalised(pixels: np.ndarray, dtype: str) -> np.ndarray:
    """Digits with noise.

    Without it windows of max pooling have values that are exactly equal where sums go in one order at all positions, as
    PyTorch's do on some processors and Winograd's nowhere.
    """
    noise = 0.3 * np.random.default_rng(len(pixels)).normal(size=pixels.shape)
    return ((pixels / 255 - 0.1307) / 0.3081 + noise).astype(dtype)


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])
@pytest.mark.parametrize(
    ("dtype", "optimizer", "steps", "limit"),
    [
        ("float64", "SGD", 200, 1e-10),
        ("float64", "Adam", 200, 1e-10),
        ("float32", "SGD", 20, 1e-5),
        ("float32", "Adam", 50, 1e-5),
    ],
)
def test_lenet_in_lockstep(
    torch: Any, images: tuple, dtype: str, optimizer: str, steps: int, limit: float, together: bool, capsys: Any
) -> None:
    """`together`: with layers computed as one operation, which sums in another order than a matrix product does."""
    options = {"lr": 0.05, "momentum": 0.9} if optimizer == "SGD" else {"lr": 1e-3}
    torch.manual_seed(0)
    theirs = torch_lenet(torch).to(getattr(torch, dtype))
    ours = lenet().to(dtype)
    ours.load_state_dict(theirs.state_dict())
    if not together:
        for layer in ours.children():
            layer.register_forward_hook(lambda *_: None)
    our_optimizer = getattr(minidl.optim, optimizer)(ours.parameters(), **options)
    their_optimizer = getattr(torch.optim, optimizer)(theirs.parameters(), **options)
    rng = np.random.default_rng(0)
    pixels, labels = images
    order = rng.permutation(len(pixels))
    apart, early, first, last = 0.0, 0.0, None, None
    for step in range(steps):
        chosen = order[np.arange(step * BATCH, (step + 1) * BATCH) % len(order)]
        x, target = normalised(pixels[chosen], dtype), labels[chosen].astype(np.int64)
        our_optimizer.zero_grad()
        our_loss = minidl.functional.cross_entropy(ours(minidl.Tensor(x)), target)
        our_loss.backward()
        our_optimizer.step()
        their_optimizer.zero_grad()
        their_loss = torch.nn.functional.cross_entropy(theirs(torch.from_numpy(x)), torch.from_numpy(target))
        their_loss.backward()
        their_optimizer.step()
        expected = their_loss.item()
        apart = max(apart, abs(our_loss.item() - expected) / abs(expected))
        early = apart if step < EARLY else early
        first, last = expected if first is None else first, expected
    with capsys.disabled():
        how = "layers together" if together else "layers one by one"
        print(f"\nlockstep: {dtype} {optimizer}, {steps} steps, {how}: losses at most {apart:.2e} apart (relative)")
    assert last < 0.95 * first, "it must have learned something, or the comparison says little"
    assert early <= limit
    # The largest of two nearly equal numbers in a pool, or the sign of a small gradient that Adam divides by itself, is
    # another one sooner or later where sums round in another order; then the runs part, but stay close.
    assert apart <= PARTED[dtype]
