"""Losses at kinks and limits, on nothing and on what is not finite: as PyTorch's, or why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from parity import TOLERANCE, Array, assert_close, compare_functions
from test_parity_loss import REDUCTIONS, beside, second_gradients

import minidl
import minidl.functional as F
from minidl import kernels, reference
from minidl.errors import ArgumentError, OutOfRangeError

INF, NAN = np.inf, np.nan

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss:UserWarning")

# Kinks, limits, and what is not finite

STEPS = np.array([-INF, -1e4, -2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 1e4, INF, NAN])
DIFFERENCES: dict[str, tuple[str, dict[str, Any]]] = {
    "mse": ("mse_loss", {}),
    "l1": ("l1_loss", {}),
    "smooth l1": ("smooth_l1_loss", {}),
    "smooth l1, beta 0": ("smooth_l1_loss", {"beta": 0.0}),
    "smooth l1, beta 0.5": ("smooth_l1_loss", {"beta": 0.5}),
    "smooth l1, beta 1e-300": ("smooth_l1_loss", {"beta": 1e-300}),
    "huber": ("huber_loss", {}),
    "huber, delta 2": ("huber_loss", {"delta": 2.0}),
}


@pytest.mark.parametrize("case", DIFFERENCES)
def test_kinks_and_limits_of_differences(torch: Any, case: str) -> None:
    name, kwargs = DIFFERENCES[case]
    for reduction in REDUCTIONS:
        beside(torch, name, [STEPS, np.zeros_like(STEPS)], reduction=reduction, **kwargs)
        beside(torch, name, [STEPS, np.full_like(STEPS, INF)], reduction=reduction, **kwargs)


@pytest.mark.parametrize("case", [c for c in DIFFERENCES if "beta 1e-300" not in c])
def test_second_gradients_at_kinks(torch: Any, case: str) -> None:
    name, kwargs = DIFFERENCES[case]
    x = STEPS[1:-2]
    if name == "l1_loss" or kwargs.get("beta") == 0:
        # PyTorch has none, and says so.
        y = minidl.Tensor(x, requires_grad=True)
        (first,) = minidl.grad(getattr(F, name)(y, np.zeros_like(x), **kwargs), [y], create_graph=True)
        assert not first.requires_grad or not minidl.grad(first.sum(), [y])[0].data.any()
    else:
        second_gradients(torch, name, [x, np.zeros_like(x)], reduction="none", **kwargs)


@pytest.mark.parametrize("target", [0.0, 1.0, 0.3, 2.0, -1.0, INF, -INF, NAN])
@pytest.mark.parametrize("positive", [None, 3.0, 0.0])
def test_logits_of_any_size(torch: Any, target: float, positive: float | None) -> None:
    x = np.array([-INF, -1e4, -800, -40, -1, 0, 1, 40, 800, 1e4, INF, NAN])
    weights = {} if positive is None else {"pos_weight": np.array(positive)}
    beside(torch, "binary_cross_entropy_with_logits", [x, np.full_like(x, target)], weights, reduction="none")


@pytest.mark.parametrize("target", [0.0, 1.0, 0.3])
def test_probabilities_at_their_limits(torch: Any, target: float) -> None:
    x = np.array([0, 1e-300, 1e-13, 1e-5, 0.3, 1 - 1e-5, 1])
    # One by one, since the largest gradient is 1e17 times the smallest.
    for value in x:
        beside(torch, "binary_cross_entropy", [np.array([value]), np.array([target])], reduction="none")


def test_kl_div_of_special_values(torch: Any) -> None:
    target = np.array([0.0, 1e-300, 0.5, 1, 2, -1, INF, NAN])
    beside(torch, "kl_div", [np.full_like(target, -1), target], reduction="none")
    beside(torch, "kl_div", [np.array([-INF, -INF, INF, NAN]), np.array([0.0, 0.5, 0, 0])], reduction="none")
    target = np.array([-INF, -1e4, -1, 0, 1, 1e4, INF, NAN])
    beside(torch, "kl_div", [np.full_like(target, -1), target], reduction="none", log_target=True)
    beside(torch, "kl_div", [np.array([-INF, -INF]), np.array([-INF, 0])], reduction="none", log_target=True)
    assert F.kl_div([-3.0, -1.0], [0.0, 0.0], reduction="none").tolist() == [0, 0]


SCORES = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 5], [0, -INF, 1], [1e300, 0, -1e300], [3, 3, 3], [INF, 0, 1]])


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_scores_of_any_size(torch: Any, reduction: str) -> None:
    target, weight = np.array([1, 1, 0, 2, 0, 1]), {"weight": np.array([1.0, 0.5, 3])}
    for x in (SCORES, SCORES[:-1]):
        t = target[: len(x)]
        beside(torch, "cross_entropy", [x, t], reduction=reduction)
        beside(torch, "cross_entropy", [x, t], weight, reduction=reduction)
        beside(torch, "cross_entropy", [x, t], weight, reduction=reduction, label_smoothing=0.2)
        beside(torch, "nll_loss", [x, t], weight, reduction=reduction)
        p = np.array([[0.25, 0.5, 0.25]] * len(x))
        beside(torch, "cross_entropy", [x, p], weight, reduction=reduction)
    beside(torch, "cross_entropy", [SCORES[2:3], np.array([[0.5, 0.0, 0.5]])], reduction=reduction)


@pytest.mark.parametrize("smoothing", [{}, {"label_smoothing": 0.2}], ids=["hard", "smooth"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weights_that_sum_to_0(torch: Any, reduction: str, smoothing: dict[str, Any]) -> None:
    x, target = np.array([[3.0, 1.0], [1.0, 2.0]]), np.array([0, 0])
    beside(torch, "cross_entropy", [x, target], {"weight": np.array([0.0, 2])}, reduction=reduction, **smoothing)
    beside(torch, "cross_entropy", [x, target], {"weight": np.array([0.0, 0])}, reduction=reduction, **smoothing)
    if not smoothing:
        beside(torch, "nll_loss", [x, target], {"weight": np.array([0.0, 2])}, reduction=reduction)
        cancelling = {"weight": np.array([-1.0, 1])}
        for name in ("cross_entropy", "nll_loss"):
            beside(torch, name, [x, np.array([0, 1])], cancelling, reduction=reduction)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
def test_weights_of_elements_that_sum_to_0(torch: Any, name: str) -> None:
    ours, theirs = (
        lambda x, t, w, f=f: f(x, t, weight=w) for f in (getattr(F, name), getattr(torch.nn.functional, name))
    )
    compare_functions(torch, name, ours, theirs, [np.array([1.0, 2]), np.zeros(2), np.zeros(2)])


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_every_position_ignored(torch: Any, name: str, reduction: str) -> None:
    for weights in ({}, {"weight": np.array([1.0, 2, 3])}):
        for kwargs in ({}, {"label_smoothing": 0.1}) if name == "cross_entropy" else ({},):
            beside(torch, name, [np.ones((2, 3)), np.array([-100, -100])], weights, reduction=reduction, **kwargs)
            beside(torch, name, [np.ones(3), np.array(-100)], weights, reduction=reduction, **kwargs)


NOTHING: dict[str, list[Array]] = {
    "nll_loss": [np.ones((0, 3)), np.ones(0, int)],
    "cross_entropy": [np.ones((0, 3)), np.ones(0, int)],
    "binary_cross_entropy": [np.ones((0, 3))] * 2,
    "binary_cross_entropy_with_logits": [np.ones((0, 3))] * 2,
    "kl_div": [np.ones((0, 3))] * 2,
    "mse_loss": [np.ones((0, 3))] * 2,
    "l1_loss": [np.ones((0, 3))] * 2,
    "smooth_l1_loss": [np.ones((0, 3))] * 2,
    "huber_loss": [np.ones((0, 3))] * 2,
    "cosine_embedding_loss": [np.ones((0, 3)), np.ones((0, 3)), np.ones(0, int)],
    "hinge_embedding_loss": [np.ones((0, 3)), np.ones((0, 3), int)],
    "margin_ranking_loss": [np.ones((0, 3)), np.ones((0, 3)), np.ones((0, 3), int)],
    "triplet_margin_loss": [np.ones((0, 3))] * 3,
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing(torch: Any, name: str) -> None:
    for reduction in REDUCTIONS:
        beside(torch, name, NOTHING[name], reduction=reduction)
    assert np.isnan(getattr(F, name)(*NOTHING[name]).item())


def test_nothing_else(torch: Any) -> None:
    for reduction in REDUCTIONS:
        beside(torch, "cross_entropy", [np.ones((0, 3)), np.ones((0, 3))], reduction=reduction)
        for name in ("cross_entropy", "nll_loss"):
            beside(torch, name, [np.ones((2, 3, 0)), np.ones((2, 0), int)], reduction=reduction)
        beside(torch, "cosine_embedding_loss", [np.ones((2, 0)), np.ones((2, 0)), np.array([1, -1])])
        beside(torch, "triplet_margin_loss", [np.ones((2, 0))] * 3, reduction=reduction)
    for shape in ((0, 3), (3, 0)):
        beside(torch, "kl_div", [np.ones(shape)] * 2, reduction="batchmean")
    # PyTorch's mean of no multi_margin_loss is whatever was in memory.
    assert np.isnan(F.multi_margin_loss(np.ones((0, 3)), np.ones(0, int)).item())


def test_margins_at_their_kinks(torch: Any) -> None:
    for y in (1, -1, 0):
        beside(torch, "hinge_embedding_loss", [STEPS, np.full(STEPS.shape, y)], reduction="none")
        beside(torch, "margin_ranking_loss", [STEPS, np.ones_like(STEPS), np.full(STEPS.shape, y)], margin=1.0)
    beside(
        torch, "margin_ranking_loss",
        [np.array([1.0, 2, 3, INF, NAN, 0]), np.array([2.0, 2, 2, INF, 1, INF]), np.ones(6)], reduction="none",
    )  # fmt: skip
    for p in (1, 2):
        beside(torch, "multi_margin_loss", [np.array([[1.0, 2, 0, -INF], [0, 1, 1, 2]]), np.array([1, 2])], p=p)
        for x in ([INF, -2.0, 0.0], [-INF, -2.0, 0.0], [-2.0, INF, 0.0]):
            # One by one, since a sum would hide what the others are.
            beside(torch, "multi_margin_loss", [np.array([x]), np.array([0])], p=p)
    kink, tie = ([np.array([[v]]) for v in values] for values in ((0.0, 1.0, 2.0), (0.0, 2.0, 1.0)))
    beside(torch, "triplet_margin_loss", kink, eps=0.0)
    beside(torch, "triplet_margin_loss", tie, eps=0.0, swap=True, margin=3.0)


VECTORS: dict[str, tuple[list[list[float]], list[list[float]]]] = {
    "of some length": ([[1, 2], [1, 0], [1, 0]], [[2, 4], [-1, 0], [0, 1]]),
    "of none": ([[0, 0], [0, 0]], [[1, 1], [0, 0]]),
    "not finite": ([[INF, 1], [NAN, 1]], [[1, 1], [1, 1]]),
}


@pytest.mark.parametrize("target", [1, -1, 0])
@pytest.mark.parametrize("which", VECTORS)
def test_vectors_at_their_limits(torch: Any, which: str, target: int) -> None:
    a, b = (np.array(v, float) for v in VECTORS[which])
    for margin in (0.0, 0.5):
        beside(torch, "cosine_embedding_loss", [a, b, np.full(len(a), target)], margin=margin, reduction="none")


@pytest.mark.parametrize("p", [0, 0.5, 1, 1.5, 2, 3, INF])
def test_norms_at_their_kinks(torch: Any, p: float) -> None:
    arrays = [
        np.array([[1.0, 2, 3], [0, 0, 0], [1, -1, 1]]), np.array([[2.0, 1, 3], [0, 0, 0], [0, 0, 0]]),
        np.array([[2.0, 3, 3], [0, 0, 0.5], [0, 0, 0]]),
    ]  # fmt: skip
    if p:
        beside(torch, "triplet_margin_loss", arrays, p=p, eps=0.0, margin=5.0, reduction="none")
        for values in ([INF, 1.0], [NAN, 1.0], [NAN, -INF], [INF, -INF]):
            some = [np.array([values]), np.array([[2.0, 0.0]]), np.array([[0.0, 4.0]])]
            beside(torch, "triplet_margin_loss", some, p=p, eps=0.0, margin=5.0, reduction="none")
        return
    # PyTorch has no gradient there at all.
    mine = [minidl.Tensor(a, requires_grad=True) for a in arrays]
    y = F.triplet_margin_loss(*mine, p=0, eps=0.0, reduction="none")
    expected = torch.nn.functional.triplet_margin_loss(
        *(torch.tensor(a) for a in arrays), p=0, eps=0.0, reduction="none"
    )  # fmt: skip
    assert_close(y.data, expected.numpy(), TOLERANCE)
    y.sum().backward()
    assert not any(x.grad.data.any() for x in mine)


# What PyTorch knows nothing of


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(12))
def test_the_fused_kernels_equal_their_twins(seed: int, dtype: str, threads_everywhere: None) -> None:
    rng = np.random.default_rng(seed)
    minidl.set_num_threads(1 + seed % 4)
    rows, classes = int(rng.integers(0, 40)), int(rng.integers(1, 20))
    x = (rng.normal(size=(rows, classes)) * rng.choice([1, 1e4])).astype(dtype)
    target = rng.integers(0, classes, rows).astype(np.longlong)
    target[rng.random(rows) < 0.2] = -7
    share = rng.uniform(0.5, 1, rows).astype(dtype) if seed % 2 else None
    spread = rng.uniform(0, 0.2, classes).astype(dtype) if seed % 3 else None
    scale = rng.uniform(0.5, 2, rows).astype(dtype)
    tolerance = 2e-5 if dtype == "float32" else 1e-12
    *found, total, kept = kernels.cross_entropy(x, target, -7, share, spread)
    expected = reference.cross_entropy(x, target, -7, share, spread)
    for f, e in zip(found, expected, strict=True):
        assert f.dtype == dtype
        assert_close(f, e, tolerance)
    assert total == pytest.approx(found[0].sum(dtype=np.float64))
    assert kept == np.count_nonzero(target != -7)
    gradients = (
        module.cross_entropy_gradient(expected[1], target, -7, scale, share, spread) for module in (kernels, reference)
    )
    assert_close(*gradients, tolerance, scale=1.0)
    # One number for all rows, and no losses that nobody asked for.
    assert kernels.cross_entropy(x, target, -7, share, spread, each=False)[::2] == (None, total)
    found = kernels.cross_entropy_gradient(expected[1], target, -7, 0.7, share, spread)
    same = kernels.cross_entropy_gradient(expected[1], target, -7, np.full(rows, 0.7, dtype), share, spread)
    np.testing.assert_array_equal(found, same)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 33, 2**14 - 1, 2**14 + 1, 3 * 2**14 + 21])
def test_the_squared_distance_equals_its_twin(size: int, dtype: str, threads_everywhere: None) -> None:
    x, t = np.random.default_rng(size).normal(size=(2, size)).astype(dtype)
    expected = reference.mse_loss(x.astype(np.float64), t.astype(np.float64), "sum")
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    found = []
    for threads in (1, 2, 3):
        minidl.set_num_threads(threads)
        found.append((kernels.squared_distance(x, t), kernels.squared_distance_gradient(x, t, 0.3)))
        assert found[-1][0] == found[0][0]
        np.testing.assert_array_equal(found[-1][1], found[0][1])
    total, gradient = found[0]
    assert total == pytest.approx(expected, rel=tolerance)
    assert gradient.dtype == dtype
    assert_close(gradient, ((x - t) * np.asarray(0.3, dtype)), tolerance)
    strided = kernels.squared_distance_gradient(x[::-1], t[::-1], 0.3)
    np.testing.assert_array_equal(strided, gradient[::-1])


def test_squares_are_rounded_before_they_are_added() -> None:
    """One that float32 does not hold makes the mean infinite, as it does in PyTorch; a sum on the way does not."""
    x = minidl.tensor([3e19] + [0.0] * 99, dtype="float32")
    assert F.mse_loss(x, x.data * 0).item() == INF
    x = minidl.tensor([1.5e19] * 2, dtype="float32")
    assert F.mse_loss(x, x.data * 0).item() == pytest.approx(2.25e38, rel=1e-6)
    assert F.mse_loss(x, x.data * 0, reduction="sum").item() == INF


@pytest.mark.parametrize(
    ("numbers", "fits"),
    [
        ([], True), ([0, 4, 2], True), ([5, 0], False), ([0, 1, 5], False), ([0, -1, 0], False), ([-(2**63), 0], False),
        ([[0, 1], [4, 3]], True), ([[0, 1], [2, 9]], False), ([2**63 - 1], False),
    ],
)  # fmt: skip
def test_the_range_of_class_numbers(numbers: Any, fits: bool) -> None:
    assert kernels.all_below(np.array(numbers, np.longlong), 5) is fits


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64"])
def test_class_numbers_of_any_integers_and_layout(dtype: str) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 2, 2)).astype(np.float32)
    target = np.arange(8, dtype=dtype).reshape(2, 2, 2) % 3
    expected = F.cross_entropy(x, target.astype(np.int64), reduction="none").data
    for laid_out in (target, np.asfortranarray(target), target[::-1, ::-1][::-1, ::-1]):
        np.testing.assert_array_equal(F.cross_entropy(x, laid_out, reduction="none").data, expected)
    target[1, 0, 1] = np.iinfo(dtype).max
    with pytest.raises(OutOfRangeError, match=rf"^cross_entropy: target\[1, 0, 1\] is {np.iinfo(dtype).max}, "):
        F.cross_entropy(x, np.asfortranarray(target))


# Where ours is not PyTorch's


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, [1.0, 2.0]])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ignored_rows_may_be_nan(reduction: str, weight: Any, smoothing: float) -> None:
    """PyTorch 2.13's nll_loss gives 0 there, but its cross_entropy NaN; both ways back of ours give 0."""
    values, target = [[NAN, 1.0], [INF, -INF], [1.0, 2.0]], [-100, -100, 1]
    w = None if weight is None else minidl.tensor(weight, dtype="float64")
    losses: list[Callable[[Any, Any], Any]] = [
        lambda x, t: F.cross_entropy(x, t, w, reduction=reduction, label_smoothing=smoothing),
        lambda x, t: F.nll_loss(x, t, w, reduction=reduction),
    ]
    for loss in losses:
        gradients = []
        for create_graph in (False, True):
            x = minidl.tensor(values, dtype="float64", requires_grad=True)
            y = loss(x, target)
            start = np.array([NAN, 1, 1.0]) if reduction == "none" else np.array(1.0)
            (g,) = minidl.grad(y, [x], minidl.Tensor(start), create_graph=create_graph)
            gradients.append(g.data)
            assert not g.data[:2].any()
            assert np.isfinite(g.data).all()
            if create_graph and g.requires_grad:
                (second,) = minidl.grad((g * g).sum(), [x])
                assert not second.data[:2].any()
                assert np.isfinite(second.data).all()
        assert_close(gradients[1], gradients[0], 1e-14)
        alone = minidl.tensor(values[2:], dtype="float64", requires_grad=True)
        (expected,) = minidl.grad(loss(alone, target[2:]).sum(), [alone])
        assert_close(gradients[0][2:], expected.data, 1e-14)


def test_nan_is_not_hidden_by_multi_margin_loss() -> None:
    """PyTorch reads NaN as less than the margin."""
    assert np.isnan(F.multi_margin_loss([[0.0, NAN, 1.0]], [0]).item())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_large_values_in_both_dtypes(dtype: str, size: float) -> None:
    """Results that are finite, and right in float32."""

    def tensor(values: Any) -> Any:
        return minidl.tensor(values, dtype=dtype, requires_grad=True)

    x = tensor([[size, -size, 0.0]])
    soft = minidl.tensor([[0.25, 0.25, 0.5]], dtype=dtype)
    other = tensor([[-size, size, size / 2]])
    for loss, expected in (
        (F.cross_entropy(x, [0]), max(0, -2 * size)),
        (F.cross_entropy(x, [0], label_smoothing=0.3), 0.7 * max(0, -2 * size) + 0.1 * 3e4),
        (F.cross_entropy(x, soft), 1e4),
        (F.binary_cross_entropy_with_logits(x, soft, reduction="sum"), 1e4 + np.log(2)),
        (F.mse_loss(x, other), (8e8 + 0.25e8) / 3),
        (F.l1_loss(x, other), 4.5e4 / 3),
        (F.huber_loss(x, other), (4.5e4 - 1.5) / 3),
        (F.smooth_l1_loss(x, other), (4.5e4 - 1.5) / 3),
        (F.cosine_embedding_loss(x, other, [1]), 1 + 2 / np.sqrt(2 * 2.25)),
        (F.triplet_margin_loss(x, other, minidl.tensor(x.data), p=20), 2e4 * 2 ** (1 / 20) + 1),
        (F.kl_div(F.log_softmax(x, 1), soft, reduction="sum"), 1e4 + np.log(0.25) / 2 + np.log(0.5) / 2),
    ):
        assert loss.dtype == dtype
        assert_close(loss.data, np.asarray(expected), 1e-5 if dtype == "float32" else 1e-9)
        x.grad = other.grad = None
        loss.backward()
        assert np.isfinite(x.grad.data).all()
        assert x.grad.dtype == dtype


@pytest.mark.filterwarnings("error")
def test_a_loss_that_its_dtype_does_not_hold() -> None:
    """Infinite, without a warning of NumPy's, also where every row's is finite."""
    x = minidl.tensor([[3e38, 0.0], [3e38, 0.0]], dtype="float32", requires_grad=True)
    losses = F.cross_entropy(x, [1, 1], reduction="none")
    assert np.isfinite(losses.data).all()
    assert F.cross_entropy(x, [1, 1], reduction="sum").item() == INF
    loss = F.cross_entropy(x, [1, 1])
    assert loss.item() == np.float32(3e38)
    (loss * 2e38).backward()
    np.testing.assert_array_equal(x.grad.data, np.array([[1e38, -1e38]] * 2, np.float32))


def test_settings_that_have_passed_let_no_other_type_pass() -> None:
    """True equals 1, and both have one hash."""
    x = [[1.0, 2.0]]
    assert F.cross_entropy(x, [0], label_smoothing=1).item() == F.cross_entropy(x, [0], label_smoothing=1.0).item()
    F.cross_entropy(x, [0], ignore_index=1)
    for name, wrong in (("label_smoothing", True), ("ignore_index", True), ("ignore_index", 1.0), ("reduction", [])):
        for _ in range(2):
            with pytest.raises(ArgumentError, match=rf"^cross_entropy: {name} must be "):
                F.cross_entropy(x, [0], **{name: wrong})
    with pytest.raises(ArgumentError, match="^CrossEntropyLoss: label_smoothing must be "):
        minidl.nn.CrossEntropyLoss(label_smoothing=True)


def test_numbers_of_numpys_keep_the_dtype() -> None:
    """They are no Python numbers, which take the dtype of what they meet."""
    x, half = minidl.tensor(1.0), np.float64(0.5)
    for loss in (
        F.huber_loss(x, 3.0, delta=half), F.smooth_l1_loss(x, 3.0, beta=half),
        F.hinge_embedding_loss(x, -1, half), F.margin_ranking_loss(x, 3.0, 1, half),
        F.triplet_margin_loss([1.0], [2.0], [3.0], half, half, half), F.multi_margin_loss([1.0, 2.0], 1, margin=half),
        F.cosine_embedding_loss([1.0], [2.0], 1, half), F.cross_entropy([1.0, 2.0], 1, label_smoothing=half),
        F.cross_entropy([1.0, 2.0], [0.5, 0.5], label_smoothing=half),
    ):  # fmt: skip
        assert loss.dtype == np.float32


def test_weights_may_change_before_the_backward_pass() -> None:
    x, target = minidl.tensor([[1.0, 2.0]], requires_grad=True), np.array([1])
    for call in (
        lambda w: F.cross_entropy(x, target, w, reduction="sum"),
        lambda w: F.nll_loss(x, target, w, reduction="sum"),
        lambda w: F.multi_margin_loss(x, [0], weight=w),
        lambda w: F.binary_cross_entropy_with_logits(x, [[0.0, 1.0]], w, pos_weight=w),
        lambda w: F.binary_cross_entropy(F.sigmoid(x), [[0.0, 1.0]], w),
    ):
        found = []
        for change in (False, True):
            w = np.array([3.0, 2.0], np.float32)
            x.grad = None
            y = call(w)
            if change:
                w[:] = 0
            y.backward()
            found.append(x.grad.data.copy())
        assert np.array_equal(*found)
        assert found[0].any()
