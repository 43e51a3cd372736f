"""Arrays that come as a list: a typed memoryview of each would cost more than a small layer's arithmetic."""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBuffer_Release, PyObject_GetBuffer

from minidl._ext._real cimport real


cdef inline const real* address(object array, Py_ssize_t count) except? NULL:
    """The address of the `count` numbers of an array, which its list keeps alive; its dtype is the caller's affair."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS)
    PyBuffer_Release(&view)
    if view.len != count * <Py_ssize_t>sizeof(real):
        raise ValueError(f"an array of {view.len} bytes instead of {count} numbers")
    return <const real*>view.buf
