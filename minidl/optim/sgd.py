"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minidl import kernels
from minidl.errors import ArgumentError
from minidl.optim.optimizer import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

    ``g = grad + weight_decay p``; ``velocity = momentum velocity + (1 - dampening) g``, g itself the first time;
    ``p -= lr velocity``, or with Nesterov's momentum ``p -= lr (g + momentum velocity)``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        What to optimise; dicts are groups with options of their own.
    lr : float
        The learning rate.
    momentum, dampening, weight_decay : float
        At least 0.
    nesterov : bool
        Look ahead; needs momentum, and no dampening.
    maximize : bool
        Climb instead.

    Raises
    ------
    ArgumentError
        If an option is out of its range.

    References
    ----------
    Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013.

    Examples
    --------
    >>> import minidl
    >>> p = minidl.nn.Parameter([1.0])
    >>> optimizer = minidl.optim.SGD([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    Parameter([0.5], requires_grad=True)
    """

    _numbers = ("lr", "momentum", "dampening", "weight_decay")
    _flags = ("nesterov", "maximize")
    _may_remember = ("momentum_buffer",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def _check(self, group):
        super()._check(group)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ArgumentError("SGD: nesterov needs momentum above 0 and dampening of 0")

    def _update(self, group, parameters, grads):
        velocities: list[Any] = []
        first = [False] * len(parameters)
        if group["momentum"]:
            first = ["momentum_buffer" not in self.state.get(p, ()) for p in parameters]
            velocities = self._recall(parameters, self._may_remember)["momentum_buffer"]
        kernels.sgd_step(
            grads,
            [p._data for p in parameters],
            velocities,
            first,
            lr=group["lr"],
            momentum=group["momentum"],
            dampening=group["dampening"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
        )
