"""Convolution and its gradients: a problem, the registry of algorithms, and plans that run them.

`select.plan_for` goes from a `ConvProblem` to a plan, by the ordered list in `registry`. Each algorithm is a file that
ends with its entries: what it supports, what it costs, and how it is cut.
"""

from __future__ import annotations

from minidl.kernels.conv.autotune import *
from minidl.kernels.conv.direct import MOST_COLUMNS as MOST_COLUMNS
from minidl.kernels.conv.im2col import fold as fold
from minidl.kernels.conv.im2col import unfold as unfold
from minidl.kernels.conv.problem import *
from minidl.kernels.conv.registry import *
from minidl.kernels.conv.select import *
