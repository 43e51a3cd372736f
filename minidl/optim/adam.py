"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any

import numpy as np

from minidl import kernels
from minidl.errors import ArgumentError
from minidl.optim.optimizer import Optimizer, check_number


class Adam(Optimizer):
    """Adam: each parameter steps by its mean gradient over the root of its mean squared gradient.

    ``m = beta1 m + (1 - beta1) g``; ``v = beta2 v + (1 - beta2) g^2``;
    ``p -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)``, with ``g = grad + weight_decay p``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        What to optimise; dicts are groups with options of their own.
    lr : float
        The learning rate.
    betas : (float, float)
        How much of the two means is kept at each step, from 0 and below 1.
    eps : float
        Added to the root.
    weight_decay : float
        At least 0.
    amsgrad : bool
        Divide by the largest mean squared gradient so far (Reddi et al. 2018).
    maximize : bool
        Climb instead.

    Raises
    ------
    ArgumentError
        If an option is out of its range.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.

    Examples
    --------
    >>> import minidl
    >>> p = minidl.nn.Parameter([1.0])
    >>> optimizer = minidl.optim.Adam([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    Parameter([0.9], requires_grad=True)
    """

    _decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
            },
        )

    def _check(self, group):
        for name in ("lr", "eps", "weight_decay"):
            check_number(self._name, name, group[name], 0)
        if not isinstance(group["betas"], tuple | list) or len(group["betas"]) != 2:
            raise ArgumentError(f"{self._name}: betas must be two numbers, got {group['betas']!r}")
        for i, beta in enumerate(group["betas"]):
            check_number(self._name, f"betas[{i}]", beta, 0, below=1)

    def _update(self, group, parameters, grads):
        beta1, beta2 = group["betas"]
        means, squares, highest = [], [], []
        corrections1, corrections2 = np.empty(len(parameters)), np.empty(len(parameters))
        for i, p in enumerate(parameters):
            state = self.state.get(p)
            if state is None:
                state = {"step": 0, "exp_avg": np.zeros_like(p.data), "exp_avg_sq": np.zeros_like(p.data)}
                self.state[p] = state
            if group["amsgrad"]:
                highest.append(state.setdefault("max_exp_avg_sq", np.zeros_like(p.data)))
            state["step"] += 1
            corrections1[i] = 1 - beta1 ** state["step"]
            corrections2[i] = sqrt(1 - beta2 ** state["step"])
            means.append(state["exp_avg"])
            squares.append(state["exp_avg_sq"])
        kernels.adam_step(
            grads,
            [p.data for p in parameters],
            means,
            squares,
            highest,
            corrections1,
            corrections2,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=self._decoupled,
            amsgrad=group["amsgrad"],
            maximize=group["maximize"],
        )


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: ``p *= 1 - lr weight_decay`` before each step.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        What to optimise; dicts are groups with options of their own.
    lr, betas, eps, amsgrad, maximize
        As in `Adam`.
    weight_decay : float
        At least 0; 0.01 by default.

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.
    """

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
