"""The operations under PyTorch's names, with their checks and documentation: `import minidl.functional as F`."""

from minidl.functional.activation import dropout, log_softmax, relu, sigmoid, softmax, tanh
from minidl.functional.conv import conv2d, fold, unfold
from minidl.functional.linear import linear
from minidl.functional.loss import cross_entropy
from minidl.functional.pooling import avg_pool2d, max_pool2d

__all__ = [
    "avg_pool2d",
    "conv2d",
    "cross_entropy",
    "dropout",
    "fold",
    "linear",
    "log_softmax",
    "max_pool2d",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
    "unfold",
]
