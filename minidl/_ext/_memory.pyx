"""Memory that is kept when an array dies, for the next array of about its size.

A fresh large array costs a page fault for every 4 KiB, and the C library gives large blocks back to the system as soon
as they are freed, so a training step would pay for all of its arrays again. A block's size is rounded up to one of
four classes per power of two; the free blocks of a class are chained through their own first bytes. The GIL guards the
chains. Under AddressSanitizer a block has just the size that was asked for and nothing is kept, so that every access
beyond it, or after its end, is seen.
"""

import numpy as np

from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdlib cimport free
from posix.stdlib cimport posix_memalign


cdef extern from "sanitize.h" nogil:
    const bint SANITIZED "MINIDL_SANITIZED"
    void forbid_bytes "minidl_forbid" (void* start, size_t bytes)


cdef enum:
    ALIGNMENT = 64
    CLASSES = 256
    # Smaller arrays come from NumPy, which is faster at them and keeps them too.
    SMALL_BYTES = 16 * 1024

cdef object new_small_array = np.empty
cdef object array_of = np.ndarray

# More than this many bytes are not kept: what an unusually large batch left behind goes back at once.
cdef Py_ssize_t most_kept = 0 if SANITIZED else 256 * 1024 * 1024
cdef Py_ssize_t kept = 0
cdef void* chains[CLASSES]
# Bytes of all blocks so far, and as they were when a class was last used: a class that twice as much has passed as may
# be kept makes room for others. A step that needs more than is kept thus goes on keeping the same part of it.
cdef Py_ssize_t passed = 0
cdef Py_ssize_t last_used[CLASSES]


cdef void make_room(Py_ssize_t size) noexcept:
    """Give blocks back that nobody has asked for in a long time, until so many bytes more can be kept."""
    global kept
    cdef Py_ssize_t chain, block
    cdef void* memory
    for chain in range(CLASSES):
        if chains[chain] != NULL and passed - last_used[chain] > 2 * most_kept:
            block = size_of(chain)
            while chains[chain] != NULL and kept + size > most_kept:
                memory = chains[chain]
                chains[chain] = (<void**>memory)[0]
                free(memory)
                kept -= block


cdef inline Py_ssize_t size_of(Py_ssize_t chain) noexcept:
    """The bytes of a class's blocks."""
    return (<Py_ssize_t>1 << (chain // 4)) + chain % 4 * (<Py_ssize_t>1 << (chain // 4 - 2))


cdef Py_ssize_t class_of(Py_ssize_t size, Py_ssize_t* rounded) noexcept:
    """The class of the smallest blocks that hold `size` bytes, and their size."""
    cdef Py_ssize_t exponent = 10, quarter, step, chain
    while exponent < 62 and (<Py_ssize_t>1 << (exponent + 1)) < size:
        exponent += 1
    step = <Py_ssize_t>1 << (exponent - 2)
    quarter = max((size - (<Py_ssize_t>1 << exponent) + step - 1) // step, 0)
    chain = 4 * exponent + quarter
    rounded[0] = size_of(chain)
    return chain


cdef class Block:
    """`size` writable bytes, aligned to a cache line, whose memory is kept when the block dies.

    With `row` they are rows of so many bytes, of which the first `used` may be: AddressSanitizer reports the others.
    """

    def __cinit__(self, Py_ssize_t size, Py_ssize_t row=0, Py_ssize_t used=0):
        global kept, passed
        cdef Py_ssize_t start
        if size < 0 or size > (<Py_ssize_t>1 << 60):
            raise MemoryError
        self.size = size
        self.chain = class_of(size, &self.rounded)
        if SANITIZED:
            self.rounded = max(size, 1)
        passed += self.rounded
        last_used[self.chain] = passed
        self.memory = chains[self.chain]
        if self.memory != NULL:
            chains[self.chain] = (<void**>self.memory)[0]
            kept -= self.rounded
        elif posix_memalign(&self.memory, ALIGNMENT, self.rounded) != 0:
            self.memory = NULL
            raise MemoryError
        if SANITIZED and row:
            for start in range(0, size - row + 1, row):
                forbid_bytes(<char*>self.memory + start + used, row - used)

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.memory, self.size, 0, flags)

    def __dealloc__(self):
        global kept
        if self.memory == NULL:
            return
        if kept + self.rounded > most_kept:
            make_room(self.rounded)
        if kept + self.rounded > most_kept:
            free(self.memory)
            return
        last_used[self.chain] = passed
        (<void**>self.memory)[0] = chains[self.chain]
        chains[self.chain] = self.memory
        kept += self.rounded


def new_array(tuple shape, object dtype):
    """An uninitialised array; the memory of a large one is used again when it has died."""
    cdef Py_ssize_t size = dtype.itemsize, length
    for length in shape:
        size *= length
    if size < SMALL_BYTES:
        return new_small_array(shape, dtype)
    return array_of(shape, dtype, Block(size))


cdef class workspace:
    """Lease `slots` rows of `elements` scratch values, each starting on a cache line of its own and ending with a gap.

    Use as ``with workspace(slots, elements, dtype) as rows:``; each lease has memory of its own, whichever Python
    thread it is in.
    """

    cdef Py_ssize_t slots, elements
    cdef object dtype

    def __init__(self, Py_ssize_t slots, Py_ssize_t elements, object dtype):
        self.slots, self.elements, self.dtype = slots, elements, dtype

    def __enter__(self):
        cdef Py_ssize_t row = 0
        cdef Block block = rows_of(self.slots, self.elements, self.dtype.itemsize, &row)
        return array_of((self.slots, row), self.dtype, block)

    def __exit__(self, *exc_info):
        """Nothing: the memory is free when the rows are."""


def held():
    """The bytes of all free blocks."""
    return kept


def empty():
    """Give the memory of all free blocks back."""
    global kept
    cdef Py_ssize_t chain
    cdef void* memory
    for chain in range(CLASSES):
        while chains[chain] != NULL:
            memory = chains[chain]
            chains[chain] = (<void**>memory)[0]
            free(memory)
    kept = 0
