"""The operations under PyTorch's names, with their checks and documentation: `import minidl.functional as F`."""

from minidl.functional import (
    activation,
    conv,
    loss,
    margin,
    normalization,
    padding,
    pooling,
    rectifiers,
    regression,
    resample,
)
from minidl.functional import dropout as _dropout
from minidl.functional import embedding as _embedding
from minidl.functional import fold as _fold
from minidl.functional import linear as _linear
from minidl.functional import softmax as _softmax
from minidl.functional.activation import *
from minidl.functional.conv import *
from minidl.functional.dropout import *
from minidl.functional.embedding import *
from minidl.functional.fold import *
from minidl.functional.linear import *
from minidl.functional.loss import *
from minidl.functional.margin import *
from minidl.functional.normalization import *
from minidl.functional.padding import *
from minidl.functional.pooling import *
from minidl.functional.rectifiers import *
from minidl.functional.regression import *
from minidl.functional.resample import *
from minidl.functional.softmax import *

__all__: list[str] = []
__all__ += activation.__all__
__all__ += conv.__all__
__all__ += _fold.__all__
__all__ += _linear.__all__
__all__ += loss.__all__
__all__ += margin.__all__
__all__ += regression.__all__
__all__ += pooling.__all__
__all__ += normalization.__all__
__all__ += padding.__all__
__all__ += resample.__all__
__all__ += _dropout.__all__
__all__ += _softmax.__all__
__all__ += rectifiers.__all__
__all__ += _embedding.__all__

log_sigmoid = activation.logsigmoid
