"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minidl import kernels
from minidl.optim.optimizer import Optimizer


class RMSprop(Optimizer):
    """RMSprop: each parameter steps by its gradient over the root of its mean squared gradient.

    ``v = alpha v + (1 - alpha) g^2``; ``p -= lr g / (sqrt(v) + eps)``, with ``g = grad + weight_decay p``. Centered,
    v is less the square of the mean gradient. With momentum, ``velocity = momentum velocity + g / (sqrt(v) + eps)``
    and ``p -= lr velocity``.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        What to optimise; dicts are groups with options of their own.
    lr : float
        The learning rate.
    alpha : float
        How much of the mean is kept at each step.
    eps : float
        Added to the root.
    weight_decay, momentum : float
        At least 0.
    centered : bool
        Divide by an estimate of the standard deviation. Where a gradient hardly changes, rounding can make the
        variance negative, and the parameter NaN, as in PyTorch.
    maximize : bool
        Climb instead.

    Raises
    ------
    ArgumentError
        If an option is out of its range.

    References
    ----------
    Tieleman and Hinton, "Lecture 6.5: rmsprop", Coursera, 2012. Centered: Graves, "Generating sequences with recurrent
    neural networks", 2013, equations 38 to 41; here the eps is outside the root.

    Examples
    --------
    >>> import minidl
    >>> p = minidl.nn.Parameter([1.0])
    >>> optimizer = minidl.optim.RMSprop([p], lr=0.1, alpha=0.75)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    Parameter([0.8], requires_grad=True)
    """

    _numbers = ("lr", "alpha", "eps", "weight_decay", "momentum")
    _flags = ("centered", "maximize")
    _remembers = ("step", "square_avg")
    _may_remember = ("grad_avg", "momentum_buffer")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
                "maximize": maximize,
            },
        )

    def _update(self, group, parameters, grads):
        used = zip(self._may_remember, (group["centered"], group["momentum"]), strict=True)
        memory = self._recall(parameters, [*self._remembers, *(name for name, is_used in used if is_used)])
        kernels.rmsprop_step(
            grads,
            [p._data for p in parameters],
            memory["square_avg"],
            memory.get("grad_avg", []),
            memory.get("momentum_buffer", []),
            lr=group["lr"],
            alpha=group["alpha"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            centered=group["centered"],
            maximize=group["maximize"],
        )
