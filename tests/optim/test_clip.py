"""Limits on gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optimizer_twins import draw, pairs

import minidl
from minidl import nn, optim
from minidl.errors import ArgumentError


class TestClipGradNorm:
    @pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.5, float("inf")])
    @pytest.mark.parametrize("max_norm", [0.5, 1e6, 0.0])
    def test_as_in_pytorch(self, torch: Any, norm_type: float, max_norm: float) -> None:
        dtypes = ["float64"] * 4
        ours, theirs = pairs(torch, dtypes)
        for p, q, g in zip(ours, theirs, draw(3, dtypes), strict=True):
            p.grad, q.grad = minidl.Tensor(g.copy()), torch.from_numpy(g.copy())
        ours[1].grad = theirs[1].grad = None
        found = optim.clip_grad_norm_(iter(ours), max_norm, norm_type)
        expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
        assert found.shape == () and found.item() == pytest.approx(expected.item(), rel=1e-13)
        for p, q in zip(ours, theirs, strict=True):
            if q.grad is not None:
                np.testing.assert_allclose(p.grad.data, q.grad.numpy(), rtol=1e-12)

    def test_not_finite(self) -> None:
        p = nn.Parameter([1.0])
        p.grad = minidl.tensor([float("nan")])
        with pytest.raises(ArgumentError, match="clip_grad_norm_: the norm of the gradients is nan"):
            optim.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
        assert np.isnan(optim.clip_grad_norm_(p, 1.0).item())

    def test_nothing_to_clip(self) -> None:
        assert optim.clip_grad_norm_([nn.Parameter([1.0])], 1.0).item() == 0

    @pytest.mark.parametrize("arguments", [(-1.0,), (1.0, 0.0), (1.0, -2.0), (float("nan"),)])
    def test_bad_options(self, arguments: tuple) -> None:
        with pytest.raises(ArgumentError, match="clip_grad_norm_: max_norm and norm_type must be positive"):
            optim.clip_grad_norm_([nn.Parameter([1.0])], *arguments)
