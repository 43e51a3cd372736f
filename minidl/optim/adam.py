"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any

from minidl import kernels
from minidl.errors import ArgumentError
from minidl.optim.optimizer import Optimizer


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
    decoupled_weight_decay : bool
        Shrink the parameter itself, as `AdamW` does.

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

    _numbers = ("lr", "eps", "weight_decay")
    _flags = ("amsgrad", "maximize", "decoupled_weight_decay")
    _remembers = ("step", "exp_avg", "exp_avg_sq")
    _may_remember = ("max_exp_avg_sq",)

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
        decoupled_weight_decay: bool = False,
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
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def _update(self, group, parameters, grads):
        beta1, beta2 = group["betas"]
        names = self._remembers + (self._may_remember if group["amsgrad"] else ())
        memory = self._recall(parameters, names)
        steps = memory["step"]
        # As a rule all parameters have taken as many steps.
        corrections = {step: (1 - beta1 ** (step + 1), sqrt(1 - beta2 ** (step + 1))) for step in set(steps)}
        kernels.adam_step(
            grads,
            [p._data for p in parameters],
            memory["exp_avg"],
            memory["exp_avg_sq"],
            memory.get("max_exp_avg_sq", []),
            [corrections[step][0] for step in steps],
            [corrections[step][1] for step in steps],
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=group["decoupled_weight_decay"],
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
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)

    def _check(self, group):
        super()._check(group)
        if not group["decoupled_weight_decay"]:
            raise ArgumentError("AdamW: decoupled_weight_decay must be True; without it, this is Adam")
