"""Schedules beside PyTorch's, at every one of 100 steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from optimizer_twins import NAMES, assert_same, drive, pairs, theirs_of
from parity import counts
from schedule_cases import CASES, FEW, LRS, Make, options, ours, theirs

from minidl import nn, optim
from minidl.errors import ArgumentError
from minidl.optim import lr_scheduler as schedules

STEPS = 100


def assert_same_options(our: Any, their: Any, note: str = "") -> None:
    for found, expected in zip(options(our), options(their), strict=True):
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-15), note
    counts["learning rates and momenta of schedules beside PyTorch's"] += len(our.param_groups)


def compare(torch: Any, make: Make, name: str = "SGD", steps: int = STEPS) -> list[list[float]]:
    """Both at every step; the rates that were seen."""
    our, their = ours(name), theirs(torch, name)
    mine, other = make(schedules, our), make(torch.optim.lr_scheduler, their)
    seen = []
    for step in range(steps + 1):
        assert_same_options(our, their, f"step {step}")
        assert mine.last_epoch == other.last_epoch == step
        assert mine.get_last_lr() == [g["lr"] for g in our.param_groups]
        seen.append(mine.get_last_lr())
        if step < steps:
            their.step()
            mine.step()
            other.step()
    return seen


@pytest.mark.parametrize("case", CASES)
def test_every_step_as_in_pytorch(torch: Any, case: str) -> None:
    seen = compare(torch, CASES[case])
    assert len({rates[0] for rates in seen}) > (0 if case in ("no milestones", "restarts of 1") else 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", FEW)
def test_every_optimiser_steps_at_the_rates_of_its_schedule(torch: Any, name: str, case: str) -> None:
    if name == "Adagrad" and case == "one cycle":
        case = "one cycle of rates"
    dtypes = ["float64"] * 4
    p, q = pairs(torch, dtypes)
    our = getattr(optim, name)([{"params": p[:2]}, {"params": p[2:], "lr": 0.02}], lr=0.004)
    their = theirs_of(torch, name, [{"params": q[:2]}, {"params": q[2:], "lr": 0.02}], lr=0.004)
    mine, other = CASES[case](schedules, our), CASES[case](torch.optim.lr_scheduler, their)
    for step in range(STEPS):
        drive(torch, p, q, our, their, dtypes, range(step, step + 1))
        mine.step()
        other.step()
        assert_same_options(our, their, f"step {step}")
    assert_same(p, q)


@pytest.mark.parametrize("case", [
    ("exponential", "milestones"), ("constant for long", "exponential"), ("linear for long", "cosine up again"),
    ("cosine up again", "step"), ("linear down", "cosine", "step up"), ("lambda", "exponential"),
    ("exponential", "longer restarts"), ("step to 0", "cosine up again"), ("warm-up, then exponential", "step"),
])  # fmt: skip
def test_several_stepped_in_turn_as_in_pytorch(torch: Any, case: tuple[str, ...]) -> None:
    """Each changes the rate that it finds, as far as PyTorch's does."""
    our, their = ours(), theirs(torch)
    mine = [CASES[name](schedules, our) for name in case]
    other = [CASES[name](torch.optim.lr_scheduler, their) for name in case]
    for step in range(STEPS):
        assert_same_options(our, their, f"step {step}")
        their.step()
        for schedule in (*mine, *other):
            schedule.step()


@pytest.mark.parametrize("case", CASES)
def test_rates_that_are_changed_by_hand_as_in_pytorch(torch: Any, case: str) -> None:
    our, their = ours(), theirs(torch)
    mine, other = CASES[case](schedules, our), CASES[case](torch.optim.lr_scheduler, their)
    for step in range(60):
        if step in (6, 25, 41):
            for group in (*our.param_groups, *their.param_groups):
                group["lr"] *= 0.5
        assert_same_options(our, their, f"step {step}")
        their.step()
        mine.step()
        other.step()


def test_a_schedule_that_comes_later_knows_the_first_rate(torch: Any) -> None:
    for make in (lambda S, o: S.LambdaLR(o, lambda step: 0.9**step), lambda S, o: S.ExponentialLR(o, 0.9)):
        our, their = ours(), theirs(torch)
        for S, optimizer in ((schedules, our), (torch.optim.lr_scheduler, their)):
            warm_up = S.LinearLR(optimizer, 0.1)
            optimizer.step()
            for _ in range(3):
                warm_up.step()
            later = make(S, optimizer)
            for _ in range(4):
                later.step()
        assert_same_options(our, their)
        assert [g["initial_lr"] for g in our.param_groups] == [0.1, 0.02]


def metrics(kind: str) -> list[float]:
    rng = np.random.default_rng(4)
    falling = 3 * 0.9 ** np.arange(STEPS)
    return {
        "falling": falling, "flat": np.ones(STEPS), "noisy": falling + 0.3 * rng.normal(size=STEPS),
        "negative": -falling, "wave": np.sin(np.arange(STEPS) / 4), "slow": 1 - 1e-4 * np.arange(STEPS),
        "not finite": np.where(np.arange(STEPS) % 7 == 3, np.nan, np.where(np.arange(STEPS) % 11 == 5, np.inf, 1.0)),
    }[kind].tolist()  # fmt: skip


@pytest.mark.parametrize("kind", ["falling", "flat", "noisy", "negative", "wave", "slow", "not finite"])
@pytest.mark.parametrize("arguments", [
    {}, {"mode": "max", "patience": 3}, {"factor": 0.5, "patience": 0}, {"patience": 2, "cooldown": 4},
    {"patience": 1, "threshold": 0.05}, {"patience": 1, "threshold": 0.05, "threshold_mode": "abs"},
    {"mode": "max", "patience": 1, "threshold": 0.05, "threshold_mode": "abs"}, {"patience": 1, "min_lr": 0.004},
    {"patience": 1, "min_lr": [0.05, 0.0]}, {"patience": 0, "eps": 1e-3}, {"patience": 1, "factor": 0.0},
    {"mode": "max", "patience": 2, "threshold": 0.0, "cooldown": 1, "factor": 0.9},
])  # fmt: skip
def test_plateau_as_in_pytorch(torch: Any, arguments: dict, kind: str) -> None:
    our, their = ours(), theirs(torch)
    mine = schedules.ReduceLROnPlateau(our, **arguments)
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(their, **arguments)
    for step, metric in enumerate(metrics(kind)):
        mine.step(metric)
        other.step(metric)
        assert_same_options(our, their, f"step {step}")
        assert (mine.best, mine.num_bad_epochs, mine.cooldown_counter, mine.in_cooldown, mine.last_epoch) == (
            other.best, other.num_bad_epochs, other.cooldown_counter, other.in_cooldown, other.last_epoch
        )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_optimiser_on_a_plateau(name: str) -> None:
    optimizer = ours(name)
    schedule = schedules.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
    for metric in (1.0, nn.Parameter([1.0]).sum(), np.float32(2.0), 0.5):
        schedule.step(metric)
    assert schedule.get_last_lr() == [0.025, 0.005]


@pytest.mark.parametrize("T_mult", [1, 2, 3])
@pytest.mark.parametrize("how", ["parts", "mixed", "back and forth"])
def test_restarts_between_steps_as_in_pytorch(torch: Any, T_mult: int, how: str) -> None:
    our, their = ours(), theirs(torch)
    mine = schedules.CosineAnnealingWarmRestarts(our, 3, T_mult, eta_min=0.001)
    other = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(their, 3, T_mult, eta_min=0.001)
    rng = np.random.default_rng(T_mult)
    for step in range(STEPS):
        epoch: Any = step / 7
        if how == "mixed":
            epoch = None if step % 3 else step / 2 + 0.25
        elif how == "back and forth":
            epoch = float(rng.uniform(0, 50)) if rng.random() < 0.5 else int(rng.integers(0, 50))
        their.step()
        mine.step(epoch)
        other.step(epoch)
        assert_same_options(our, their, f"step {step} to {epoch}")
        assert mine.last_epoch == other.last_epoch
        assert (mine.T_cur, mine.T_i) == pytest.approx((other.T_cur, other.T_i), rel=1e-12, abs=1e-12)


def test_restarts_are_found_where_pytorchs_logarithm_is_off(torch: Any) -> None:
    """log(243) / log(3) is a little below 5."""
    our, their = ours(), theirs(torch)
    mine = schedules.CosineAnnealingWarmRestarts(our, 1, 3)
    other = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(their, 1, 3)
    mine.step(121)
    other.step(121)
    assert (mine.T_cur, mine.T_i, mine.get_last_lr()) == (0, 243, list(LRS))
    assert other.T_cur == other.T_i == 81
    by_steps = schedules.CosineAnnealingWarmRestarts(ours(), 1, 3)
    for _ in range(121):
        by_steps.step()
    assert (by_steps.T_cur, by_steps.T_i, by_steps.last_epoch) == (0, 243, 121)


def random_schedule(rng: np.random.Generator) -> Callable[[Any, Any], Any]:
    """One schedule, with random settings."""
    i, j = (int(v) for v in rng.integers(1, 30, 2))
    a, b = (float(v) for v in rng.uniform(0.05, 1, 2))
    low = float(rng.uniform(0, 0.03))
    milestones = sorted(int(v) for v in rng.integers(0, 60, 4))
    return [
        lambda S, o: S.StepLR(o, i, a), lambda S, o: S.MultiStepLR(o, milestones, a),
        lambda S, o: S.ExponentialLR(o, a),
        lambda S, o: S.ConstantLR(o, a, i), lambda S, o: S.LinearLR(o, a, b, i),
        lambda S, o: S.CosineAnnealingLR(o, i, low), lambda S, o: S.LambdaLR(o, lambda step: a + b / (1 + step)),
        lambda S, o: S.CosineAnnealingWarmRestarts(o, i, 1 + j % 3, low),
        lambda S, o: S.OneCycleLR(o, a, total_steps=120, pct_start=b, div_factor=float(i), three_phase=j % 2 == 0
                                  and b < 0.5),
    ][rng.integers(9)]  # fmt: skip


@pytest.mark.parametrize("seed", range(120))
def test_random_schedules_alone_in_turn_and_in_sequence(torch: Any, seed: int) -> None:
    rng = np.random.default_rng([7, seed])
    makes = [random_schedule(rng) for _ in range(1 + seed % 4)]
    if seed % 2:
        milestones = sorted(int(v) for v in rng.choice(np.arange(1, 90), len(makes) - 1, replace=False))
        compare(torch, lambda S, o: S.SequentialLR(o, [make(S, o) for make in makes], milestones))
        return
    our, their = ours(), theirs(torch)
    mine = [make(schedules, our) for make in makes]
    other = [make(torch.optim.lr_scheduler, their) for make in makes]
    for step in range(STEPS):
        assert_same_options(our, their, f"step {step}")
        their.step()
        for schedule in (*mine, *other):
            schedule.step()


def test_one_cycle_keeps_its_last_value_once_and_then_refuses() -> None:
    schedule = schedules.OneCycleLR(ours(), 0.4, total_steps=5)
    for _ in range(4):
        schedule.step()
    last = schedule.get_last_lr()
    schedule.step()
    assert schedule.get_last_lr() == last
    with pytest.raises(ArgumentError, match="OneCycleLR: step 6 of a cycle of 5 steps"):
        schedule.step()


def test_one_cycle_whose_first_part_is_one_step(torch: Any) -> None:
    """PyTorch divides by 0 here."""
    with pytest.raises(ZeroDivisionError):
        torch.optim.lr_scheduler.OneCycleLR(theirs(torch), 0.4, total_steps=10, pct_start=0.1)
    schedule = schedules.OneCycleLR(ours(), 0.4, total_steps=10, pct_start=0.1)
    assert schedule.get_last_lr() == [0.4, 0.4]


def test_a_factor_of_0_ends(torch: Any) -> None:
    """PyTorch divides by 0 where the factor ends."""
    their = theirs(torch)
    other = torch.optim.lr_scheduler.ConstantLR(their, 0.0, 2)
    their.step()
    mine = schedules.ConstantLR(ours(), 0.0, 2)
    mine.step()
    other.step()
    assert mine.get_last_lr() == [0, 0]
    mine.step()
    assert mine.get_last_lr() == [0.1, 0.02]
    with pytest.raises(ZeroDivisionError):
        other.step()


@pytest.mark.filterwarnings("ignore:Detected call of")
def test_a_sequence_within_a_sequence(torch: Any) -> None:
    """As if it were one; PyTorch's ends a step early where it is the first, and fails where it is not."""

    def parts(o: Any, S: Any = schedules) -> list:
        return [S.LinearLR(o, 0.5, total_iters=4), S.ExponentialLR(o, 0.9), S.StepLR(o, 3), S.ConstantLR(o, 0.2)]

    flat, nested = ours(), ours()
    whole = schedules.SequentialLR(flat, parts(flat), [4, 11, 20])
    a, b, c, d = parts(nested)
    first = schedules.SequentialLR(nested, [a, b], [4])
    second = schedules.SequentialLR(nested, [c, d], [9])
    outer = schedules.SequentialLR(nested, [first, second], [11])
    for _ in range(40):
        assert outer.get_last_lr() == pytest.approx(whole.get_last_lr(), rel=1e-14)
        outer.step()
        whole.step()

    their = theirs(torch)
    S = torch.optim.lr_scheduler
    a, b, c, d = parts(their, S)
    other = S.SequentialLR(their, [S.SequentialLR(their, [a, b], [4]), S.SequentialLR(their, [c, d], [9])], [11])
    rates = []
    for _ in range(11):
        rates.append(their.param_groups[0]["lr"])
        their.step()
        if len(rates) < 11:
            other.step()
    assert rates[:5] == pytest.approx([0.05, 0.0625, 0.075, 0.1, 0.09])
    with pytest.raises(NotImplementedError):
        other.step()


def test_parts_of_a_sequence_begin_when_they_begin() -> None:
    optimizer = ours()
    first, second = schedules.StepLR(optimizer, 2), schedules.ConstantLR(optimizer, 0.5)
    assert optimizer.param_groups[0]["lr"] == 0.05
    sequence = schedules.SequentialLR(optimizer, [first, second], [3])
    assert optimizer.param_groups[0]["lr"] == 0.1
    seen = []
    for _ in range(5):
        seen.append((first.last_epoch, second.last_epoch))
        sequence.step()
    assert seen == [(0, -1), (1, -1), (2, -1), (2, 0), (2, 1)]
