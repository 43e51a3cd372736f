"""Optimisers beside PyTorch's, step by step, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.errors import ArgumentError, DTypeError, GraphError, ShapeError, StateDictError

STEPS = 100
SHAPES = [(3, 4), (5,), (), (2, 3, 2, 2)]

CONFIGURATIONS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.01, "momentum": 0.5, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-6}),
    ("Adam", {"lr": 0.02, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.02, "amsgrad": True}),
    ("Adam", {"lr": 0.02, "amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.02, "weight_decay": 0.3}),
    ("AdamW", {"lr": 0.02, "amsgrad": True, "maximize": True}),
]


def gradients(step: int, dtypes: list[str]) -> list[np.ndarray]:
    generator = np.random.default_rng(step)
    # Shrinks and grows, so that the largest second moment of amsgrad matters.
    scale = 1 + np.cos(step / 7)
    return [np.asarray(scale * generator.standard_normal(s)).astype(d) for s, d in zip(SHAPES, dtypes, strict=True)]


def start(dtypes: list[str]) -> list[np.ndarray]:
    generator = np.random.default_rng(1000)
    return [np.asarray(generator.standard_normal(s)).astype(d) for s, d in zip(SHAPES, dtypes, strict=True)]


def pairs(torch: Any, dtypes: list[str]) -> tuple[list, list]:
    ours = [nn.Parameter(a.copy()) for a in start(dtypes)]
    theirs = [torch.nn.Parameter(torch.from_numpy(a.copy())) for a in start(dtypes)]
    return ours, theirs


def drive(torch: Any, ours: list, theirs: list, our: Any, their: Any, dtypes: list[str], steps: range) -> None:
    for step in steps:
        for p, q, g in zip(ours, theirs, gradients(step, dtypes), strict=True):
            p.grad, q.grad = minidl.Tensor(g.copy()), torch.from_numpy(g.copy())
        our.step()
        their.step()


def assert_same(ours: list, theirs: list, rtol: dict[str, float] | float) -> None:
    for p, q in zip(ours, theirs, strict=True):
        tolerance = rtol if isinstance(rtol, float) else rtol[str(p.dtype)]
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "options"), CONFIGURATIONS)
def test_100_steps_as_in_pytorch(torch: Any, name: str, options: dict) -> None:
    dtypes = ["float64"] * 4
    ours, theirs = pairs(torch, dtypes)
    our, their = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    drive(torch, ours, theirs, our, their, dtypes, range(STEPS))
    assert not np.allclose(ours[0].numpy(), start(dtypes)[0])
    assert_same(ours, theirs, 1e-12)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_float32_and_float64_in_one_optimiser(torch: Any, name: str) -> None:
    dtypes = ["float32", "float64", "float32", "float64"]
    ours, theirs = pairs(torch, dtypes)
    options = {"lr": 0.02, **({"momentum": 0.9} if name == "SGD" else {})}
    our, their = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    drive(torch, ours, theirs, our, their, dtypes, range(STEPS))
    assert [str(p.dtype) for p in ours] == dtypes
    assert_same(ours, theirs, {"float32": 2e-5, "float64": 1e-12})


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_groups_with_options_of_their_own(torch: Any, name: str) -> None:
    dtypes = ["float64"] * 4
    ours, theirs = pairs(torch, dtypes)

    def groups(params: list) -> list[dict]:
        return [{"params": params[:2], "lr": 0.05}, {"params": params[2:3], "weight_decay": 0.2}]

    our, their = getattr(optim, name)(groups(ours), lr=0.01), getattr(torch.optim, name)(groups(theirs), lr=0.01)
    our.add_param_group({"params": ours[3], "lr": 0.1})
    their.add_param_group({"params": theirs[3], "lr": 0.1})
    assert [g["lr"] for g in our.param_groups] == [0.05, 0.01, 0.1]
    drive(torch, ours, theirs, our, their, dtypes, range(40))
    for optimizer in (our, their):
        optimizer.param_groups[1]["lr"] = 0.5
    drive(torch, ours, theirs, our, their, dtypes, range(40, STEPS))
    assert_same(ours, theirs, 1e-12)


@pytest.mark.parametrize(("name", "options"), [
    ("SGD", {"momentum": 0.9}), ("SGD", {}), ("Adam", {"amsgrad": True}), ("AdamW", {}),
])  # fmt: skip
def test_state_dict_round_trip(torch: Any, name: str, options: dict) -> None:
    dtypes = ["float64"] * 4
    ours, theirs = pairs(torch, dtypes)
    our = getattr(optim, name)(ours, lr=0.05, **options)
    their = getattr(torch.optim, name)(theirs, lr=0.05, **options)
    drive(torch, ours, theirs, our, their, dtypes, range(30))
    saved = our.state_dict()
    values = {i: {k: np.array(v) for k, v in entry.items()} for i, entry in saved["state"].items()}
    copies = [nn.Parameter(p.numpy().copy()) for p in ours]
    fresh = getattr(optim, name)(copies, lr=99.0, **options)
    fresh.load_state_dict(saved)
    assert fresh.param_groups[0]["lr"] == 0.05
    drive(torch, copies, theirs, fresh, their, dtypes, range(30, 60))
    assert_same(copies, theirs, 1e-12)
    for i, entry in saved["state"].items():
        for key, value in entry.items():
            assert np.array_equal(value, values[i][key]), "what was saved must not change with the optimiser"


def test_parameters_without_gradient_stay() -> None:
    for make in (lambda p: optim.SGD(p, lr=1.0, weight_decay=0.5, momentum=0.9), lambda p: optim.AdamW(p, lr=1.0)):
        trained, resting, frozen = nn.Parameter([1.0]), nn.Parameter([2.0]), nn.Parameter([3.0], requires_grad=False)
        optimizer = make([trained, resting, frozen])
        (trained * frozen).sum().backward()
        optimizer.step()
        assert trained.item() != 1 and resting.item() == 2 and frozen.item() == 3
        assert resting not in optimizer.state and frozen.grad is None


def test_a_parameter_that_gets_its_first_gradient_late(torch: Any) -> None:
    p, q = nn.Parameter(np.ones(2)), torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    other, other_q = nn.Parameter(np.ones(1)), torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    our, their = optim.Adam([p, other], lr=0.1), torch.optim.Adam([q, other_q], lr=0.1)
    for step in range(10):
        other.grad, other_q.grad = minidl.tensor(np.ones(1)), torch.ones(1, dtype=torch.float64)
        if step >= 5:
            p.grad = minidl.tensor(np.full(2, step + 0.5))
            q.grad = torch.full((2,), step + 0.5, dtype=torch.float64)
        our.step()
        their.step()
    assert_same([p, other], [q, other_q], 1e-12)


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


def test_gradients_in_other_layouts() -> None:
    p, q = nn.Parameter(np.zeros((3, 2))), nn.Parameter(np.zeros((3, 2)))
    gradient = np.arange(6.0).reshape(2, 3)
    gradient.flags.writeable = False
    p.grad, q.grad = minidl.Tensor(gradient.T), minidl.Tensor(gradient.T.copy())
    optim.SGD([p, q], lr=1.0).step()
    assert p.tolist() == q.tolist() == (-gradient.T).tolist()


def test_empty_parameters() -> None:
    p = nn.Parameter(np.zeros((0, 3)))
    p.grad = minidl.zeros(0, 3, dtype="float64")
    optim.Adam([p]).step()
    assert p.shape == (0, 3)


class TestRefusals:
    @pytest.mark.parametrize(("name", "options", "match"), [
        ("SGD", {"lr": -1}, "SGD: lr must be a number of at least 0, got -1"),
        ("SGD", {"lr": float("nan")}, "SGD: lr must be a number"),
        ("SGD", {"lr": "fast"}, "SGD: lr must be a number .* got 'fast'"),
        ("SGD", {"lr": True}, "SGD: lr must be a number"),
        ("SGD", {"momentum": -0.1}, "SGD: momentum must be"),
        ("SGD", {"dampening": -0.1}, "SGD: dampening must be"),
        ("SGD", {"weight_decay": -0.1}, "SGD: weight_decay must be"),
        ("SGD", {"nesterov": True}, "SGD: nesterov needs momentum above 0 and dampening of 0"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "SGD: nesterov needs"),
        ("Adam", {"lr": -1}, "Adam: lr must be"),
        ("Adam", {"eps": -1}, "Adam: eps must be"),
        ("Adam", {"betas": (1.0, 0.9)}, r"Adam: betas\[0\] must be a number of at least 0 and below 1, got 1.0"),
        ("Adam", {"betas": (0.9, -0.1)}, r"Adam: betas\[1\]"),
        ("Adam", {"betas": (0.9,)}, "Adam: betas must be two numbers"),
        ("Adam", {"betas": 0.9}, "Adam: betas must be two numbers, got 0.9"),
        ("AdamW", {"weight_decay": -1}, "AdamW: weight_decay must be"),
    ])  # fmt: skip
    def test_options(self, name: str, options: dict, match: str) -> None:
        with pytest.raises(ArgumentError, match=match):
            getattr(optim, name)([nn.Parameter([1.0])], **options)

    def test_parameters(self) -> None:
        p = nn.Parameter([1.0])
        for params, error, match in (
            ([], ArgumentError, "SGD: params is empty"),
            (p, DTypeError, "SGD: params must be an iterable of tensors or of groups, got one tensor"),
            ([np.ones(2)], DTypeError, r"SGD: params\[0\] must be a tensor, got ndarray"),
            ([p, p], ArgumentError, r"SGD: params\[1\] is there twice"),
            ([{"params": [p]}, {"params": [p]}], ArgumentError, r"SGD: params\[0\] is there twice"),
            ([p * 2], GraphError, r"SGD: params\[0\] was computed by an operation"),
            ([{"params": [p], "learning_rate": 1}], ArgumentError, "unknown options in .* group: learning_rate"),
            ([{"lr": 1}], ArgumentError, "a parameter group must be a dict with the key 'params'"),
            ([{"params": [p], "lr": -1}], ArgumentError, "SGD: lr must be"),
        ):
            with pytest.raises(error, match=match):
                optim.SGD(params)

    def test_gradients(self) -> None:
        p = nn.Parameter([1.0, 2.0])
        optimizer = optim.Adam([p])
        p.grad = minidl.ones(3)
        with pytest.raises(ShapeError, match=r"Adam: a parameter of shape \(2,\) has a gradient of \(3,\)"):
            optimizer.step()
        p.grad = minidl.ones(2, dtype="float64")
        with pytest.raises(DTypeError, match="Adam: a parameter of float32 has a gradient of float64"):
            optimizer.step()
        array = np.ones(2, np.float32)
        array.flags.writeable = False
        fixed = minidl.Tensor(array, requires_grad=True)
        fixed.grad = minidl.ones(2)
        with pytest.raises(ArgumentError, match="read-only or not C-contiguous"):
            optim.SGD([fixed]).step()
        assert p.tolist() == [1, 2] and array.tolist() == [1, 1]

    @pytest.mark.parametrize(("change", "error", "match"), [
        (lambda s: {}, StateDictError, "Adam: not an optimiser's state dict"),
        (lambda s: {**s, "param_groups": 3}, StateDictError, "Adam: not an optimiser's state dict"),
        (lambda s: {**s, "state": [1]}, StateDictError, "Adam: not an optimiser's state dict"),
        (lambda s: {**s, "state": {"a": {}}}, StateDictError, "Adam: not an optimiser's state dict"),
        (lambda s: {**s, "state": {7: {}}}, StateDictError, "state for parameter 7 of 2"),
        (lambda s: {**s, "param_groups": s["param_groups"] * 2}, StateDictError, r"groups of \[2, 2\] parameters"),
        (lambda s: {**s, "param_groups": [{"params": [0, 1]}]}, StateDictError, r"group 0 .* lacks \['amsgrad'"),
        (lambda s: {**s, "param_groups": [{**s["param_groups"][0], "lr": -1}]}, ArgumentError, "Adam: lr must be"),
        (lambda s: {**s, "state": {0: {**s["state"][0], "exp_avg": np.ones(5)}}}, StateDictError,
         r"exp_avg of parameter 0 has shape \(5,\), the parameter \(2,\)"),
    ])  # fmt: skip
    def test_state_dicts_change_nothing(self, change: Any, error: type, match: str) -> None:
        def trained() -> tuple:
            p, q = nn.Parameter([1.0, 2.0]), nn.Parameter([[3.0]])
            optimizer = optim.Adam([p, q], lr=0.25)
            p.grad, q.grad = minidl.ones(2), minidl.ones(1, 1)
            optimizer.step()
            return optimizer, p

        optimizer, p = trained()
        other, _ = trained()
        other.param_groups[0]["lr"] = 0.125
        with pytest.raises(error, match=match):
            optimizer.load_state_dict(change(other.state_dict()))
        assert optimizer.param_groups[0]["lr"] == 0.25
        assert optimizer.state[p]["step"] == 1


class TestClipGradNorm:
    @pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.5, float("inf")])
    @pytest.mark.parametrize("max_norm", [0.5, 1e6, 0.0])
    def test_as_in_pytorch(self, torch: Any, norm_type: float, max_norm: float) -> None:
        dtypes = ["float64"] * 4
        ours, theirs = pairs(torch, dtypes)
        for p, q, g in zip(ours, theirs, gradients(3, dtypes), strict=True):
            p.grad, q.grad = minidl.Tensor(g.copy()), torch.from_numpy(g.copy())
        ours[1].grad = theirs[1].grad = None
        found = optim.clip_grad_norm_(iter(ours), max_norm, norm_type)
        expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
        assert found.shape == () and found.item() == pytest.approx(expected.item(), rel=1e-13)
        for p, q in zip(ours, theirs, strict=True):
            if q.grad is not None:
                np.testing.assert_allclose(p.grad.data, q.grad.numpy(), rtol=1e-12)

    def test_not_finite(self) -> None:
        p = nn.Parameter([1.0])
        p.grad = minidl.tensor([float("nan")])
        with pytest.raises(ArgumentError, match="clip_grad_norm_: the norm of the gradients is nan"):
            optim.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
        assert np.isnan(optim.clip_grad_norm_(p, 1.0).item())

    def test_nothing_to_clip(self) -> None:
        assert optim.clip_grad_norm_([nn.Parameter([1.0])], 1.0).item() == 0

    @pytest.mark.parametrize("arguments", [(-1.0,), (1.0, 0.0), (1.0, -2.0), (float("nan"),)])
    def test_bad_options(self, arguments: tuple) -> None:
        with pytest.raises(ArgumentError, match="clip_grad_norm_: max_norm and norm_type must be positive"):
            optim.clip_grad_norm_([nn.Parameter([1.0])], *arguments)
