"""`Module`: what holds parameters and computes with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import update_wrapper
from types import FunctionType
from typing import Any, NamedTuple, Self

import numpy as np

from minidl.arguments import check_callable, check_device, is_device
from minidl.autograd import RemovableHandle, TensorBase
from minidl.dtypes import to_array, to_dtype
from minidl.errors import ArgumentError, DTypeError, MinidlError, StateDictError, check_flag
from minidl.nn._copying import Copyable, Structure
from minidl.nn.parameter import Parameter
from minidl.tensor import Tensor


class LoadResult(NamedTuple):
    """The keys that did not match in `load_state_dict`."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module(Copyable):
    """Base class of layers and models.

    A subclass assigns parameters, buffers and other modules as attributes and writes `forward`. Attributes are all
    there is: a `Parameter` attribute is a parameter, a `Module` attribute a child, in the order of assignment.

    Examples
    --------
    >>> import minidl
    >>> from minidl import nn
    >>> class Scale(nn.Module):
    ...     def __init__(self):
    ...         self.factor = nn.Parameter(2.0)
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale()(minidl.tensor([1.0, 2.0]))
    tensor([2., 4.], requires_grad=True)
    """

    training: bool = True
    # Buffer name: whether it is part of the state dict. Replaced by a dict of its own in `register_buffer`.
    _buffers: Mapping[str, bool] = {}
    _forward_pre_hooks: list[Callable] | None = None
    _forward_hooks: list[Callable] | None = None
    # Whether `minidl.nn._fusion` may compute it together with its neighbours, or is what does so.
    _is_fusible: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Python's message for wrong arguments names the constructor by the class that wrote it, not by the one that
        # the user wrote; so each of minidl's layers has a constructor of its own name.
        written = cls.__init__
        if cls.__module__.startswith("minidl.") and "__init__" not in vars(cls) and isinstance(written, FunctionType):
            own = FunctionType(
                written.__code__, written.__globals__, "__init__", written.__defaults__, written.__closure__
            )
            own.__kwdefaults__ = written.__kwdefaults__
            cls.__init__ = update_wrapper(own, written)  # type: ignore[method-assign]
            cls.__init__.__qualname__ = f"{cls.__name__}.__init__"

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's result; subclasses write it."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run `forward` and the hooks around it; an error takes the module's path along."""
        try:
            if self._forward_pre_hooks:
                for hook in list(self._forward_pre_hooks):
                    replaced = hook(self, args)
                    if replaced is not None:
                        args = replaced if isinstance(replaced, tuple) else (replaced,)
            result = self.forward(*args, **kwargs)
            if self._forward_hooks:
                for hook in list(self._forward_hooks):
                    replaced = hook(self, args, result)
                    if replaced is not None:
                        result = replaced
            return result
        except MinidlError as error:
            inner = error.layer
            name = next((name for name, child in self.named_children() if child is inner), None)
            error.pass_through(self, name)
            raise

    def __setattr__(self, name: str, value: Any) -> None:
        current = self.__dict__.get(name)
        if isinstance(current, Parameter) and not isinstance(value, Parameter) and value is not None:
            raise DTypeError(
                f"{type(self).__name__}: {name} is a parameter; assign a Parameter or None, not {type(value).__name__}"
            )
        if name in self._buffers and value is not None and not isinstance(value, TensorBase):
            raise DTypeError(
                f"{type(self).__name__}: {name} is a buffer; assign a tensor or None, not {type(value).__name__}"
            )
        object.__setattr__(self, name, value)
        if self._is_fusible and not isinstance(value, TensorBase):
            Structure.changed()

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        Structure.changed()

    # Contents

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Hold a tensor that is part of the module's state, but not learned.

        Parameters
        ----------
        name : str
            The attribute.
        tensor : Tensor or None
            Its value.
        persistent : bool
            Whether it is part of the state dict.
        """
        if not isinstance(name, str) or not name or "." in name:
            raise ArgumentError(f"register_buffer: name must be a word without a dot, got {name!r}")
        if tensor is not None and not isinstance(tensor, TensorBase):
            raise DTypeError(f"register_buffer: {name} must be a tensor or None, got {type(tensor).__name__}")
        setattr(self, name, tensor)
        self._buffers = {**self._buffers, name: persistent}

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that are attributes of this one, with their names."""
        return ((name, value) for name, value in self.__dict__.items() if isinstance(value, Module))

    def children(self) -> Iterator[Module]:
        """The modules that are attributes of this one."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "", memo: set[int] | None = None) -> Iterator[tuple[str, Module]]:
        """This module and all below it, each once, with their paths."""
        if memo is None:
            memo = set()
        elif not isinstance(memo, set):
            raise DTypeError(f"named_modules: memo must be a set or None, got {type(memo).__name__}")
        if id(self) not in memo:
            memo.add(id(self))
            yield prefix, self
            for name, child in self.named_children():
                yield from child.named_modules(f"{prefix}.{name}" if prefix else name, memo)

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def _named_tensors(self, kind: str, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Any]]:
        """Parameters or buffers under every path that leads to them."""
        for name, value in self.__dict__.items():
            if (kind == "buffer" and name in self._buffers and value is not None) or (
                kind == "parameter" and isinstance(value, Parameter)
            ):
                yield prefix + name, value
        if check_flag("Module", "recurse", recurse):
            for name, child in self.named_children():
                yield from child._named_tensors(kind, f"{prefix}{name}.")

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Parameter]]:
        """The parameters, each once, with their paths."""
        return _unique(self._named_tensors("parameter", _path(prefix), recurse))

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """The buffers, each once, with their paths."""
        return _unique(self._named_tensors("buffer", _path(prefix), recurse))

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    # Changes to all of it

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call `function` on every module below this one, then on this one."""
        check_callable("Module.apply", "function", function)
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Put this module and all below it in training mode, or out of it."""
        check_flag("Module.train", "mode", mode)
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Put this module and all below it in evaluation mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set whether the parameters are learned."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to 0."""
        check_flag("Module.zero_grad", "set_to_none", set_to_none)
        for parameter in self.parameters():
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad = parameter.grad.detach().zero_()

    def to(self, *what: Any, dtype: Any = None, device: Any = None) -> Self:
        """Convert all floating parameters, gradients and buffers, in place.

        Parameters
        ----------
        *what : numpy dtype or str
            A dtype, a device, or both; as in PyTorch they need no names.
        dtype : numpy dtype or str, optional
            float32 or float64.
        device : str, optional
            "cpu", which is where everything is.

        Raises
        ------
        DTypeError
            If it is another dtype.
        ArgumentError
            If it is another device.

        Examples
        --------
        >>> from minidl import nn
        >>> nn.Dense(3, 2).to("cpu").to("float64").weight.dtype
        dtype('float64')
        """
        named = {"dtype": dtype, "device": device}
        for each in what:
            name = "device" if is_device(each) else "dtype"
            if named[name] is not None:
                raise ArgumentError(f"Module.to: takes one {name}, got {named[name]!r:.80} and {each!r:.80}")
            named[name] = to_dtype("Module.to", each) if name == "dtype" else each
        dtype, device = named["dtype"], named["device"]
        check_device("Module.to", device)
        if dtype is None:
            if device is None:
                raise ArgumentError("Module.to: give a dtype, float32 or float64, or the device 'cpu'")
            return self
        wanted = to_dtype("Module.to", dtype)
        if wanted.kind != "f":
            raise DTypeError(f"Module.to: dtype must be float32 or float64, got {wanted}")
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.data.dtype.kind == "f" and tensor.data.dtype != wanted:
                tensor._data = tensor._data.astype(wanted)
                tensor._version = [tensor._version[0] + 1, False]
                tensor._grad = None if tensor._grad is None else tensor._grad.astype(wanted)
        return self

    def float(self) -> Self:
        """Convert to float32, in place."""
        return self.to("float32")

    def double(self) -> Self:
        """Convert to float64, in place."""
        return self.to("float64")

    # Hooks

    def register_forward_pre_hook(self, hook: Callable[[Module, tuple], Any]) -> RemovableHandle:
        """Call `hook(module, args)` before `forward`; what it returns, if anything, replaces the arguments."""
        hooks = self._forward_pre_hooks
        if hooks is None:
            self._forward_pre_hooks = hooks = []
        hooks.append(hook)
        Structure.changed()
        return RemovableHandle(hooks, hook)

    def register_forward_hook(self, hook: Callable[[Module, tuple, Any], Any]) -> RemovableHandle:
        """Call `hook(module, args, result)` after `forward`; what it returns, if anything, replaces the result."""
        hooks = self._forward_hooks
        if hooks is None:
            self._forward_hooks = hooks = []
        hooks.append(hook)
        Structure.changed()
        return RemovableHandle(hooks, hook)

    # State

    def state_dict(self) -> dict[str, Tensor]:
        """All parameters and persistent buffers by their paths; the tensors share memory with the module's.

        Raises
        ------
        StateDictError
            If the shape of a parameter is not known yet.
        """
        state = dict(self._state())
        for name, tensor in state.items():
            if isinstance(tensor, Parameter) and not tensor.is_initialised:
                raise StateDictError(f"state_dict: the shape of {name} is not known yet; call the module once")
        return {name: tensor.detach() for name, tensor in state.items()}

    def _state(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        for name, value in self.__dict__.items():
            if isinstance(value, Parameter) or (self._buffers.get(name) and value is not None):
                yield prefix + name, value
        for name, child in self.named_children():
            yield from child._state(f"{prefix}{name}.")

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> LoadResult:
        """Take over the values of a state dict, all or (if anything is wrong) none of them.

        Parameters
        ----------
        state_dict : mapping from str to Tensor or array
            Values are converted to the dtype that the module has.
        strict : bool
            Whether keys that are missing or unexpected are errors. A wrong shape always is.

        Returns
        -------
        LoadResult
            The keys that did not match.

        Raises
        ------
        StateDictError
            Naming every key that is missing, unexpected, or of another shape.
        """
        check_flag("load_state_dict", "strict", strict)
        if not isinstance(state_dict, Mapping):
            raise StateDictError(f"load_state_dict: state_dict must be a mapping, got {type(state_dict).__name__}")
        for key in state_dict:
            if not isinstance(key, str):
                raise StateDictError(f"load_state_dict: keys of state_dict must be str, got {type(key).__name__}")
        own = dict(self._state())
        arrays = {
            key: to_array(f"load_state_dict: {key}", value.data if isinstance(value, TensorBase) else value)
            for key, value in state_dict.items()
        }
        missing = [key for key in own if key not in arrays]
        unexpected = [key for key in arrays if key not in own]
        misshapen = [
            f"{key} has shape {arrays[key].shape}, the module's is {expected}"
            for key, expected in self._expected_shapes().items()
            if key in arrays and not _fits(arrays[key].shape, expected)
        ]
        misshapen += [
            f"{key} is {arrays[key].dtype}, the module's is {tensor.data.dtype}"
            for key, tensor in own.items()
            if key in arrays and not np.can_cast(arrays[key].dtype, tensor.data.dtype, "same_kind")
        ]
        problems = [f"misshapen: {'; '.join(misshapen)}"] if misshapen else []
        if strict:
            problems += [f"missing: {', '.join(missing)}"] if missing else []
            problems += [f"unexpected: {', '.join(unexpected)}"] if unexpected else []
        if problems:
            raise StateDictError(f"load_state_dict: {type(self).__name__} does not fit; " + "\n  ".join(problems))
        for path, module in self.named_modules():
            module._infer_sizes(
                {n: arrays[k] for n in module.__dict__ if (k := f"{path}.{n}" if path else n) in arrays}
            )
        # Numbers that float32 does not hold become infinite, as in PyTorch. Warnings may be errors, half-way then.
        with np.errstate(over="ignore"):
            for key, tensor in own.items():
                if key in arrays:
                    np.copyto(tensor.data, arrays[key], casting="same_kind")
                    tensor._version[0] += 1
        return LoadResult(missing, unexpected)

    def _expected_shapes(self, prefix: str = "") -> dict[str, tuple[int | None, ...]]:
        """The shapes of the state by path; None for a size that is still to be inferred."""
        shapes = {
            prefix + name: self._shape_of(name, value)
            for name, value in self.__dict__.items()
            if isinstance(value, Parameter) or (self._buffers.get(name) and value is not None)
        }
        for name, child in self.named_children():
            shapes |= child._expected_shapes(f"{prefix}{name}.")
        return shapes

    def _shape_of(self, name: str, tensor: Tensor) -> tuple[int | None, ...]:
        return tensor.data.shape

    def _infer_sizes(self, arrays: dict[str, np.ndarray]) -> None:
        """Learn sizes that are still open from a state dict's arrays; layers that have any override it."""

    # Looks

    def extra_repr(self) -> str:
        """Give what stands in the brackets of `repr`."""
        return ""

    def __repr__(self) -> str:
        children = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        extra = self.extra_repr()
        if not children:
            return f"{type(self).__name__}({extra})"
        return f"{type(self).__name__}({extra}\n  " + "\n  ".join(children) + "\n)"


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(e is None or s == e for s, e in zip(shape, expected, strict=True))


def _path(prefix: Any) -> str:
    """Give what stands in front of names below a prefix."""
    if not isinstance(prefix, str):
        raise DTypeError(f"Module: prefix must be a str, got {type(prefix).__name__}")
    return f"{prefix}." if prefix else ""


def _unique(named: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    seen: set[int] = set()
    for name, tensor in named:
        if id(tensor) not in seen:
            seen.add(id(tensor))
            yield name, tensor
