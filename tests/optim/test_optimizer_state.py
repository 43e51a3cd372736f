"""Groups, state dicts, and what optimisers refuse."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optimizer_twins import NAMES, STEPS, assert_same, drive, pairs, theirs_of

import minidl
from minidl import nn, optim
from minidl.checkpoint import load_checkpoint, save_checkpoint
from minidl.errors import ArgumentError, CheckpointError, DTypeError, GraphError, ShapeError, StateDictError

FLOAT64 = ["float64"] * 4
# Of each optimiser, options with which it remembers the most.
FULL: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9}, "Adam": {"amsgrad": True}, "AdamW": {"amsgrad": True}, "Adagrad": {"lr_decay": 0.1},
    "RMSprop": {"momentum": 0.9, "centered": True}, "RAdam": {"betas": (0.8, 0.9)}, "Lion": {"betas": (0.5, 0.9)},
}  # fmt: skip
every_optimiser = pytest.mark.parametrize("name", NAMES)


@every_optimiser
def test_float32_and_float64_in_one_optimiser(torch: Any, name: str) -> None:
    dtypes = ["float32", "float64", "float32", "float64"]
    ours, theirs = pairs(torch, dtypes)
    our, their = (
        getattr(optim, name)(ours, lr=0.02, **FULL[name]),
        theirs_of(torch, name, theirs, lr=0.02, **FULL[name]),
    )
    drive(torch, ours, theirs, our, their, dtypes, range(STEPS))
    assert [str(p.dtype) for p in ours] == dtypes
    assert_same(ours, theirs)


@every_optimiser
def test_groups_with_options_of_their_own(torch: Any, name: str) -> None:
    ours, theirs = pairs(torch, FLOAT64)

    def groups(params: list) -> list[dict]:
        own = {"eps": 1e-3} if name not in ("SGD", "Lion") else {"maximize": True}
        return [{"params": params[:2], "lr": 0.05}, {"params": params[2:3], "weight_decay": 0.2, **own}]

    our, their = getattr(optim, name)(groups(ours), lr=0.01), theirs_of(torch, name, groups(theirs), lr=0.01)
    our.add_param_group({"params": ours[3], "lr": 0.1})
    their.add_param_group({"params": theirs[3], "lr": 0.1})
    assert [g["lr"] for g in our.param_groups] == [0.05, 0.01, 0.1]
    drive(torch, ours, theirs, our, their, FLOAT64, range(40))
    for optimizer in (our, their):
        optimizer.param_groups[1]["lr"] = 0.5
    drive(torch, ours, theirs, our, their, FLOAT64, range(40, STEPS))
    assert_same(ours, theirs)


@pytest.mark.parametrize(("name", "switched"), [
    ("SGD", {"momentum": 0.9}), ("Adam", {"amsgrad": True}), ("RMSprop", {"centered": True, "momentum": 0.5}),
])  # fmt: skip
def test_options_that_need_memory_may_be_switched_on_later(name: str, switched: dict) -> None:
    p = nn.Parameter([1.0])
    optimizer = getattr(optim, name)([p], lr=0.1)
    for options in ({}, switched):
        optimizer.param_groups[0].update(options)
        p.grad = minidl.tensor([1.0])
        optimizer.step()
    assert np.isfinite(p.item()) and len(optimizer.state[p]) > (0 if name == "SGD" else 2)


@every_optimiser
@pytest.mark.parametrize("full", [True, False])
def test_state_dict_round_trip(torch: Any, name: str, full: bool, tmp_path: Path) -> None:
    ours, theirs = pairs(torch, FLOAT64)
    options = FULL[name] if full else {}
    our, their = getattr(optim, name)(ours, lr=0.05, **options), theirs_of(torch, name, theirs, lr=0.05, **options)
    drive(torch, ours, theirs, our, their, FLOAT64, range(30))
    saved = our.state_dict()
    save_checkpoint(tmp_path / "run", optimizer=our)
    values = {i: {k: np.array(v) for k, v in entry.items()} for i, entry in saved["state"].items()}
    for load in ("state dict", "checkpoint"):
        copies = [nn.Parameter(p.numpy().copy()) for p in ours]
        fresh = getattr(optim, name)(copies, lr=99.0)
        if load == "checkpoint":
            load_checkpoint(tmp_path / "run", optimizer=fresh)
        else:
            fresh.load_state_dict(saved)
        assert fresh.param_groups[0]["lr"] == 0.05
        others = [torch.nn.Parameter(q.detach().clone()) for q in theirs]
        other = theirs_of(torch, name, others, lr=1.0, **options)
        # PyTorch shares the tensors that it loads.
        other.load_state_dict(deepcopy(their.state_dict()))
        drive(torch, copies, others, fresh, other, FLOAT64, range(30, 60))
        assert_same(copies, others)
    for i, entry in saved["state"].items():
        for key, value in entry.items():
            assert np.array_equal(value, values[i][key]), "what was saved must not change with the optimiser"


@every_optimiser
def test_options_survive_json(name: str) -> None:
    optimizer = getattr(optim, name)([nn.Parameter([1.0])], **FULL[name])
    optimizer.load_state_dict(json.loads(json.dumps(optimizer.state_dict())))
    assert (
        optimizer.param_groups[0]
        == getattr(optim, name)(optimizer.param_groups[0]["params"], **FULL[name]).param_groups[0]
    )


@every_optimiser
def test_a_step_without_gradients_does_nothing(name: str) -> None:
    p = nn.Parameter([2.0])
    optimizer = getattr(optim, name)([p], lr=1.0, weight_decay=0.5, **FULL[name])
    assert optimizer.step() is None
    assert p.tolist() == [2.0] and optimizer.state_dict()["state"] == {}


@every_optimiser
def test_parameters_without_gradient_stay(name: str) -> None:
    trained, resting, frozen = nn.Parameter([1.0]), nn.Parameter([2.0]), nn.Parameter([3.0], requires_grad=False)
    optimizer = getattr(optim, name)([trained, resting, frozen], lr=1.0, weight_decay=0.5)
    (trained * frozen).sum().backward()
    optimizer.step()
    assert trained.item() != 1 and resting.item() == 2 and frozen.item() == 3
    assert resting not in optimizer.state and frozen.grad is None


@pytest.mark.parametrize("name", NAMES[:-1])
def test_a_parameter_that_gets_its_first_gradient_late(torch: Any, name: str) -> None:
    p, q = nn.Parameter(np.ones(2)), torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    other, other_q = nn.Parameter(np.ones(1)), torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    our, their = getattr(optim, name)([p, other], lr=0.1), getattr(torch.optim, name)([q, other_q], lr=0.1)
    for step in range(20):
        other.grad, other_q.grad = minidl.tensor(np.ones(1)), torch.ones(1, dtype=torch.float64)
        if step >= 5:
            p.grad = minidl.tensor(np.full(2, step + 0.5))
            q.grad = torch.full((2,), step + 0.5, dtype=torch.float64)
        our.step()
        their.step()
    assert_same([p, other], [q, other_q])


def test_an_optimiser_may_be_older_than_the_shape_of_a_parameter() -> None:
    model = nn.Dense(None, 2)
    for name in NAMES:
        optimizer = getattr(optim, name)(model.parameters(), **FULL[name])
        model(minidl.ones(1, 3)).sum().backward()
        optimizer.step()
        assert all(v.shape == (2, 3) for k, v in optimizer.state[model.weight].items() if k != "step")


def test_closure() -> None:
    p = nn.Parameter([2.0])
    optimizer = optim.SGD([p], lr=0.25)

    def closure() -> minidl.Tensor:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with minidl.no_grad():
        assert optimizer.step(closure).item() == 4
    assert p.item() == 1


def test_zero_grad() -> None:
    p = nn.Parameter([2.0])
    optimizer = optim.SGD([p])
    (p * 3).sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0]
    optimizer.zero_grad()
    assert p.grad is None


@every_optimiser
def test_gradients_in_other_layouts(name: str) -> None:
    p, q, r = (nn.Parameter(np.ones((3, 2))) for _ in range(3))
    gradient = np.arange(6.0).reshape(2, 3)
    gradient.flags.writeable = False
    misaligned = np.frombuffer(b"x" + gradient.T.tobytes(), np.uint8)[1:].view(np.float64).reshape(3, 2)
    assert not misaligned.flags.aligned
    p.grad, q.grad = minidl.Tensor(gradient.T), minidl.Tensor(gradient.T.copy())
    r.grad = minidl.Tensor(misaligned)
    getattr(optim, name)([p, q, r], lr=0.1, **FULL[name]).step()
    assert p.tolist() == q.tolist() == r.tolist() != np.ones((3, 2)).tolist()
    assert np.array_equal(gradient.ravel(), np.arange(6.0))


def test_the_graph_notices_a_step() -> None:
    p = nn.Parameter([2.0])
    optimizer = optim.Lion([p])
    loss = (p * p).sum()
    p.grad = minidl.tensor([1.0])
    optimizer.step()
    with pytest.raises(GraphError, match="modified|changed"):
        loss.backward()


def test_repr_names_the_options() -> None:
    assert repr(optim.Lion([nn.Parameter([1.0])], lr=0.5)) == (
        "Lion (\nParameter Group 0\n    betas: (0.9, 0.99)\n    lr: 0.5\n    maximize: False\n    weight_decay: 0.0\n)"
    )


# Options out of range, and whether PyTorch refuses them too.
BAD_OPTIONS: list[tuple[str, dict, str, bool]] = [
    ("SGD", {"lr": -1}, "SGD: lr must be a number of at least 0, got -1", True),
    ("SGD", {"lr": float("nan")}, "SGD: lr must be a number", False),
    ("SGD", {"lr": "fast"}, "SGD: lr must be a number .* got 'fast'", True),
    ("SGD", {"lr": True}, "SGD: lr must be a number", False),
    ("SGD", {"momentum": -0.1}, "SGD: momentum must be", True),
    ("SGD", {"dampening": -0.1}, "SGD: dampening must be", False),
    ("SGD", {"weight_decay": -0.1}, "SGD: weight_decay must be", True),
    ("SGD", {"nesterov": True}, "SGD: nesterov needs momentum above 0 and dampening of 0", True),
    ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "SGD: nesterov needs", True),
    ("SGD", {"maximize": "no"}, "SGD: maximize must be True or False, got 'no'", False),
    ("Adam", {"amsgrad": 1}, "Adam: amsgrad must be True or False, got 1", False),
    ("AdamW", {"weight_decay": -1}, "AdamW: weight_decay must be", True),
    ("RMSprop", {"alpha": -0.1}, "RMSprop: alpha must be a number of at least 0, got -0.1", True),
    ("RMSprop", {"momentum": -0.1}, "RMSprop: momentum must be", True),
    ("RMSprop", {"centered": 0.9}, "RMSprop: centered must be True or False, got 0.9", False),
    ("Adagrad", {"lr_decay": -0.1}, "Adagrad: lr_decay must be", True),
    ("Adagrad", {"initial_accumulator_value": -1}, "Adagrad: initial_accumulator_value must be", True),
    ("RAdam", {"decoupled_weight_decay": None}, "RAdam: decoupled_weight_decay must be True or False", False),
    *((name, {"lr": -0.1}, f"{name}: lr must be a number .* 0, got -0.1", name != "Lion") for name in NAMES[1:]),
    *((name, {"weight_decay": -0.1}, f"{name}: weight_decay must be", name != "Lion") for name in NAMES[1:]),
    *((name, {"eps": -1e-9}, f"{name}: eps must be", True) for name in NAMES[1:-1]),
    *(
        (name, {"betas": betas}, rf"{name}: betas{match}", name != "Lion")
        for name in ("Adam", "AdamW", "RAdam", "Lion")
        for betas, match in (
            ((1.0, 0.9), r"\[0\] must be a number of at least 0 and below 1, got 1.0"), ((-0.1, 0.9), r"\[0\]"),
            ((0.9, 1.0), r"\[1\]"), ((0.9, -0.1), r"\[1\]"), ((0.9,), " must be two numbers"),
            (0.9, " must be two numbers, got 0.9"),
        )  # fmt: skip
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "match", "pytorch_too"), BAD_OPTIONS)
def test_options_out_of_range(torch: Any, name: str, options: dict, match: str, pytorch_too: bool) -> None:
    with pytest.raises(ArgumentError, match=f"^{match}"):
        getattr(optim, name)([nn.Parameter([1.0])], **options)
    group = {"params": [nn.Parameter([1.0])], **options}
    with pytest.raises(ArgumentError, match=f"^{match}"):
        getattr(optim, name)([group])
    if pytorch_too:
        with pytest.raises((ValueError, TypeError, IndexError)):
            getattr(torch.optim, name)([torch.nn.Parameter(torch.ones(1))], **options)


def test_adamw_without_decoupling_is_refused() -> None:
    with pytest.raises(ArgumentError, match="AdamW: decoupled_weight_decay must be True"):
        optim.AdamW([{"params": [nn.Parameter([1.0])], "decoupled_weight_decay": False}])


@every_optimiser
def test_parameters(name: str) -> None:
    p = nn.Parameter([1.0])
    for params, error, match in (
        ([], ArgumentError, "params is empty"),
        (iter([]), ArgumentError, "params is empty"),
        (p, DTypeError, "params must be an iterable of tensors or of groups, got one tensor"),
        (3, DTypeError, "params must be an iterable of tensors or of groups, got int"),
        ({p}, DTypeError, "params must have an order, which is saved by number, got a set"),
        ([{"params": {p}}], DTypeError, "params must have an order"),
        ([{"params": 3}], DTypeError, "params must be an iterable"),
        ([np.ones(2)], DTypeError, r"params\[0\] must be a tensor, got ndarray"),
        ([("weight", p)], DTypeError, r"params\[0\] must be a tensor, got tuple"),
        ([p, {"params": [p]}], DTypeError, r"params\[1\] must be a tensor, got dict"),
        ([p, p], ArgumentError, r"params\[1\] is there twice"),
        ([{"params": [p]}, {"params": [p]}], ArgumentError, r"params\[0\] is there twice"),
        ([{"params": [p]}, p], ArgumentError, "a parameter group must be a dict with the key 'params'"),
        ([p * 2], GraphError, r"params\[0\] was computed by an operation"),
        ([{"params": [p], "learning_rate": 1}], ArgumentError, "unknown options in .* group: learning_rate"),
        ([{"lr": 1}], ArgumentError, "a parameter group must be a dict with the key 'params'"),
        ([{"params": [p], "lr": -1}], ArgumentError, "lr must be"),
        ([{"params": [p], "initial_lr": -1}], ArgumentError, "initial_lr must be"),
    ):
        with pytest.raises(error, match=f"^{name}: {match}"):
            getattr(optim, name)(params)


def test_a_group_that_is_refused_is_not_added() -> None:
    optimizer = optim.Adam([nn.Parameter([1.0])])
    with pytest.raises(ArgumentError, match="lr must be"):
        optimizer.add_param_group({"params": nn.Parameter([1.0]), "lr": -1})
    assert len(optimizer.param_groups) == 1


def test_complex_numbers_are_refused_where_they_come_from() -> None:
    with pytest.raises(DTypeError, match="complex"):
        optim.Adam([nn.Parameter(np.ones(2, np.complex128))])


@every_optimiser
def test_gradients(name: str) -> None:
    first, p = nn.Parameter([1.0]), nn.Parameter([1.0, 2.0])
    optimizer = getattr(optim, name)([{"params": first}, {"params": p}], lr=0.1)
    first.grad = minidl.ones(1)
    p.grad = minidl.ones(2)
    p.grad.data = np.ones(3, np.float32)
    with pytest.raises(ShapeError, match=rf"{name}: a parameter of shape \(2,\) has a gradient of \(3,\)"):
        optimizer.step()
    p.grad.data = np.ones(2)
    with pytest.raises(DTypeError, match=f"{name}: a parameter of float32 has a gradient of float64"):
        optimizer.step()
    array = np.ones(2, np.float32)
    array.flags.writeable = False
    fixed = minidl.Tensor(array, requires_grad=True)
    fixed.grad = minidl.ones(2)
    with pytest.raises(ArgumentError, match="read-only or not C-contiguous"):
        getattr(optim, name)([fixed]).step()
    counts = minidl.Tensor(np.arange(2))
    counts.grad = minidl.Tensor(np.arange(2))
    with pytest.raises(DTypeError, match=f"{name}: only float32 and float64 parameters take steps, got int64"):
        getattr(optim, name)([counts]).step()
    assert first.tolist() == [1], "a step is made of all parameters or none"
    assert p.tolist() == [1, 2] and array.tolist() == [1, 1] and optimizer.state == {}


@every_optimiser
def test_a_parameter_that_became_another(name: str) -> None:
    p = nn.Parameter([1.0, 2.0])
    optimizer = getattr(optim, name)([p], **FULL[name])
    p.grad = minidl.ones(2)
    optimizer.step()
    before = {k: np.array(v) for k, v in optimizer.state[p].items()}
    for data in (np.ones(3, np.float32), np.ones(2)):
        p.data, p.grad = data, minidl.Tensor(np.ones_like(data))
        with pytest.raises(ShapeError, match=rf"{name}: \w+ of a parameter is float32 of shape \(2,\), but the param"):
            optimizer.step()
        assert p.numpy().tolist() == [1.0] * len(data)
    assert all(np.array_equal(v, before[k]) for k, v in optimizer.state[p].items())


def trained(name: str) -> tuple[Any, nn.Parameter]:
    p, q = nn.Parameter([1.0, 2.0]), nn.Parameter([[3.0]])
    optimizer = getattr(optim, name)([p, q], lr=0.25, **FULL[name])
    p.grad, q.grad = minidl.ones(2), minidl.ones(1, 1)
    optimizer.step()
    return optimizer, p


def with_state(s: dict, **values: Any) -> dict:
    return {**s, "state": {**s["state"], 0: {**s["state"][0], **values}}}


@pytest.mark.parametrize(("change", "error", "match"), [
    (lambda s: {}, StateDictError, "Adam: not an optimiser's state dict"),
    (lambda s: None, StateDictError, "Adam: not an optimiser's state dict"),
    (lambda s: {**s, "param_groups": 3}, StateDictError, "Adam: not an optimiser's state dict"),
    (lambda s: {**s, "state": [1]}, StateDictError, "Adam: not an optimiser's state dict"),
    (lambda s: {**s, "state": {"a": {}}}, StateDictError, "Adam: not an optimiser's state dict"),
    (lambda s: {**s, "state": {7: {}}}, StateDictError, "state for parameter 7 of 2"),
    (lambda s: {**s, "param_groups": s["param_groups"] * 2}, StateDictError, r"groups of \[2, 2\] parameters"),
    (lambda s: {**s, "param_groups": [{"params": [0, 1]}]}, StateDictError, r"group 0 .* lacks \['amsgrad'"),
    (lambda s: {**s, "param_groups": [{**s["param_groups"][0], "lr": -1}]}, ArgumentError, "Adam: lr must be"),
    (lambda s: {**s, "param_groups": [{**s["param_groups"][0], "initial_lr": "x"}]}, ArgumentError, "initial_lr"),
    (lambda s: {**s, "param_groups": [{**s["param_groups"][0], "rate": 1}]}, StateDictError, r"unknown \['rate'\]"),
    (lambda s: with_state(s, exp_avg=np.ones(5)), StateDictError,
     r"exp_avg of parameter 0 has shape \(5,\), the parameter \(2,\)"),
    (lambda s: with_state(s, exp_avg="x"), StateDictError, "Adam: exp_avg of parameter 0 is 'x'"),
    (lambda s: with_state(s, step="x"), StateDictError, "Adam: step of parameter 0 is 'x'"),
    (lambda s: with_state(s, step=-1), StateDictError, "Adam: step of parameter 0 must be an int, got -1"),
    (lambda s: with_state(s, step=1.5), StateDictError, "Adam: step of parameter 0 must be an int, got 1.5"),
    (lambda s: with_state(s, step=[1, 2]), StateDictError, "Adam: step of parameter 0 must be an int"),
    (lambda s: with_state(s, step=None), StateDictError, r"the state of parameter 0 lacks \['step'\]"),
    (lambda s: with_state(s, sum=np.ones(2)), StateDictError, r"the state of parameter 0 .* unknown \['sum'\]"),
    (lambda s: {**s, "state": {0: {}}}, StateDictError, r"the state of parameter 0 lacks \['exp_avg', 'exp_avg_sq'"),
])  # fmt: skip
def test_state_dicts_that_are_refused_change_nothing(change: Any, error: type, match: str) -> None:
    optimizer, p = trained("Adam")
    other, _ = trained("Adam")
    other.param_groups[0]["lr"] = 0.125
    with pytest.raises(error, match=match):
        optimizer.load_state_dict(change(other.state_dict()))
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert optimizer.state[p]["step"] == 1


@every_optimiser
def test_the_state_of_another_optimiser_is_refused(name: str, tmp_path: Path) -> None:
    for other in NAMES:
        if other == name or (name, other) == ("Adam", "AdamW"):
            continue
        optimizer, p = trained(name)
        before = repr(optimizer), {k: np.array(v) for k, v in optimizer.state[p].items()}
        state = trained(other)[0].state_dict()
        match = "must be True; without it, this is Adam" if name == "AdamW" and other == "Adam" else "of the state dict"
        with pytest.raises((StateDictError, ArgumentError), match=f"^{name}: .*{match}"):
            optimizer.load_state_dict(state)
        save_checkpoint(tmp_path / other, optimizer=trained(other)[0])
        with pytest.raises(CheckpointError, match=f"holds the optimizer {other}, asked for was {name}"):
            load_checkpoint(tmp_path / other, optimizer=optimizer)
        assert repr(optimizer) == before[0]
        assert all(np.array_equal(v, before[1][k]) for k, v in optimizer.state[p].items())


def test_adam_becomes_adamw_with_its_state(torch: Any) -> None:
    """The one option in which they differ is part of the state, in PyTorch as well."""
    optimizer, _ = trained("Adam")
    optimizer.load_state_dict(trained("AdamW")[0].state_dict())
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True
    theirs = [getattr(torch.optim, name)([torch.nn.Parameter(torch.ones(1))]) for name in ("Adam", "AdamW")]
    theirs[0].load_state_dict(theirs[1].state_dict())
    assert theirs[0].param_groups[0]["decoupled_weight_decay"] is True


def test_steps_that_pytorch_keeps_as_tensors_are_read() -> None:
    optimizer, p = trained("Adam")
    state = optimizer.state_dict()
    state["state"][0]["step"] = np.array(4.0, np.float32)
    state["state"][1]["step"] = minidl.tensor(3.0)
    optimizer.load_state_dict(state)
    assert [type(entry["step"]) for entry in optimizer.state.values()] == [int, int] and optimizer.state[p]["step"] == 4
