"""Every kernel again, slow and obvious, in NumPy: what a learner reads first and what the kernels are tested against.

The functions take and return what their namesakes in `minidl.kernels` do. They compute in float64 whatever the dtype
of their inputs, and give the result in it.
"""

from minidl.reference.activation import *
from minidl.reference.binary import *
from minidl.reference.conv import *
from minidl.reference.elementwise import *
from minidl.reference.linear import *
from minidl.reference.loss import *
from minidl.reference.norm import *
from minidl.reference.optim import *
from minidl.reference.pooling import *
from minidl.reference.reduce import *
from minidl.reference.resample import *
from minidl.reference.row_winograd import *
from minidl.reference.toeplitz import *
from minidl.reference.winograd import *
