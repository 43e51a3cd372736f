"""What `summary` counts, and that it leaves the model as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.errors import ArgumentError, DTypeError, ShapeError
from minidl.summary import MULTIPLY_ADDS, summary


class Pair(nn.Module):
    """Nested, with a layer that is called twice, tied parameters, one of its own, and two results."""

    def __init__(self) -> None:
        self.shared = nn.Dense(4, 4)
        self.tied = nn.Dense(4, 4)
        self.tied.weight = self.shared.weight
        self.scale = nn.Parameter([1.0, 2.0, 3.0, 4.0])
        self.unused = nn.Dense(2, 2)

    def forward(self, x: Any) -> Any:
        y = self.tied(self.shared(self.shared(x)))
        return y, y * self.scale


def test_shared_tied_own_and_uncalled() -> None:
    model = Pair()
    model.unused.requires_grad_(False)
    found = summary(model, (3, 4))
    assert [(r.path, r.output_shape, r.parameters, r.is_shared, r.multiply_adds) for r in found.rows] == [
        ("shared", (3, 4), 20, False, 48),
        ("shared", (3, 4), 0, True, 48),
        ("tied", (3, 4), 4, True, 48),
        ("", ((3, 4), (3, 4)), 4, False, 0),
        ("unused", None, 6, False, 0),
    ]
    assert (found.total_parameters, found.trainable_parameters, found.frozen_parameters) == (34, 28, 6)
    assert sum(row.parameters for row in found.rows) == found.total_parameters
    # Input, three dense results, and of the model's two results the one that is new.
    assert found.activation_bytes == 5 * 48
    assert found.parameter_bytes == 34 * 4
    text = str(found)
    assert "not called" in text and "shared" in text and "(3, 4), (3, 4)" in text and "34 (28 trainable, 6" in text


def test_inferred_sizes_groups_and_views() -> None:
    model = nn.Sequential(nn.Conv2d(None, 4, (3, 2), groups=2), nn.Flatten(), nn.Dropout(), nn.Dense(None, 5))
    found = summary(model, [2, 6, 5, 4])
    assert [row.multiply_adds for row in found.rows] == [2 * 4 * 9 * 3 * 6, 0, 0, 2 * 36 * 5]
    assert [row.activation_bytes for row in found.rows] == [288, 0, 0, 40]


def test_the_model_stays_as_it_was() -> None:
    model = nn.Sequential(nn.Dense(3, 2), nn.Dropout())
    model[0].eval()
    for shape in ((1, 3), (1, 4)):
        if shape[1] == 3:
            summary(model, shape)
        else:
            with pytest.raises(ShapeError, match=r"in layer 0 \(Dense\)"):
                summary(model, shape)
        assert [m.training for m in model.modules()] == [True, False, True]
        assert not any(m._forward_hooks for m in model.modules())


def test_float64_and_own_formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    class Twice(nn.Dense):
        pass

    assert summary(Twice(3, 2, dtype="float64"), (1, 3)).multiply_adds == 6
    monkeypatch.setitem(MULTIPLY_ADDS, Twice, lambda layer, input_shape, output_shape: input_shape[1] + output_shape[1])
    found = summary(Twice(3, 2, dtype="float64"), (1, 3))
    assert found.multiply_adds == 5 and found.dtype == np.float64 and found.rows[0].path == ""
    assert minidl.is_grad_enabled()


@pytest.mark.parametrize("shape", [3, (-1, 2), (1.0, 2), None])
def test_wrong_arguments(shape: Any) -> None:
    with pytest.raises(ArgumentError, match="input_shape must be a tuple of non-negative integers"):
        summary(nn.ReLU(), shape)
    with pytest.raises(DTypeError, match="model must be a Module, got int"):
        summary(3, (1,))  # type: ignore[arg-type]


def test_multiply_adds_of_every_kind_of_convolution() -> None:
    # Counted by hand: for each output (input, of the transposed ones) the weights that meet it.
    for layer, shape, expected in [
        (nn.Conv1d(4, 6, 3, groups=2), (2, 4, 9), 2 * 6 * 7 * 2 * 3),
        (nn.Conv2d(4, 6, (3, 2)), (2, 4, 9, 5), 2 * 6 * 7 * 4 * 4 * 3 * 2),
        (nn.ConvTranspose1d(4, 6, 3, stride=2), (2, 4, 9), 2 * 4 * 9 * 6 * 3),
        (nn.ConvTranspose2d(4, 6, (3, 2), groups=2), (2, 4, 9, 5), 2 * 4 * 9 * 5 * 3 * 3 * 2),
    ]:
        assert minidl.summary(layer, shape).rows[0].multiply_adds == expected, layer
