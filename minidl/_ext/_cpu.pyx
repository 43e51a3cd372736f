"""The processor's level, and how the kernels were built."""

cdef extern from "cpu.h" nogil:
    int minidl_x86_64_level()

cdef extern from "threads.h" nogil:
    const char* minidl_threads_by()


def x86_64_level():
    return minidl_x86_64_level()


def threads_by():
    return minidl_threads_by().decode()
