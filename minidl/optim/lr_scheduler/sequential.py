"""Schedules one after the other."""

from __future__ import annotations

from bisect import bisect_right
from copy import copy
from typing import Any

from minidl.arguments import read_list
from minidl.errors import ArgumentError, DTypeError, StateDictError
from minidl.optim.lr_scheduler._base import LRScheduler
from minidl.optim.lr_scheduler.plateau import ReduceLROnPlateau
from minidl.optim.optimizer import Optimizer


class SequentialLR(LRScheduler):
    """Several schedules one after the other, each beginning at its own step 0.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups are set; the optimiser of all schedules.
    schedulers : list of LRScheduler
        What to follow. The first begins when this is made, from the rates that the optimiser began with; only
        this is stepped from then on.
    milestones : list of int
        The steps at which the second and further ones begin, one fewer than schedules, increasing.

    Raises
    ------
    ArgumentError
        If schedules are missing, of another optimiser, wait for a metric, or do not fit the milestones.
    DTypeError
        If one of them is no schedule.

    Notes
    -----
    A sequence may be one of the schedules. PyTorch's ends such a part a step early, or fails where it begins.

    Examples
    --------
    >>> import minidl
    >>> from minidl.optim.lr_scheduler import ExponentialLR, LinearLR, SequentialLR
    >>> optimizer = minidl.optim.SGD([minidl.nn.Parameter([0.0])], lr=1.0)
    >>> warm_up, decay = LinearLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)
    >>> schedule = SequentialLR(optimizer, [warm_up, decay], milestones=[2])
    >>> for _ in range(4):
    ...     print(schedule.get_last_lr())
    ...     schedule.step()
    [0.5]
    [0.75]
    [1.0]
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int]) -> None:
        self.schedulers = read_list("SequentialLR", "schedulers", schedulers, "a list of schedules")
        self.milestones = read_list("SequentialLR", "milestones", milestones, "a list of ints")
        super().__init__(optimizer)

    def _check(self):
        if not self.schedulers:
            raise ArgumentError("SequentialLR: schedulers is empty")
        for i, schedule in enumerate(self.schedulers):
            where = f"SequentialLR: schedulers[{i}]"
            if not isinstance(schedule, LRScheduler):
                raise DTypeError(f"{where} must be a schedule, got {type(schedule).__name__}")
            if isinstance(schedule, ReduceLROnPlateau):
                raise ArgumentError(f"{where} is a ReduceLROnPlateau, which needs a metric at each step")
            if schedule.optimizer is not self.optimizer:
                raise ArgumentError(f"{where} is of another optimiser")
            if any(schedule is other for other in self.schedulers[:i]):
                raise ArgumentError(f"{where} is there twice")
        if len(self.milestones) != len(self.schedulers) - 1:
            raise ArgumentError(
                f"SequentialLR: {len(self.schedulers)} schedulers need one milestone fewer, got {len(self.milestones)}"
            )
        self._check_milestones(self.milestones, low=0, may_repeat=False)

    @property
    def _current(self) -> LRScheduler:
        return self.schedulers[bisect_right(self.milestones, self.last_epoch)]

    def _go_to(self, rates: list[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr

    def _begin(self):
        self.last_epoch = 0
        for schedule in self.schedulers:
            schedule.last_epoch = -1
        self._go_to(self.base_lrs)
        self._current._begin()

    def step(self) -> None:
        """Go on to the next value, with the next schedule at a milestone; call it after the optimiser's `step`."""
        self.last_epoch += 1
        if self.last_epoch in self.milestones:
            self._go_to(self._current.base_lrs)
            self._current._begin()
        else:
            self._current.step()

    def state_dict(self) -> dict[str, Any]:
        """The state of each schedule, and where this is."""
        return {**super().state_dict(), "schedulers": [schedule.state_dict() for schedule in self.schedulers]}

    def _read(self, state):
        states = state["schedulers"]
        if not isinstance(states, list) or len(states) != len(self.schedulers):
            raise StateDictError(f"SequentialLR: the state dict is not one of {len(self.schedulers)} schedules")
        # Copies take the state, so that nothing has changed if a checkpoint turns out not to fit later on.
        state["schedulers"] = [copy(schedule) for schedule in self.schedulers]
        for schedule, own in zip(state["schedulers"], states, strict=True):
            vars(schedule).update(schedule._checked(own))

    def _restore_momentum(self):
        self._current._restore_momentum()
