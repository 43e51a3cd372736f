"""Schedules beside PyTorch's, over all of their steps."""

from __future__ import annotations

from typing import Any

import pytest

from minidl import nn, optim
from minidl.errors import ArgumentError, StateDictError
from minidl.optim import lr_scheduler as schedules

OPTIONS = {"SGD": {"momentum": 0.8}, "Adam": {"betas": (0.7, 0.99)}, "AdamW": {}}


def optimizer(name: str = "SGD", lrs: tuple = (0.1, 0.02)) -> Any:
    groups = [{"params": [nn.Parameter([1.0])], "lr": lr} for lr in lrs]
    return getattr(optim, name)(groups, **OPTIONS[name])


def both(torch: Any, name: str) -> tuple:
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": lr} for lr in (0.1, 0.02)]
    return optimizer(name), getattr(torch.optim, name)(groups, **OPTIONS[name])


def options(any_optimizer: Any) -> list:
    return [[g["lr"], *((g["momentum"],) if "momentum" in g else g["betas"])] for g in any_optimizer.param_groups]


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
@pytest.mark.parametrize(("schedule", "arguments", "steps"), [
    ("StepLR", {"step_size": 3}, 20), ("StepLR", {"step_size": 1, "gamma": 0.9}, 50),
    ("CosineAnnealingLR", {"T_max": 10}, 35), ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.005}, 7),
    ("OneCycleLR", {"max_lr": 0.4, "total_steps": 50}, 49),
    ("OneCycleLR", {"max_lr": [0.4, 0.1], "total_steps": 10}, 9),
    ("OneCycleLR", {"max_lr": 0.4, "epochs": 3, "steps_per_epoch": 7, "anneal_strategy": "linear"}, 20),
    ("OneCycleLR", {"max_lr": 0.4, "total_steps": 30, "cycle_momentum": False, "pct_start": 0.5}, 29),
    ("OneCycleLR", {"max_lr": 0.4, "total_steps": 30, "pct_start": 0.0, "div_factor": 10.0}, 29),
    ("OneCycleLR", {"max_lr": 0.4, "total_steps": 30, "pct_start": 1.0, "final_div_factor": 10.0}, 29),
    ("OneCycleLR", {"max_lr": 0.4, "total_steps": 30, "base_momentum": 0.5, "max_momentum": 0.99}, 29),
])  # fmt: skip
def test_every_step_as_in_pytorch(torch: Any, name: str, schedule: str, arguments: dict, steps: int) -> None:
    ours, theirs = both(torch, name)
    our = getattr(schedules, schedule)(ours, **arguments)
    their = getattr(torch.optim.lr_scheduler, schedule)(theirs, **arguments)
    seen = []
    for _ in range(steps + 1):
        for found, expected in zip(options(ours), options(theirs), strict=True):
            assert found == pytest.approx(expected, rel=1e-12, abs=1e-17)
        assert our.get_last_lr() == [g["lr"] for g in ours.param_groups]
        seen.append(our.get_last_lr()[0])
        if len(seen) <= steps:
            theirs.step()
            our.step()
            their.step()
    assert len(set(seen)) > 3


def test_one_cycle_keeps_its_last_value_once_and_then_refuses() -> None:
    schedule = schedules.OneCycleLR(optimizer(), 0.4, total_steps=5)
    for _ in range(4):
        schedule.step()
    last = schedule.get_last_lr()
    schedule.step()
    assert schedule.get_last_lr() == last
    with pytest.raises(ArgumentError, match="OneCycleLR: step 6 of a cycle of 5 steps"):
        schedule.step()


@pytest.mark.parametrize("make", [
    lambda o: schedules.OneCycleLR(o, 0.4, total_steps=12), lambda o: schedules.StepLR(o, 4),
    lambda o: schedules.CosineAnnealingLR(o, 12),
])  # fmt: skip
@pytest.mark.parametrize("at", [0, 5, 12])
def test_state_dict(make: Any, at: int) -> None:
    ours, others = optimizer(), optimizer(lrs=(0.3, 0.3))
    first, second = make(ours), make(others)
    for _ in range(at):
        first.step()
    second.load_state_dict(first.state_dict())
    for _ in range(at, 12):
        assert options(others) == options(ours)
        first.step()
        second.step()
    assert options(others) == options(ours)


@pytest.mark.parametrize("state", [{}, {"last_epoch": 3}, {"last_epoch": "x", "base_lrs": [1, 1]}, None])
def test_states_that_are_none(state: Any) -> None:
    schedule = schedules.StepLR(optimizer(), 2)
    with pytest.raises(StateDictError, match="StepLR: not a schedule's state dict"):
        schedule.load_state_dict(state)


def test_a_state_for_other_groups() -> None:
    schedule = schedules.StepLR(optimizer(), 2)
    with pytest.raises(StateDictError, match="StepLR: the state dict is for 1 groups, the optimiser has 2"):
        schedule.load_state_dict({**schedule.state_dict(), "base_lrs": [0.1]})


def test_a_state_brings_the_settings_along() -> None:
    first, second = (schedules.OneCycleLR(optimizer(), 0.4, total_steps=steps) for steps in (12, 7))
    first.step()
    second.load_state_dict(first.state_dict())
    assert second.total_steps == 12 and options(second.optimizer) == options(first.optimizer)
    for key, wrong in (("total_steps", "12"), ("base_lrs", 3), ("pct_start", None)):
        with pytest.raises(StateDictError, match=f"OneCycleLR.*{key}|OneCycleLR: not a"):
            second.load_state_dict({**first.state_dict(), key: wrong})


@pytest.mark.parametrize(("make", "match"), [
    (lambda o: schedules.StepLR(o, 0), "StepLR: step_size must be an int of at least 1, got 0"),
    (lambda o: schedules.StepLR(o, 1.5), "StepLR: step_size"),
    (lambda o: schedules.StepLR(o, 1, gamma=-1), "StepLR: gamma must be"),
    (lambda o: schedules.CosineAnnealingLR(o, 0), "CosineAnnealingLR: T_max must be"),
    (lambda o: schedules.OneCycleLR(o, 0.1), "OneCycleLR: give total_steps, or epochs and steps_per_epoch"),
    (lambda o: schedules.OneCycleLR(o, 0.1, total_steps=0), "OneCycleLR: total_steps must be"),
    (lambda o: schedules.OneCycleLR(o, 0.1, epochs=0, steps_per_epoch=3), "OneCycleLR: epochs must be"),
    (lambda o: schedules.OneCycleLR(o, [0.1], total_steps=5), "OneCycleLR: 1 values of max_lr for 2 groups"),
    (lambda o: schedules.OneCycleLR(o, -0.1, total_steps=5), "OneCycleLR: max_lr must be"),
    (lambda o: schedules.OneCycleLR(o, 0.1, total_steps=5, pct_start=1.5), "OneCycleLR: pct_start must be"),
    (lambda o: schedules.OneCycleLR(o, 0.1, total_steps=5, anneal_strategy="x"), "must be 'cos' or 'linear', got 'x'"),
    (lambda o: schedules.OneCycleLR(o, 0.1, total_steps=5, div_factor=0), "OneCycleLR: div_factor must be"),
    (lambda o: schedules.StepLR("sgd", 1), "StepLR: optimizer must be an Optimizer, got str"),
])  # fmt: skip
def test_refusals(make: Any, match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        make(optimizer())
