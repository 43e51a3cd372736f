"""Limits on gradients."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import numpy as np
import pytest
from optimizer_twins import draw, pairs

import minidl
from minidl import nn, optim
from minidl.errors import ArgumentError, DTypeError, GraphError

ORDERS = [1.0, 2.0, 3.5, inf, "inf", "2", -inf, "-inf", 0, 0.5, -1, -2.5, np.float32(2), np.int64(1)]


def twins(torch: Any, values: list[list[float]], dtype: str = "float32") -> tuple[list[Any], list[Any]]:
    """Parameters with these gradients, ours and PyTorch's."""
    ours = [nn.Parameter(np.ones(len(v), dtype)) for v in values]
    theirs = [torch.nn.Parameter(torch.ones(len(v), dtype=getattr(torch, dtype))) for v in values]
    for p, q, v in zip(ours, theirs, values, strict=True):
        p.grad, q.grad = minidl.tensor(v, dtype=dtype), torch.tensor(v, dtype=getattr(torch, dtype))
    return ours, theirs


def assert_same_gradients(ours: list[Any], theirs: list[Any], rtol: float) -> None:
    for p, q in zip(ours, theirs, strict=True):
        if q.grad is not None:
            np.testing.assert_allclose(p.grad.data, q.grad.numpy(), rtol=rtol)


class TestClipGradNorm:
    @pytest.mark.parametrize("norm_type", ORDERS)
    @pytest.mark.parametrize("max_norm", [0.5, 1e6, 0.0, inf])
    def test_as_in_pytorch(self, torch: Any, norm_type: Any, max_norm: float) -> None:
        dtypes = ["float64"] * 4
        ours, theirs = pairs(torch, dtypes)
        for p, q, g in zip(ours, theirs, draw(3, dtypes), strict=True):
            p.grad, q.grad = minidl.Tensor(g.copy()), torch.from_numpy(g.copy())
        ours[1].grad = theirs[1].grad = None
        found = optim.clip_grad_norm_(iter(ours), max_norm, norm_type)
        expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
        assert found.shape == () and found.item() == pytest.approx(expected.item(), rel=1e-12)
        assert_same_gradients(ours, theirs, 1e-11)

    @pytest.mark.parametrize("norm_type", [2.0, "inf", -inf, 0, -1, 1])
    @pytest.mark.parametrize("values", [
        [[1.0, inf], [2.0]], [[1.0], [-inf, inf]], [[nan], [3.0]], [[3.0], [nan]], [[inf], [nan]], [[0.0], [0.0, 0.0]],
        [[0.0, 1.0], [2.0]],
    ])  # fmt: skip
    def test_infinities_nan_and_zeros_as_in_pytorch(
        self, torch: Any, values: list[list[float]], norm_type: Any, recwarn: pytest.WarningsRecorder
    ) -> None:
        ours, theirs = twins(torch, values)
        found = optim.clip_grad_norm_(ours, 1.0, norm_type).item()
        expected = torch.nn.utils.clip_grad_norm_(theirs, 1.0, norm_type).item()
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert_same_gradients(ours, theirs, 1e-6)
        assert not [w for w in recwarn.list if "minidl" in w.filename]

    def test_not_finite(self) -> None:
        p = nn.Parameter([1.0])
        for value in (nan, inf):
            p.grad = minidl.tensor([value])
            with pytest.raises(ArgumentError, match=f"clip_grad_norm_: the norm of the gradients is {value}"):
                optim.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
            assert not np.isfinite(p.grad.item())

    def test_squares_that_float32_does_not_hold(self) -> None:
        p = nn.Parameter([1.0, 1.0])
        p.grad = minidl.tensor([3e30, 4e30])
        assert optim.clip_grad_norm_(p, 1.0).item() == pytest.approx(5e30)
        np.testing.assert_allclose(p.grad.data, [0.6, 0.8], rtol=1e-6)

    def test_nothing_to_clip(self) -> None:
        assert optim.clip_grad_norm_([nn.Parameter([1.0])], 1.0).item() == 0
        assert optim.clip_grad_norm_([], 1.0).item() == 0

    @pytest.mark.parametrize("arguments", [
        (-1.0,), (nan,), ("x",), (None,), ([1.0],), (True,), (1j,), (1.0, nan), (1.0, "fro"), (1.0, None), (1.0, [2]),
        (1.0, 2.0, 1), (1.0, 2.0, np.array([True])),
    ])  # fmt: skip
    def test_bad_options(self, arguments: tuple) -> None:
        with pytest.raises(ArgumentError, match=r"clip_grad_norm_: (max_norm|norm_type|error_if_nonfinite) must be"):
            optim.clip_grad_norm_([nn.Parameter([1.0])], *arguments)

    @pytest.mark.parametrize("parameters", [3, [1, 2], {"params": []}, [np.ones(2)], None])
    def test_bad_parameters(self, parameters: Any) -> None:
        for clip in (optim.clip_grad_norm_, optim.clip_grad_value_):
            with pytest.raises(DTypeError, match=r"^clip_grad_\w+_: parameters(\[0\])? must be"):
                clip(parameters, 1.0)

    def test_a_read_only_gradient(self) -> None:
        p = nn.Parameter([3.0])
        p.grad = minidl.Tensor(np.broadcast_to(np.float32(3), (1,)))
        for clip in (optim.clip_grad_norm_, optim.clip_grad_value_):
            with pytest.raises(GraphError, match=r"clip_grad_\w+_: a gradient of shape \(1,\) is read-only"):
                clip(p, 1.0)


class TestClipGradValue:
    @pytest.mark.parametrize("clip_value", [0.5, 0, inf, "0.5", np.float32(2)])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_as_in_pytorch(self, torch: Any, clip_value: Any, dtype: str) -> None:
        ours, theirs = twins(torch, [[3.0, -4.0, 0.25], [inf, -inf, nan]], dtype)
        before = ours[0].grad
        assert nn.utils.clip_grad_value_(iter(ours), clip_value) is None
        torch.nn.utils.clip_grad_value_(theirs, clip_value)
        assert_same_gradients(ours, theirs, 0)
        assert ours[0].grad is before

    def test_one_parameter_and_none(self) -> None:
        p = nn.Parameter([1.0])
        p.grad = minidl.tensor([-3.0])
        optim.clip_grad_value_(p, 2)
        assert p.grad.item() == -2
        optim.clip_grad_value_([nn.Parameter([1.0])], 2)
        # PyTorch refuses what float32 does not hold.
        optim.clip_grad_value_(p, 1e300)
        assert p.grad.item() == -2

    @pytest.mark.parametrize("clip_value", [-1.0, nan, "x", None, [1.0], True])
    def test_bad_values(self, clip_value: Any) -> None:
        with pytest.raises(ArgumentError, match="clip_grad_value_: clip_value must be a number of at least 0"):
            optim.clip_grad_value_([nn.Parameter([1.0])], clip_value)


def test_they_stand_where_pytorch_has_them() -> None:
    for name in ("clip_grad_norm_", "clip_grad_value_"):
        assert getattr(nn.utils, name) is getattr(optim, name)
