"""State dicts that PyTorch's optimisers wrote: taken over, or refused by name where they mean something else."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from optimizer_twins import NAMES, assert_same, drive, pairs

from minidl import nn, optim
from minidl.errors import ArgumentError, StateDictError

BOTH = [name for name in NAMES if name != "Lion"]
FLOAT64 = ["float64"] * 4
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in BOTH),
    ("SGD", {"momentum": 0.9, "nesterov": True, "maximize": True}),
    ("SGD", {"momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01}),
    ("Adam", {"amsgrad": True, "maximize": True}),
    ("Adam", {"decoupled_weight_decay": True, "weight_decay": 0.1, "betas": (0.8, 0.9)}),
    ("AdamW", {"amsgrad": True, "weight_decay": 0.1}),
    ("RAdam", {"decoupled_weight_decay": True, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "maximize": True}),
    ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.5, "maximize": True}),
    # How steps are computed.
    *((name, {"foreach": True}) for name in BOTH),
    *((name, {"foreach": False}) for name in BOTH),
    *((name, {"fused": True}) for name in ("SGD", "Adam", "AdamW", "Adagrad")),
]
every_option = pytest.mark.parametrize(
    ("name", "options"), OPTIONS, ids=[f"{name}-{'-'.join(options)}" for name, options in OPTIONS]
)


@pytest.mark.filterwarnings("error")
@every_option
def test_training_goes_on_as_it_would_have_there(torch: Any, name: str, options: dict[str, Any]) -> None:
    ours, theirs = pairs(torch, FLOAT64)
    before, _ = pairs(torch, FLOAT64)
    own = {key: value for key, value in options.items() if key not in ("foreach", "fused")}
    their = getattr(torch.optim, name)(theirs, lr=0.02, **options)
    drive(torch, before, theirs, getattr(optim, name)(before, lr=0.02, **own), their, FLOAT64, range(7))
    our = getattr(optim, name)(ours, lr=99.0)
    for p, q in zip(ours, theirs, strict=True):
        p.data[...] = q.detach().numpy()
    saved = their.state_dict()
    our.load_state_dict(saved)
    assert set(our.param_groups[0]) == set(getattr(optim, name)([nn.Parameter([1.0])]).param_groups[0])
    drive(torch, ours, theirs, our, their, FLOAT64, range(7, 30))
    assert_same(ours, theirs)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BOTH)
def test_the_names_of_all_keys_are_known(torch: Any, name: str) -> None:
    """With named parameters, and after each schedule, of which some leave notes in the groups."""
    for schedule in (
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=9, cycle_momentum=name != "Adagrad"),
        lambda o: torch.optim.lr_scheduler.CyclicLR(o, 0.01, 0.1, cycle_momentum=name not in ("Adagrad", "SGD")),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 5),
        lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o),
        lambda o: torch.optim.swa_utils.SWALR(o, 0.05),
    ):
        q = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
        momentum = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
        their = getattr(torch.optim, name)([("weight", q)], lr=0.1, **momentum)
        schedule(their)
        q.grad = torch.ones(2, dtype=torch.float64)
        their.step()
        our = getattr(optim, name)([nn.Parameter(np.ones(2))])
        our.load_state_dict(their.state_dict())
        assert our.param_groups[0]["lr"] == pytest.approx(their.param_groups[0]["lr"])


def state_of(torch: Any, name: str, **changes: Any) -> dict[str, Any]:
    q = torch.nn.Parameter(torch.ones(2))
    their = getattr(torch.optim, name)([q], lr=0.25)
    q.grad = torch.ones(2)
    their.step()
    state = deepcopy(their.state_dict())
    state["param_groups"][0].update(changes)
    return state


@pytest.mark.parametrize("name", BOTH)
def test_what_means_something_else_is_refused_by_name(torch: Any, name: str) -> None:
    p = nn.Parameter(np.ones(2, np.float32))
    our = getattr(optim, name)([p], lr=0.125)
    for changes, match in (
        ({"differentiable": True}, "differentiable=True; minidl's steps are not recorded"),
        ({"differentiable": 0}, "differentiable=0"),
        ({"foreach": "yes"}, "foreach='yes'; it says how steps are computed, and must be True, False or None"),
        ({"capturable": 1}, "capturable=1"),
        ({"fused": [None]}, r"fused=\[None\]"),
    ):
        with pytest.raises(StateDictError, match=f"^{name}: group 0 of the state dict has {match}"):
            our.load_state_dict(state_of(torch, name, **changes))
    with pytest.raises(StateDictError, match=r"has unknown \['momentum_decay'\]"):
        our.load_state_dict(state_of(torch, name, momentum_decay=0.004))
    with pytest.raises(ArgumentError, match="maximize must be True or False"):
        our.load_state_dict(state_of(torch, name, maximize=None))
    odd = state_of(torch, name)
    for value in (torch.ones(2, requires_grad=True), torch.ones(2, dtype=torch.bfloat16), "3", ["a"], 1j, 10**400):
        odd["state"] = {0: dict.fromkeys(our._remembers or our._may_remember, value)}
        with pytest.raises(StateDictError, match=rf"^{name}: \w+ of parameter 0 is "):
            our.load_state_dict(odd)
    assert our.param_groups[0]["lr"] == 0.125 and not our.state
    our.load_state_dict(state_of(torch, name, capturable=True, differentiable=False, foreach=None, fused=True))
    assert our.param_groups[0]["lr"] == 0.25


def test_options_that_are_tensors_there_are_numbers_here(torch: Any) -> None:
    our = optim.Adam([nn.Parameter(np.ones(2, np.float32))])
    betas = (torch.tensor(0.5), torch.tensor(0.75))
    our.load_state_dict(state_of(torch, "Adam", lr=torch.tensor(0.125), betas=betas))
    group = our.param_groups[0]
    assert (group["lr"], group["betas"]) == (0.125, (0.5, 0.75)) and type(group["lr"]) is float
    with pytest.raises(ArgumentError, match="lr must be a number"):
        our.load_state_dict(state_of(torch, "Adam", lr=torch.tensor([0.1])))


def test_optimisers_that_only_pytorch_has_are_refused(torch: Any) -> None:
    q = torch.nn.Parameter(torch.ones(2))
    for theirs in (torch.optim.NAdam([q]), torch.optim.Adamax([q]), torch.optim.Rprop([q]), torch.optim.ASGD([q])):
        for name in BOTH:
            with pytest.raises(StateDictError, match=f"^{name}: group 0 of the state dict lacks"):
                getattr(optim, name)([nn.Parameter(np.ones(2, np.float32))]).load_state_dict(theirs.state_dict())


def test_the_state_goes_by_the_numbers_that_groups_give_their_parameters() -> None:
    p, q = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(3))
    source = optim.Adagrad([p, q])
    p.grad, q.grad = p.detach(), q.detach()
    source.step()
    state = source.state_dict()
    state["param_groups"][0]["params"] = [7, 3]
    state["state"] = {7: state["state"][0], 3: state["state"][1]}
    fresh = optim.Adagrad([nn.Parameter(np.ones(2)), nn.Parameter(np.ones(3))])
    fresh.load_state_dict(state)
    assert [entry["sum"].shape for entry in fresh.state_dict()["state"].values()] == [(2,), (3,)]
    state["param_groups"][0]["params"] = [7, 7]
    with pytest.raises(StateDictError, match=r"the state dict's groups have a parameter twice: \[7, 7\]"):
        fresh.load_state_dict(state)


def test_numbers_that_no_float_holds_are_refused() -> None:
    p = nn.Parameter(np.ones(1))
    for lr in (10**400, -(10**400)):
        with pytest.raises(ArgumentError, match="SGD: lr must be a number of at least 0"):
            optim.SGD([p], lr=lr)
    source = optim.Adam([p])
    p.grad = p.detach()
    source.step()
    for step in (10**400, 2.0**53, float("inf"), float("nan")):
        state = source.state_dict()
        state["state"][0]["step"] = step
        with pytest.raises(StateDictError, match="step of parameter 0"):
            source.load_state_dict(state)
