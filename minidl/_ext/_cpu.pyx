"""What the processor can run, and how the kernels were built."""

cdef extern from "cpu.h" nogil:
    int minidl_x86_64_level()
    int minidl_has_openmp()


def x86_64_level():
    return minidl_x86_64_level()


def has_openmp():
    return bool(minidl_has_openmp())
