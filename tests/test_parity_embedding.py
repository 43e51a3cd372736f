"""One-hot rows and embeddings beside PyTorch's, on random configurations in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from parity import CONFIGURATIONS, TOLERANCE, assert_close, compare, compare_functions, compared, generators, shape_of

import minidl
import minidl.functional as F
from minidl.errors import ArgumentError, GraphError


def test_one_hot(torch: Any) -> None:
    for rng in generators("one_hot", 60):
        classes = int(rng.integers(1, 9))
        numbers = rng.integers(0, classes, shape_of(rng))
        kwargs: dict[str, Any] = {"num_classes": classes + int(rng.integers(0, 3))} if rng.random() < 0.6 else {}
        kwargs = {"num_classes": -1} if not kwargs and rng.random() < 0.5 else kwargs
        found = F.one_hot(numbers, **kwargs)
        assert found.dtype == np.int64
        assert_close(found.data, torch.nn.functional.one_hot(torch.tensor(numbers), **kwargs).numpy(), 0.0)
        compared["one_hot"] += 1


def test_embedding(torch: Any) -> None:
    for rng in generators("embedding"):
        rows, columns = (int(v) for v in rng.integers(1, 9, 2))
        numbers = np.asarray(rng.integers(0, rows, shape_of(rng)))
        kwargs: dict[str, Any] = {}
        if rng.random() < 0.5:
            kwargs["padding_idx"] = int(rng.integers(-rows, rows))
        if rng.random() < 0.5:
            kwargs["scale_grad_by_freq"] = bool(rng.random() < 0.7)
        compare(torch, "embedding", [numbers, rng.normal(size=(rows, columns))], **kwargs)


@pytest.mark.parametrize("norm_type", [2.0, 1, 3.5, 0.5, 0, -1.0, np.inf, -np.inf])
def test_max_norm(torch: Any, norm_type: float) -> None:
    """The rows that are used, and no others, are scaled in the table itself."""
    for rng in generators(f"max_norm {norm_type}", 20):
        weight = rng.normal(size=(6, 4)) * rng.choice([0, 0.1, 1, 100], (6, 1))
        numbers = rng.integers(0, 5, (3, 2))
        kwargs = {"max_norm": float(rng.choice([0, 0.5, 2.0, 1e3])), "norm_type": norm_type, "padding_idx": 1}
        mine, theirs = minidl.Tensor(weight.copy(), requires_grad=True), torch.tensor(weight, requires_grad=True)
        y = F.embedding(numbers, mine, **kwargs)
        z = torch.nn.functional.embedding(torch.tensor(numbers), theirs, **kwargs)
        assert_close(y.data, z.detach().numpy(), TOLERANCE)
        assert_close(mine.data, theirs.detach().numpy(), TOLERANCE)
        assert np.array_equal(mine.data[5], weight[5])
        start = rng.normal(size=y.shape)
        y.backward(start)
        z.backward(torch.tensor(start))
        assert_close(mine.grad.data, theirs.grad.numpy(), TOLERANCE)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_max_norm_of_special_values(torch: Any) -> None:
    weight = np.array([[np.inf, 1.0], [np.nan, 1.0], [1e300, 1e300], [0.0, 0.0], [1e4, -1e4], [-np.inf, np.inf]])
    mine, theirs = minidl.Tensor(weight.copy()), torch.tensor(weight)
    F.embedding(np.arange(6), mine, max_norm=1.0)
    torch.nn.functional.embedding(torch.arange(6), theirs, max_norm=1.0)
    # The sum of squares of 1e300 is infinite, so both lose that row.
    assert_close(mine.data, theirs.numpy(), TOLERANCE)
    assert np.array_equal(mine.data[2:4], [[0, 0], [0, 0]])


def test_max_norm_counts_as_a_change_in_place() -> None:
    weight = minidl.Tensor(np.full((2, 2), 5.0), requires_grad=True)
    squares = (weight * weight).sum()
    F.embedding([0], weight, max_norm=100.0)
    F.embedding([0], weight, max_norm=1.0)
    assert np.array_equal(weight.data[1], [5, 5]) and np.isclose(np.linalg.norm(weight.data[0]), 1)
    with pytest.raises(GraphError, match="modified in place"):
        squares.backward()
    F.embedding([0, 1], weight, max_norm=1.0).sum().backward()
    assert np.array_equal(weight.grad.data, np.ones((2, 2)))


def test_max_norm_of_a_read_only_table() -> None:
    weight = np.full((2, 2), 5.0)
    weight.flags.writeable = False
    assert F.embedding([0], weight, max_norm=8.0).shape == (1, 2)
    with pytest.raises(ArgumentError, match="embedding: weight must be writeable, since max_norm changes it"):
        F.embedding([0], weight, max_norm=1.0)


def test_special_values(torch: Any) -> None:
    weight = np.array([[np.inf, -1e4], [np.nan, 1e300], [-0.0, 1e4]])
    for kwargs in ({}, {"padding_idx": 1}, {"scale_grad_by_freq": True}):
        compare(torch, "embedding", [np.array([2, 0, 1, 1]), weight], **kwargs)


@pytest.mark.parametrize("kwargs", [{"padding_idx": 1}, {"scale_grad_by_freq": True}], ids=str)
def test_an_infinite_gradient_stays_where_it_belongs(torch: Any, kwargs: dict[str, Any]) -> None:
    numbers, start = np.array([0, 1, 1, 2]), np.array([[1.0], [np.inf], [np.nan], [2.0]])
    mine = minidl.Tensor(np.ones((3, 1)), requires_grad=True)
    theirs = torch.ones(3, 1, dtype=torch.float64, requires_grad=True)
    F.embedding(numbers, mine, **kwargs).backward(start)
    torch.nn.functional.embedding(torch.tensor(numbers), theirs, **kwargs).backward(torch.tensor(start))
    assert np.array_equal(mine.grad.data, theirs.grad.numpy(), equal_nan=True)


@pytest.mark.parametrize("kwargs", [{}, {"padding_idx": 1}, {"scale_grad_by_freq": True, "padding_idx": 0}], ids=str)
def test_second_gradients(kwargs: dict[str, Any]) -> None:
    """The gradient's own gradient is its slope, also where the gradient is not that of the value."""
    numbers, weight = np.array([[0, 1, 1], [3, 1, 0]]), minidl.Tensor(np.ones((4, 2)), requires_grad=True)

    def first(grad: Any) -> Any:
        return minidl.grad(F.embedding(numbers, weight, **kwargs), [weight], grad, create_graph=True)[0]

    start = minidl.Tensor(np.random.default_rng(0).normal(size=(2, 3, 2)), requires_grad=True)
    assert minidl.gradcheck(first, [start])
    assert minidl.gradgradcheck(first, [start])


@pytest.mark.parametrize("kwargs", [{}, {"padding_idx": 1}], ids=str)
def test_second_gradients_as_in_pytorch(torch: Any, kwargs: dict[str, Any]) -> None:
    """Not with `scale_grad_by_freq`, which PyTorch's second gradient forgets."""
    numbers = np.array([[0, 1, 1], [3, 1, 0]])

    def square_of_gradient(library: Any, x: Any, embed: Any, grad: Any) -> Any:
        y = embed(x)
        (first,) = grad((y * y * y).sum(), [x], create_graph=True)
        return (first * first).sum()

    compare_functions(
        torch, "embedding twice",
        lambda w: square_of_gradient(minidl, w, lambda w: F.embedding(numbers, w, **kwargs), minidl.grad),
        lambda w: square_of_gradient(
            torch, w, lambda w: torch.nn.functional.embedding(torch.tensor(numbers), w, **kwargs), torch.autograd.grad
        ),
        [np.random.default_rng(0).normal(size=(4, 3))],
    )  # fmt: skip


def test_indices_may_change_before_the_backward_pass() -> None:
    numbers, weight = np.array([0, 1]), minidl.Tensor(np.ones((3, 2)), requires_grad=True)
    y = F.embedding(numbers, weight)
    numbers[...] = 2
    y.sum().backward()
    assert np.array_equal(weight.grad.data, [[1, 1], [1, 1], [0, 0]])


def test_enough_configurations_were_compared(torch: Any) -> None:
    """Last, so that a generator that quietly gives less is noticed."""
    if not compared["embedding"]:
        pytest.skip("only some of the tests of this file ran")
    assert compared["embedding"] >= 2 * CONFIGURATIONS and compared["one_hot"] >= 60
