"""Matrix products."""

from __future__ import annotations

from minidl import _ext
from minidl.errors import ShapeError
from minidl.kernels._common import NOTHING, Array, ByDtype, check_blas_sizes, shaped
from minidl.memory import new_array
from minidl.runtime import single_threaded_blas, threads_for

__all__ = [
    "matmul",
]

_matmul = ByDtype(_ext.matmul, "matmul")
_BLOCK = 2**20


def _operand(x: Array) -> tuple[Array, bool]:
    """A matrix batch as BLAS reads it: (B, rows, columns) in memory, and whether that is the transpose."""
    if x.ndim == 2:
        x = x[None]
    if x.flags.c_contiguous:
        return x, False
    transposed = x.swapaxes(1, 2)
    if transposed.flags.c_contiguous:
        return transposed, True
    return x.copy(order="C"), False


def matmul(a: Array, b: Array, bias: Array | None = None) -> Array:
    """(M, K) by (K, N), or a batch of both, plus a bias (N,) on every row."""
    left, transpose_a = _operand(a)
    right, transpose_b = _operand(b)
    (M, K), N, dtype = a.shape[-2:], b.shape[-1], a.dtype
    if b.shape[-2] != K or left.shape[0] != right.shape[0]:
        raise ShapeError(f"matmul: arrays that have been made {a.shape} and {b.shape} can't be multiplied")
    output = new_array((*a.shape[:-1], N), dtype)
    if output.size == 0:
        return output
    check_blas_sizes("matmul", K, N, left.shape[2], right.shape[2])
    work = output.size * K
    # Blocks of at least about 1 M multiply-adds, and at most 16 of them, cut along the longer side.
    pieces = min(16, max(work // left.shape[0] // _BLOCK, 1))
    block_m = -(-M // pieces) if M >= N else M
    block_n = -(-N // pieces) if M < N else N
    block_m, block_n = min(block_m, 2**30), min(max(block_n, min(N, 16)), 2**30)
    with single_threaded_blas:
        _matmul[dtype](
            left, transpose_a, right, transpose_b, NOTHING[dtype] if bias is None else shaped(bias, N),
            output if output.ndim == 3 else output[None], block_m, block_n, threads_for(work),
        )  # fmt: skip
    return output
