"""Lion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minidl import kernels
from minidl.optim.optimizer import Optimizer


class Lion(Optimizer):
    """Lion: every element steps by lr, along the sign of a mean of its gradients.

    ``p = (1 - lr weight_decay) p - lr sign(beta1 m + (1 - beta1) grad)``; then ``m = beta2 m + (1 - beta2) grad``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        What to optimise; dicts are groups with options of their own.
    lr : float
        The learning rate; the authors advise a third to a tenth of AdamW's.
    betas : (float, float)
        How much of the mean counts in the step, and is kept for the next ones, from 0 and below 1.
    weight_decay : float
        At least 0; it is decoupled from the gradient, and wants to be larger where lr is smaller.
    maximize : bool
        Climb instead.

    Raises
    ------
    ArgumentError
        If an option is out of its range.

    References
    ----------
    Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023, algorithm 2.

    Examples
    --------
    >>> import minidl
    >>> p = minidl.nn.Parameter([1.0, -3.0])
    >>> optimizer = minidl.optim.Lion([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    Parameter([ 0.75, -2.75], requires_grad=True)
    """

    _numbers = ("lr", "weight_decay")
    _flags = ("maximize",)
    _remembers = ("exp_avg",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize})

    def _update(self, group, parameters, grads):
        kernels.lion_step(
            grads,
            [p._data for p in parameters],
            self._recall(parameters, self._remembers)["exp_avg"],
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
        )
