"""Losses beside PyTorch's on random configurations: values, all gradients, and gradients of gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from parity import TOLERANCE, Array, Generator, assert_close, compare_functions, compared, generators, shape_of

import minidl
import minidl.functional as F

COUNT = 80
REDUCTIONS = ("mean", "sum", "none")
FUNCTIONS = [name for name in F.__all__ if getattr(F, name).__module__.endswith((".loss", ".margin", ".regression"))]

pytestmark = pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss:UserWarning")


def beside(
    torch: Any, name: str, arrays: Sequence[Array | None], weights: dict[str, Array] | None = None, **kwargs: Any
) -> None:
    """Compare the functions of one name; `weights` are arguments that get no gradient."""
    given = weights or {}
    compare_functions(
        torch, name,
        lambda *x, **k: getattr(F, name)(*x, **k, **{n: minidl.Tensor(w) for n, w in given.items()}),
        lambda *x, **k: getattr(torch.nn.functional, name)(*x, **k, **{n: torch.tensor(w) for n, w in given.items()}),
        arrays, **kwargs,
    )  # fmt: skip


def a_reduction(rng: Generator, *more: str) -> dict[str, Any]:
    return {"reduction": str(rng.choice([*REDUCTIONS, *more]))}


def scores(rng: Generator, most_axes: int = 4) -> Array:
    """(C,), (N, C), (N, C, d1), (N, C, d1, d2)."""
    shape = tuple(int(v) for v in rng.integers(1, 7, rng.integers(1, most_axes + 1)))
    return rng.normal(size=shape) * float(rng.choice([1, 1, 30, 1e4]))


def classes_of(x: Array) -> int:
    return int(x.shape[min(1, x.ndim - 1)])


def labels_for(rng: Generator, x: Array) -> Array:
    shape = x.shape[:1] + x.shape[2:] if x.ndim > 1 else ()
    return np.asarray(rng.integers(0, classes_of(x), shape))


def maybe_weight(rng: Generator, x: Array) -> dict[str, Array]:
    return {"weight": rng.uniform(0.1, 2, classes_of(x))} if rng.random() < 0.5 else {}


@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_class_numbers(torch: Any, name: str) -> None:
    for rng in generators(name, 2 * COUNT):
        x = scores(rng)
        target, kwargs = labels_for(rng, x), a_reduction(rng)
        if rng.random() < 0.4:
            kwargs["ignore_index"] = int(rng.choice([-100, 0, -1, classes_of(x) - 1]))
            target = np.asarray(np.where(rng.random(target.shape) < 0.3, kwargs["ignore_index"], target))
        if name == "cross_entropy" and rng.random() < 0.5:
            kwargs["label_smoothing"] = float(rng.choice([0.1, 0.7, 1.0]))
        beside(torch, name, [x, target], maybe_weight(rng, x), **kwargs)


def test_class_probabilities(torch: Any) -> None:
    for rng in generators("soft", 2 * COUNT):
        x = scores(rng)
        target = rng.dirichlet(np.ones(classes_of(x)), labels_for(rng, x).shape)
        target = np.moveaxis(target, -1, min(1, x.ndim - 1)) if x.ndim > 1 else target
        kwargs = a_reduction(rng)
        if rng.random() < 0.5:
            kwargs["label_smoothing"] = float(rng.choice([0.1, 0.7, 1.0]))
        arrays = [x, np.ascontiguousarray(target)]
        if rng.random() < 0.5:
            arrays.append(rng.uniform(0.1, 2, classes_of(x)))
        beside(torch, "cross_entropy", arrays, **kwargs)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
def test_differences(torch: Any, name: str) -> None:
    functions = getattr(F, name), getattr(torch.nn.functional, name)
    for rng in generators(name, COUNT):
        shape, scale = shape_of(rng), float(rng.choice([1, 3, 1e4]))
        # Steps of a quarter, so that many lie on a kink.
        x, target = (np.round(4 * scale * rng.normal(size=shape)) / 4 for _ in range(2))
        kwargs = a_reduction(rng)
        if name == "smooth_l1_loss":
            kwargs["beta"] = float(rng.choice([0, 0.25, 1, 2.3]))
        if name == "huber_loss":
            kwargs["delta"] = float(rng.choice([0.25, 1, 2.3]))
        if name != "smooth_l1_loss" and rng.random() < 0.4:
            ours, theirs = (lambda x, t, w, f=f, **k: f(x, t, weight=w, **k) for f in functions)
            # Small, since the gradient of the only weight of a mean is 0 by cancellation.
            x, target, weight = x / scale, target / scale, rng.uniform(0, 2, shape)
            compare_functions(torch, name, ours, theirs, [x, target, weight], **kwargs)
        else:
            beside(torch, name, [x, target], **kwargs)


@pytest.mark.parametrize("name", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
def test_binary(torch: Any, name: str) -> None:
    for rng in generators(name, 2 * COUNT):
        shape = shape_of(rng)
        x, target = rng.normal(size=shape) * float(rng.choice([1, 30, 1e4])), rng.uniform(size=shape)
        if name == "binary_cross_entropy":
            x = rng.uniform(1e-3, 1 - 1e-3, shape)
        target = np.round(target) if rng.random() < 0.5 else target
        weights = {}
        for weight in ("weight", "pos_weight") if name == "binary_cross_entropy_with_logits" else ("weight",):
            if rng.random() < 0.5:
                broadcast = tuple(1 if rng.random() < 0.3 else n for n in shape[rng.integers(0, len(shape) + 1) :])
                weights[weight] = np.asarray(rng.uniform(0, 3, broadcast))
        beside(torch, name, [x, target], weights, **a_reduction(rng))


def test_kl_div(torch: Any) -> None:
    for rng in generators("kl_div", COUNT):
        shape = shape_of(rng)
        x, target = np.log(rng.uniform(0.01, 1, shape)), rng.uniform(0.01, 1, shape)
        kwargs = {**a_reduction(rng, "batchmean"), "log_target": bool(rng.random() < 0.5)}
        beside(torch, "kl_div", [x, np.asarray(np.log(target)) if kwargs["log_target"] else target], **kwargs)


def signs(rng: Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.choice([-1, 1], shape))


def a_margin(rng: Generator) -> dict[str, Any]:
    return {"margin": float(rng.choice([-0.5, 0, 0.5, 1, 2]))} if rng.random() < 0.7 else {}


def test_cosine_embedding_loss(torch: Any) -> None:
    for rng in generators("cosine_embedding_loss", COUNT):
        # Vectors that are not parallel by chance, since 1 - cos would be rounding alone.
        shape = tuple(int(v) for v in rng.integers(3, 8, rng.integers(1, 3)))
        a, b = (rng.normal(size=shape) * float(rng.choice([1e-3, 1, 1e4])) for _ in range(2))
        kwargs = {**a_margin(rng), **a_reduction(rng)}
        beside(torch, "cosine_embedding_loss", [a, b, signs(rng, shape[:-1])], **kwargs)


def test_hinge_embedding_loss(torch: Any) -> None:
    for rng in generators("hinge_embedding_loss", COUNT):
        x = np.round(4 * rng.normal(size=shape_of(rng))) / 4
        beside(torch, "hinge_embedding_loss", [x, signs(rng, x.shape)], **a_margin(rng), **a_reduction(rng))


def test_margin_ranking_loss(torch: Any) -> None:
    for rng in generators("margin_ranking_loss", COUNT):
        shape = shape_of(rng)
        a, b = (np.round(4 * rng.normal(size=shape)) / 4 for _ in range(2))
        target = signs(rng, shape) if rng.random() < 0.5 else rng.normal(size=shape)
        beside(torch, "margin_ranking_loss", [a, b, target], **a_margin(rng), **a_reduction(rng))


def test_multi_margin_loss(torch: Any) -> None:
    for rng in generators("multi_margin_loss", COUNT):
        x = np.round(4 * rng.normal(size=scores(rng, 2).shape)) / 4
        kwargs = {**a_margin(rng), "p": int(rng.integers(1, 3)), **a_reduction(rng)}
        beside(torch, "multi_margin_loss", [x, labels_for(rng, x)], maybe_weight(rng, x), **kwargs)


def test_triplet_margin_loss(torch: Any) -> None:
    for rng in generators("triplet_margin_loss", 2 * COUNT):
        shape = tuple(int(v) for v in rng.integers(1, 6, rng.integers(1, 4)))
        arrays = [rng.normal(size=shape) * float(rng.choice([1, 1, 100])) for _ in range(3)]
        kwargs = {
            "margin": float(rng.choice([0.5, 1, 4])), "p": float(rng.choice([0.5, 1, 1.5, 2, 3, np.inf])),
            "eps": float(rng.choice([0, 1e-6, 0.1])), "swap": bool(rng.random() < 0.5), **a_reduction(rng),
        }  # fmt: skip
        beside(torch, "triplet_margin_loss", arrays, **kwargs)


def second_gradients(torch: Any, name: str, arrays: Sequence[Array], **kwargs: Any) -> None:
    """Of the sum of the first gradients, by all floating inputs."""
    mine = [minidl.Tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    other = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    ours, theirs = ([x for x in xs if x.requires_grad] for xs in (mine, other))
    y, z = getattr(F, name)(*mine, **kwargs), getattr(torch.nn.functional, name)(*other, **kwargs)
    weights = np.random.default_rng(2).uniform(1, 2, y.shape)
    first = minidl.grad(y, ours, minidl.Tensor(weights), create_graph=True)
    expected = torch.autograd.grad(z, theirs, torch.tensor(weights), create_graph=True)
    sum((g * g).sum() for g in first).backward()
    sum((g * g).sum() for g in expected).backward()
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        wanted = np.zeros(a.shape) if b.grad is None else b.grad.numpy()
        assert_close(a.grad.data, wanted, TOLERANCE, f"second gradient {i} of {name}, {kwargs}", 1.0)
        compared[f"second gradients of {name}"] += 1


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_second_gradients(torch: Any, reduction: str) -> None:
    for rng in generators(f"second {reduction}", 20):
        x = rng.normal(size=(4, 3, 2))
        t = labels_for(rng, x)
        second_gradients(torch, "cross_entropy", [x, t], reduction=reduction, ignore_index=1)
        second_gradients(torch, "cross_entropy", [x, t], reduction=reduction, label_smoothing=0.3)
        p = np.moveaxis(rng.dirichlet(np.ones(3), (4, 2)), -1, 1)
        second_gradients(torch, "cross_entropy", [x, p], reduction=reduction, label_smoothing=0.3)
        second_gradients(torch, "kl_div", [x, p], reduction=reduction)
        second_gradients(torch, "kl_div", [x, np.log(p)], reduction=reduction, log_target=True)
        second_gradients(torch, "binary_cross_entropy_with_logits", [x, p], reduction=reduction)
        # Not near 0 and 1, where PyTorch's second gradient adds 1e-12 to what it divides by.
        x = rng.uniform(0.2, 0.8, p.shape)
        second_gradients(torch, "binary_cross_entropy", [x, p], reduction=reduction)
        a, b, c = rng.normal(size=(3, 4, 3))
        y = signs(rng, (4,))
        second_gradients(torch, "cosine_embedding_loss", [a, b, y], reduction=reduction)
        for norm in (2, 3, 2.5):
            second_gradients(torch, "triplet_margin_loss", [a, b, c], reduction=reduction, margin=2, p=norm)


def test_every_loss_was_compared_on_enough_configurations(torch: Any) -> None:
    """Last, so that a generator that quietly gives less is noticed."""
    if not compared["triplet_margin_loss"]:
        pytest.skip("only some of the tests of this file ran")
    for name in FUNCTIONS:
        assert compared[name] >= 2 * COUNT, name
