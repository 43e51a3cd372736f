"""What optimisers share: parameter groups, options, state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from minidl.autograd import TensorBase
from minidl.errors import ArgumentError, DTypeError, GraphError, ShapeError, StateDictError
from minidl.grad_mode import enable_grad
from minidl.tensor import Tensor


class Optimizer:
    """Base class of optimisers.

    A subclass names its options' defaults and limits, and writes `_update`, which steps all parameters of one dtype of
    a group at once.

    Attributes
    ----------
    param_groups : list of dict
        Each with "params" and its options, which may be changed between steps.
    state : dict
        What the optimiser remembers of each parameter, by the parameter.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        if isinstance(params, TensorBase):
            raise DTypeError(f"{self._name}: params must be an iterable of tensors or of groups, got one tensor")
        entries = list(params)
        if not entries:
            raise ArgumentError(f"{self._name}: params is empty")
        groups = entries if isinstance(entries[0], Mapping) else [{"params": entries}]
        for group in groups:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _check(self, group: Mapping[str, Any]) -> None:
        """Refuse options outside their range."""
        raise NotImplementedError

    def _update(self, group: dict[str, Any], parameters: list[Tensor], grads: list[np.ndarray]) -> None:
        """Step these parameters, all of one dtype."""
        raise NotImplementedError

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with options of their own.

        Parameters
        ----------
        group : mapping
            "params", and the options that differ from the optimiser's.

        Raises
        ------
        ArgumentError
            If an option is unknown or out of range, or a parameter is in a group already.
        DTypeError
            If one of params is no tensor.
        """
        if not isinstance(group, Mapping) or "params" not in group:
            raise ArgumentError(f"{self._name}: a parameter group must be a dict with the key 'params'")
        params = [group["params"]] if isinstance(group["params"], TensorBase) else list(group["params"])
        unknown = set(group) - set(self.defaults) - {"params"}
        if unknown:
            raise ArgumentError(f"{self._name}: unknown options in a parameter group: {', '.join(sorted(unknown))}")
        held = {id(p) for g in self.param_groups for p in g["params"]}
        for i, p in enumerate(params):
            if not isinstance(p, Tensor):
                raise DTypeError(f"{self._name}: params[{i}] must be a tensor, got {type(p).__name__}")
            if not p.is_leaf:
                raise GraphError(
                    f"{self._name}: params[{i}] was computed by an operation; only leaves can be optimised"
                )
            if id(p) in held:
                raise ArgumentError(f"{self._name}: params[{i}] is there twice")
            held.add(id(p))
        full = {**self.defaults, **group, "params": params}
        self._check(full)
        self.param_groups.append(full)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to 0."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None if set_to_none or p.grad is None else p.grad.detach().zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients anew.

        Returns
        -------
        Any
            What the closure returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_dtype: dict[np.dtype, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    self._check_gradient(p)
                    by_dtype.setdefault(p.data.dtype, []).append(p)
            for parameters in by_dtype.values():
                self._update(group, parameters, [np.ascontiguousarray(p.grad.data) for p in parameters])
                for p in parameters:
                    p._version[0] += 1
        return loss

    def _check_gradient(self, p: Tensor) -> None:
        if p.grad.data.shape != p.data.shape:
            raise ShapeError(f"{self._name}: a parameter of shape {p.data.shape} has a gradient of {p.grad.data.shape}")
        if p.grad.data.dtype != p.data.dtype:
            raise DTypeError(f"{self._name}: a parameter of {p.data.dtype} has a gradient of {p.grad.data.dtype}")
        if not (p.data.flags.c_contiguous and p.data.flags.writeable):
            raise ArgumentError(f"{self._name}: a parameter of shape {p.data.shape} is read-only or not C-contiguous")

    def state_dict(self) -> dict[str, Any]:
        """The options and what is remembered of each parameter, numbered through all groups."""
        order = {p: i for i, p in enumerate(p for g in self.param_groups for p in g["params"])}
        groups = [
            {**{k: v for k, v in g.items() if k != "params"}, "params": [order[p] for p in g["params"]]}
            for g in self.param_groups
        ]
        state = {
            order[p]: {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in values.items()}
            for p, values in self.state.items()
        }
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over options and state, all or (if anything is wrong) none.

        Raises
        ------
        StateDictError
            If the groups or the shapes are other ones.
        ArgumentError
            If an option is out of range.
        """
        try:
            groups = list(state_dict["param_groups"])
            state = {int(key): dict(values) for key, values in state_dict["state"].items()}
            sizes = [len(g["params"]) for g in groups]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StateDictError(
                f"{self._name}: not an optimiser's state dict: {error!r} is missing or wrong"
            ) from None
        if sizes != [len(g["params"]) for g in self.param_groups]:
            raise StateDictError(
                f"{self._name}: the state dict has groups of {sizes} parameters, "
                f"the optimiser {[len(g['params']) for g in self.param_groups]}"
            )
        for i, group in enumerate(groups):
            unknown, lacking = set(group) - set(self.param_groups[i]), set(self.param_groups[i]) - set(group)
            if unknown or lacking:
                raise StateDictError(
                    f"{self._name}: group {i} of the state dict lacks {sorted(lacking)}, and has "
                    f"unknown {sorted(unknown)}"
                )
        numbered = [p for g in self.param_groups for p in g["params"]]
        loaded: dict[Tensor, dict[str, Any]] = {}
        for key, values in state.items():
            if not 0 <= key < len(numbered):
                raise StateDictError(f"{self._name}: the state dict has state for parameter {key} of {len(numbered)}")
            p = numbered[key]
            loaded[p] = {}
            for name, value in values.items():
                if isinstance(value, np.ndarray | TensorBase):
                    array = np.array(value, dtype=p.data.dtype)
                    if p.data.size and array.shape != p.data.shape:
                        raise StateDictError(
                            f"{self._name}: {name} of parameter {key} has shape {array.shape}, "
                            f"the parameter {p.data.shape}"
                        )
                    value = array
                loaded[p][name] = value
        # JSON, which checkpoints keep options in, turns tuples into lists.
        options = [
            {k: tuple(v) if isinstance(v, list) else v for k, v in group.items() if k != "params"} for group in groups
        ]
        for group in options:
            self._check(group)
        self.state = loaded
        for own, group in zip(self.param_groups, options, strict=True):
            own.update(group)

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {v}" for k, v in sorted(group.items()) if k != "params"]
        return "\n".join([*lines, ")"])


def check_number(optimizer: str, name: str, value: Any, low: float, below: float | None = None) -> None:
    """Refuse what is no number from `low` on, below `below`."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | np.number)
        or not low <= value < (below or np.inf)
    ):
        limit = f" and below {below}" if below is not None else ""
        raise ArgumentError(f"{optimizer}: {name} must be a number of at least {low}{limit}, got {value!r}")
