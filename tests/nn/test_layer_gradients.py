"""Every layer's gradients and gradients of gradients, by its input and by its parameters, numerically."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minidl
from minidl import nn


def distinct(*shape: int) -> Any:
    """Numbers that are far apart, so that no step crosses a kink of ReLU or of max pooling."""
    count = int(np.prod(shape))
    values = np.random.default_rng(0).permutation(count) - count / 2 + 0.25
    return minidl.tensor(values.reshape(shape) / count, dtype="float64", requires_grad=True)


LAYERS: dict[str, tuple[Any, Any]] = {
    "Conv2d": (lambda: nn.Conv2d(2, 4, (3, 2), stride=(1, 2), padding=1, groups=2), distinct(2, 2, 4, 5)),
    "MaxPool2d": (lambda: nn.MaxPool2d((2, 3), stride=(2, 1), padding=(1, 1)), distinct(2, 2, 4, 5)),
    "AvgPool2d": (lambda: nn.AvgPool2d((2, 3), stride=(2, 1), padding=(1, 1)), distinct(2, 2, 4, 5)),
    "Dense": (lambda: nn.Dense(4, 3), distinct(3, 4)),
    "ReLU": (nn.ReLU, distinct(3, 4)),
    "Tanh": (nn.Tanh, distinct(3, 4)),
    "Sigmoid": (nn.Sigmoid, distinct(3, 4)),
    "Dropout": (lambda: nn.Dropout(0.5).eval(), distinct(3, 4)),
    "Flatten": (nn.Flatten, distinct(2, 2, 3)),
    "CrossEntropyLoss": (lambda: lambda x: nn.CrossEntropyLoss()(x, [1, 0, 3]), distinct(3, 4)),
    "Sequential": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Dense(8, 2)),
        distinct(2, 1, 6, 6),
    ),
}


def test_every_layer_is_here() -> None:
    layers = {name for name in nn.__all__ if name[0].isupper()} - {"Module", "Parameter", "Linear"}
    assert layers == set(LAYERS)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients(name: str) -> None:
    minidl.manual_seed(0)
    make, x = LAYERS[name]
    layer = make()
    named: list[tuple[str, Any]] = []
    if isinstance(layer, nn.Module):
        named = list(layer.double().named_parameters())
    owners = dict(layer.named_modules()) if named else {}

    def run(values: Any, *parameters: Any) -> Any:
        for (path, _), tensor in zip(named, parameters, strict=True):
            owner, _, attribute = path.rpartition(".")
            owners[owner].__dict__[attribute] = tensor
        return layer(values)

    inputs = [x, *(minidl.tensor(p.data, requires_grad=True) for _, p in named)]
    assert minidl.gradcheck(run, inputs)
    assert minidl.gradgradcheck(run, inputs)


def test_a_wrong_gradient_is_found() -> None:
    class Wrong(nn.ReLU):
        def forward(self, input: Any) -> Any:
            return super().forward(input) + (input * 0.01).detach()

    with pytest.raises(minidl.MinidlError):
        minidl.gradcheck(Wrong(), distinct(3, 4))
