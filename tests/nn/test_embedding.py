"""The embedding layer beside PyTorch's: values, gradients, what learning does to it, and its state."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from parity import TOLERANCE, assert_close

import minidl
from minidl import nn, optim
from minidl.errors import OutOfRangeError, StateDictError

OPTIONS: list[dict[str, Any]] = [
    {},
    {"padding_idx": 2},
    {"padding_idx": -1},
    {"max_norm": 1.5},
    {"max_norm": 1.0, "norm_type": 1.0, "padding_idx": 0},
    {"max_norm": 0.7, "norm_type": float("inf")},
    {"scale_grad_by_freq": True},
    {"scale_grad_by_freq": True, "padding_idx": 1, "max_norm": 2.0},
]
NUMBERS = np.array([[1, 0, 2], [4, 1, 1]])


def pair(torch: Any, options: dict[str, Any]) -> tuple[nn.Embedding, Any]:
    torch.manual_seed(0)
    theirs = torch.nn.Embedding(5, 4, **options).double()
    ours = nn.Embedding(5, 4, **options).double()
    assert ours.load_state_dict(theirs.state_dict()) == ([], [])
    return ours, theirs


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_learning_equals_pytorchs(torch: Any, options: dict[str, Any], training: bool) -> None:
    ours, theirs = pair(torch, options)
    ours.train(training)
    theirs.train(training)
    mine, other = optim.SGD(ours.parameters(), lr=0.5), torch.optim.SGD(theirs.parameters(), lr=0.5)
    for step in range(3):
        mine.zero_grad()
        other.zero_grad()
        y, z = ours(NUMBERS), theirs(torch.tensor(NUMBERS))
        assert_close(y.data, z.detach().numpy(), TOLERANCE, f"step {step}")
        (y * y * y).sum().backward()
        (z * z * z).sum().backward()
        assert_close(ours.weight.grad.data, theirs.weight.grad.numpy(), TOLERANCE, f"gradient {step}")
        mine.step()
        other.step()
        assert_close(ours.weight.data, theirs.weight.detach().numpy(), TOLERANCE, f"weight {step}")


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_repr_and_settings_are_pytorchs(torch: Any, options: dict[str, Any]) -> None:
    ours, theirs = pair(torch, options)
    assert repr(ours) == repr(theirs)
    for name in ("num_embeddings", "embedding_dim", "padding_idx", "max_norm", "norm_type", "scale_grad_by_freq"):
        assert getattr(ours, name) == getattr(theirs, name)


def test_state_and_copies() -> None:
    layer = nn.Embedding(5, 4, padding_idx=1)
    assert list(layer.state_dict()) == ["weight"]
    other = nn.Embedding(5, 4)
    other.load_state_dict(layer.state_dict())
    copy = deepcopy(layer)
    assert np.array_equal(other(NUMBERS).data, layer(NUMBERS).data)
    assert np.array_equal(copy(NUMBERS).data, layer(NUMBERS).data)
    with minidl.no_grad():
        copy.weight.zero_()
    assert layer.weight.data.any() and copy.padding_idx == 1
    with pytest.raises(StateDictError, match=r"weight has shape \(5, 4\), the module's is \(4, 4\)"):
        nn.Embedding(4, 4).load_state_dict(layer.state_dict())


def test_what_it_starts_from() -> None:
    layer = nn.Embedding(200, 100, padding_idx=7, generator=np.random.default_rng(0))
    assert layer.weight.dtype == np.float32 and not layer.weight.data[7].any()
    values = np.delete(layer.weight.data, 7, 0)
    # Five standard deviations of the mean and of the spread of 19,900 values.
    assert abs(values.mean()) < 5 / np.sqrt(values.size) and abs(values.std() - 1) < 5 / np.sqrt(2 * values.size)
    again = nn.Embedding(200, 100, padding_idx=7, dtype="float64", generator=np.random.default_rng(0))
    assert np.array_equal(again.weight.data.astype(np.float32), layer.weight.data)
    minidl.manual_seed(3)
    first = nn.Embedding(3, 2).weight.data
    minidl.manual_seed(3)
    assert np.array_equal(nn.Embedding(3, 2).weight.data, first)


def test_the_padding_row_is_not_learned() -> None:
    layer = nn.Embedding(5, 4, padding_idx=1)
    optimizer = optim.SGD(layer.parameters(), lr=1.0)
    before = layer.weight.data.copy()
    layer(NUMBERS).sum().backward()
    optimizer.step()
    assert np.array_equal(layer.weight.data[[1, 3]], before[[1, 3]])
    assert np.array_equal(layer.weight.data[[0, 2, 4]], before[[0, 2, 4]] - 1)


def test_from_pretrained(torch: Any) -> None:
    table = np.random.default_rng(0).normal(size=(5, 4))
    for options in ({}, {"freeze": False}, {"padding_idx": -2, "max_norm": 1.0}, {"norm_type": 1.0}):
        ours = nn.Embedding.from_pretrained(table.copy(), **options)
        theirs = torch.nn.Embedding.from_pretrained(torch.tensor(table), **options)
        assert_close(ours(NUMBERS).data, theirs(torch.tensor(NUMBERS)).detach().numpy(), TOLERANCE)
        assert ours.weight.requires_grad == theirs.weight.requires_grad
        assert repr(ours) == repr(theirs) and list(ours.state_dict()) == list(theirs.state_dict())
    layer = nn.Embedding.from_pretrained(table, padding_idx=1)
    assert np.shares_memory(layer.weight.data, table) and layer.weight.data[1].any()
    assert nn.Embedding.from_pretrained([[1.0, 2.0]]).weight.dtype == np.float32
    layer.reset_parameters()
    assert not layer.weight.data[1].any()


def test_an_error_names_the_layer() -> None:
    model = nn.Sequential({"words": nn.Embedding(5, 4), "mean": nn.Flatten()})
    with pytest.raises(OutOfRangeError, match=r"embedding: input\[0, 1\] is 5(.|\n)*in layer words \(Embedding\)"):
        model([[0, 5]])
