"""Schedules that give each step a factor.

All but `LambdaLR` change the rates that they find, as in PyTorch, so that several can be stepped in turn.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from copy import copy
from math import cos, pi
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from minidl.arguments import read_list
from minidl.errors import ArgumentError, DTypeError
from minidl.optim.lr_scheduler._base import LRScheduler
from minidl.optim.optimizer import Optimizer, check_number


class GammaLR(LRScheduler):
    """Base class of schedules that multiply the rate by gamma now and then.

    A subclass writes `_times`, how often that is up to a step.
    """

    gamma: float

    def _check(self):
        check_number(self._name, "gamma", self.gamma, 0)

    def _times(self, step: int) -> int:
        raise NotImplementedError

    def _lr(self, i):
        step, lr = self.last_epoch, self.optimizer.param_groups[i]["lr"]
        times = self._times(step) - (self._times(step - 1) if step else 0)
        return lr * self.gamma**times if times else lr


class FactorLR(LRScheduler):
    """Base class of schedules whose rate, as far as it is above `eta_min`, is multiplied by a factor of the step.

    A subclass writes `_factor`. As others may change the rate too, it is multiplied by what that changes by.
    """

    eta_min: float = 0.0

    def _factor(self, step: int) -> float:
        raise NotImplementedError

    def _lr(self, i):
        step, lr = self.last_epoch, self.optimizer.param_groups[i]["lr"]
        previous, now = self._factor(step - 1) if step else 1.0, self._factor(step)
        if now == previous:
            return lr
        if previous == 0:
            # Nothing is left to multiply.
            return lr + (self.base_lrs[i] - self.eta_min) * now
        return self.eta_min + (lr - self.eta_min) * (now / previous)


class StepLR(GammaLR):
    """Multiply the learning rate by gamma every step_size steps.

    Examples
    --------
    >>> import minidl
    >>> optimizer = minidl.optim.SGD([minidl.nn.Parameter([0.0])], lr=0.5)
    >>> schedule = minidl.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def _check(self):
        self._check_count("step_size", self.step_size)
        super()._check()

    def _times(self, step):
        return step // self.step_size


class MultiStepLR(GammaLR):
    """Multiply the learning rate by gamma at each milestone, a number of steps.

    Milestones must not decrease; one that is there twice counts twice.

    Examples
    --------
    >>> import minidl
    >>> optimizer = minidl.optim.SGD([minidl.nn.Parameter([0.0])], lr=1.0)
    >>> schedule = minidl.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[1, 3], gamma=0.5)
    >>> for _ in range(4):
    ...     print(schedule.get_last_lr())
    ...     schedule.step()
    [1.0]
    [0.5]
    [0.5]
    [0.25]
    """

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = read_list("MultiStepLR", "milestones", milestones, "a list of ints"), gamma
        super().__init__(optimizer)

    def _check(self):
        self._check_milestones(self.milestones, low=0, may_repeat=True)
        super()._check()

    def _times(self, step):
        return bisect_right(self.milestones, step)


class ExponentialLR(GammaLR):
    """Multiply the learning rate by gamma at every step.

    Examples
    --------
    >>> import minidl
    >>> optimizer = minidl.optim.SGD([minidl.nn.Parameter([0.0])], lr=1.0)
    >>> schedule = minidl.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> schedule.step()
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def _times(self, step):
        return step


class ConstantLR(FactorLR):
    """The learning rate times factor for total_iters steps, and then the learning rate.

    Examples
    --------
    >>> import minidl
    >>> optimizer = minidl.optim.SGD([minidl.nn.Parameter([0.0])], lr=1.0)
    >>> schedule = minidl.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2)
    >>> for _ in range(3):
    ...     print(schedule.get_last_lr())
    ...     schedule.step()
    [0.5]
    [0.5]
    [1.0]
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5) -> None:
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer)

    def _check(self):
        check_number(self._name, "factor", self.factor, 0, up_to=1)
        self._check_count("total_iters", self.total_iters)

    def _factor(self, step):
        return self.factor if step < self.total_iters else 1.0


class LinearLR(FactorLR):
    """The learning rate times a factor that goes from start_factor to end_factor, evenly, in total_iters steps.

    Examples
    --------
    >>> import minidl
    >>> optimizer = minidl.optim.SGD([minidl.nn.Parameter([0.0])], lr=1.0)
    >>> schedule = minidl.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> for _ in range(3):
    ...     print(schedule.get_last_lr())
    ...     schedule.step()
    [0.5]
    [0.75]
    [1.0]
    """

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer)

    def _check(self):
        check_number(self._name, "start_factor", self.start_factor, 0, up_to=1)
        if self.start_factor == 0:
            raise ArgumentError("LinearLR: start_factor must be above 0, got 0")
        check_number(self._name, "end_factor", self.end_factor, 0, up_to=1)
        self._check_count("total_iters", self.total_iters)

    def _factor(self, step):
        part = min(step, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * part


class CosineAnnealingLR(FactorLR):
    """From the learning rate to eta_min along half a cosine of T_max steps, and on along the cosine.

    ``lr = eta_min + (base - eta_min) (1 + cos(pi step / T_max)) / 2``

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, equation 5.

    Examples
    --------
    >>> import minidl
    >>> optimizer = minidl.optim.SGD([minidl.nn.Parameter([0.0])], lr=1.0)
    >>> schedule = minidl.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    >>> for _ in range(3):
    ...     print([round(lr, 3) for lr in schedule.get_last_lr()])
    ...     schedule.step()
    [1.0]
    [0.5]
    [0.0]
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def _check(self):
        self._check_count("T_max", self.T_max)
        check_number(self._name, "eta_min", self.eta_min)

    def _factor(self, step):
        return (1 + cos(pi * step / self.T_max)) / 2


class LambdaLR(LRScheduler):
    """The learning rate that a group began with, times a function of the step's number.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups are set.
    lr_lambda : callable or list of callable
        Gives the factor for the number of steps so far: one for all groups, or one for each. Functions are not part of
        the state dict; of other callable objects, the attributes are.

    Raises
    ------
    ArgumentError
        If their number is not that of the groups, or one of them returns no number.
    DTypeError
        If one of them can't be called.

    Examples
    --------
    >>> import minidl
    >>> optimizer = minidl.optim.SGD([minidl.nn.Parameter([0.0])], lr=1.0)
    >>> schedule = minidl.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | list[Callable[[int], float]]) -> None:
        self.lr_lambdas: Any = lr_lambda
        super().__init__(optimizer)

    def _check(self):
        self.lr_lambdas = self._spread_over_groups("lr_lambdas")
        for function in self.lr_lambdas:
            if not callable(function):
                raise DTypeError(f"LambdaLR: lr_lambda must be callable, got {type(function).__name__}")

    def _lr(self, i):
        factor = self.lr_lambdas[i](self.last_epoch)
        try:
            return self.base_lrs[i] * float(factor)
        except (TypeError, ValueError):
            raise ArgumentError(f"LambdaLR: lr_lambda must return a number, got {factor!r}") from None

    def state_dict(self):
        """The schedule's settings but for functions, where it is, and the learning rates now."""
        plain = FunctionType | BuiltinFunctionType | MethodType | type
        saved = [
            None if isinstance(function, plain) else dict(getattr(function, "__dict__", {})) or None
            for function in self.lr_lambdas
        ]
        return {**super().state_dict(), "lr_lambdas": saved}

    def _read(self, state):
        functions = []
        for function, saved in zip(self.lr_lambdas, state["lr_lambdas"], strict=True):
            if saved is not None:
                # A copy, so that nothing has changed if a checkpoint turns out not to fit later on.
                function = copy(function)
                vars(function).update(saved)
            functions.append(function)
        state["lr_lambdas"] = functions
