"""Losses as layers, beside PyTorch's."""

from __future__ import annotations

import inspect
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from parity import assert_close

import minidl
import minidl.functional as F
from minidl import nn
from minidl.errors import ShapeError, StateDictError

Array = np.ndarray


def values(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(size=shape)


X, OTHER, THIRD = (values(4, 3, seed=i) for i in range(3))
P = 1 / (1 + np.exp(-X))
SOFT = np.exp(OTHER) / np.exp(OTHER).sum(1, keepdims=True)
NUMBERS, IMAGES = np.array([2, 0, 1, 2]), values(2, 3, 2, 2)
SPATIAL = np.array([[[2, 0], [1, 1]], [[0, 2], [2, 1]]])
SIGNS = np.array([1, -1, -1, 1])
WEIGHT, POSITIVE = np.array([0.5, 2.0, 1.25]), np.array([3.0, 0.5, 1.0])

# The layer, its settings, its weights, and what it is called with.
CASES: list[tuple[str, dict[str, Any], dict[str, Array], tuple[Array, ...]]] = [
    ("NLLLoss", {}, {}, (X, NUMBERS)),
    ("NLLLoss", {"ignore_index": 0, "reduction": "sum"}, {"weight": WEIGHT}, (X, NUMBERS)),
    ("NLLLoss", {}, {"weight": WEIGHT}, (IMAGES, SPATIAL)),
    ("CrossEntropyLoss", {}, {}, (X, NUMBERS)),
    ("CrossEntropyLoss", {"ignore_index": 2, "label_smoothing": 0.1}, {"weight": WEIGHT}, (X, NUMBERS)),
    ("CrossEntropyLoss", {"reduction": "none"}, {"weight": WEIGHT}, (IMAGES, SPATIAL)),
    ("CrossEntropyLoss", {"label_smoothing": 0.1, "reduction": "sum"}, {"weight": WEIGHT}, (X, SOFT)),
    ("BCELoss", {}, {}, (P, SOFT)),
    ("BCELoss", {"reduction": "sum"}, {"weight": WEIGHT}, (P, SOFT)),
    ("BCEWithLogitsLoss", {}, {}, (X, SOFT)),
    ("BCEWithLogitsLoss", {"reduction": "none"}, {"weight": WEIGHT, "pos_weight": POSITIVE}, (X, SOFT)),
    ("BCEWithLogitsLoss", {}, {"pos_weight": POSITIVE}, (X, SOFT)),
    ("KLDivLoss", {"reduction": "batchmean"}, {}, (X, SOFT)),
    ("KLDivLoss", {"reduction": "sum", "log_target": True}, {}, (X, OTHER)),
    ("MSELoss", {}, {}, (X, OTHER)),
    ("MSELoss", {"reduction": "sum"}, {}, (X, OTHER)),
    ("L1Loss", {}, {}, (X, OTHER)),
    ("L1Loss", {"reduction": "none"}, {}, (X, OTHER)),
    ("SmoothL1Loss", {}, {}, (X, OTHER)),
    ("SmoothL1Loss", {"beta": 0.4, "reduction": "sum"}, {}, (X, OTHER)),
    ("HuberLoss", {}, {}, (X, OTHER)),
    ("HuberLoss", {"delta": 0.4, "reduction": "sum"}, {}, (X, OTHER)),
    ("HingeEmbeddingLoss", {}, {}, (X[:, 0], SIGNS)),
    ("HingeEmbeddingLoss", {"margin": 0.3, "reduction": "none"}, {}, (X[:, 0], SIGNS)),
    ("MultiMarginLoss", {}, {}, (X, NUMBERS)),
    ("MultiMarginLoss", {"p": 2, "margin": 0.5, "reduction": "sum"}, {"weight": WEIGHT}, (X, NUMBERS)),
    ("CosineEmbeddingLoss", {}, {}, (X, OTHER, SIGNS)),
    ("CosineEmbeddingLoss", {"margin": -0.7, "reduction": "none"}, {}, (X, OTHER, SIGNS)),
    ("MarginRankingLoss", {}, {}, (X[:, 0], OTHER[:, 0], SIGNS)),
    ("MarginRankingLoss", {"margin": 0.5, "reduction": "sum"}, {}, (X[:, 0], OTHER[:, 0], SIGNS)),
    ("TripletMarginLoss", {}, {}, (X, OTHER, THIRD)),
    ("TripletMarginLoss", {"margin": 2.0, "p": 3.0, "eps": 0.1, "swap": True, "reduction": "none"}, {},
     (X, OTHER, THIRD)),
]  # fmt: skip
every_case = pytest.mark.parametrize(("name", "settings", "weights", "inputs"), CASES)


def tensors(inputs: tuple[Array, ...]) -> list[Any]:
    """Copies that want gradients where they can have them."""
    return [minidl.Tensor(a.copy(), requires_grad=a.dtype.kind == "f") for a in inputs]


@every_case
def test_as_in_pytorch(
    torch: Any, name: str, settings: dict[str, Any], weights: dict[str, Array], inputs: tuple[Array, ...]
) -> None:
    theirs = getattr(torch.nn, name)(**settings, **{k: torch.tensor(w) for k, w in weights.items()})
    # The weights come from the state dict alone.
    ours = getattr(nn, name)(**settings, **{k: np.ones_like(w) for k, w in weights.items()})
    assert ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()}) == ([], [])
    mine, other = tensors(inputs), [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in inputs]
    for mode in (True, False):
        ours.train(mode), theirs.train(mode)
        found, expected = ours(*mine), theirs(*other)
        assert_close(found.data, expected.detach().numpy(), 1e-12)
    found.sum().backward()
    expected.sum().backward()
    for a, b in zip(mine, other, strict=True):
        if b.requires_grad:
            assert_close(a.grad.data, b.grad.numpy(), 1e-12, "gradient", 1.0)


@every_case
def test_state_and_copies(
    name: str, settings: dict[str, Any], weights: dict[str, Array], inputs: tuple[Array, ...]
) -> None:
    layer = getattr(nn, name)(**settings, **weights)
    assert list(layer.state_dict()) == list(weights)
    assert not list(layer.parameters())
    assert [n for n, _ in layer.named_buffers()] == list(weights)
    expected = layer(*inputs).data
    copy = deepcopy(layer)
    again = getattr(nn, name)(**settings, **{k: np.ones_like(w) for k, w in weights.items()})
    again.load_state_dict(layer.state_dict())
    for key in weights:
        layer.state_dict()[key].data[...] = 0
    assert np.array_equal(copy(*inputs).data, expected)
    assert np.array_equal(again(*inputs).data, expected)
    assert not weights or not np.array_equal(layer(*inputs).data, expected)
    # In single precision, weights included.
    single = again.float()(*[a.astype(np.float32) if a.dtype.kind == "f" else a for a in inputs])
    assert single.dtype == np.float32
    assert_close(single.data, expected, 1e-5, scale=1.0)


@every_case
def test_gradients(name: str, settings: dict[str, Any], weights: dict[str, Array], inputs: tuple[Array, ...]) -> None:
    layer = getattr(nn, name)(**settings, **weights)
    assert minidl.gradcheck(layer, tensors(inputs))
    assert minidl.gradgradcheck(layer, tensors(inputs))


@every_case
def test_settings_are_shown(
    name: str, settings: dict[str, Any], weights: dict[str, Array], inputs: tuple[Array, ...]
) -> None:
    shown = repr(getattr(nn, name)(**settings, **weights))
    assert shown.startswith(f"{name}(")
    for key, value in {"reduction": "mean", **settings}.items():
        assert f"{key}={value!r}" in shown


def losses() -> list[str]:
    return [name for name in nn.__all__ if name.endswith("Loss")]


def test_every_loss_is_here() -> None:
    assert {case[0] for case in CASES} == set(losses())


def functions() -> list[str]:
    return [
        name for name in F.__all__ if getattr(F, name).__module__.split(".")[-1] in ("loss", "margin", "regression")
    ]


def same_arguments(ours: Any, theirs: Any) -> None:
    """Names, defaults and order; what follows an argument that PyTorch deprecated takes a keyword."""
    mine, other = (list(inspect.signature(f).parameters.values()) for f in (ours, theirs))
    deprecated = ("size_average", "reduce")
    assert [(p.name, p.default) for p in mine] == [(p.name, p.default) for p in other if p.name not in deprecated]
    names = [p.name for p in other]
    first = min((names.index(name) for name in deprecated if name in names), default=len(names))
    assert [p.name for p in mine if p.kind is not p.KEYWORD_ONLY] == names[:first]


@pytest.mark.parametrize("name", losses())
def test_arguments_of_layers_are_pytorchs(torch: Any, name: str) -> None:
    same_arguments(getattr(nn, name).__init__, getattr(torch.nn, name).__init__)


@pytest.mark.parametrize("name", functions())
def test_arguments_of_functions_are_pytorchs(torch: Any, name: str) -> None:
    same_arguments(getattr(F, name), getattr(torch.nn.functional, name))


def test_repr() -> None:
    assert repr(nn.MSELoss()) == "MSELoss(reduction='mean')"
    assert repr(nn.TripletMarginLoss(p=1)) == (
        "TripletMarginLoss(margin=1.0, p=1, eps=1e-06, swap=False, reduction='mean')"
    )
    assert repr(nn.CrossEntropyLoss(WEIGHT)) == (
        "CrossEntropyLoss(ignore_index=-100, reduction='mean', label_smoothing=0.0)"
    )


def test_weights_are_the_layers_own() -> None:
    w = minidl.tensor([1.0, 2.0, 3.0], requires_grad=True)
    layer = nn.CrossEntropyLoss(w)
    layer.double()
    assert w.dtype == np.float32
    layer.weight[0] = 7
    assert w[0].item() == 1
    assert not layer.weight.requires_grad
    assert nn.NLLLoss([1.0, 2.0]).weight.dtype == np.float32


def test_a_weight_may_come_and_go() -> None:
    layer = nn.CrossEntropyLoss()
    assert layer.weight is None
    plain = layer(X, NUMBERS).item()
    layer.weight = minidl.Tensor(WEIGHT)
    assert list(layer.state_dict()) == ["weight"]
    assert layer(X, NUMBERS).item() == F.cross_entropy(X, NUMBERS, WEIGHT).item() != plain
    layer.weight = None
    assert layer(X, NUMBERS).item() == plain


def test_settings_are_attributes() -> None:
    layer = nn.HuberLoss()
    assert (layer.reduction, layer.delta) == ("mean", 1.0)
    layer.reduction, layer.delta = "sum", 0.25
    assert layer(X, OTHER).item() == F.huber_loss(X, OTHER, "sum", 0.25).item()


def test_inputs_by_name() -> None:
    assert nn.MSELoss()(input=X, target=OTHER).item() == nn.MSELoss()(X, OTHER).item()
    ranking = nn.MarginRankingLoss()
    first, second = X[:, 0], OTHER[:, 0]
    assert ranking(input1=first, input2=second, target=SIGNS).item() == ranking(first, second, SIGNS).item()
    triplet = nn.TripletMarginLoss()
    assert triplet(negative=X, positive=OTHER, anchor=THIRD).item() == triplet(THIRD, OTHER, X).item()


def test_the_message_names_the_layer() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            self.body, self.criterion = nn.Dense(3, 4), nn.CrossEntropyLoss(WEIGHT)

        def forward(self, x: Any, target: Any) -> Any:
            return self.criterion(self.body(x), target)

    with pytest.raises(ShapeError, match=r"cross_entropy: weight .*\n  in layer criterion \(CrossEntropyLoss\)$"):
        Model().double()(X, NUMBERS)


def test_a_state_that_does_not_fit_is_refused() -> None:
    with pytest.raises(StateDictError, match=r"weight has shape \(2,\), the module's is \(3,\)"):
        nn.NLLLoss(WEIGHT).load_state_dict({"weight": np.ones(2)})
    with pytest.raises(StateDictError, match="missing: weight"):
        nn.NLLLoss(WEIGHT).load_state_dict({})


def test_a_loss_trains_a_model() -> None:
    minidl.manual_seed(0)
    model, loss_of = nn.Dense(3, 3), nn.CrossEntropyLoss(WEIGHT.astype(np.float32), label_smoothing=0.05)
    optimizer = minidl.optim.SGD(model.parameters(), lr=1.0)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = loss_of(model(X.astype(np.float32)), NUMBERS)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
