"""One-hot rows and embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np

import minidl.functional as F
from op_cases._case import *


def _one_hot(numbers: Array, num_classes: int = -1) -> Array:
    count = numbers.max() + 1 if num_classes == -1 else num_classes
    return (numbers[..., None] == np.arange(count)).astype(np.int64)


def _embedding(numbers: Array, weight: Array, **options: Any) -> Array:
    out = np.empty((*numbers.shape, weight.shape[1]), weight.dtype)
    for at in np.ndindex(numbers.shape):
        out[at] = weight[numbers[at]]
    return out


REFERENCES.update({F.one_hot: _one_hot, F.embedding: _embedding})


def rows() -> list[Case]:
    """Of the family."""
    numbers, weight = np.array([[0, 3, 1], [3, 3, 0]]), normal(5, 4)
    # The rule for these gradients is not the slope of the value, where it applies.
    table = [
        row(F.embedding, [numbers, weight], {"padding_idx": 3}, numeric=False, batched=(0,)),
        row(F.embedding, [numbers, weight], {"padding_idx": -5}, numeric=False, batched=(0,)),
        row(F.embedding, [numbers, weight], {"scale_grad_by_freq": True}, numeric=False, batched=(0,)),
        row(F.embedding, [numbers, weight], {"scale_grad_by_freq": True, "padding_idx": 0}, numeric=False),
    ]
    return [
        *table,
        row(F.one_hot, [numbers], order=0),
        row(F.one_hot, [numbers], {"num_classes": 6}, order=0, batched=(0,)),
        row(F.one_hot, [np.array(2)], order=0),
        row(F.one_hot, [np.array([1, 0, 2], np.int32)], {"num_classes": 3}, order=0, batched=(0,)),
        row(F.one_hot, [np.array([[1, 0, 2]], np.uint8)], order=0),
        row(F.one_hot, [np.zeros((2, 0), np.int64)], {"num_classes": 2}, order=0, batched=(0,)),
        row(F.embedding, [numbers, weight], batched=(0,)),
        row(F.embedding, [np.array([4, 4, 4, 4], np.int32), weight], batched=(0,)),
        row(F.embedding, [np.array(2), weight]),
        row(F.embedding, [np.zeros((2, 0, 3), np.int64), weight], batched=(0,)),
        row(F.embedding, [np.array([[[0]], [[0]]]), normal(1, 1)], batched=(0,)),
        row(F.embedding, [np.array([0, 2]), normal(3, 0)], batched=(0,)),
        row(F.embedding, [numbers, weight], {"padding_idx": 2, "max_norm": 1e3, "norm_type": 1}, batched=(0,)),
        row(F.embedding, [np.array([2, 0, 1]), weight], {"padding_idx": 4, "scale_grad_by_freq": True}, batched=(0,)),
    ]
