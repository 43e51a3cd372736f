"""Schedules that go up as well as down."""

from __future__ import annotations

from math import cos, floor, pi
from typing import Any

from minidl.errors import ArgumentError, check_flag
from minidl.optim.lr_scheduler._base import LRScheduler
from minidl.optim.optimizer import Optimizer, check_number


class CosineAnnealingWarmRestarts(LRScheduler):
    """From the learning rate to eta_min along half a cosine of T_0 steps, and again, each time T_mult times as long.

    ``lr = eta_min + (base - eta_min) (1 + cos(pi T_cur / T_i)) / 2``, T_cur steps after a restart of T_i steps.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups are set.
    T_0 : int
        The steps until the first restart.
    T_mult : int
        What their number is multiplied by at each restart.
    eta_min : float
        The lowest rate.

    Raises
    ------
    ArgumentError
        If an option is out of its range.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, equation 5.

    Examples
    --------
    >>> import minidl
    >>> optimizer = minidl.optim.SGD([minidl.nn.Parameter([0.0])], lr=1.0)
    >>> schedule = minidl.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=1, T_mult=2)
    >>> for _ in range(4):
    ...     print([round(lr, 3) for lr in schedule.get_last_lr()])
    ...     schedule.step()
    [1.0]
    [1.0]
    [0.5]
    [1.0]
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> None:
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        self.T_i, self.T_cur = T_0, 0.0
        super().__init__(optimizer)

    def _check(self):
        self._check_count("T_0", self.T_0)
        self._check_count("T_mult", self.T_mult)
        self._check_count("T_i", self.T_i)
        check_number(self._name, "T_cur", self.T_cur, 0)
        check_number(self._name, "eta_min", self.eta_min)

    def _begin(self):
        self.T_i, self.T_cur = self.T_0, 0.0
        super()._begin()

    def _lr(self, i):
        return self.eta_min + (self.base_lrs[i] - self.eta_min) * (1 + cos(pi * self.T_cur / self.T_i)) / 2

    def step(self, epoch: float | None = None) -> None:
        """Go on to the next value, or to that of `epoch`, which may lie between two steps.

        Parameters
        ----------
        epoch : float, optional
            Where to go, such as the epoch and the part of it that is done; at least 0.

        Raises
        ------
        ArgumentError
            If epoch is not a number of at least 0.
        """
        if epoch is None:
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
            epoch = self.last_epoch + 1
        else:
            check_number(self._name, "epoch", epoch, 0)
            self.T_i, self.T_cur = self.T_0, epoch % self.T_0 if self.T_mult == 1 else epoch
            # PyTorch takes a logarithm, which misses some restarts by rounding: with T_mult=3, the fifth.
            while self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        self.last_epoch = floor(epoch)
        self._set()


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
        The shape of all parts.
    cycle_momentum : bool
        Whether momentum (or Adam's beta1) goes from max_momentum to base_momentum and back.
    base_momentum, max_momentum : float or list of float
        Its limits, for all groups or each.
    div_factor, final_div_factor : float
        What the peak is divided by at the start, and the start again at the end.
    three_phase : bool
        Come down to the start in as many steps as it took to go up, and from there to the end in the rest of them.

    Raises
    ------
    ArgumentError
        If an option is out of its range, the length is not given, the optimiser has no momentum to cycle, or the
        schedule is stepped beyond its end.

    References
    ----------
    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning rates", 2018.

    Examples
    --------
    >>> import minidl
    >>> optimizer = minidl.optim.AdamW([minidl.nn.Parameter([0.0])])
    >>> schedule = minidl.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=5, pct_start=0.6)
    >>> for _ in range(5):
    ...     print([round(lr, 3) for lr in schedule.get_last_lr()])
    ...     schedule.step()
    [0.04]
    [0.52]
    [1.0]
    [0.5]
    [0.0]
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
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ArgumentError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
            self._check_count("epochs", epochs)
            self._check_count("steps_per_epoch", steps_per_epoch)
            total_steps = epochs * steps_per_epoch
        self.total_steps, self.max_lr, self.pct_start = total_steps, max_lr, pct_start
        self.anneal_strategy, self.three_phase = anneal_strategy, three_phase
        self.cycle_momentum, self.base_momentum, self.max_momentum = cycle_momentum, base_momentum, max_momentum
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        super().__init__(optimizer)

    def _check(self):
        self._check_count("total_steps", self.total_steps)
        check_number(self._name, "pct_start", self.pct_start, 0, up_to=1)
        for name in ("div_factor", "final_div_factor"):
            check_number(self._name, name, vars(self)[name], 1e-12)
        self._check_choice("anneal_strategy", self.anneal_strategy, ("cos", "linear"))
        for name in ("cycle_momentum", "three_phase"):
            check_flag("OneCycleLR", name, vars(self)[name])
        for name in ("max_lr", *(("base_momentum", "max_momentum") if self.cycle_momentum else ())):
            for value in self._spread_over_groups(name):
                check_number(self._name, name, value, 0)
        if self.cycle_momentum and not {"betas", "momentum"} & set(self.optimizer.defaults):
            raise ArgumentError(
                f"OneCycleLR: {type(self.optimizer).__name__} has neither momentum nor betas; give cycle_momentum=False"
            )

        # A state dict may have one; else there is no step yet.
        self._check_step(vars(self).get("last_epoch", 0))

    def _check_step(self, step: int) -> None:
        if step > self.total_steps:
            raise ArgumentError(f"OneCycleLR: step {step} of a cycle of {self.total_steps} steps")

    def _note_initial_lr(self, i, group):
        group["initial_lr"] = self._spread_over_groups("max_lr")[i] / self.div_factor

    def _interpolate(self, ends: list[tuple[float, float]]) -> float:
        """The value at this step, from the first and last values of each phase."""
        self._check_step(self.last_epoch)
        # The step after the last one, which a loop that always steps both makes, keeps the last value; PyTorch's goes
        # on along the curve, with a line to a negative rate.
        step = min(self.last_epoch, self.total_steps - 1)
        peak = self.pct_start * self.total_steps - 1
        stops = [peak, 2 * peak] if self.three_phase else [peak]
        phase = next((n for n, stop in enumerate(stops) if step <= stop), len(stops))
        begin = stops[phase - 1] if phase else 0.0
        length = [*stops, self.total_steps - 1][phase] - begin
        part = (step - begin) / length if length else 1.0
        start, end = ends[phase]
        if self.anneal_strategy == "linear":
            return start + (end - start) * part
        return end + (start - end) / 2 * (1 + cos(pi * part))

    def _lr(self, i):
        first, peak = self.base_lrs[i], self._spread_over_groups("max_lr")[i]
        last = first / self.final_div_factor
        return self._interpolate([(first, peak), (peak, first), (first, last)] if self.three_phase else
                             [(first, peak), (peak, last)])  # fmt: skip

    def _momentum(self, i) -> dict[str, Any]:
        if not self.cycle_momentum:
            return {}
        low, high = self._spread_over_groups("base_momentum")[i], self._spread_over_groups("max_momentum")[i]
        value = self._interpolate([(high, low), (low, high), (high, high)])
        betas = self.optimizer.param_groups[i].get("betas")
        return {"momentum": value} if betas is None else {"betas": (value, betas[1])}
