"""Schedules: how the learning rate changes from step to step, each a formula of the step's number."""

from __future__ import annotations

from collections.abc import Mapping
from math import cos, pi
from typing import Any

from minidl.errors import ArgumentError, StateDictError
from minidl.optim.optimizer import Optimizer, check_number


class LRScheduler:
    """Base class of schedules: sets the options of the optimiser's groups at the start and at each `step`.

    A subclass writes `_options`, from the number of steps so far and a group's base learning rate.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ArgumentError(
                f"{type(self).__name__}: optimizer must be an Optimizer, got {type(optimizer).__name__}"
            )
        self.optimizer = optimizer
        self.last_epoch = 0
        self.base_lrs = [float(group["lr"]) for group in optimizer.param_groups]
        self._set()

    def _options(self, step: int, base_lr: float, group: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def _set(self) -> None:
        for base_lr, group in zip(self.base_lrs, self.optimizer.param_groups, strict=True):
            group.update(self._options(self.last_epoch, base_lr, group))

    def step(self) -> None:
        """Go on to the next value; call it after the optimiser's `step`."""
        self.last_epoch += 1
        self._set()

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The schedule's settings, and where it is."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over another schedule's settings, and go to where it was.

        Raises
        ------
        StateDictError
            If it is no such state, or for another number of groups.
        """
        own = self.state_dict()
        if not isinstance(state_dict, Mapping) or set(state_dict) != set(own):
            found = sorted(state_dict) if isinstance(state_dict, Mapping) else type(state_dict).__name__
            raise StateDictError(
                f"{type(self).__name__}: not a schedule's state dict: it has {sorted(own)}, got {found}"
            )
        for key, value in state_dict.items():
            if isinstance(own[key], int | float) != isinstance(value, int | float):
                raise StateDictError(f"{type(self).__name__}: {key} of the state dict is {value!r}")
        try:
            last_epoch, base_lrs = int(state_dict["last_epoch"]), [float(lr) for lr in state_dict["base_lrs"]]
        except (TypeError, ValueError) as error:
            raise StateDictError(f"{type(self).__name__}: not a schedule's state dict: {error!r}") from None
        if len(base_lrs) != len(self.optimizer.param_groups):
            raise StateDictError(
                f"{type(self).__name__}: the state dict is for {len(base_lrs)} groups, "
                f"the optimiser has {len(self.optimizer.param_groups)}"
            )
        self.__dict__.update({**state_dict, "last_epoch": last_epoch, "base_lrs": base_lrs})
        self._set()


class StepLR(LRScheduler):
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
        _check_steps("StepLR", "step_size", step_size)
        check_number("StepLR", "gamma", gamma, 0)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def _options(self, step, base_lr, group):
        return {"lr": base_lr * self.gamma ** (step // self.step_size)}


class CosineAnnealingLR(LRScheduler):
    """From the learning rate to eta_min along half a cosine of T_max steps, and on along the cosine.

    ``lr = eta_min + (base - eta_min) (1 + cos(pi step / T_max)) / 2``

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, equation 5.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        _check_steps("CosineAnnealingLR", "T_max", T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def _options(self, step, base_lr, group):
        return {"lr": self.eta_min + (base_lr - self.eta_min) * (1 + cos(pi * step / self.T_max)) / 2}


class OneCycleLR(LRScheduler):
    """Up from max_lr / div_factor to max_lr, and down to the first over final_div_factor; momentum the other way.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups are set, at every batch.
    max_lr : float or list of float
        The peak, for all groups or each.
    total_steps : int, optional
        The length of the cycle; or give `epochs` and `steps_per_epoch`.
    epochs, steps_per_epoch : int, optional
        Their product is the length.
    pct_start : float
        The part of the cycle that goes up.
    anneal_strategy : {'cos', 'linear'}
        The shape of both parts.
    cycle_momentum : bool
        Whether momentum (or Adam's beta1) goes from max_momentum to base_momentum and back.
    base_momentum, max_momentum : float
        Its limits.
    div_factor, final_div_factor : float
        What the peak is divided by at the start, and the start again at the end.

    Raises
    ------
    ArgumentError
        If an option is out of its range, the length is not given, or the schedule is stepped beyond its end.

    References
    ----------
    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2018.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ArgumentError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
            _check_steps("OneCycleLR", "epochs", epochs)
            _check_steps("OneCycleLR", "steps_per_epoch", steps_per_epoch)
            total_steps = epochs * steps_per_epoch
        _check_steps("OneCycleLR", "total_steps", total_steps)
        check_number("OneCycleLR", "pct_start", pct_start, 0, below=1 + 1e-12)
        for name, value in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
            check_number("OneCycleLR", name, value, 1e-12)
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(f"OneCycleLR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        groups = optimizer.param_groups
        peaks = list(max_lr) if isinstance(max_lr, list | tuple) else [max_lr] * len(groups)
        if len(peaks) != len(groups):
            raise ArgumentError(f"OneCycleLR: {len(peaks)} values of max_lr for {len(groups)} groups")
        for peak in peaks:
            check_number("OneCycleLR", "max_lr", peak, 0)
        self.total_steps, self.pct_start, self.anneal_strategy = total_steps, pct_start, anneal_strategy
        self.cycle_momentum, self.base_momentum, self.max_momentum = cycle_momentum, base_momentum, max_momentum
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak
        super().__init__(optimizer)

    def _between(self, start: float, end: float, part: float) -> float:
        if self.anneal_strategy == "linear":
            return start + (end - start) * part
        return end + (start - end) / 2 * (1 + cos(pi * part))

    def _options(self, step, base_lr, group):
        if step > self.total_steps:
            raise ArgumentError(f"OneCycleLR: step {step} of a cycle of {self.total_steps} steps")
        # The step after the last one, which a loop that always steps both makes, keeps the last value.
        step = min(step, self.total_steps - 1)
        first = base_lr / self.div_factor
        peak_at = self.pct_start * self.total_steps - 1
        last = self.total_steps - 1
        if step <= peak_at or last <= peak_at:
            part = step / peak_at if peak_at else 1.0
            lr, momentum = (first, base_lr), (self.max_momentum, self.base_momentum)
        else:
            part = (step - peak_at) / (last - peak_at)
            lr, momentum = (base_lr, first / self.final_div_factor), (self.base_momentum, self.max_momentum)
        options: dict[str, Any] = {"lr": self._between(*lr, part)}
        if self.cycle_momentum:
            value = self._between(*momentum, part)
            options |= {"betas": (value, group["betas"][1])} if "betas" in group else {"momentum": value}
        return options


def _check_steps(schedule: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ArgumentError(f"{schedule}: {name} must be an int of at least 1, got {value!r}")
