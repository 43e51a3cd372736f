"""Schedules share where they are, what they set, and their state."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from itertools import pairwise
from typing import Any

from minidl.arguments import read_int
from minidl.errors import ArgumentError, DTypeError, MinidlError, StateDictError
from minidl.optim.optimizer import Optimizer, check_number

# Steps are divided and multiplied as floats, which up to here have every int.
_MAX_STEPS = 2**53


class LRScheduler:
    """Base class of schedules: sets the learning rates of the optimiser's groups at the start and at each `step`.

    A subclass keeps its settings in attributes, checks them in `_check`, and writes `_lr`. What it begins with is a
    group's "initial_lr", which the first schedule of an optimiser puts there.

    Attributes
    ----------
    last_epoch : int
        The number of steps so far.
    base_lrs : list of float
        What each group began with.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise DTypeError(f"{self._name}: optimizer must be an Optimizer, got {type(optimizer).__name__}")
        self.optimizer = optimizer
        self._check()
        for i, group in enumerate(optimizer.param_groups):
            self._note_initial_lr(i, group)
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self._begin()

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _check(self) -> None:
        """Refuse settings outside their range; those of a state dict pass here too."""

    def _note_initial_lr(self, i: int, group: dict[str, Any]) -> None:
        group.setdefault("initial_lr", group["lr"])

    def _begin(self) -> None:
        """Go to step 0, from the rates that the groups have now."""
        self.last_epoch = 0
        self._set()

    def _lr(self, i: int) -> float:
        """The learning rate of group i at step `last_epoch`; the group has that of the step before."""
        raise NotImplementedError

    def _momentum(self, i: int) -> dict[str, Any]:
        """Give what else is set in group i at step `last_epoch`."""
        return {}

    def _set(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.base_lrs):
            raise ArgumentError(
                f"{self._name}: the optimiser has {len(groups)} groups, the schedule was made for {len(self.base_lrs)}"
            )
        rates = [self._lr(i) for i in range(len(groups))]
        for i, group in enumerate(groups):
            group.update({"lr": rates[i], **self._momentum(i)})

    def step(self) -> None:
        """Go on to the next value; call it after the optimiser's `step`."""
        self.last_epoch += 1
        self._set()

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The schedule's settings, where it is, and the learning rates now."""
        own = {key: list(v) if isinstance(v, list) else v for key, v in vars(self).items() if key != "optimizer"}
        return {**own, "_last_lr": self.get_last_lr()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over another schedule's settings, and go to where it was, with its learning rates.

        Raises
        ------
        StateDictError
            If it is no such state, or for another number of groups; nothing is changed then.
        """
        vars(self).update(self._checked(state_dict))
        for group, lr in zip(self.optimizer.param_groups, state_dict["_last_lr"], strict=True):
            group["lr"] = lr
        self._restore_momentum()

    def _restore_momentum(self) -> None:
        for i, group in enumerate(self.optimizer.param_groups):
            group.update(self._momentum(i))

    def _read(self, state: dict[str, Any]) -> None:
        """Turn what `state_dict` wrote in its own way back into attributes."""

    def _checked(self, state_dict: Mapping[str, Any]) -> dict[str, Any]:
        """The attributes that a state dict stands for; nothing is changed."""
        own = self.state_dict()
        if not isinstance(state_dict, Mapping) or set(state_dict) != set(own):
            found = sorted(map(str, state_dict)) if isinstance(state_dict, Mapping) else type(state_dict).__name__
            raise StateDictError(f"{self._name}: not a schedule's state dict: it has {sorted(own)}, got {found}")
        state = {key: list(v) if isinstance(v, list) else v for key, v in state_dict.items()}
        trial = copy(self)
        try:
            for key in ("base_lrs", "_last_lr"):
                for lr in state[key]:
                    check_number(self._name, key, lr)
            if isinstance(state["last_epoch"], bool) or not isinstance(state["last_epoch"], int):
                raise TypeError(f"last_epoch is {state['last_epoch']!r:.80}")
            # A schedule of a sequence that has not begun yet has -1.
            self._check_count("last_epoch", state["last_epoch"], low=-1)
            count, groups = len(state["base_lrs"]), len(self.optimizer.param_groups)
            if count != groups or len(state["_last_lr"]) != groups:
                raise StateDictError(f"{self._name}: the state dict is for {count} groups, the optimiser has {groups}")
            self._read(state)
            vars(trial).update(state)
            trial._check()
        except StateDictError:
            raise
        except MinidlError as error:
            raise StateDictError(f"{self._name}: not a schedule's state dict: {error.message}") from None
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise StateDictError(f"{self._name}: not a schedule's state dict: {error!r:.200}") from None
        del state["_last_lr"]
        return state

    def _check_count(self, name: str, value: Any, low: int = 1) -> None:
        if read_int(self._name, name, value, low) >= _MAX_STEPS:
            raise ArgumentError(f"{self._name}: {name} must be below 2**53, got {value!r:.80}")

    def _check_choice(self, name: str, value: Any, choices: tuple[str, str]) -> None:
        if not isinstance(value, str) or value not in choices:
            raise ArgumentError(f"{self._name}: {name} must be {choices[0]!r} or {choices[1]!r}, got {value!r}")

    def _check_milestones(self, values: list[Any], low: int, may_repeat: bool) -> None:
        for value in values:
            self._check_count("each of milestones", value, low)
        for first, second in pairwise(values):
            if second < first or (second == first and not may_repeat):
                raise ArgumentError(f"{self._name}: milestones must increase, got {values}")

    def _spread_over_groups(self, name: str) -> list[Any]:
        """A setting that is one for all groups, or a list with one for each."""
        value, groups = vars(self)[name], len(self.optimizer.param_groups)
        if not isinstance(value, list | tuple):
            return [value] * groups
        if len(value) != groups:
            raise ArgumentError(f"{self._name}: {len(value)} values of {name} for {groups} groups")
        return list(value)
