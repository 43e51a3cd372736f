"""The border of arrays and compiled code: layout, dtype, allocation, cuts of work; alone it imports `_ext`'s kernels.

Functions here take NumPy arrays whose shapes the functional layer has checked, in any memory layout, and return new
arrays. How work is cut depends on shapes alone, so that results do not depend on the number of threads.
"""

from __future__ import annotations

from minidl import _ext
from minidl.kernels.binary import *
from minidl.kernels.conv import *
from minidl.kernels.dense import *
from minidl.kernels.elementwise import *
from minidl.kernels.linear import *
from minidl.kernels.loss import *
from minidl.kernels.norm import *
from minidl.kernels.optim import *
from minidl.kernels.pooling import *
from minidl.kernels.reduce import *
from minidl.kernels.stack import *


def instruction_set() -> str:
    """The build of the kernels that was chosen at import."""
    return _ext.instruction_set


def instruction_sets() -> list[str]:
    """The builds that there are and that this processor runs."""
    return list(_ext.available)


def threads_by() -> str:
    """Name the runner of the kernels' threads in this build: "minidl's pool", "OpenMP" or "none"."""
    return _ext.threads_by()


def x86_64_level() -> int:
    """The processor's x86-64 level, 1 to 4, or 0 on others."""
    return _ext.x86_64_level()
