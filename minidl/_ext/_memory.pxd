"""Memory that is kept when it is not used any more, for kernels that lease their scratch themselves."""


cdef class Block:
    cdef void* memory
    cdef Py_ssize_t size
    cdef Py_ssize_t rounded
    cdef Py_ssize_t chain


cdef inline Block rows_of(Py_ssize_t slots, Py_ssize_t elements, Py_ssize_t itemsize, Py_ssize_t* row):
    """Scratch as `minidl.memory.workspace` gives it: rows on cache lines of their own; `row` becomes their step."""
    cdef Py_ssize_t line = 64 // itemsize
    row[0] = (elements // line + 1) * line
    return Block(slots * row[0] * itemsize, row[0] * itemsize, elements * itemsize)
