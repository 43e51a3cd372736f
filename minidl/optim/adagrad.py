"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minidl import kernels
from minidl.optim.optimizer import Optimizer


class Adagrad(Optimizer):
    """Adagrad: each parameter steps by its gradient over the root of the sum of its squared gradients.

    ``s += g^2``; ``p -= rate g / (sqrt(s) + eps)``, with ``g = grad + weight_decay p`` and
    ``rate = lr / (1 + (t - 1) lr_decay)`` at step t.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        What to optimise; dicts are groups with options of their own.
    lr : float
        The learning rate.
    lr_decay, weight_decay : float
        At least 0.
    initial_accumulator_value : float
        What the sums begin with, at a parameter's first step.
    eps : float
        Added to the root.
    maximize : bool
        Climb instead.

    Raises
    ------
    ArgumentError
        If an option is out of its range.

    References
    ----------
    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 2011.

    Examples
    --------
    >>> import minidl
    >>> p = minidl.nn.Parameter([1.0])
    >>> optimizer = minidl.optim.Adagrad([p], lr=0.5)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    Parameter([0.5], requires_grad=True)
    """

    _numbers = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
    _flags = ("maximize",)
    _remembers = ("step", "sum")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
                "maximize": maximize,
            },
        )

    def _update(self, group, parameters, grads):
        # PyTorch passes over a group's own initial_accumulator_value; here it counts, like any other option.
        memory = self._recall(parameters, self._remembers, fill=group["initial_accumulator_value"])
        kernels.adagrad_step(
            grads,
            [p._data for p in parameters],
            memory["sum"],
            [group["lr"] / (1 + step * group["lr_decay"]) for step in memory["step"]],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
        )
