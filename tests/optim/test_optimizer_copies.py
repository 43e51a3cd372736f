"""Copies and pickles of optimisers and schedules, alone and with what they train."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from optimizer_twins import NAMES
from schedule_cases import CASES, OPTIONS, Halving, options, ours

from minidl import nn, optim
from minidl.optim import lr_scheduler as schedules

WAYS: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    **{
        f"protocol {p}": lambda x, p=p: pickle.loads(pickle.dumps(x, protocol=p))
        for p in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def step(optimizer: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = nn.Parameter(rng.normal(size=p.shape).astype(p.dtype)).detach()
    optimizer.step()


@ways
@pytest.mark.parametrize("name", NAMES)
def test_optimisers_go_on(name: str, way: Callable[[Any], Any]) -> None:
    params = [nn.Parameter(np.ones((2, 3), np.float32)), nn.Parameter(np.ones(4)), nn.Parameter(np.float32(1))]
    optimizer = getattr(optim, name)([{"params": params[:2]}, {"params": params[2:], "lr": 0.5}], **OPTIONS[name])
    step(optimizer, 0)
    step(optimizer, 1)
    twin, its_params = way((optimizer, params))
    held = [p for group in twin.param_groups for p in group["params"]]
    assert all(p is q for p, q in zip(held, its_params, strict=True)) and repr(twin) == repr(optimizer)
    assert not {id(p) for p in params} & {id(p) for p in its_params}
    before = [p.data.copy() for p in params]
    step(twin, 2)
    assert all(np.array_equal(p.data, b) for p, b in zip(params, before, strict=True)), "the original does not move"
    step(optimizer, 2)
    for p, q in zip(params, its_params, strict=True):
        assert np.array_equal(p.data, q.data)
        for key, value in optimizer.state.get(p, {}).items():
            assert np.array_equal(value, twin.state[q][key]) and type(value) is type(twin.state[q][key])


@ways
@pytest.mark.parametrize("case", [case for case in CASES if "lambda" not in case])
def test_schedules_go_on(case: str, way: Callable[[Any], Any]) -> None:
    schedule = CASES[case](schedules, ours())
    for _ in range(11):
        schedule.step()
    twin, optimizer = way((schedule, schedule.optimizer))
    assert twin.optimizer is optimizer and type(twin) is type(schedule)
    assert getattr(twin, "schedulers", [twin])[0].optimizer is optimizer
    seen: list[Any] = [[], []]
    for values, each in zip(seen, (schedule, twin), strict=True):
        for _ in range(30):
            each.step()
            values.append(options(each.optimizer))
    assert seen[0] == seen[1]


@ways
def test_a_plateau_goes_on(way: Callable[[Any], Any]) -> None:
    schedule = schedules.ReduceLROnPlateau(ours(), patience=1, cooldown=1)
    for loss in (3.0, 2.0, 2.5):
        schedule.step(loss)
    twin = way(schedule)
    for loss in (2.5, 2.5, 2.5, 1.0):
        schedule.step(loss)
        twin.step(loss)
        assert options(twin.optimizer) == options(schedule.optimizer)


def test_functions_of_a_schedule_are_pickled_if_they_can_be() -> None:
    schedule = schedules.LambdaLR(ours(), Halving(3))
    twin = pickle.loads(pickle.dumps(schedule))
    assert twin.lr_lambdas[0] is twin.lr_lambdas[1] and twin.lr_lambdas[0].every == 3
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(schedules.LambdaLR(ours(), lambda step: 1.0))


def test_memory_that_is_only_read_is_copied() -> None:
    parameter = nn.Parameter(np.ones(3))
    optimizer = optim.Adam([parameter])
    step(optimizer, 0)
    for value in (parameter.data, *optimizer.state[parameter].values()):
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    buffers: list[Any] = []
    packed = pickle.dumps(optimizer, protocol=5, buffer_callback=buffers.append)
    twin = pickle.loads(packed, buffers=buffers)
    (held,) = twin.param_groups[0]["params"]
    step(twin, 1)
    assert not np.array_equal(held.data, parameter.data)
