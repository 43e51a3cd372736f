"""The operations under PyTorch's names, with their checks and documentation: `import minidl.functional as F`."""

from minidl.functional import activation, conv, loss, pooling
from minidl.functional import linear as _linear
from minidl.functional.activation import *
from minidl.functional.conv import *
from minidl.functional.linear import *
from minidl.functional.loss import *
from minidl.functional.pooling import *

__all__: list[str] = []
__all__ += activation.__all__
__all__ += conv.__all__
__all__ += _linear.__all__
__all__ += loss.__all__
__all__ += pooling.__all__
