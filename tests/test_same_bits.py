"""The same bits on every run, for any number of threads."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from bits import bits
from fresh_process import printed_by

import minidl
import minidl.functional as F
from minidl import nn, optim

STEPS = 30
BATCH = 19


def train(seed: int = 0) -> str:
    """30 mixed steps; the digest of all parameters, losses and optimiser states."""
    generator = np.random.default_rng(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 12, 3, padding=1, generator=generator), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(12, 16, 3, stride=2, groups=4, generator=generator), nn.Tanh(), nn.AvgPool2d(2, stride=1),
        nn.Flatten(), nn.Dropout(0.25, generator=generator), nn.Dense(None, 40, generator=generator), nn.Sigmoid(),
        nn.Dense(40, 5, generator=generator),
    )  # fmt: skip
    model(minidl.zeros(1, 2, 17, 15))
    parameters = list(model.parameters())
    optimizers = [optim.SGD(parameters, lr=0.05, momentum=0.9, nesterov=True), optim.AdamW(parameters, lr=2e-3)]
    digest = hashlib.sha256()
    for step in range(STEPS):
        x = minidl.Tensor(generator.standard_normal((BATCH, 2, 17, 15)).astype(np.float32))
        loss = F.cross_entropy(model(x), generator.integers(0, 5, BATCH))
        optimizer = optimizers[step % 2]
        optimizer.zero_grad()
        if step % 5 == 0:
            # Penalises the gradient's norm, which takes a gradient of gradients.
            grads = minidl.grad(loss, parameters, create_graph=True)
            penalty = sum((g * g).sum() for g in grads)
            (loss + 0.01 * penalty).backward()
        else:
            loss.backward()
        optim.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        digest.update(loss.numpy().tobytes())
    for p in parameters:
        assert np.isfinite(p.numpy()).all()
        digest.update(p.numpy().tobytes())
        for optimizer in optimizers:
            for value in optimizer.state[p].values():
                digest.update(np.asarray(value).tobytes())
    return digest.hexdigest()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One thread, where a test does not say otherwise."""
    before = minidl.get_num_threads()
    minidl.set_num_threads(1)
    yield
    minidl.set_num_threads(before)


@pytest.fixture(scope="module")
def alone() -> str:
    """The digest on one thread."""
    before = minidl.get_num_threads()
    minidl.set_num_threads(1)
    digest = train()
    minidl.set_num_threads(before)
    return digest


def test_a_seed_matters(alone: str) -> None:
    assert train(seed=1) != alone


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_any_number_of_threads(alone: str, threads: int, threads_everywhere: None) -> None:
    minidl.set_num_threads(threads)
    assert [train(), train()] == [alone, alone]


def test_after_the_workspace_was_emptied(alone: str) -> None:
    minidl.empty_cache()
    assert train() == alone


def test_two_python_threads_at_once(alone: str, threads_everywhere: None) -> None:
    minidl.set_num_threads(2)
    digests: list[str] = []
    workers = [threading.Thread(target=lambda: digests.append(train())) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert digests == [alone, alone]


@pytest.mark.parametrize("threads", [1, 3])
def test_fresh_processes(alone: str, threads: int) -> None:
    program = f"import minidl; minidl.set_num_threads({threads}); import test_same_bits as t; print(t.train())"
    assert printed_by(program) == alone


def conv_gradients(size: tuple[int, int, int, int], filters: int) -> str:
    generator = np.random.default_rng(3)
    x = minidl.Tensor(generator.standard_normal(size).astype(np.float32), requires_grad=True)
    weight = minidl.Tensor(generator.standard_normal((filters, size[1], 3, 3)).astype(np.float32), requires_grad=True)
    y = F.conv2d(x, weight, padding=1)
    y.backward(minidl.Tensor(generator.standard_normal(y.shape).astype(np.float32)))
    return bits(y, x.grad, weight.grad)


@pytest.mark.parametrize(("size", "filters"), [((1, 3, 96, 80), 8), ((5, 96, 7, 7), 128), ((3, 300, 4, 4), 400)])
def test_convolutions_that_are_cut_differently(size: tuple, filters: int, threads_everywhere: None) -> None:
    found = set()
    for threads in (1, 2, 3, 4):
        minidl.set_num_threads(threads)
        found.add(conv_gradients(size, filters))
    assert len(found) == 1
