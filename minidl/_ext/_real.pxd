"""The number type that a module is compiled for, float or double; see real.h.

Cython takes it for the narrower one: where a `real` meets a double, the result is a double in both compilations. So
none may come from or become a Python object, which would round it; arrays are what crosses that border.
"""


cdef extern from "real.h" nogil:
    ctypedef float real
    real exponential "real_exp" (real x)
    real square_root "real_sqrt" (real x)
