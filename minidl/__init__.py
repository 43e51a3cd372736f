"""minidl: a small deep-learning framework for the CPU.

The functions here make and combine tensors; `minidl.functional` has the operations of layers, `minidl.nn` the layers,
`minidl.optim` what trains them, and `minidl.data` what feeds them.
"""

from minidl import functional, nn, optim
from minidl.autograd import enable_grad, grad, is_grad_enabled, no_grad, set_grad_enabled
from minidl.dtypes import get_default_dtype, set_default_dtype
from minidl.errors import MinidlError
from minidl.geometry import Padding
from minidl.ops.arithmetic import absolute as abs
from minidl.ops.arithmetic import add, clip, div, exp, log, maximum, minimum, mul, neg, sqrt, sub, where
from minidl.ops.arithmetic import power as pow
from minidl.ops.matmul import matmul
from minidl.ops.shapes import (
    amax,
    amin,
    argmax,
    argmin,
    broadcast_to,
    concatenate,
    flatten,
    mean,
    permute,
    reshape,
    squeeze,
    stack,
    sum,
    transpose,
    unsqueeze,
    var,
)
from minidl.runtime import default_generator, empty_cache, get_num_threads, manual_seed, set_num_threads
from minidl.tensor import Tensor, from_dlpack, full, ones, take_along_dim, tensor, zeros

__version__ = "0.1.0"

cat = concatenate
