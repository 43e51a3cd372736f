"""Steps of optimisers take subnormal numbers for zero.

A mean that decays would come to rest at one (nine tenths of it, rounded, are that number again), where a unit of the
network is dead or a pixel always black, and each further step would take a slow path of the processor: 3 to 6 times as
long after two epochs on MNIST.
"""


cdef extern from "subnormal.h" nogil:
    unsigned flush_subnormals "minidl_flush_subnormals" ()
    void restore_subnormals "minidl_restore_subnormals" (unsigned before)
