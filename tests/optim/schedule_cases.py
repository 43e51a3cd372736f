"""Schedules under test: each is made alike from minidl's module `S` and from PyTorch's, for an optimiser `o`."""

from __future__ import annotations

from collections.abc import Callable
from math import cos
from typing import Any

from minidl import nn, optim

Make = Callable[[Any, Any], Any]
LRS = (0.1, 0.02)
# What each optimiser is made with, so that there is something else to schedule.
OPTIONS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.8}, "Adam": {"betas": (0.7, 0.99)}, "AdamW": {}, "RMSprop": {"momentum": 0.3}, "Adagrad": {},
    "RAdam": {}, "Lion": {},
}  # fmt: skip


class Halving:
    """A callable object, whose attributes are part of a state dict."""

    def __init__(self, every: int) -> None:
        self.every = every

    def __call__(self, step: int) -> float:
        return 0.5 ** (step // self.every)


CASES: dict[str, Make] = {
    "step": lambda S, o: S.StepLR(o, 7),
    "step of 1": lambda S, o: S.StepLR(o, step_size=1, gamma=0.97),
    "step up": lambda S, o: S.StepLR(o, 20, 1.5),
    "step to 0": lambda S, o: S.StepLR(o, 30, 0.0),
    "milestones": lambda S, o: S.MultiStepLR(o, [5, 17, 60], gamma=0.3),
    "milestones at 0 and twice": lambda S, o: S.MultiStepLR(o, [0, 10, 10, 11], gamma=0.7),
    "no milestones": lambda S, o: S.MultiStepLR(o, []),
    "exponential": lambda S, o: S.ExponentialLR(o, 0.93),
    "exponential up": lambda S, o: S.ExponentialLR(o, gamma=1.01),
    "exponential to 0": lambda S, o: S.ExponentialLR(o, 0.0),
    "constant": lambda S, o: S.ConstantLR(o),
    "constant for long": lambda S, o: S.ConstantLR(o, factor=0.2, total_iters=64),
    "linear": lambda S, o: S.LinearLR(o),
    "linear for long": lambda S, o: S.LinearLR(o, start_factor=0.1, end_factor=0.9, total_iters=70),
    "linear down": lambda S, o: S.LinearLR(o, 1.0, 0.25, 13),
    "linear to 0": lambda S, o: S.LinearLR(o, 0.7, 0.0, 40),
    "cosine": lambda S, o: S.CosineAnnealingLR(o, 100),
    "cosine up again": lambda S, o: S.CosineAnnealingLR(o, T_max=11, eta_min=0.004),
    "cosine of 1": lambda S, o: S.CosineAnnealingLR(o, 1, 0.005),
    "cosine from below": lambda S, o: S.CosineAnnealingLR(o, 25, 0.05),
    "lambda": lambda S, o: S.LambdaLR(o, lambda step: 1 / (1 + step)),
    "lambdas": lambda S, o: S.LambdaLR(o, [lambda step: 0.95**step, lambda step: 1 + cos(step)]),
    "callable objects": lambda S, o: S.LambdaLR(o, (Halving(9), Halving(31))),
    "restarts": lambda S, o: S.CosineAnnealingWarmRestarts(o, 9),
    "restarts of 1": lambda S, o: S.CosineAnnealingWarmRestarts(o, 1, eta_min=0.001),
    "longer restarts": lambda S, o: S.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2, eta_min=0.003),
    "much longer restarts": lambda S, o: S.CosineAnnealingWarmRestarts(o, 2, 3),
    "one cycle": lambda S, o: S.OneCycleLR(o, 0.4, total_steps=101),
    "one cycle each": lambda S, o: S.OneCycleLR(o, [0.4, 0.1], epochs=13, steps_per_epoch=8, anneal_strategy="linear"),
    "one cycle of rates": lambda S, o: S.OneCycleLR(o, 0.4, total_steps=101, cycle_momentum=False, pct_start=0.5),
    "one cycle down": lambda S, o: S.OneCycleLR(o, 0.4, total_steps=101, pct_start=0.0, div_factor=10.0),
    "one cycle up": lambda S, o: S.OneCycleLR(o, 0.4, total_steps=101, pct_start=1.0, final_div_factor=10.0),
    "one cycle of momentum": lambda S, o: S.OneCycleLR(
        o, 0.4, total_steps=101, base_momentum=[0.5, 0.6], max_momentum=(0.99, 0.7)
    ),
    "one cycle of three phases": lambda S, o: S.OneCycleLR(o, 0.4, total_steps=110, three_phase=True),
    "three straight phases": lambda S, o: S.OneCycleLR(
        o, [0.4, 0.3], total_steps=101, three_phase=True, anneal_strategy="linear", pct_start=0.4
    ),
    "one in sequence": lambda S, o: S.SequentialLR(o, [S.ExponentialLR(o, 0.9)], milestones=[]),
    "warm-up, then exponential": lambda S, o: S.SequentialLR(
        o, [S.LinearLR(o, 0.1, total_iters=10), S.ExponentialLR(o, 0.97)], [10]
    ),
    "warm-up that is cut short": lambda S, o: S.SequentialLR(
        o, [S.LinearLR(o, 0.1, total_iters=30), S.CosineAnnealingLR(o, 60, 0.001)], milestones=[12]
    ),
    "four in sequence": lambda S, o: S.SequentialLR(
        o,
        [S.ConstantLR(o, 0.3, 4), S.StepLR(o, 5, 0.6), S.CosineAnnealingWarmRestarts(o, 4, 2), S.LinearLR(o, 0.5)],
        [9, 40, 71],
    ),
    "lambda in sequence": lambda S, o: S.SequentialLR(
        o, [S.MultiStepLR(o, [0, 3]), S.LambdaLR(o, lambda step: 1 / (2 + step)), S.ExponentialLR(o, 0.9)], [20, 50]
    ),
    "restarts first": lambda S, o: S.SequentialLR(
        o, [S.CosineAnnealingWarmRestarts(o, 7), S.MultiStepLR(o, [0, 4], 0.5)], [33]
    ),
    "the first is passed over": lambda S, o: S.SequentialLR(
        o, [S.LinearLR(o, 0.2), S.ExponentialLR(o, 0.9), S.ConstantLR(o, 0.5)], [0, 30]
    ),
    # What begins after the cycle was made begins from the cycle's first rate.
    "one cycle in sequence": lambda S, o: S.SequentialLR(
        o,
        [S.LinearLR(o, 0.3, total_iters=6), S.OneCycleLR(o, 0.4, total_steps=60), S.ExponentialLR(o, 0.9)],
        [10, 60],
    ),
}
# One of each class, for the tests over all optimisers.
FEW = [
    "step", "milestones", "exponential", "constant for long", "linear for long", "cosine up again", "lambdas",
    "longer restarts", "one cycle", "warm-up, then exponential",
]  # fmt: skip


def ours(name: str = "SGD", lrs: tuple[float, ...] = LRS) -> Any:
    groups = [{"params": [nn.Parameter([1.0])], "lr": lr} for lr in lrs]
    return getattr(optim, name)(groups, **OPTIONS[name])


def theirs(torch: Any, name: str = "SGD", lrs: tuple[float, ...] = LRS) -> Any:
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": lr} for lr in lrs]
    return getattr(torch.optim, name)(groups, **OPTIONS[name])


def options(any_optimizer: Any) -> list[list[float]]:
    """What schedules set: rates and momenta."""
    return [[float(g["lr"]), *((g["momentum"],) if "momentum" in g else g.get("betas", ()))]
            for g in any_optimizer.param_groups]  # fmt: skip
