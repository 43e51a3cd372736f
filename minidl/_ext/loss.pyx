"""Softmax, its logarithm and their gradients over rows; cross-entropy with class numbers, and the squared distance,
forward and backward.

Every row is shifted by its maximum first, so that no exponential overflows; sums run in double precision.
"""

from cython.parallel cimport prange
from libc.math cimport log

from minidl._ext._real cimport exponential, real
from minidl._ext._threads cimport slot_start


cdef double row_log_sum(const real[:, ::1] x_rc, Py_ssize_t r, real* maximum) noexcept nogil:
    """log(sum(exp(x - max(x)))), and max(x)."""
    cdef real highest = x_rc[r, 0]
    cdef double total = 0
    cdef Py_ssize_t c
    for c in range(1, x_rc.shape[1]):
        if x_rc[r, c] > highest or x_rc[r, c] != x_rc[r, c]:
            highest = x_rc[r, c]
    for c in range(x_rc.shape[1]):
        total += exponential(x_rc[r, c] - highest)
    maximum[0] = highest
    return log(total)


def log_softmax(const real[:, ::1] x_rc, real[:, ::1] y_rc, int threads):
    """y = x - log(sum(exp(x))) over each row."""
    cdef Py_ssize_t R = x_rc.shape[0], slot, r, c
    cdef real maximum
    cdef double log_sum
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for r in range(slot_start(R, slot, threads), slot_start(R, slot + 1, threads)):
            maximum = 0
            log_sum = row_log_sum(x_rc, r, &maximum)
            for c in range(x_rc.shape[1]):
                y_rc[r, c] = <real>((x_rc[r, c] - maximum) - log_sum)


def all_below(const long long[::1] numbers, unsigned long long limit):
    """Whether all numbers are from 0 on and below the limit."""
    cdef Py_ssize_t i
    cdef bint fits = True
    with nogil:
        for i in range(numbers.shape[0]):
            # Read without a sign, negative numbers are large.
            fits &= <unsigned long long>numbers[i] < limit
    return fits


def cross_entropy(
    const real[:, ::1] x_rc, const long long[::1] target_r, long long ignore_index, const real[::1] share_r,
    const real[::1] spread_c, real[:, ::1] log_probability_rc, real[::1] loss_r, int threads,
):
    """l = log_softmax(x), which is log_probability; loss[r] = -share[r] l[r, target[r]] - sum(spread l[r]).

    None stands for a share of 1, for a spread of 0, and for losses that nobody wants one by one. The loss of ignored
    rows is 0. Returns the losses' sum, and how many rows are not ignored.
    """
    cdef Py_ssize_t R = x_rc.shape[0], r, c, kept = 0
    cdef double total, all_rows = 0
    cdef bint has_share = share_r is not None, has_loss = loss_r is not None
    cdef Py_ssize_t spread_classes = 0 if spread_c is None else spread_c.shape[0]
    log_softmax(x_rc, log_probability_rc, threads)
    with nogil:
        for r in range(R):
            if target_r[r] == ignore_index:
                if has_loss:
                    loss_r[r] = 0
                continue
            total = log_probability_rc[r, target_r[r]]
            if has_share:
                total = total * share_r[r]
            for c in range(spread_classes):
                total = total + spread_c[c] * log_probability_rc[r, c]
            if has_loss:
                loss_r[r] = <real>-total
            # Rounded to what a loss of the row would be, so that the sum is that of the losses.
            all_rows += <real>-total
            kept += 1
    return all_rows, kept


def cross_entropy_gradient(
    const real[:, ::1] log_probability_rc, const long long[::1] target_r, long long ignore_index,
    double factor, const real[::1] scale_r, const real[::1] share_r, const real[::1] spread_c, real[:, ::1] grad_rc,
    int threads,
):
    """grad[r] = (exp(log_probability[r]) (share[r] + sum(spread)) - share[r] onehot(target[r]) - spread) scale[r].

    None stands for a scale of `factor` for every row, for a share of 1 and for a spread of 0. Ignored rows get 0.
    """
    cdef Py_ssize_t R = grad_rc.shape[0], slot, r, c
    cdef double spread_sum = 0
    cdef real share, scale, whole
    cdef bint has_scale = scale_r is not None, has_share = share_r is not None
    cdef Py_ssize_t spread_classes = 0 if spread_c is None else spread_c.shape[0]
    for c in range(spread_classes):
        spread_sum += spread_c[c]
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for r in range(slot_start(R, slot, threads), slot_start(R, slot + 1, threads)):
            if target_r[r] == ignore_index:
                for c in range(grad_rc.shape[1]):
                    grad_rc[r, c] = 0
            else:
                share = share_r[r] if has_share else 1
                scale = scale_r[r] if has_scale else <real>factor
                whole = <real>(share + spread_sum) * scale
                for c in range(grad_rc.shape[1]):
                    grad_rc[r, c] = exponential(log_probability_rc[r, c]) * whole
                for c in range(spread_classes):
                    grad_rc[r, c] -= spread_c[c] * scale
                grad_rc[r, target_r[r]] -= share * scale


cdef double squares(const real* x, const real* target, Py_ssize_t count) noexcept nogil:
    """The sum of (x - target)^2, each rounded as its dtype has it, as 16 running sums."""
    cdef double[16] sums
    cdef double total = 0
    cdef real d
    cdef Py_ssize_t p
    cdef int i
    for i in range(16):
        sums[i] = 0
    for p in range(0, count - 15, 16):
        for i in range(16):
            d = x[p + i] - target[p + i]
            sums[i] += <real>(d * d)
    p = count - count % 16
    for i in range(<int>(count % 16)):
        d = x[p + i] - target[p + i]
        sums[i] += <real>(d * d)
    for i in range(16):
        total += sums[i]
    return total


def squared_distance(const real[::1] x, const real[::1] target, double[::1] chunk_sums, int threads):
    """The sum of (x - target)^2, in double precision, over as many chunks as there are sums."""
    cdef Py_ssize_t chunks = chunk_sums.shape[0], slot, i, start, stop
    cdef double total = 0
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for i in range(slot_start(chunks, slot, threads), slot_start(chunks, slot + 1, threads)):
            start, stop = slot_start(x.shape[0], i, chunks), slot_start(x.shape[0], i + 1, chunks)
            chunk_sums[i] = squares(&x[0] + start, &target[0] + start, stop - start)
    for i in range(chunks):
        total += chunk_sums[i]
    return total


def squared_distance_gradient(const real[::1] x, const real[::1] target, double factor, real[::1] grad, int threads):
    """grad = (x - target) factor."""
    cdef Py_ssize_t slot, i
    cdef real scale = <real>factor
    for slot in prange(threads, nogil=True, num_threads=threads, schedule="static", use_threads_if=threads > 1):
        for i in range(slot_start(x.shape[0], slot, threads), slot_start(x.shape[0], slot + 1, threads)):
            grad[i] = (x[i] - target[i]) * scale
