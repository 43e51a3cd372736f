"""Convolution by im2col and BLAS: forward, input gradient, weight gradient; unfold and fold.

Loop order: the batch's columns never exist at once. A tile of them, as many positions as fit the L2 cache, is built,
multiplied and forgotten, so the columns are read from cache and a thread needs only one tile of workspace. The caller
(`minidl.kernels`) has checked every shape, cut the work (tile sizes) and allocated outputs and workspace.

Letters: N samples, G groups, C channels per group, F output channels per group, K = C*KH*KW, P = OH*OW.
"""

from cython.parallel cimport prange

from minidl._ext._blas cimport gemm
from minidl._ext._real cimport real
from minidl._ext._threads cimport slot_start
from minidl._ext._window cimport Window, col2im, im2col, unpack


cdef void forward_item(
    const real[:, :, :, ::1] input_nchw, const real[:, ::1] weight_fk, const real[::1] bias_f, Py_ssize_t groups,
    real[:, :, ::1] output_nfp, real[:, ::1] workspace, Py_ssize_t item, Py_ssize_t slot,
    Py_ssize_t tile, Py_ssize_t k_block, const Window* window,
) noexcept nogil:
    """One tile of positions of one group of one sample."""
    cdef Py_ssize_t K = weight_fk.shape[1], P = output_nfp.shape[2], F = weight_fk.shape[0] // groups
    cdef Py_ssize_t tiles = (P + tile - 1) // tile
    cdef Py_ssize_t n = item // (groups * tiles), g = item // tiles % groups
    cdef Py_ssize_t p_start = item % tiles * tile
    cdef Py_ssize_t p_stop = min(p_start + tile, P)
    cdef Py_ssize_t k_start = 0, k_stop, f, p
    cdef bint has_bias = bias_f.shape[0] > 0
    if has_bias:
        for f in range(g * F, (g + 1) * F):
            for p in range(p_start, p_stop):
                output_nfp[n, f, p] = bias_f[f]
    while k_start < K:
        k_stop = min(k_start + k_block, K)
        im2col(input_nchw, n, g * (K // (window.KH * window.KW)), k_start, k_stop, p_start, p_stop,
               workspace, slot, window)
        gemm(False, False, F, p_stop - p_start, k_stop - k_start, &weight_fk[g * F, k_start], K,
             &workspace[slot, 0], p_stop - p_start, <real>(1 if has_bias or k_start > 0 else 0),
             &output_nfp[n, g * F, p_start], P)
        k_start = k_stop


def forward(
    const real[:, :, :, ::1] input_nchw, const real[:, ::1] weight_fk, const real[::1] bias_f,
    const Py_ssize_t[::1] packed_window, Py_ssize_t groups, real[:, :, ::1] output_nfp, real[:, ::1] workspace,
    Py_ssize_t tile, Py_ssize_t k_block, int threads,
):
    """output = weight * columns(input) + bias."""
    cdef Window window = unpack(packed_window)
    cdef Py_ssize_t P = output_nfp.shape[2]
    cdef Py_ssize_t items = output_nfp.shape[0] * groups * ((P + tile - 1) // tile)
    cdef Py_ssize_t slot, item
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for item in range(slot_start(items, slot, threads), slot_start(items, slot + 1, threads)):
            forward_item(input_nchw, weight_fk, bias_f, groups, output_nfp, workspace, item, slot, tile, k_block,
                         &window)


cdef void input_gradient_item(
    const real[:, :, ::1] grad_nfp, const real[:, ::1] weight_fk, Py_ssize_t groups,
    real[:, :, :, ::1] grad_input_nchw, real[:, ::1] workspace, Py_ssize_t item, Py_ssize_t slot,
    Py_ssize_t tile, Py_ssize_t channel_block, const Window* window,
) noexcept nogil:
    """One block of channels of one group of one sample: rows of columns only ever add to their own channel."""
    cdef Py_ssize_t K = weight_fk.shape[1], P = grad_nfp.shape[2], F = weight_fk.shape[0] // groups
    cdef Py_ssize_t taps = window.KH * window.KW
    cdef Py_ssize_t C = K // taps
    cdef Py_ssize_t blocks = (C + channel_block - 1) // channel_block
    cdef Py_ssize_t n = item // (groups * blocks), g = item // blocks % groups
    cdef Py_ssize_t c_start = item % blocks * channel_block
    cdef Py_ssize_t c_stop = min(c_start + channel_block, C)
    cdef Py_ssize_t rows = (c_stop - c_start) * taps
    cdef Py_ssize_t c, h, w, p_start = 0, p_stop
    for c in range(g * C + c_start, g * C + c_stop):
        for h in range(window.H):
            for w in range(window.W):
                grad_input_nchw[n, c, h, w] = 0
    while p_start < P:
        p_stop = min(p_start + tile, P)
        gemm(True, False, rows, p_stop - p_start, F, &weight_fk[g * F, c_start * taps], K,
             &grad_nfp[n, g * F, p_start], P, <real>0, &workspace[slot, 0], p_stop - p_start)
        col2im(workspace, slot, c_start * taps, c_stop * taps, p_start, p_stop, grad_input_nchw, n, g * C, window)
        p_start = p_stop


def input_gradient(
    const real[:, :, ::1] grad_nfp, const real[:, ::1] weight_fk, const Py_ssize_t[::1] packed_window,
    Py_ssize_t groups, real[:, :, :, ::1] grad_input_nchw, real[:, ::1] workspace,
    Py_ssize_t tile, Py_ssize_t channel_block, int threads,
):
    """grad_input = fold(weight^T grad): each output gradient is scattered over the window that it came from."""
    cdef Window window = unpack(packed_window)
    cdef Py_ssize_t C = weight_fk.shape[1] // (window.KH * window.KW)
    cdef Py_ssize_t items = grad_nfp.shape[0] * groups * ((C + channel_block - 1) // channel_block)
    cdef Py_ssize_t slot, item
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for item in range(slot_start(items, slot, threads), slot_start(items, slot + 1, threads)):
            input_gradient_item(grad_nfp, weight_fk, groups, grad_input_nchw, workspace, item, slot, tile,
                                channel_block, &window)


cdef void weight_gradient_item(
    const real[:, :, :, ::1] input_nchw, const real[:, :, ::1] grad_nfp, Py_ssize_t groups,
    real[:, :, ::1] partial_sfk, real[:, ::1] workspace, Py_ssize_t item, Py_ssize_t slot,
    Py_ssize_t tile, Py_ssize_t k_block, const Window* window,
) noexcept nogil:
    """One block of the weight's columns, summed over one chunk of the (sample, tile) pairs in their order."""
    cdef Py_ssize_t chunks = partial_sfk.shape[0], K = partial_sfk.shape[2], P = grad_nfp.shape[2]
    cdef Py_ssize_t F = partial_sfk.shape[1] // groups
    cdef Py_ssize_t tiles = (P + tile - 1) // tile
    cdef Py_ssize_t blocks = (K + k_block - 1) // k_block
    cdef Py_ssize_t chunk = item // (groups * blocks), g = item // blocks % groups
    cdef Py_ssize_t k_start = item % blocks * k_block
    cdef Py_ssize_t k_stop = min(k_start + k_block, K)
    cdef Py_ssize_t pairs = grad_nfp.shape[0] * tiles
    cdef Py_ssize_t first = slot_start(pairs, chunk, chunks)
    cdef Py_ssize_t pair, n, p_start, p_stop, f, k
    if pairs == 0:
        for f in range(g * F, (g + 1) * F):
            for k in range(k_start, k_stop):
                partial_sfk[chunk, f, k] = 0
    for pair in range(first, slot_start(pairs, chunk + 1, chunks)):
        n = pair // tiles
        p_start = pair % tiles * tile
        p_stop = min(p_start + tile, P)
        im2col(input_nchw, n, g * (K // (window.KH * window.KW)), k_start, k_stop, p_start, p_stop,
               workspace, slot, window)
        gemm(False, True, F, k_stop - k_start, p_stop - p_start, &grad_nfp[n, g * F, p_start], P,
             &workspace[slot, 0], p_stop - p_start, <real>(0 if pair == first else 1),
             &partial_sfk[chunk, g * F, k_start], K)


def weight_gradient(
    const real[:, :, :, ::1] input_nchw, const real[:, :, ::1] grad_nfp, const Py_ssize_t[::1] packed_window,
    Py_ssize_t groups, real[:, :, ::1] partial_sfk, real[:, ::1] workspace,
    Py_ssize_t tile, Py_ssize_t k_block, int threads,
):
    """partial[s] = the sum over chunk s of grad columns(input)^T; then all chunks are added, in order, to partial[0].

    There are never more chunks than (sample, tile) pairs, unless the batch is empty and there is one.
    """
    cdef Window window = unpack(packed_window)
    cdef Py_ssize_t chunks = partial_sfk.shape[0], F = partial_sfk.shape[1], K = partial_sfk.shape[2]
    cdef Py_ssize_t items = chunks * groups * ((K + k_block - 1) // k_block)
    cdef Py_ssize_t slot, item, chunk, f, k
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for item in range(slot_start(items, slot, threads), slot_start(items, slot + 1, threads)):
            weight_gradient_item(input_nchw, grad_nfp, groups, partial_sfk, workspace, item, slot, tile, k_block,
                                 &window)
    with nogil:
        for chunk in range(1, chunks):
            for f in range(F):
                for k in range(K):
                    partial_sfk[0, f, k] += partial_sfk[chunk, f, k]


def unfold(
    const real[:, :, :, ::1] input_nchw, const Py_ssize_t[::1] packed_window, real[:, ::1] columns_n, int threads,
):
    """columns_n[n] = the (K, P) columns of sample n."""
    cdef Window window = unpack(packed_window)
    cdef Py_ssize_t N = input_nchw.shape[0], K = input_nchw.shape[1] * window.KH * window.KW
    cdef Py_ssize_t slot, n
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for n in range(slot_start(N, slot, threads), slot_start(N, slot + 1, threads)):
            im2col(input_nchw, n, 0, 0, K, 0, window.OH * window.OW, columns_n, n, &window)


def fold(
    const real[:, ::1] columns_n, const Py_ssize_t[::1] packed_window, real[:, :, :, ::1] output_nchw, int threads,
):
    """output = the transpose of unfold applied to columns; `output` comes in as zeros."""
    cdef Window window = unpack(packed_window)
    cdef Py_ssize_t N = output_nchw.shape[0], K = output_nchw.shape[1] * window.KH * window.KW
    cdef Py_ssize_t slot, n
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for n in range(slot_start(N, slot, threads), slot_start(N, slot + 1, threads)):
            col2im(columns_n, n, 0, K, 0, window.OH * window.OW, output_nchw, n, 0, &window)
