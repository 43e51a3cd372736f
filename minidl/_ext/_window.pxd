"""The sliding window in C: what `minidl.geometry.Window.packed` holds, and the loops between images and columns.

H, W is the image, KH, KW the kernel, SH, SW the stride, DH, DW the dilation, OH, OW the output; K = C*KH*KW counts
the rows of the columns and P = OH*OW their positions.
"""

from libc.string cimport memcpy, memset

from minidl._ext._types cimport real


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
# one image row left to right and writes one column row left to right, so for stride 1 it is a memcpy.

cdef inline void im2col(
    const real[:, :, :, ::1] image_nchw, Py_ssize_t n, Py_ssize_t channel,
    Py_ssize_t k_start, Py_ssize_t k_stop, Py_ssize_t p_start, Py_ssize_t p_stop,
    real[:, ::1] columns, Py_ssize_t slot, const Window* window,
) noexcept nogil:
    """columns[(c,kh,kw), (oh,ow)] = image[c, oh*SH + kh*DH - top, ow*SW + kw*DW - left], 0 outside.

    Writes rows k_start to k_stop (counted from `channel`) of positions p_start to p_stop to columns[slot], densely.
    """
    cdef Py_ssize_t k, p, c, kh, kw, oh, ow, stop, h, offset, first, end, start, inside, i
    cdef Py_ssize_t SW = window.SW
    cdef Py_ssize_t at = 0
    for k in range(k_start, k_stop):
        c = channel + k // (window.KH * window.KW)
        kh = k // window.KW % window.KH
        kw = k % window.KW
        offset = kw * window.DW - window.left
        first = first_inside(offset, SW)
        end = end_inside(offset, SW, window.W, window.OW)
        p = p_start
        while p < p_stop:
            oh = p // window.OW
            ow = p - oh * window.OW
            stop = min(window.OW, ow + p_stop - p)
            h = oh * window.SH + kh * window.DH - window.top
            start = min(max(ow, first), stop)
            inside = max(min(stop, end), start)
            if h < 0 or h >= window.H or inside == start:
                memset(&columns[slot, at], 0, <size_t>(stop - ow) * sizeof(real))
            else:
                if start > ow:
                    memset(&columns[slot, at], 0, <size_t>(start - ow) * sizeof(real))
                if SW == 1:
                    memcpy(&columns[slot, at + start - ow], &image_nchw[n, c, h, start + offset],
                           <size_t>(inside - start) * sizeof(real))
                else:
                    for i in range(start, inside):
                        columns[slot, at + i - ow] = image_nchw[n, c, h, i * SW + offset]
                if inside < stop:
                    memset(&columns[slot, at + inside - ow], 0, <size_t>(stop - inside) * sizeof(real))
            at += stop - ow
            p += stop - ow


cdef inline void col2im(
    const real[:, ::1] columns, Py_ssize_t slot, Py_ssize_t k_start, Py_ssize_t k_stop,
    Py_ssize_t p_start, Py_ssize_t p_stop,
    real[:, :, :, ::1] image_nchw, Py_ssize_t n, Py_ssize_t channel, const Window* window,
) noexcept nogil:
    """The transpose of im2col: image[c, h, w] += the sum of the columns' entries that were copied from there."""
    cdef Py_ssize_t k, p, c, kh, kw, oh, ow, stop, h, offset, first, end, start, inside, i
    cdef Py_ssize_t SW = window.SW
    cdef Py_ssize_t at = 0
    cdef const real* source
    cdef real* target
    for k in range(k_start, k_stop):
        c = channel + k // (window.KH * window.KW)
        kh = k // window.KW % window.KH
        kw = k % window.KW
        offset = kw * window.DW - window.left
        first = first_inside(offset, SW)
        end = end_inside(offset, SW, window.W, window.OW)
        p = p_start
        while p < p_stop:
            oh = p // window.OW
            ow = p - oh * window.OW
            stop = min(window.OW, ow + p_stop - p)
            h = oh * window.SH + kh * window.DH - window.top
            start = min(max(ow, first), stop)
            inside = max(min(stop, end), start)
            if 0 <= h < window.H and inside > start:
                if SW == 1:
                    source = &columns[slot, at + start - ow]
                    target = &image_nchw[n, c, h, start + offset]
                    for i in range(inside - start):
                        target[i] += source[i]
                else:
                    for i in range(start, inside):
                        image_nchw[n, c, h, i * SW + offset] += columns[slot, at + i - ow]
            at += stop - ow
            p += stop - ow
