"""Layers, models and what they start from."""

from minidl.nn import (
    activation,
    containers,
    conv,
    dropout,
    embedding,
    init,
    linear,
    loss,
    normalization,
    padding,
    pooling,
    shapes,
    utils,
)
from minidl.nn.activation import *
from minidl.nn.containers import *
from minidl.nn.conv import *
from minidl.nn.dropout import *
from minidl.nn.embedding import *
from minidl.nn.linear import *
from minidl.nn.loss import *
from minidl.nn.module import Module
from minidl.nn.normalization import *
from minidl.nn.padding import *
from minidl.nn.parameter import Parameter
from minidl.nn.pooling import *
from minidl.nn.shapes import *

__all__ = ["Module", "Parameter", "init", "utils"]
__all__ += activation.__all__
__all__ += containers.__all__
__all__ += conv.__all__
__all__ += dropout.__all__
__all__ += linear.__all__
__all__ += loss.__all__
__all__ += normalization.__all__
__all__ += pooling.__all__
__all__ += shapes.__all__
__all__ += embedding.__all__
__all__ += padding.__all__
