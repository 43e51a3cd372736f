"""The compiled kernels, in the build for the best instruction set that this processor has.

`MINIDL_ISA` (v2, v3, v4, generic, debug, sanitize) chooses another; see meson.build for how they are compiled. Nothing
here knows tensors; `minidl.kernels` is the only importer.
"""

import os
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from minidl._ext._cpu import threads_by, x86_64_level
from minidl.errors import ArgumentError, DTypeError

_LEVELS = {"generic": 0, "v2": 2, "v3": 3, "v4": 4, "debug": 0, "sanitize": 0}

available = [
    name
    for name, level in _LEVELS.items()
    if level <= x86_64_level() and find_spec(f"minidl._ext.conv_float_{name}") is not None
]


def _choose() -> str:
    wanted = os.environ.get("MINIDL_ISA", "")
    if not wanted:
        return max((name for name in available if name != "debug"), key=lambda name: _LEVELS[name])
    if wanted not in available:
        raise ArgumentError(f"MINIDL_ISA: this build and processor have {', '.join(available)}, got {wanted!r}")
    return wanted


instruction_set = _choose()
_NUMBER_TYPES = {4: "float", 8: "double"}


class Kernel(dict[int, ModuleType]):
    """A kernel's two compilations, by the bytes of the numbers that they take; each is imported when first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __missing__(self, itemsize: int) -> ModuleType:
        if itemsize not in _NUMBER_TYPES:
            raise DTypeError(f"kernels: numbers must have 4 or 8 bytes, got {itemsize}")
        name = f"minidl._ext.{self._name}_{_NUMBER_TYPES[itemsize]}_{instruction_set}"
        self[itemsize] = module = import_module(name)
        return module

    @property
    def either(self) -> ModuleType:
        """One of them, for functions that take no numbers of either type."""
        return self[4]


binary = Kernel("binary")
conv = Kernel("conv")
dense = Kernel("dense")
depthwise = Kernel("depthwise")
direct = Kernel("direct")
elementwise = Kernel("elementwise")
filter_lanes = Kernel("filter_lanes")
implicit_gemm = Kernel("implicit_gemm")
loss = Kernel("loss")
matmul = Kernel("matmul")
norm = Kernel("norm")
optim = Kernel("optim")
pointwise = Kernel("pointwise")
pool = Kernel("pool")
reduce = Kernel("reduce")
stack = Kernel("stack")
tap_rows = Kernel("tap_rows")
winograd = Kernel("winograd")

__all__ = [
    "Kernel",
    "available",
    "binary",
    "conv",
    "dense",
    "depthwise",
    "direct",
    "elementwise",
    "filter_lanes",
    "implicit_gemm",
    "instruction_set",
    "loss",
    "matmul",
    "norm",
    "optim",
    "pointwise",
    "pool",
    "reduce",
    "stack",
    "tap_rows",
    "threads_by",
    "winograd",
    "x86_64_level",
]
