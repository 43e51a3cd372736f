"""RAdam."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any

from minidl import kernels
from minidl.optim.optimizer import Optimizer


class RAdam(Optimizer):
    """Rectified Adam: as Adam, but along the mean gradient alone until its variance can be told.

    ``m = beta1 m + (1 - beta1) g``; ``v = beta2 v + (1 - beta2) g^2``; ``m' = m / (1 - beta1^t)``. With
    ``longest = 2 / (1 - beta2) - 1`` and ``length = longest - 2 t beta2^t / (1 - beta2^t)``, the average length of v's
    memory, ``p -= lr m'`` up to a length of 5, and from there on
    ``p -= lr m' r sqrt(1 - beta2^t) / (sqrt(v) + eps)``, where ``r^2`` is
    ``(length - 4) (length - 2) longest / ((longest - 4) (longest - 2) length)``. ``g = grad + weight_decay p``.

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
    decoupled_weight_decay : bool
        Shrink the parameter itself, ``p *= 1 - lr weight_decay`` before each step, instead of adding to its gradient.
    maximize : bool
        Climb instead.

    Raises
    ------
    ArgumentError
        If an option is out of its range.

    References
    ----------
    Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020, algorithm 2. The threshold is 5
    as in PyTorch, where the paper has 4; the paper has no eps.

    Examples
    --------
    >>> import minidl
    >>> p = minidl.nn.Parameter([1.0])
    >>> optimizer = minidl.optim.RAdam([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    Parameter([0.5], requires_grad=True)
    """

    _numbers = ("lr", "eps", "weight_decay")
    _flags = ("decoupled_weight_decay", "maximize")
    _remembers = ("step", "exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
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
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def _update(self, group, parameters, grads):
        beta1, beta2 = group["betas"]
        memory = self._recall(parameters, self._remembers)
        rectified = {step: _rectified(step + 1, beta2) for step in set(memory["step"])}
        kernels.radam_step(
            grads,
            [p._data for p in parameters],
            memory["exp_avg"],
            memory["exp_avg_sq"],
            [1 - beta1 ** (step + 1) for step in memory["step"]],
            [rectified[step] for step in memory["step"]],
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=group["decoupled_weight_decay"],
            maximize=group["maximize"],
        )


def _rectified(step: int, beta2: float) -> float:
    """The rectification times Adam's correction of the root, or 0 while the memory is too short for either."""
    kept = beta2**step
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * kept / (1 - kept)
    if length <= 5:
        return 0.0
    rectification = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    return sqrt(rectification) * sqrt(1 - kept)
