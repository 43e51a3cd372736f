"""Optimisers of minidl and PyTorch side by side, on the same parameters and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from parity import assert_close

import minidl
from minidl import nn

STEPS = 100
SHAPES = [(3, 4), (5,), (), (2, 3, 2, 2), (0, 3)]
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}

NAMES = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "RAdam", "Lion"]


def draw(seed: int, dtypes: list[str]) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [np.asarray(generator.standard_normal(s)).astype(d) for s, d in zip(SHAPES, dtypes, strict=False)]


def pairs(torch: Any, dtypes: list[str]) -> tuple[list, list]:
    ours = [nn.Parameter(a.copy()) for a in draw(1000, dtypes)]
    theirs = [torch.nn.Parameter(torch.from_numpy(a.copy())) for a in draw(1000, dtypes)]
    return ours, theirs


def theirs_of(torch: Any, name: str, params: Any, **options: Any) -> Any:
    """PyTorch's optimiser of this name; Lion, which it has not, as twin."""
    return lion_in_torch(torch)(params, **options) if name == "Lion" else getattr(torch.optim, name)(params, **options)


def lion_in_torch(torch: Any) -> type:
    class Lion(torch.optim.Optimizer):
        """Chen et al. 2023, algorithm 2, line by line."""

        def __init__(
            self, params: Any, lr: float = 1e-4, betas: tuple = (0.9, 0.99), weight_decay: float = 0.0,
            maximize: bool = False,
        ) -> None:  # fmt: skip
            super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize})

        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                beta1, beta2 = group["betas"]
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    g = -p.grad if group["maximize"] else p.grad
                    m = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                    c = beta1 * m + (1 - beta1) * g
                    p -= group["lr"] * (torch.sign(c) + group["weight_decay"] * p)
                    m.copy_(beta2 * m + (1 - beta2) * g)

    return Lion


def drive(torch: Any, ours: list, theirs: list, our: Any, their: Any, dtypes: list[str], steps: range) -> None:
    """The gradients of a random quadratic, each at its own parameters, plus noise."""
    uphill = our.defaults["maximize"]
    for step in steps:
        # Shrinks and grows, so that the largest second moment of amsgrad matters.
        scale = 1 + np.cos(step / 7)
        noise, curvature = draw(step, dtypes), draw(2000, dtypes)
        for p, q, e, c in zip(ours, theirs, noise, curvature, strict=True):
            c = np.asarray(-abs(c) if uphill else abs(c))
            e = np.asarray(scale * e, c.dtype)
            p.grad, q.grad = minidl.Tensor(c * p.data + e), torch.from_numpy(c) * q.detach() + torch.from_numpy(e)
        our.step()
        their.step()


def assert_same(ours: list, theirs: list) -> None:
    for p, q in zip(ours, theirs, strict=True):
        assert_close(p.numpy(), q.detach().numpy(), TOLERANCE[str(p.dtype)])


def assert_same_state(our: Any, their: Any, ours: list, theirs: list) -> None:
    for p, q in zip(ours, theirs, strict=True):
        mine, other = our.state.get(p, {}), their.state.get(q, {})
        assert set(mine) == {name for name, value in other.items() if value is not None}
        for name, value in mine.items():
            assert_close(np.asarray(value), np.asarray(other[name]), TOLERANCE[str(p.dtype)], name)
