# cython: language_level=3, boundscheck=False, wraparound=False
"""Sums that leak, h[t] = decay * h[t - 1] + x[t], forward and backward; compiled by custom_op.py.

Time is the outer loop, since each step needs the one before; the channels of a step lie side by side in memory, so the
inner loop is what the compiler turns into vectors. The caller has checked the shapes and made the results.
"""

ctypedef fused real:
    float
    double


def forward(const real[:, ::1] x, const real[::1] decay, real[:, ::1] h):
    """Fill h (T, C), of x (T, C) and decay (C,)."""
    cdef Py_ssize_t t, c
    with nogil:
        for t in range(x.shape[0]):
            for c in range(x.shape[1]):
                h[t, c] = x[t, c] + (decay[c] * h[t - 1, c] if t > 0 else 0)


def backward(
    const real[:, ::1] grad, const real[:, ::1] h, const real[::1] decay, real[:, ::1] grad_x, real[::1] grad_decay
):
    """Fill grad_x (T, C) and add to grad_decay (C,), of the result's gradient and the result."""
    cdef Py_ssize_t t, c, last = grad.shape[0] - 1
    with nogil:
        for t in range(last, -1, -1):
            for c in range(grad.shape[1]):
                grad_x[t, c] = grad[t, c] + (decay[c] * grad_x[t + 1, c] if t < last else 0)
                if t > 0:
                    grad_decay[c] += grad_x[t, c] * h[t - 1, c]
