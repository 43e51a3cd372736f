"""The sliding window in C: what `minidl.geometry.Window.packed` holds, and the loops between images and columns.

H, W is the image, KH, KW the kernel, SH, SW the stride, DH, DW the dilation, OH, OW the output; K = C*KH*KW counts
the rows of the columns and P = OH*OW their positions.
"""

from minidl._ext._real cimport real


cdef extern from "runs.h" nogil:
    void copy_run "minidl_copy_run" (void* target, const void* source, size_t bytes)
    void zero_run "minidl_zero_run" (void* target, size_t bytes)
    # target[i] = source[i * stride].
    void copy_every(real* target, const real* source, Py_ssize_t stride, Py_ssize_t count)
    # target[i] is even[i / 2] or odd[i / 2], in turns.
    void merge_runs(real* target, const real* even, const real* odd, Py_ssize_t count)
    void add_run(real* target, const real* source, Py_ssize_t count)


cdef struct Window:
    Py_ssize_t H
    Py_ssize_t W
    Py_ssize_t KH
    Py_ssize_t KW
    Py_ssize_t SH
    Py_ssize_t SW
    Py_ssize_t DH
    Py_ssize_t DW
    Py_ssize_t top
    Py_ssize_t left
    Py_ssize_t OH
    Py_ssize_t OW


cdef inline Window unpack(const Py_ssize_t[::1] packed) noexcept nogil:
    cdef Window window
    window.H, window.W = packed[0], packed[1]
    window.KH, window.KW = packed[2], packed[3]
    window.SH, window.SW = packed[4], packed[5]
    window.DH, window.DW = packed[6], packed[7]
    window.top, window.left = packed[8], packed[9]
    window.OH, window.OW = packed[10], packed[11]
    return window


cdef inline Py_ssize_t first_inside(Py_ssize_t offset, Py_ssize_t stride) noexcept nogil:
    """The first output position o with o*stride + offset >= 0."""
    return (-offset + stride - 1) // stride if offset < 0 else 0


cdef inline Py_ssize_t end_inside(
    Py_ssize_t offset, Py_ssize_t stride, Py_ssize_t size, Py_ssize_t outputs,
) noexcept nogil:
    """One past the last output position o with o*stride + offset < size."""
    return min((size - offset + stride - 1) // stride, outputs) if size > offset else 0


# Loop order: row of the columns outermost, then output rows, then the run of positions in one output row. A run reads
# one image row left to right and writes one column row left to right, so for stride 1 it is a copy of memory.

cdef struct Tap:
    # One row of the columns: which channel it reads, its offset in the image, and which output columns stay inside.
    Py_ssize_t channel
    Py_ssize_t row_offset
    Py_ssize_t offset
    Py_ssize_t first
    Py_ssize_t end


cdef inline Tap tap_of(Py_ssize_t k, const Window* window) noexcept nogil:
    cdef Tap tap
    tap.channel = k // (window.KH * window.KW)
    tap.row_offset = k // window.KW % window.KH * window.DH - window.top
    tap.offset = k % window.KW * window.DW - window.left
    tap.first = first_inside(tap.offset, window.SW)
    tap.end = end_inside(tap.offset, window.SW, window.W, window.OW)
    return tap


cdef inline void im2col(
    const real[:, :, :, ::1] image_nchw, Py_ssize_t n, Py_ssize_t channel,
    Py_ssize_t k_start, Py_ssize_t k_stop, Py_ssize_t p_start, Py_ssize_t p_stop,
    real[:, ::1] columns, Py_ssize_t slot, const Window* window,
) noexcept nogil:
    """columns[(c,kh,kw), (oh,ow)] = image[c, oh*SH + kh*DH - top, ow*SW + kw*DW - left], 0 outside.

    Writes rows k_start to k_stop (counted from `channel`) of positions p_start to p_stop to columns[slot], densely.
    """
    cdef Py_ssize_t k, p, oh, ow, stop, h, start, inside, i
    cdef Py_ssize_t SW = window.SW, OW = window.OW
    cdef Py_ssize_t at = 0
    cdef Tap tap
    for k in range(k_start, k_stop):
        tap = tap_of(k, window)
        p = p_start
        oh = p_start // OW
        ow = p_start - oh * OW
        while p < p_stop:
            stop = min(OW, ow + p_stop - p)
            h = oh * window.SH + tap.row_offset
            start = min(max(ow, tap.first), stop)
            inside = max(min(stop, tap.end), start)
            if h < 0 or h >= window.H:
                start = inside = stop
            for i in range(ow, start):
                columns[slot, at + i - ow] = 0
            if inside > start:
                if SW == 1:
                    copy_run(&columns[slot, at + start - ow],
                             &image_nchw[n, channel + tap.channel, h, start + tap.offset],
                             <size_t>(inside - start) * sizeof(real))
                else:
                    for i in range(start, inside):
                        columns[slot, at + i - ow] = image_nchw[n, channel + tap.channel, h, i * SW + tap.offset]
            for i in range(inside, stop):
                columns[slot, at + i - ow] = 0
            at += stop - ow
            p += stop - ow
            oh += 1
            ow = 0


cdef inline void col2im(
    const real[:, ::1] columns, Py_ssize_t slot, Py_ssize_t k_start, Py_ssize_t k_stop,
    Py_ssize_t p_start, Py_ssize_t p_stop,
    real[:, :, :, ::1] image_nchw, Py_ssize_t n, Py_ssize_t channel, const Window* window,
) noexcept nogil:
    """The transpose of im2col: image[c, h, w] += the sum of the columns' entries that were copied from there."""
    cdef Py_ssize_t k, p, oh, ow, stop, h, start, inside, i
    cdef Py_ssize_t SW = window.SW, OW = window.OW
    cdef Py_ssize_t at = 0
    cdef Tap tap
    for k in range(k_start, k_stop):
        tap = tap_of(k, window)
        p = p_start
        oh = p_start // OW
        ow = p_start - oh * OW
        while p < p_stop:
            stop = min(OW, ow + p_stop - p)
            h = oh * window.SH + tap.row_offset
            start = min(max(ow, tap.first), stop)
            inside = max(min(stop, tap.end), start)
            if 0 <= h < window.H and inside > start:
                if SW == 1:
                    add_run(&image_nchw[n, channel + tap.channel, h, start + tap.offset],
                            &columns[slot, at + start - ow], inside - start)
                else:
                    for i in range(start, inside):
                        image_nchw[n, channel + tap.channel, h, i * SW + tap.offset] += columns[slot, at + i - ow]
            at += stop - ow
            p += stop - ow
            oh += 1
            ow = 0
