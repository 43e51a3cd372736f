"""minidl: a small deep-learning framework for the CPU.

The functions here make and combine tensors; `minidl.functional` has the operations of layers, `minidl.nn` the layers,
`minidl.optim` what trains them, and `minidl.data` what feeds them.
"""

from minidl import data, functional, nn, optim
from minidl.backward import grad
from minidl.checkpoint import load_checkpoint, save_checkpoint
from minidl.config import show_config
from minidl.creation import from_dlpack, full, ones, tensor, zeros
from minidl.dtypes import get_default_dtype, set_default_dtype
from minidl.errors import MinidlError
from minidl.geometry import Padding
from minidl.grad_mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from minidl.kernels import benchmark_algorithms
from minidl.memory import empty_cache
from minidl.ops.arithmetic import absolute as abs
from minidl.ops.arithmetic import add, div, exp, log, maximum, minimum, mul, neg, sqrt, sub, where
from minidl.ops.clip import clip
from minidl.ops.elementwise import (
    ceil,
    cos,
    erf,
    exp2,
    expm1,
    floor,
    log1p,
    log2,
    log10,
    reciprocal,
    round,
    rsqrt,
    sign,
    sin,
    square,
    tan,
    trunc,
)
from minidl.ops.matmul import matmul
from minidl.ops.powers import power as pow
from minidl.ops.reductions import amax, amin, argmax, argmin, mean, sum, var
from minidl.ops.shapes import (
    broadcast_to,
    concatenate,
    flatten,
    permute,
    reshape,
    squeeze,
    stack,
    transpose,
    unflatten,
    unsqueeze,
)
from minidl.runtime import (
    default_generator,
    get_num_threads,
    get_precision,
    manual_seed,
    set_num_threads,
    set_precision,
)
from minidl.summary import summary
from minidl.tensor import Tensor, take_along_dim
from minidl.testing import gradcheck, gradgradcheck
from minidl.version import __version__
from minidl.weights import load_weights, save_weights

cat = concatenate

__all__ = [
    "MinidlError",
    "Padding",
    "Tensor",
    "__version__",
    "abs",
    "add",
    "amax",
    "amin",
    "argmax",
    "argmin",
    "benchmark_algorithms",
    "broadcast_to",
    "cat",
    "ceil",
    "clip",
    "concatenate",
    "cos",
    "data",
    "default_generator",
    "div",
    "empty_cache",
    "enable_grad",
    "erf",
    "exp",
    "exp2",
    "expm1",
    "flatten",
    "floor",
    "from_dlpack",
    "full",
    "functional",
    "get_default_dtype",
    "get_num_threads",
    "get_precision",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "is_grad_enabled",
    "load_checkpoint",
    "load_weights",
    "log",
    "log10",
    "log1p",
    "log2",
    "manual_seed",
    "matmul",
    "maximum",
    "mean",
    "minimum",
    "mul",
    "neg",
    "nn",
    "no_grad",
    "ones",
    "optim",
    "permute",
    "pow",
    "reciprocal",
    "reshape",
    "round",
    "rsqrt",
    "save_checkpoint",
    "save_weights",
    "set_default_dtype",
    "set_grad_enabled",
    "set_num_threads",
    "set_precision",
    "show_config",
    "sign",
    "sin",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "sub",
    "sum",
    "summary",
    "take_along_dim",
    "tan",
    "tensor",
    "transpose",
    "trunc",
    "unflatten",
    "unsqueeze",
    "var",
    "where",
    "zeros",
]
