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


def images(channels: int = 2) -> Any:
    return distinct(2, channels, 4, 5)


def signals(channels: int = 2) -> Any:
    return distinct(2, channels, 6)


def against(loss: Any, *others: Any) -> Any:
    """The loss as a function of its first argument."""
    return lambda x: loss(x, *others)


_targets = np.random.default_rng(1).uniform(0.1, 0.9, (3, 4))
_signs = np.array([1.0, -1.0, 1.0])

LAYERS: dict[str, tuple[Any, Any]] = {
    **{
        name: (getattr(nn, name), distinct(3, 4))
        for name in (*nn.activation.__all__, "Identity")
        if name not in ("PReLU", "Softmax", "LogSoftmax")
    },
    "PReLU": (lambda: nn.PReLU(2), images()),
    "Softmax": (lambda: nn.Softmax(1), distinct(3, 4)),
    "LogSoftmax": (lambda: nn.LogSoftmax(1), distinct(3, 4)),
    "Conv1d": (lambda: nn.Conv1d(2, 4, 3, stride=2, padding=1, groups=2), signals()),
    "Conv2d": (lambda: nn.Conv2d(2, 4, (3, 2), stride=(1, 2), padding=1, groups=2), images()),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(2, 4, 3, stride=2, output_padding=1, groups=2), signals()),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(2, 3, (3, 2), (1, 2), 1, (0, 1)), images()),
    "MaxPool1d": (lambda: nn.MaxPool1d(3, 2, 1, ceil_mode=True), signals()),
    "MaxPool2d": (lambda: nn.MaxPool2d((2, 3), stride=(2, 1), padding=(1, 1)), images()),
    "AvgPool1d": (lambda: nn.AvgPool1d(3, 2, 1, ceil_mode=True, count_include_pad=False), signals()),
    "AvgPool2d": (lambda: nn.AvgPool2d((2, 3), stride=(2, 1), padding=(1, 1), divisor_override=5), images()),
    "AdaptiveAvgPool1d": (lambda: nn.AdaptiveAvgPool1d(4), signals()),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d((3, 2)), images()),
    "AdaptiveMaxPool1d": (lambda: nn.AdaptiveMaxPool1d(4), signals()),
    "AdaptiveMaxPool2d": (lambda: nn.AdaptiveMaxPool2d((3, None)), images()),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(2), signals()),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(2), images()),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(2, affine=True), signals()),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(2, affine=True), images()),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), images(4)),
    "LayerNorm": (lambda: nn.LayerNorm((4, 5)), images()),
    "Dense": (lambda: nn.Dense(4, 3), distinct(3, 4)),
    "Dropout": (lambda: nn.Dropout(0.5).eval(), distinct(3, 4)),
    "Dropout2d": (lambda: nn.Dropout2d(0.5).eval(), images()),
    "Embedding": (lambda: nn.Embedding(3, 2), None),
    "Flatten": (nn.Flatten, distinct(2, 2, 3)),
    "Unflatten": (lambda: nn.Unflatten(1, (2, 3)), distinct(2, 6)),
    "Unfold": (lambda: nn.Unfold((2, 3), padding=1), images()),
    "Fold": (lambda: nn.Fold((2, 3), 2), distinct(2, 4, 2)),
    "Upsample": (lambda: nn.Upsample((5, 7), mode="bilinear"), distinct(1, 2, 3, 4)),
    **{
        f"{kind}Pad{rank}d": (
            lambda kind=kind, rank=rank: getattr(nn, f"{kind}Pad{rank}d")(
                (1, 2) if rank == 1 else (1, 2, 2, 1), *([0.5] if kind == "Constant" else [])
            ),
            signals() if rank == 1 else images(),
        )
        for kind in ("Constant", "Zero", "Reflection", "Replication", "Circular")
        for rank in (1, 2)
    },
    "CrossEntropyLoss": (lambda: against(nn.CrossEntropyLoss(label_smoothing=0.1), [1, 0, 3]), distinct(3, 4)),
    "NLLLoss": (lambda: against(nn.NLLLoss(), [1, 0, 3]), distinct(3, 4)),
    "MSELoss": (lambda: against(nn.MSELoss(), _targets), distinct(3, 4)),
    "L1Loss": (lambda: against(nn.L1Loss(), _targets), distinct(3, 4)),
    "SmoothL1Loss": (lambda: against(nn.SmoothL1Loss(beta=0.3), _targets), distinct(3, 4)),
    "HuberLoss": (lambda: against(nn.HuberLoss(delta=0.3), _targets), distinct(3, 4)),
    "BCEWithLogitsLoss": (lambda: against(nn.BCEWithLogitsLoss(), _targets), distinct(3, 4)),
    "BCELoss": (lambda: lambda x: nn.BCELoss()(nn.Sigmoid()(x), _targets), distinct(3, 4)),
    "KLDivLoss": (lambda: against(nn.KLDivLoss(reduction="sum"), _targets), distinct(3, 4)),
    "CosineEmbeddingLoss": (lambda: against(nn.CosineEmbeddingLoss(), _targets, _signs), distinct(3, 4)),
    "HingeEmbeddingLoss": (lambda: against(nn.HingeEmbeddingLoss(), np.sign(_targets - 0.5)), distinct(3, 4)),
    "MarginRankingLoss": (lambda: against(nn.MarginRankingLoss(0.1), _targets[:, 0], _signs), distinct(3)),
    "MultiMarginLoss": (lambda: against(nn.MultiMarginLoss(p=2), [1, 0, 3]), distinct(3, 4)),
    "TripletMarginLoss": (lambda: against(nn.TripletMarginLoss(), _targets, _targets[::-1].copy()), distinct(3, 4)),
    "ModuleList": (lambda: Listed(), distinct(3, 4)),
    "ModuleDict": (lambda: Listed(), distinct(3, 4)),
    "ParameterList": (lambda: Listed(), distinct(3, 4)),
    "Residual": (lambda: nn.Residual(nn.Dense(4, 4), nn.Tanh()), distinct(3, 4)),
    "Sequential": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Dense(8, 2)),
        distinct(2, 1, 6, 6),
    ),
}  # fmt: skip


class Listed(nn.Module):
    """Containers that have no forward of their own."""

    def __init__(self) -> None:
        self.layers = nn.ModuleList([nn.Dense(4, 3), nn.Tanh()])
        self.named = nn.ModuleDict({"last": nn.Dense(3, 3)})
        self.scales = nn.ParameterList([nn.Parameter(np.array([1.0, 2.0, 3.0]))])

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        # By its name, since the test below puts plain tensors in the parameters' places.
        return self.named["last"](x) * vars(self.scales)["0"]


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

    if x is None:
        # Its input is no number to differentiate by.
        indices, call = np.array([[0, 2], [2, 2]]), run
        inputs = [minidl.tensor(p.data, requires_grad=True) for _, p in named]
        assert minidl.gradcheck(lambda *p: call(indices, *p), inputs)
        assert minidl.gradgradcheck(lambda *p: call(indices, *p) ** 2, inputs)
        return
    inputs = [x, *(minidl.tensor(p.data, requires_grad=True) for _, p in named)]
    assert minidl.gradcheck(run, inputs)
    assert minidl.gradgradcheck(run, inputs)


def test_a_wrong_gradient_is_found() -> None:
    class Wrong(nn.ReLU):
        def forward(self, input: Any) -> Any:
            return super().forward(input) + (input * 0.01).detach()

    with pytest.raises(minidl.MinidlError):
        minidl.gradcheck(Wrong(), distinct(3, 4))
