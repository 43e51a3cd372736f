"""Optimisers beside PyTorch's, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optimizer_twins import NAMES, SHAPES, STEPS, assert_same, assert_same_state, draw, drive, pairs, theirs_of
from parity import assert_close, counts

import minidl
import minidl.functional as F
from minidl import nn, optim

CONFIGURATIONS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.01, "momentum": 0.5, "maximize": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.01, "momentum": 0.7, "dampening": 1.5, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-6}),
    ("Adam", {"lr": 0.02, "betas": (0.0, 0.9)}),
    ("Adam", {"lr": 0.02, "betas": (0.3, 0.6)}),
    ("Adam", {"lr": 0.02, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Adam", {"lr": 0.02, "amsgrad": True}),
    ("Adam", {"lr": 0.02, "amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.02, "weight_decay": 0.3}),
    ("AdamW", {"lr": 0.02, "weight_decay": 0.0, "betas": (0.5, 0.99)}),
    ("AdamW", {"lr": 0.02, "amsgrad": True, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.9, "eps": 1e-4}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.0}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.3, "centered": True}),
    ("RMSprop", {"lr": 0.02, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.005, "momentum": 0.9}),
    ("RMSprop", {"lr": 0.005, "centered": True}),
    ("RMSprop", {"lr": 0.005, "centered": True, "momentum": 0.8, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.005, "centered": True, "momentum": 0.5, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.05}),
    ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.7, "eps": 1e-3}),
    ("Adagrad", {"lr": 0.1, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.01, "weight_decay": 0.1, "maximize": True}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-5}),
    ("RAdam", {"lr": 0.02, "betas": (0.4, 0.5)}),
    ("RAdam", {"lr": 0.02, "betas": (0.9, 0.7)}),
    ("RAdam", {"lr": 0.02, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.02, "weight_decay": 0.1, "maximize": True}),
    ("Lion", {}),
    ("Lion", {"lr": 0.02}),
    ("Lion", {"lr": 0.02, "betas": (0.5, 0.8)}),
    ("Lion", {"lr": 0.02, "weight_decay": 0.3}),
    ("Lion", {"lr": 0.02, "weight_decay": 0.3, "maximize": True}),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options"), CONFIGURATIONS)
def test_100_steps_as_in_pytorch(torch: Any, name: str, options: dict, dtype: str) -> None:
    dtypes = [dtype] * len(SHAPES)
    ours, theirs = pairs(torch, dtypes)
    our, their = getattr(optim, name)(ours, **options), theirs_of(torch, name, theirs, **options)
    drive(torch, ours, theirs, our, their, dtypes, range(STEPS))
    assert not np.allclose(ours[0].numpy(), draw(1000, dtypes)[0])
    assert_same(ours, theirs)
    assert_same_state(our, their, ours, theirs)
    counts["steps of optimisers beside PyTorch's, parameters and state"] += STEPS


@pytest.mark.parametrize("name", NAMES)
def test_a_network_learns_as_in_pytorch(torch: Any, name: str) -> None:
    rng = np.random.default_rng(8)
    start = [rng.normal(size=s) for s in ((6, 4), (6,), (3, 6), (3,))]
    x, labels = rng.normal(size=(20, 4)), rng.integers(0, 3, 20)
    ours = [nn.Parameter(a.copy()) for a in start]
    theirs = [torch.nn.Parameter(torch.from_numpy(a.copy())) for a in start]
    our, their = getattr(optim, name)(ours, lr=0.01), theirs_of(torch, name, theirs, lr=0.01)
    losses = []
    for _ in range(STEPS):
        our.zero_grad()
        their.zero_grad()
        w, b, v, c = ours
        loss = F.cross_entropy(F.linear(F.tanh(F.linear(minidl.Tensor(x), w, b)), v, c), labels)
        w, b, v, c = theirs
        hidden = torch.tanh(torch.nn.functional.linear(torch.from_numpy(x), w, b))
        other = torch.nn.functional.cross_entropy(torch.nn.functional.linear(hidden, v, c), torch.from_numpy(labels))
        loss.backward()
        other.backward()
        our.step()
        their.step()
        losses.append((loss.item(), other.item()))
    found, expected = np.array(losses).T
    assert_close(found, expected, 1e-10)
    assert_same(ours, theirs)
    assert found[-1] < found[0]


def test_the_defaults_are_pytorchs(torch: Any) -> None:
    for name in NAMES[:-1]:
        theirs = getattr(torch.optim, name)([torch.nn.Parameter(torch.ones(1))]).defaults
        for key, value in getattr(optim, name)([nn.Parameter([1.0])]).defaults.items():
            assert value == theirs[key], (name, key)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "RAdam"])
def test_without_memory_a_small_gradient_after_a_large_one_counts(torch: Any, name: str) -> None:
    """With beta1 = 0 the mean is the gradient itself; mean + (g - mean) would be 0 here."""
    p, q = nn.Parameter(np.ones(1, np.float32)), torch.nn.Parameter(torch.ones(1))
    our = getattr(optim, name)([p], betas=(0.0, 0.5), lr=0.1)
    their = getattr(torch.optim, name)([q], betas=(0.0, 0.5), lr=0.1)
    for g in (1e8, 1e-3):
        p.grad, q.grad = minidl.tensor([g]), torch.tensor([g])
        our.step()
        their.step()
    assert our.state[p]["exp_avg"].tolist() == [np.float32(1e-3)] == their.state[q]["exp_avg"].tolist()


@pytest.mark.parametrize(("name", "options"), [
    ("SGD", {"momentum": 0.9}), ("Adam", {"amsgrad": True}), ("AdamW", {}), ("RMSprop", {"momentum": 0.5}),
    ("RMSprop", {"centered": True}), ("Adagrad", {}), ("RAdam", {}),
])  # fmt: skip
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_gradients_that_are_not_finite_do_what_they_do_in_pytorch(
    torch: Any, name: str, options: dict, bad: float
) -> None:
    p, q = nn.Parameter(np.ones(4)), torch.nn.Parameter(torch.ones(4, dtype=torch.float64))
    our = getattr(optim, name)([p], lr=0.1, **options)
    their = getattr(torch.optim, name)([q], lr=0.1, **options)
    for step in range(9):
        gradient = np.array([0.5, 1.0, -2.0, 3.0])
        gradient[1] = bad if step == 2 else 1.0
        gradient[2] = bad if step in (3, 4) else 1.0
        p.grad, q.grad = minidl.Tensor(gradient.copy()), torch.from_numpy(gradient.copy())
        our.step()
        their.step()
        assert_close(p.numpy(), q.detach().numpy(), 1e-12, f"step {step}", scale=1.0)
    assert_same_state(our, their, [p], [q])
    assert np.isfinite(p.numpy()[[0, 3]]).all() and not np.isfinite(p.numpy()[1])


def test_lion_shows_a_gradient_that_is_nan() -> None:
    """By the sign of NaN, which is 0 in PyTorch, the element would stand still from here on, unnoticed."""
    p = nn.Parameter([1.0, 1.0])
    optimizer = optim.Lion([p], lr=0.25)
    p.grad = minidl.tensor([float("nan"), 2.0])
    optimizer.step()
    assert np.isnan(p.numpy()[0]) and p.numpy()[1] == 0.75
    assert np.isnan(optimizer.state[p]["exp_avg"][0])


def test_lion_stands_still_without_a_gradient() -> None:
    p = nn.Parameter([1.0, 2.0])
    optimizer = optim.Lion([p], lr=0.25)
    p.grad = minidl.tensor([0.0, -float("inf")])
    optimizer.step()
    assert p.tolist() == [1.0, 2.25]


def test_adagrad_starts_from_the_value_of_the_group() -> None:
    p, q = nn.Parameter([1.0]), nn.Parameter([1.0])
    optimizer = optim.Adagrad([{"params": p, "initial_accumulator_value": 3.0}, {"params": q}], lr=0.5)
    p.grad, q.grad = minidl.tensor([1.0]), minidl.tensor([1.0])
    optimizer.step()
    assert optimizer.state[p]["sum"].tolist() == [4.0] and optimizer.state[q]["sum"].tolist() == [1.0]
    assert p.tolist() == [0.75] and q.tolist() == [0.5]
