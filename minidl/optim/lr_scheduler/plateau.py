"""The schedule that waits for a metric."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from minidl.errors import ArgumentError
from minidl.optim.lr_scheduler._base import LRScheduler
from minidl.optim.optimizer import Optimizer, check_number


class ReduceLROnPlateau(LRScheduler):
    """Multiply the learning rate by factor when a metric has not improved for more than patience steps.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups are set.
    mode : {'min', 'max'}
        Whether a smaller or a larger metric is better.
    factor : float
        From 0 and below 1.
    patience : int
        How many steps without improvement are put up with.
    threshold : float
        By how much the best metric must be bettered.
    threshold_mode : {'rel', 'abs'}
        Whether that is a part of the best metric, or a difference.
    cooldown : int
        How many steps are not counted after a reduction.
    min_lr : float or list of float
        What the rate is not reduced below, for all groups or each.
    eps : float
        Reductions by no more than this are left out.

    Raises
    ------
    ArgumentError
        If an option is out of its range.

    Examples
    --------
    >>> import minidl
    >>> optimizer = minidl.optim.SGD([minidl.nn.Parameter([0.0])], lr=1.0)
    >>> schedule = minidl.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (3.0, 2.0, 2.5, 2.0):
    ...     schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.min_lr, self.eps = cooldown, min_lr, eps
        self.best = -inf if isinstance(mode, str) and mode == "max" else inf
        self.num_bad_epochs = self.cooldown_counter = 0
        super().__init__(optimizer)

    def _check(self):
        self._check_choice("mode", self.mode, ("min", "max"))
        self._check_choice("threshold_mode", self.threshold_mode, ("rel", "abs"))
        check_number(self._name, "factor", self.factor, 0, limit=1)
        check_number(self._name, "threshold", self.threshold)
        check_number(self._name, "eps", self.eps, 0)
        for name in ("patience", "cooldown", "num_bad_epochs", "cooldown_counter"):
            self._check_count(name, vars(self)[name], low=0)
        for lowest in self._spread_over_groups("min_lr"):
            check_number(self._name, "min_lr", lowest, 0)
        self._number("best", self.best)

    def _begin(self):
        # The rates stay as they are until a metric comes.
        self.last_epoch = 0

    @property
    def in_cooldown(self) -> bool:
        """Whether steps are not counted now."""
        return self.cooldown_counter > 0

    def _number(self, name: str, value: Any) -> float:
        try:
            if isinstance(value, complex | np.complexfloating | str):
                raise TypeError
            return float(value)
        except (TypeError, ValueError, OverflowError):
            raise ArgumentError(f"{self._name}: {name} must be a number, got {value!r:.80}") from None

    def _is_better(self, metric: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            return sign * metric > sign * self.best * (1 + sign * self.threshold)
        return sign * metric > sign * (self.best + sign * self.threshold)

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        """Go on, and reduce the learning rates if the metric has not improved for too long.

        Parameters
        ----------
        metrics : float or Tensor ()
            The metric, such as the loss on data that is not trained on. NaN is no improvement.

        Raises
        ------
        ArgumentError
            If it is no number.
        """
        metric = self._number("metrics", metrics)
        lowest = self._spread_over_groups("min_lr")
        self.last_epoch += 1
        if self._is_better(metric):
            self.best, self.num_bad_epochs = metric, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            for group, low in zip(self.optimizer.param_groups, lowest, strict=True):
                lr = max(group["lr"] * self.factor, low)
                if group["lr"] - lr > self.eps:
                    group["lr"] = lr
