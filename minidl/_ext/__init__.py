"""The compiled kernels, in the build for the best instruction set that this processor has.

`MINIDL_ISA` (v2, v3, v4, generic, debug, sanitize) chooses another; see meson.build for how they are compiled. Nothing
here knows tensors; `minidl.kernels` is the only importer.
"""

import os
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from minidl._ext._cpu import threads_by, x86_64_level
from minidl.errors import ArgumentError

_LEVELS = {"generic": 0, "v2": 2, "v3": 3, "v4": 4, "debug": 0, "sanitize": 0}

available = [
    name
    for name, level in _LEVELS.items()
    if level <= x86_64_level() and find_spec(f"minidl._ext.conv_{name}") is not None
]


def _choose() -> str:
    wanted = os.environ.get("MINIDL_ISA", "")
    if not wanted:
        return max((name for name in available if name != "debug"), key=lambda name: _LEVELS[name])
    if wanted not in available:
        raise ArgumentError(f"MINIDL_ISA: this build and processor have {', '.join(available)}, got {wanted!r}")
    return wanted


instruction_set = _choose()
(
    pool, elementwise, loss, optim, norm, stack, dense, direct, winograd, row_winograd, depthwise, implicit_gemm,
    filter_lanes, pointwise, tap_rows, reduce, binary,
) = (
    import_module(f"minidl._ext.{name}_{instruction_set}")
    for name in (
        "pool", "elementwise", "loss", "optim", "norm", "stack", "dense", "direct", "winograd", "row_winograd",
        "depthwise", "implicit_gemm", "filter_lanes", "pointwise", "tap_rows", "reduce", "binary",
    )
)  # fmt: skip


def __getattr__(name: str) -> ModuleType:
    # These call SciPy's BLAS, whose import takes longer than that of NumPy and minidl together; LeNet does without.
    if name not in ("conv", "matmul"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = module = import_module(f"minidl._ext.{name}_{instruction_set}")
    return module


__all__ = [
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
