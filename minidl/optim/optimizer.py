"""Optimisers share parameter groups, options and state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple

import numpy as np

from minidl import kernels
from minidl.arguments import check_callable, is_finite_number, read_list
from minidl.autograd import TensorBase
from minidl.copies import owned
from minidl.errors import ArgumentError, DTypeError, GraphError, ShapeError, StateDictError, check_flag
from minidl.grad_mode import enable_grad
from minidl.tensor import Tensor


class _Taken(NamedTuple):
    """The values of an option that is not minidl's that are passed over, and why no others are."""

    values: tuple[Any, ...]
    why: str


# Up to here floats, which PyTorch counts in, have every int.
_MAX_STEPS = 2**53

_MEANS = _Taken((None, False, True), "it says how steps are computed, and must be True, False or None")
# PyTorch's optimisers, up to 2.13, note these in their groups and minidl's don't: how steps are computed, which changes
# results by rounding only; names; and what PyTorch's schedules keep there, where minidl's have a state of their own.
_FOREIGN: dict[str, _Taken | None] = {
    "foreach": _MEANS,
    "fused": _MEANS,
    "capturable": _MEANS,
    "differentiable": _Taken((None, False), "minidl's steps are not recorded, so no gradient flows through them"),
    "param_names": None,
    "max_lr": None,
    "min_lr": None,
    "base_momentum": None,
    "max_momentum": None,
    "swa_lr": None,
}


class Optimizer:
    """Base class of optimisers.

    A subclass names its options and what it remembers of a parameter, and writes `_update`, which steps all parameters
    of one dtype of a group at once.

    Attributes
    ----------
    param_groups : list of dict
        Each with "params" and its options, which may be changed between steps.
    state : dict
        What the optimiser remembers of each parameter, by the parameter.
    """

    # Options that are numbers of at least 0, and those that are booleans. "betas" are known to be two numbers below 1.
    _numbers: tuple[str, ...] = ("lr",)
    _flags: tuple[str, ...] = ()
    # Each parameter has these remembered: always, and with some options. "step" is counted here, all else are arrays.
    _remembers: tuple[str, ...] = ()
    _may_remember: tuple[str, ...] = ()

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        if isinstance(params, TensorBase):
            raise DTypeError(f"{self._name}: params must be an iterable of tensors or of groups, got one tensor")
        entries = self._listed(params)
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
        for name in (*self._numbers, *({"initial_lr"} & set(group))):
            check_number(self._name, name, group[name], 0)
        for name in self._flags:
            check_flag(self._name, name, group[name])
        if "betas" in group:
            if not isinstance(group["betas"], tuple | list) or len(group["betas"]) != 2:
                raise ArgumentError(f"{self._name}: betas must be two numbers, got {group['betas']!r}")
            for i, beta in enumerate(group["betas"]):
                check_number(self._name, f"betas[{i}]", beta, 0, limit=1)

    def _update(self, group: dict[str, Any], parameters: list[Tensor], grads: list[np.ndarray]) -> None:
        """Step these parameters, all of one dtype."""
        raise NotImplementedError

    def _recall(self, parameters: list[Tensor], names: Sequence[str], fill: float = 0.0) -> dict[str, list[Any]]:
        """Find what is remembered under each name, one a parameter; where nothing is yet, arrays of `fill`."""
        try:
            states = [self.state[p] for p in parameters]
            return {name: [state[name] for state in states] for name in names}
        except KeyError:
            for p in parameters:
                state = self.state.setdefault(p, {})
                for name in names:
                    if name not in state:
                        state[name] = 0 if name == "step" else np.full_like(p.data, fill)
        return {name: [self.state[p][name] for p in parameters] for name in names}

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
            If one of params is no tensor, or params have no order.
        """
        if not isinstance(group, Mapping) or "params" not in group:
            raise ArgumentError(f"{self._name}: a parameter group must be a dict with the key 'params'")
        params = [group["params"]] if isinstance(group["params"], TensorBase) else self._listed(group["params"])
        unknown = set(group) - set(self.defaults) - {"params", "initial_lr"}
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

    def _listed(self, params: Any) -> list[Any]:
        if not isinstance(params, Iterable):
            raise DTypeError(
                f"{self._name}: params must be an iterable of tensors or of groups, got {type(params).__name__}"
            )
        if isinstance(params, set | frozenset):
            raise DTypeError(f"{self._name}: params must have an order, which is saved by number, got a set")
        return read_list(self._name, "params", params, "an iterable of tensors or of groups")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to 0."""
        check_flag(f"{self._name}.zero_grad", "set_to_none", set_to_none)
        for group in self.param_groups:
            for p in group["params"]:
                p._grad = None if set_to_none or p._grad is None else p._grad.detach().zero_()

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

        Raises
        ------
        ShapeError, DTypeError, ArgumentError
            If a gradient does not fit its parameter, or a parameter can't be written to; none is updated then.
        """
        loss = None
        if closure is not None:
            check_callable(f"{self._name}.step", "closure", closure)
            with enable_grad():
                loss = closure()
        work: list[tuple[dict[str, Any], list[Tensor], list[np.ndarray]]] = []
        for group in self.param_groups:
            lists_by_dtype: dict[np.dtype, tuple[list[Tensor], list[np.ndarray]]] = {}
            for p in group["params"]:
                grad = p._grad
                if grad is not None:
                    dtype = p._data.dtype
                    lists = lists_by_dtype.get(dtype)
                    if lists is None:
                        if dtype.kind != "f":
                            raise DTypeError(
                                f"{self._name}: only float32 and float64 parameters take steps, got {dtype}"
                            )
                        lists = lists_by_dtype[dtype] = ([], [])
                        work.append((group, *lists))
                    lists[0].append(p)
                    lists[1].append(grad._data)
        for _, parameters, grads in work:
            # Asked once about all of them, since what an array has to say of itself takes Python long.
            if not kernels.all_fit(grads, [p._data for p in parameters]):
                grads[:] = [self._gradient(p) for p in parameters]
        counts = "step" in self._remembers
        for group, parameters, grads in work:
            try:
                self._update(group, parameters, grads)
            except (TypeError, ValueError):
                self._check_memory(parameters)
                raise
            for p in parameters:
                p._version[0] += 1
                if counts:
                    self.state[p]["step"] += 1
        return loss

    def _gradient(self, p: Tensor) -> np.ndarray:
        """The gradient of a parameter as a kernel takes it, if both are fit for a step."""
        data, grad = p._data, p._grad._data
        if grad.shape != data.shape:
            raise ShapeError(f"{self._name}: a parameter of shape {data.shape} has a gradient of {grad.shape}")
        if grad.dtype != data.dtype:
            raise DTypeError(f"{self._name}: a parameter of {data.dtype} has a gradient of {grad.dtype}")
        if not data.flags.carray:
            raise ArgumentError(
                f"{self._name}: a parameter of shape {data.shape} is read-only or not C-contiguous and aligned"
            )
        flags = grad.flags
        return grad if flags.c_contiguous and flags.aligned else grad.copy(order="C")

    def _check_memory(self, parameters: list[Tensor]) -> None:
        for p in parameters:
            for name, value in self.state.get(p, {}).items():
                if name != "step" and (value.shape, value.dtype) != (p.data.shape, p.data.dtype):
                    raise ShapeError(
                        f"{self._name}: {name} of a parameter is {value.dtype} of shape {value.shape}, but the "
                        f"parameter has become {p.data.dtype} of shape {p.data.shape}"
                    )

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

        A state dict of PyTorch's optimiser of the same name will do. What it notes of how steps are computed (foreach,
        fused, capturable), of names and of schedules is passed over.

        Raises
        ------
        StateDictError
            If the groups or the shapes are other ones, or an option of PyTorch's has a value that means something which
            minidl does not do.
        ArgumentError
            If an option is out of range.
        """
        try:
            if not isinstance(state_dict, Mapping):
                raise TypeError(type(state_dict).__name__)
            groups = list(state_dict["param_groups"])
            state = {int(key): dict(values) for key, values in state_dict["state"].items()}
            sizes = [len(g["params"]) for g in groups]
            numbers = [int(number) for g in groups for number in g["params"]]
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise StateDictError(
                f"{self._name}: not an optimiser's state dict: {error!r} is missing or wrong"
            ) from None
        if sizes != [len(g["params"]) for g in self.param_groups]:
            raise StateDictError(
                f"{self._name}: the state dict has groups of {sizes} parameters, "
                f"the optimiser {[len(g['params']) for g in self.param_groups]}"
            )
        groups = [self._drop_foreign(i, group) for i, group in enumerate(groups)]
        for i, group in enumerate(groups):
            # A schedule leaves the rate that it began with; it may be on one side only.
            found, own = set(group) - {"initial_lr"}, set(self.param_groups[i]) - {"initial_lr"}
            unknown, lacking = found - own, own - found
            if unknown or lacking:
                raise StateDictError(
                    f"{self._name}: group {i} of the state dict lacks {sorted(lacking)}, and has "
                    f"unknown {sorted(map(str, unknown))}"
                )
        numbered = dict(zip(numbers, (p for g in self.param_groups for p in g["params"]), strict=True))
        if len(numbered) < len(numbers):
            raise StateDictError(f"{self._name}: the state dict's groups have a parameter twice: {numbers!r:.80}")
        loaded: dict[Tensor, dict[str, Any]] = {}
        for key, values in state.items():
            if key not in numbered:
                raise StateDictError(f"{self._name}: the state dict has state for parameter {key} of {len(numbered)}")
            loaded[numbered[key]] = self._loaded(key, numbered[key], values)
        # JSON, which checkpoints keep options in, turns tuples into lists.
        options = [{k: _option(v) for k, v in group.items() if k != "params"} for group in groups]
        for group in options:
            self._check(group)
        self.state = loaded
        for mine, group in zip(self.param_groups, options, strict=True):
            mine.update(group)

    def _drop_foreign(self, i: int, group: Any) -> dict[str, Any]:
        """A group without what only PyTorch's optimisers note in it, if that means nothing here."""
        kept = dict(group)
        for name, takes in _FOREIGN.items():
            if name in kept and name not in self.param_groups[i]:
                value = kept.pop(name)
                if takes is not None and not any(value is taken for taken in takes.values):
                    raise StateDictError(
                        f"{self._name}: group {i} of the state dict has {name}={value!r:.80}; {takes.why}"
                    )
        return kept

    def _loaded(self, key: int, p: Tensor, values: Mapping[str, Any]) -> dict[str, Any]:
        """Read what a state dict remembers of a parameter, as a copy, if it fits."""
        values = {name: value for name, value in values.items() if value is not None}
        lacking = set(self._remembers) - set(values)
        unknown = set(values) - set(self._remembers) - set(self._may_remember)
        if lacking or unknown:
            raise StateDictError(
                f"{self._name}: the state of parameter {key} lacks {sorted(lacking)}, and has unknown {sorted(unknown)}"
            )
        loaded: dict[str, Any] = {}
        for name, value in values.items():
            try:
                array = np.asarray(value)
                if array.dtype.kind not in "biuf":
                    raise TypeError
                with np.errstate(over="ignore"):
                    array = array.astype(np.float64 if name == "step" else p.data.dtype, order="C")
            except (TypeError, ValueError, OverflowError, RuntimeError):
                raise StateDictError(f"{self._name}: {name} of parameter {key} is {value!r:.80}") from None
            if name == "step":
                if array.size != 1 or not 0 <= array < _MAX_STEPS or array % 1 != 0:
                    raise StateDictError(f"{self._name}: step of parameter {key} must be an int, got {value!r:.80}")
                loaded[name] = int(array.item())
                continue
            # A parameter whose size is not known yet learns it from the model's state dict.
            if getattr(p, "is_initialised", True) and array.shape != p.data.shape:
                raise StateDictError(
                    f"{self._name}: {name} of parameter {key} has shape {array.shape}, the parameter {p.data.shape}"
                )
            loaded[name] = array
        return loaded

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for memory in self.__dict__.get("state", {}).values():
            for name, value in memory.items():
                if isinstance(value, np.ndarray):
                    memory[name] = owned(value)

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {v}" for k, v in sorted(group.items()) if k != "params"]
        return "\n".join([*lines, ")"])


def _option(value: Any) -> Any:
    """An option as it was before JSON made lists of tuples, or PyTorch tensors of numbers."""
    if isinstance(value, list | tuple):
        return tuple(map(_option, value))
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def check_number(owner: str, name: str, value: Any, low: float = -inf, limit: float = inf, up_to: float = inf) -> None:
    """Refuse what is no finite number from `low` on, below `limit` and up to `up_to`."""
    if not is_finite_number(value) or not low <= value < limit or value > up_to:
        limits = [f"of at least {low}"] if low > -inf else []
        limits += [f"below {limit}"] if limit < inf else []
        limits += [f"up to {up_to}"] if up_to < inf else []
        what = " and ".join(limits)
        raise ArgumentError(f"{owner}: {name} must be a number{' ' * bool(what)}{what}, got {value!r}")
