"""State dicts and checkpoints of schedules, and what schedules refuse."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from schedule_cases import CASES, Halving, options, ours, theirs

from minidl import nn, optim
from minidl.checkpoint import load_checkpoint, save_checkpoint
from minidl.errors import ArgumentError, CheckpointError, DTypeError, MinidlError, StateDictError
from minidl.optim import lr_scheduler as schedules

ALL = {**CASES, "plateau": lambda S, o: S.ReduceLROnPlateau(o, patience=2, cooldown=1, factor=0.7)}
every_case = pytest.mark.parametrize("case", ALL)


def go(schedule: Any, steps: range) -> list:
    """The options after each step."""
    seen = []
    for step in steps:
        schedule.step(*([1 / (1 + step // 4)] if isinstance(schedule, schedules.ReduceLROnPlateau) else []))
        seen.append(options(schedule.optimizer))
    return seen


@every_case
@pytest.mark.parametrize("at", [0, 1, 11, 50])
def test_a_run_that_is_resumed_from_a_checkpoint_sees_the_same_values(case: str, at: int, tmp_path: Path) -> None:
    whole = ALL[case](schedules, ours("SGD"))
    go(whole, range(at))
    save_checkpoint(tmp_path / "run", optimizer=whole.optimizer, scheduler=whole)
    before = options(whole.optimizer)
    expected = go(whole, range(at, 100))
    resumed = ALL[case](schedules, ours("SGD"))
    load_checkpoint(tmp_path / "run", optimizer=resumed.optimizer, scheduler=resumed)
    assert options(resumed.optimizer) == before
    assert resumed.last_epoch == at
    assert go(resumed, range(at, 100)) == expected


@every_case
@pytest.mark.parametrize("at", [0, 11])
def test_a_state_dict_alone_brings_the_rates_along(case: str, at: int) -> None:
    first = ALL[case](schedules, ours())
    second = ALL[case](schedules, ours(lrs=(0.3, 0.3)))
    go(first, range(at))
    state = first.state_dict()
    saved = repr(state)
    second.load_state_dict(state)
    assert options(second.optimizer) == options(first.optimizer)
    assert second.base_lrs == first.base_lrs
    assert go(second, range(at, 60)) == go(first, range(at, 60))
    assert repr(state) == saved, "a state dict does not go on with the schedule"


@every_case
def test_a_state_dict_is_json(case: str) -> None:
    first, second = ALL[case](schedules, ours()), ALL[case](schedules, ours())
    go(first, range(13))
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert go(second, range(13, 40)) == go(first, range(13, 40))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_schedules_are_resumed_in_any_order(order: tuple[int, int]) -> None:
    def make() -> list[Any]:
        optimizer = ours()
        return [schedules.ExponentialLR(optimizer, 0.9), schedules.CosineAnnealingLR(optimizer, 30)]

    def both(pair: list[Any]) -> list[float]:
        for schedule in pair:
            schedule.step()
        return pair[0].get_last_lr()

    first, second = make(), make()
    for _ in range(7):
        both(first)
    states = [schedule.state_dict() for schedule in first]
    for i in order:
        second[i].load_state_dict(states[i])
    assert [both(second) for _ in range(9)] == [both(first) for _ in range(9)]


def test_functions_are_not_saved_and_callable_objects_are() -> None:
    first = schedules.LambdaLR(ours(), [Halving(2), lambda step: 0.5])
    halving = Halving(50)
    second = schedules.LambdaLR(ours(), [halving, lambda step: 0.25])
    assert first.state_dict()["lr_lambdas"] == [{"every": 2}, None]
    second.load_state_dict(first.state_dict())
    go(second, range(2))
    assert second.get_last_lr() == pytest.approx([0.05, 0.005])
    assert halving.every == 50, "what a state dict is loaded into is a copy"


@pytest.mark.parametrize("function", [partial(pow, 0.9), abs, Halving(3).__call__, float, lambda step: step])
def test_what_has_no_attributes_of_its_own_is_not_saved(function: Any) -> None:
    schedule = schedules.LambdaLR(ours(), function)
    assert schedule.state_dict()["lr_lambdas"] == [None, None]
    schedule.load_state_dict(json.loads(json.dumps(schedule.state_dict())))


class Failing:
    """A part of a run that can be saved, and not loaded."""

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None:
        raise ValueError("no")


@every_case
def test_a_checkpoint_that_does_not_fit_later_on_changes_nothing(case: str, tmp_path: Path) -> None:
    first, second = ALL[case](schedules, ours()), ALL[case](schedules, ours())
    go(first, range(15))
    go(second, range(3))
    save_checkpoint(tmp_path / "run", optimizer=first.optimizer, scheduler=first, loader=Failing())
    before, rates = second.state_dict(), options(second.optimizer)
    with pytest.raises(CheckpointError, match="loader"):
        load_checkpoint(
            tmp_path / "run", optimizer=second.optimizer, scheduler=second, loader=Failing()
        )  # fmt: skip
    assert (second.state_dict(), options(second.optimizer)) == (before, rates)
    third = ALL[case](schedules, ours())
    go(third, range(3))
    assert go(second, range(3, 40)) == go(third, range(3, 40))


@pytest.mark.parametrize("state", [{}, {"last_epoch": 3}, {"last_epoch": "x", "base_lrs": [1, 1]}, None, {1: 2}])
def test_states_that_are_none(state: Any) -> None:
    schedule = schedules.StepLR(ours(), 2)
    with pytest.raises(StateDictError, match="^StepLR: not a schedule's state dict"):
        schedule.load_state_dict(state)


def test_a_state_for_other_groups() -> None:
    schedule = schedules.StepLR(ours(), 2)
    state = schedules.StepLR(ours(lrs=(0.1,)), 2).state_dict()
    with pytest.raises(StateDictError, match="StepLR: the state dict is for 1 groups, the optimiser has 2"):
        schedule.load_state_dict(state)


def test_a_state_brings_the_settings_along() -> None:
    first, second = (schedules.OneCycleLR(ours(), 0.4, total_steps=steps) for steps in (12, 7))
    first.step()
    second.load_state_dict(first.state_dict())
    assert second.total_steps == 12 and options(second.optimizer) == options(first.optimizer)


@pytest.mark.parametrize(("make", "key", "wrong", "match"), [
    (lambda o: schedules.OneCycleLR(o, 0.4, 12), "total_steps", "12", "total_steps must be an int"),
    (lambda o: schedules.OneCycleLR(o, 0.4, 12), "base_lrs", 3, "not iterable"),
    (lambda o: schedules.OneCycleLR(o, 0.4, 12), "pct_start", None, "pct_start must be a number"),
    (lambda o: schedules.OneCycleLR(o, 0.4, 12), "last_epoch", 13, "step 13 of a cycle of 12 steps"),
    (lambda o: schedules.OneCycleLR(o, 0.4, 12), "cycle_momentum", "no", "cycle_momentum must be True or False"),
    (lambda o: schedules.OneCycleLR(o, 0.4, 12), "max_lr", [0.1], "1 values of max_lr for 2 groups"),
    (lambda o: schedules.StepLR(o, 3), "last_epoch", 1.5, "last_epoch is 1.5"),
    (lambda o: schedules.StepLR(o, 3), "last_epoch", True, "last_epoch is True"),
    (lambda o: schedules.StepLR(o, 3), "_last_lr", ["x", 1], "_last_lr must be a number, got 'x'"),
    (lambda o: schedules.StepLR(o, 3), "_last_lr", [1], "for 2 groups"),
    (lambda o: schedules.StepLR(o, 3), "gamma", -1, "gamma must be a number of at least 0, got -1"),
    (lambda o: schedules.MultiStepLR(o, [3]), "milestones", 3, "not iterable"),
    (lambda o: schedules.MultiStepLR(o, [3]), "milestones", [3, 2], "milestones must increase"),
    (lambda o: schedules.LambdaLR(o, abs), "lr_lambdas", [None], "lr_lambdas|argument"),
    (lambda o: schedules.LambdaLR(o, abs), "lr_lambdas", [{"a": 1}, None], "__dict__|attribute"),
    (lambda o: schedules.ReduceLROnPlateau(o), "best", "x", "best must be a number, got 'x'"),
    (lambda o: schedules.ReduceLROnPlateau(o), "num_bad_epochs", -1, "num_bad_epochs must be an int of at least 0"),
    (lambda o: schedules.ReduceLROnPlateau(o), "mode", "up", "mode must be 'min' or 'max', got 'up'"),
    (lambda o: schedules.CosineAnnealingWarmRestarts(o, 4), "T_i", 0, "T_i must be an int of at least 1"),
    (lambda o: schedules.CosineAnnealingWarmRestarts(o, 4), "T_cur", None, "T_cur must be a number"),
    (lambda o: CASES["four in sequence"](schedules, o), "schedulers", [], "is not one of 4 schedules"),
    (lambda o: CASES["four in sequence"](schedules, o), "schedulers", [{}] * 4, "ConstantLR: not a schedule's state"),
    (lambda o: CASES["four in sequence"](schedules, o), "milestones", [1], "4 schedulers need one milestone fewer"),
])  # fmt: skip
def test_states_that_are_wrong_change_nothing(make: Any, key: str, wrong: Any, match: str) -> None:
    first, second = make(ours()), make(ours())
    go(first, range(5))
    before = second.state_dict(), options(second.optimizer), repr(second.optimizer)
    with pytest.raises(StateDictError, match=match):
        second.load_state_dict({**first.state_dict(), key: wrong})
    assert (second.state_dict(), options(second.optimizer), repr(second.optimizer)) == before


def test_the_parts_of_a_sequence_are_saved() -> None:
    make = CASES["warm-up, then exponential"]
    first = make(schedules, ours())
    go(first, range(14))
    state = first.state_dict()
    assert [part["last_epoch"] for part in state["schedulers"]] == [9, 4]
    assert [part["start_factor" if i == 0 else "gamma"] for i, part in enumerate(state["schedulers"])] == [0.1, 0.97]
    for i, wrong in ((0, {"start_factor": 2}), (1, {"gamma": "x"}), (1, {"base_lrs": [1.0]})):
        second = make(schedules, ours())
        parts = [{**part, **(wrong if i == j else {})} for j, part in enumerate(state["schedulers"])]
        with pytest.raises(StateDictError, match=["LinearLR", "ExponentialLR"][i]):
            second.load_state_dict({**state, "schedulers": parts})
        assert second.last_epoch == 0 and second.schedulers[0].last_epoch == 0


def test_the_state_of_an_optimiser_with_a_schedule_loads_without_one_and_back() -> None:
    scheduled, plain = ours(), ours()
    schedules.LinearLR(scheduled, 0.5)
    state = plain.state_dict()
    plain.load_state_dict(scheduled.state_dict())
    assert [g["initial_lr"] for g in plain.param_groups] == [0.1, 0.02] and options(plain)[0][0] == 0.05
    scheduled.load_state_dict(state)
    assert [g["initial_lr"] for g in scheduled.param_groups] == [0.1, 0.02] and options(scheduled)[0][0] == 0.1


@every_case
def test_a_group_that_comes_later_is_noticed(case: str) -> None:
    optimizer = ours()
    schedule = ALL[case](schedules, optimizer)
    optimizer.add_param_group({"params": nn.Parameter([1.0]), "lr": 0.5})
    if case == "plateau":
        go(schedule, range(40))
        assert optimizer.param_groups[2]["lr"] < 0.5
    else:
        with pytest.raises(ArgumentError, match="LR: |Restarts: ") as caught:
            go(schedule, range(1))
        assert "3 groups" in str(caught.value)


# What is refused, how, and whether PyTorch refuses it too.
REFUSED: list[tuple[Any, type, str, bool]] = [
    (lambda S, o: S.StepLR(o, 0), ArgumentError, "StepLR: step_size must be an int of at least 1, got 0", False),
    (lambda S, o: S.StepLR(o, 1.5), ArgumentError, "StepLR: step_size", False),
    (lambda S, o: S.StepLR(o, 1, gamma=-1), ArgumentError, "StepLR: gamma must be", False),
    (lambda S, o: S.StepLR(o, 1, gamma=float("nan")), ArgumentError, "StepLR: gamma must be", False),
    (lambda S, o: S.StepLR("sgd", 1), DTypeError, "StepLR: optimizer must be an Optimizer, got str", True),
    (lambda S, o: S.MultiStepLR(o, [3, 2]), ArgumentError, r"MultiStepLR: milestones must increase, got \[3", False),
    (lambda S, o: S.MultiStepLR(o, [-1]), ArgumentError, "MultiStepLR: each of milestones must be an int", False),
    (lambda S, o: S.MultiStepLR(o, [1.5]), ArgumentError, "MultiStepLR: each of milestones must be an int", False),
    (lambda S, o: S.MultiStepLR(o, 3), DTypeError, "MultiStepLR: milestones must be a list of ints, got int", True),
    (lambda S, o: S.MultiStepLR(None, [3]), DTypeError, "MultiStepLR: optimizer must be", True),
    (lambda S, o: S.ExponentialLR(o, -0.1), ArgumentError, "ExponentialLR: gamma must be", False),
    (lambda S, o: S.ExponentialLR(o, "x"), ArgumentError, "ExponentialLR: gamma must be", False),
    (lambda S, o: S.ExponentialLR(None, 0.1), DTypeError, "ExponentialLR: optimizer must be", True),
    (lambda S, o: S.ConstantLR(o, 1.1), ArgumentError,
     "ConstantLR: factor must be a number of at least 0 and up to 1, got 1.1", True),
    (lambda S, o: S.ConstantLR(o, -0.1), ArgumentError, "ConstantLR: factor must be", True),
    (lambda S, o: S.ConstantLR(o, 0.5, 0), ArgumentError, "ConstantLR: total_iters must be", False),
    (lambda S, o: S.ConstantLR(None), DTypeError, "ConstantLR: optimizer must be", True),
    (lambda S, o: S.LinearLR(o, 0), ArgumentError, "LinearLR: start_factor must be above 0, got 0", True),
    (lambda S, o: S.LinearLR(o, 1.1), ArgumentError, "LinearLR: start_factor must be", True),
    (lambda S, o: S.LinearLR(o, 0.5, 1.1), ArgumentError, "LinearLR: end_factor must be", True),
    (lambda S, o: S.LinearLR(o, 0.5, -0.1), ArgumentError, "LinearLR: end_factor must be", True),
    (lambda S, o: S.LinearLR(o, total_iters=0), ArgumentError, "LinearLR: total_iters must be", False),
    (lambda S, o: S.LinearLR(None), DTypeError, "LinearLR: optimizer must be", True),
    (lambda S, o: S.CosineAnnealingLR(o, 0), ArgumentError, "CosineAnnealingLR: T_max must be", False),
    (lambda S, o: S.CosineAnnealingLR(o, 5, "x"), ArgumentError, "CosineAnnealingLR: eta_min must be a number", False),
    (lambda S, o: S.CosineAnnealingLR(None, 5), DTypeError, "CosineAnnealingLR: optimizer must be", True),
    (lambda S, o: S.LambdaLR(o, [abs]), ArgumentError, "LambdaLR: 1 values of lr_lambdas for 2 groups", True),
    (lambda S, o: S.LambdaLR(o, []), ArgumentError, "LambdaLR: 0 values of lr_lambdas for 2 groups", True),
    (lambda S, o: S.LambdaLR(o, 0.5), DTypeError, "LambdaLR: lr_lambda must be callable, got float", True),
    (lambda S, o: S.LambdaLR(o, [abs, None]), DTypeError, "LambdaLR: lr_lambda must be callable, got NoneType", True),
    (lambda S, o: S.LambdaLR(o, lambda step: None), ArgumentError, "LambdaLR: lr_lambda must return a number", True),
    (lambda S, o: S.LambdaLR("x", abs), DTypeError, "LambdaLR: optimizer must be", True),
    (lambda S, o: S.CosineAnnealingWarmRestarts(o, 0), ArgumentError, "CosineAnnealingWarmRestarts: T_0 must be", True),
    (lambda S, o: S.CosineAnnealingWarmRestarts(o, 1.5), ArgumentError, "CosineAnnealingWarmRestarts: T_0 must", True),
    (lambda S, o: S.CosineAnnealingWarmRestarts(o, 2, 0), ArgumentError, "CosineAnnealingWarmRestarts: T_mult", True),
    (lambda S, o: S.CosineAnnealingWarmRestarts(o, 2, 1.5), ArgumentError, "CosineAnnealingWarmRestarts: T_m", True),
    (lambda S, o: S.CosineAnnealingWarmRestarts(o, 2, 1, "x"), ArgumentError,
     "CosineAnnealingWarmRestarts: eta_min must be a number, got 'x'", True),
    (lambda S, o: S.CosineAnnealingWarmRestarts(o, 2).step(-1), ArgumentError,
     "CosineAnnealingWarmRestarts: epoch must be a number of at least 0, got -1", True),
    (lambda S, o: S.CosineAnnealingWarmRestarts(o, 2).step("x"), ArgumentError,
     "CosineAnnealingWarmRestarts: epoch must be", True),
    (lambda S, o: S.CosineAnnealingWarmRestarts(None, 2), DTypeError, "CosineAnnealingWarmRestarts: optimizer", True),
    (lambda S, o: S.OneCycleLR(o, 0.1), ArgumentError, "OneCycleLR: give total_steps, or epochs and", True),
    (lambda S, o: S.OneCycleLR(o, 0.1, epochs=3), ArgumentError, "OneCycleLR: give total_steps, or epochs", True),
    (lambda S, o: S.OneCycleLR(o, 0.1, total_steps=0), ArgumentError, "OneCycleLR: total_steps must be", True),
    (lambda S, o: S.OneCycleLR(o, 0.1, total_steps=1.5), ArgumentError, "OneCycleLR: total_steps must be", True),
    (lambda S, o: S.OneCycleLR(o, 0.1, epochs=0, steps_per_epoch=3), ArgumentError, "OneCycleLR: epochs must be", True),
    (lambda S, o: S.OneCycleLR(o, 0.1, epochs=3, steps_per_epoch=0.5), ArgumentError, "OneCycleLR: steps_per_e", True),
    (lambda S, o: S.OneCycleLR(o, [0.1], 5), ArgumentError, "OneCycleLR: 1 values of max_lr for 2 groups", True),
    (lambda S, o: S.OneCycleLR(o, -0.1, 5), ArgumentError, "OneCycleLR: max_lr must be", False),
    (lambda S, o: S.OneCycleLR(o, 0.1, 5, max_momentum=[1]), ArgumentError, "OneCycleLR: 1 values of max_mom", True),
    (lambda S, o: S.OneCycleLR(o, 0.1, 5, base_momentum="x"), ArgumentError, "OneCycleLR: base_momentum must", False),
    (lambda S, o: S.OneCycleLR(o, 0.1, 5, pct_start=1.5), ArgumentError, "OneCycleLR: pct_start must be", True),
    (lambda S, o: S.OneCycleLR(o, 0.1, 5, pct_start=-0.5), ArgumentError, "OneCycleLR: pct_start must be", True),
    (lambda S, o: S.OneCycleLR(o, 0.1, 5, anneal_strategy="x"), ArgumentError, "must be 'cos' or 'linear', got", True),
    (lambda S, o: S.OneCycleLR(o, 0.1, 5, div_factor=0), ArgumentError, "OneCycleLR: div_factor must be", True),
    (lambda S, o: S.OneCycleLR(o, 0.1, 5, three_phase=2), ArgumentError, "OneCycleLR: three_phase must be True", False),
    (lambda S, o: S.OneCycleLR("x", 0.1, 5), DTypeError, "OneCycleLR: optimizer must be", True),
    (lambda S, o: S.ReduceLROnPlateau(o, "up"), ArgumentError,
     "ReduceLROnPlateau: mode must be 'min' or 'max', got 'up'", True),
    (lambda S, o: S.ReduceLROnPlateau(o, threshold_mode="x"), ArgumentError, "ReduceLROnPlateau: threshold_mode", True),
    (lambda S, o: S.ReduceLROnPlateau(o, factor=1.0), ArgumentError,
     "ReduceLROnPlateau: factor must be a number of at least 0 and below 1, got 1.0", True),
    (lambda S, o: S.ReduceLROnPlateau(o, factor=-0.1), ArgumentError, "ReduceLROnPlateau: factor must be", False),
    (lambda S, o: S.ReduceLROnPlateau(o, patience=-1), ArgumentError, "ReduceLROnPlateau: patience must be", False),
    (lambda S, o: S.ReduceLROnPlateau(o, cooldown=0.5), ArgumentError, "ReduceLROnPlateau: cooldown must be", False),
    (lambda S, o: S.ReduceLROnPlateau(o, eps=-1), ArgumentError, "ReduceLROnPlateau: eps must be", False),
    (lambda S, o: S.ReduceLROnPlateau(o, threshold="x"), ArgumentError, "ReduceLROnPlateau: threshold must be", False),
    (lambda S, o: S.ReduceLROnPlateau(o, min_lr=[0.1]), ArgumentError, "1 values of min_lr for 2 groups", True),
    (lambda S, o: S.ReduceLROnPlateau(o, min_lr=-1), ArgumentError, "ReduceLROnPlateau: min_lr must be", False),
    (lambda S, o: S.ReduceLROnPlateau(o).step("x"), ArgumentError, "ReduceLROnPlateau: metrics must be a number", True),
    (lambda S, o: S.ReduceLROnPlateau(o).step(None), ArgumentError, "ReduceLROnPlateau: metrics must be a num", True),
    (lambda S, o: S.ReduceLROnPlateau(o).step(), TypeError, "metrics", True),
    (lambda S, o: S.ReduceLROnPlateau("x"), DTypeError, "ReduceLROnPlateau: optimizer must be", True),
    (lambda S, o: S.SequentialLR(o, [], []), ArgumentError, "SequentialLR: schedulers is empty", True),
    (lambda S, o: S.SequentialLR(o, 3, []), DTypeError, "SequentialLR: schedulers must be a list of .*, got int", True),
    (lambda S, o: S.SequentialLR(o, [S.StepLR(o, 3)], None), DTypeError, "SequentialLR: milestones must be a", True),
    (lambda S, o: S.SequentialLR(o, [S.StepLR(o, 3), 7], [3]), DTypeError,
     r"SequentialLR: schedulers\[1\] must be a schedule, got int", True),
    (lambda S, o: S.SequentialLR(o, [S.ReduceLROnPlateau(o)], []), ArgumentError,
     r"SequentialLR: schedulers\[0\] is a ReduceLROnPlateau", True),
    (lambda S, o: S.SequentialLR(o, [S.StepLR(o, 3)] * 2, [3]), ArgumentError, r"rs\[1\] is there twice", False),
    (lambda S, o: S.SequentialLR(o, [S.StepLR(o, 3)], [3]), ArgumentError,
     "SequentialLR: 1 schedulers need one milestone fewer, got 1", True),
    (lambda S, o: S.SequentialLR(o, [S.StepLR(o, 3), S.StepLR(o, 3)], []), ArgumentError,
     "SequentialLR: 2 schedulers need one milestone fewer, got 0", True),
    (lambda S, o: S.SequentialLR(o, [S.StepLR(o, 3), S.StepLR(o, 3), S.StepLR(o, 3)], [5, 3]), ArgumentError,
     r"SequentialLR: milestones must increase, got \[5, 3\]", False),
    (lambda S, o: S.SequentialLR(o, [S.StepLR(o, 3), S.StepLR(o, 3), S.StepLR(o, 3)], [5, 5]), ArgumentError,
     r"SequentialLR: milestones must increase, got \[5, 5\]", False),
    (lambda S, o: S.SequentialLR(o, [S.StepLR(o, 3), S.StepLR(o, 3)], [-1]), ArgumentError,
     "SequentialLR: each of milestones must be an int of at least 0, got -1", False),
    (lambda S, o: S.SequentialLR(o, [S.StepLR(o, 3), S.StepLR(o, 3)], ["x"]), ArgumentError,
     "SequentialLR: each of milestones must be an int", True),
    (lambda S, o: S.SequentialLR("x", [S.StepLR(o, 3)], []), DTypeError, "SequentialLR: optimizer must", True),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "match", "pytorch_too"), REFUSED)
def test_refusals(torch: Any, make: Any, error: Any, match: str, pytorch_too: bool) -> None:
    with pytest.raises(error, match=match) as caught:
        make(schedules, ours())
    assert isinstance(caught.value, MinidlError) or error is TypeError
    if pytorch_too:
        with pytest.raises((ValueError, TypeError, AttributeError, ZeroDivisionError)):
            make(torch.optim.lr_scheduler, theirs(torch))


def test_schedules_of_another_optimiser_are_refused(torch: Any) -> None:
    with pytest.raises(ArgumentError, match=r"SequentialLR: schedulers\[0\] is of another optimiser"):
        schedules.SequentialLR(ours(), [schedules.StepLR(ours(), 3)], [])
    L = torch.optim.lr_scheduler
    with pytest.raises(ValueError, match="optimizer"):
        L.SequentialLR(theirs(torch), [L.StepLR(theirs(torch), 3)], [])


def test_an_optimiser_without_momentum_has_none_to_cycle(torch: Any) -> None:
    with pytest.raises(ArgumentError, match="OneCycleLR: Adagrad has neither momentum nor betas; give cycle_momentum"):
        schedules.OneCycleLR(ours("Adagrad"), 0.1, 5)
    with pytest.raises(ValueError, match="momentum"):
        torch.optim.lr_scheduler.OneCycleLR(theirs(torch, "Adagrad"), 0.1, 5)
    assert schedules.OneCycleLR(ours("Adagrad"), 0.1, 5, cycle_momentum=False).total_steps == 5


@pytest.mark.parametrize("row", [row for row in REFUSED if "SequentialLR" not in row[2]])
def test_a_schedule_that_is_refused_changes_no_rates(row: tuple) -> None:
    optimizer = ours()
    with pytest.raises((MinidlError, TypeError)):
        row[0](schedules, optimizer)
    if "epoch" not in row[2]:
        assert options(optimizer) == options(ours())


def test_lr_scheduler_is_a_module_of_optim() -> None:
    import minidl.optim.lr_scheduler as module

    assert module is optim.lr_scheduler
    assert sorted(module.__all__) == module.__all__
    assert all(hasattr(module, name) for name in module.__all__)
