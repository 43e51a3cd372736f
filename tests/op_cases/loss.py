"""Losses."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import minidl
import minidl.functional as F
from minidl import reference
from op_cases._case import *

REDUCTIONS = ("mean", "sum", "none")


def cross_entropy_reference(x: Array, target: Array, **kwargs: Any) -> Array:
    """For class numbers, or probabilities where the target has the input's shape."""
    soft = np.shape(target) == x.shape
    return (reference.soft_cross_entropy if soft else reference.class_cross_entropy)(x, target, **kwargs)


REFERENCES.update(
    {
        F.cross_entropy: cross_entropy_reference,
        F.nll_loss: reference.nll_loss,
        F.binary_cross_entropy: reference.binary_cross_entropy,
        F.binary_cross_entropy_with_logits: reference.binary_cross_entropy_with_logits,
        F.kl_div: reference.kl_div,
        F.mse_loss: reference.mse_loss,
        F.l1_loss: reference.l1_loss,
        F.smooth_l1_loss: reference.smooth_l1_loss,
        F.huber_loss: reference.huber_loss,
        F.cosine_embedding_loss: reference.cosine_embedding_loss,
        F.hinge_embedding_loss: reference.hinge_embedding_loss,
        F.margin_ranking_loss: reference.margin_ranking_loss,
        F.multi_margin_loss: reference.multi_margin_loss,
        F.triplet_margin_loss: reference.triplet_margin_loss,
    }
)


def weighted(
    function: Callable[..., Any],
    inputs: list[Array],
    kwargs: dict[str, Any] | None = None,
    batched: tuple[int, ...] = (),
    **weights: Array,
) -> Case:
    """A row with weights that get no gradient, in the dtype of the input."""
    name = function.__name__

    def ours(x: Any, *rest: Any, **kwargs: Any) -> Any:
        return function(x, *rest, **kwargs, **{k: minidl.tensor(w, dtype=x.dtype) for k, w in weights.items()})

    def theirs(torch: Any) -> Callable[..., Any]:
        def call(x: Any, *rest: Any, **kwargs: Any) -> Any:
            given = {k: torch.tensor(w, dtype=x.dtype) for k, w in weights.items()}
            return getattr(torch.nn.functional, name)(x, *rest, **kwargs, **given)

        return call

    def obvious(*arrays: Array, **kwargs: Any) -> Array:
        return REFERENCES[function](*arrays, **kwargs, **weights)

    shapes = ",".join(f"{k}={'x'.join(map(str, w.shape)) or '0d'}" for k, w in weights.items())
    return Case(
        ours, inputs, kwargs or {}, obvious, covers=function, name=f"{name}-{shapes}", peer=theirs, batched=batched
    )


def with_last_weight(function: Callable[..., Any]) -> dict[str, Any]:
    """For a row whose last input is a weight that gets a gradient."""
    name = function.__name__

    def last(f: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *inputs, **kwargs: f(*inputs[:-1], weight=inputs[-1], **kwargs)

    return {
        "function": last(function), "reference": last(REFERENCES[function]), "covers": function,
        "name": f"{name}-weight", "peer": lambda torch: last(getattr(torch.nn.functional, name)),
    }  # fmt: skip


def kl_div_without_warning(torch: Any) -> Callable[..., Any]:
    """PyTorch's, which warns that its mean may change one day."""

    def call(*inputs: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return torch.nn.functional.kl_div(*inputs, **kwargs)

    return call


def batch(*inputs: int, reduction: str) -> tuple[int, ...]:
    """Inputs with a batch that may be empty; a mean over nothing is NaN, which has tests of its own."""
    return () if reduction == "mean" else inputs


def probabilities(*shape: int) -> Array:
    """Positive, and 1 in sum along axis 1 or the only one."""
    p = positive(*shape)
    return p / p.sum(axis=min(1, p.ndim - 1), keepdims=True)


def rows() -> list[Case]:
    """Of the family."""
    return [*class_rows(), *soft_rows(), *binary_rows(), *difference_rows(), *margin_rows(), *triplet_rows()]


def class_rows() -> list[Case]:
    """Class numbers as target."""
    table: list[Case] = []
    labels, spatial = np.array([2, 0, 1]), np.array([[[1, 0], [2, 1], [0, 0]], [[2, 2], [0, 1], [1, 2]]])
    weight = np.array([0.5, 2.0, 1.25, 0.75])
    for function in (F.cross_entropy, F.nll_loss):
        for reduction in REDUCTIONS:
            kwargs = {"reduction": reduction}
            both = batch(0, 1, reduction=reduction)
            table += [
                row(function, [normal(3, 4), labels], kwargs, batched=both),
                row(function, [normal(3, 4), labels], {**kwargs, "ignore_index": 0}),
                row(function, [normal(4), np.array(1)], kwargs),
                row(function, [normal(2, 3, 3, 2), spatial], {**kwargs, "ignore_index": 1}, batched=both),
                weighted(function, [normal(3, 4), labels], kwargs, batched=both, weight=weight),
                weighted(function, [normal(3, 4), labels], {**kwargs, "ignore_index": 2}, weight=weight),
                weighted(function, [normal(4), np.array(3)], kwargs, weight=weight),
                weighted(function, [normal(2, 3, 3, 2), spatial], kwargs, weight=weight[:3]),
            ]
        table += [
            row(function, [normal(3, 4), np.array([1, -100, 3], np.int32)]),
            row(function, [normal(2, 1), np.array([0, 0], np.uint8)]),
            row(function, [normal(2, 3), np.array([1, 255], np.uint8)], {"ignore_index": 255}),
            row(function, [normal(2, 3, 1), np.array([[1], [2]])]),
            row(function, [normal(2, 3, 2, 1, 2), np.arange(8).reshape(2, 2, 1, 2) % 3], {"reduction": "none"}),
            row(function, [normal(2, 3, 0), np.zeros((2, 0), int)], {"reduction": "sum"}),
        ]
    for reduction in REDUCTIONS:
        kwargs = {"reduction": reduction, "label_smoothing": 0.2}
        both = batch(0, 1, reduction=reduction)
        table += [
            row(F.cross_entropy, [normal(3, 4), labels], kwargs, batched=both),
            row(F.cross_entropy, [normal(2, 3, 3, 2), spatial], {**kwargs, "ignore_index": 1}),
            row(F.cross_entropy, [normal(4), np.array(1)], {**kwargs, "label_smoothing": 1.0}),
            weighted(F.cross_entropy, [normal(3, 4), labels], {**kwargs, "ignore_index": 0}, weight=weight),
            weighted(F.cross_entropy, [normal(4), np.array(2)], kwargs, weight=weight),
            weighted(F.cross_entropy, [normal(2, 3, 3, 2), spatial], kwargs, batched=both, weight=weight[:3]),
        ]
    table += [
        row(F.cross_entropy, [normal(700, 64), np.arange(700) % 64], numeric=False),
        row(F.cross_entropy, [normal(700, 64), np.arange(700) % 64], {"label_smoothing": 0.1}, numeric=False),
        weighted(F.multi_margin_loss, [distinct(3, 4), labels], {"p": 2}, weight=weight),
        weighted(F.multi_margin_loss, [distinct(4), np.array(3)], {"margin": 0.7}, weight=weight),
    ]
    for reduction in REDUCTIONS:
        for p in (1, 2):
            kwargs = {"p": p, "reduction": reduction, "margin": 1.5 * p}
            both = batch(0, 1, reduction=reduction)
            table.append(row(F.multi_margin_loss, [distinct(3, 4), labels], kwargs, batched=both))
            table.append(row(F.multi_margin_loss, [distinct(4), np.array(1)], kwargs))
    table.append(row(F.multi_margin_loss, [distinct(2, 1), np.array([0, 0])], {"reduction": "none"}))
    return table


def soft_rows() -> list[Case]:
    """Class probabilities as target, and the divergence from them."""
    table: list[Case] = []
    weight = with_last_weight(F.cross_entropy)
    for reduction in REDUCTIONS:
        both = batch(0, 1, reduction=reduction)
        for shape in ((3, 4), (4,), (2, 3, 2, 2), (2, 1)):
            inputs = [normal(*shape), probabilities(*shape)]
            may_be_empty = both if len(shape) > 1 else ()
            table.append(row(F.cross_entropy, inputs, {"reduction": reduction}, batched=may_be_empty))
            kwargs = {"reduction": reduction, "label_smoothing": 0.3}
            table.append(row(F.cross_entropy, inputs, kwargs, batched=may_be_empty))
            classes = shape[min(1, len(shape) - 1)]
            table.append(Case(inputs=[*inputs, positive(classes)], kwargs=kwargs, **weight))
    for reduction in (*REDUCTIONS, "batchmean"):
        both = () if reduction == "batchmean" else batch(0, 1, reduction=reduction)
        for shape in ((3, 4), (), (2, 3, 2)):
            x, t = normal(*shape), probabilities(*shape) if shape else np.array(0.75)
            may_be_empty = both if shape else ()
            for log_target in (False, True):
                kwargs = {"reduction": reduction, "log_target": log_target}
                inputs = [x, np.asarray(np.log(t)) if log_target else t]
                table.append(row(F.kl_div, inputs, kwargs, batched=may_be_empty, peer=kl_div_without_warning))
    table.append(row(F.kl_div, [normal(3, 0), normal(3, 0)], {"reduction": "batchmean"}))
    return table


def binary_rows() -> list[Case]:
    """Two classes."""
    table: list[Case] = []
    names = F.binary_cross_entropy, F.binary_cross_entropy_with_logits
    for function in names:
        for reduction in REDUCTIONS:
            both = batch(0, 1, reduction=reduction)
            for shape in ((3, 4), (), (2, 1, 3)):
                # Steps of the numeric gradients must stay between 0 and 1.
                x = np.asarray(positive(*shape) / 2.5) if function is F.binary_cross_entropy else normal(*shape)
                t = np.asarray(0.05 + 0.4 * positive(*shape))
                kwargs = {"reduction": reduction}
                table.append(row(function, [x, t], kwargs, batched=both if shape else ()))
                for w_shape in sorted({shape, (), shape[-1:]}):
                    table.append(weighted(function, [x, t], kwargs, weight=positive(*w_shape)))
        x = np.linspace(0.1, 0.9, 4)
        table.append(row(function, [x, np.array([0.2, 0.8, 0.3, 0.7])], {"reduction": "none"}))
        # Large enough for the kernels.
        x = positive(301, 250) / 2.5
        table.append(row(function, [x, 0.05 + 0.4 * positive(301, 250)], {"reduction": "none"}, numeric=False))
    for reduction in REDUCTIONS:
        kwargs = {"reduction": reduction}
        both = batch(0, 1, reduction=reduction)
        inputs = [normal(3, 4), positive(3, 4) / 2]
        table += [
            weighted(names[1], inputs, kwargs, batched=both, pos_weight=positive(4)),
            weighted(names[1], inputs, kwargs, pos_weight=positive(3, 1), weight=positive(4)),
            weighted(names[1], [normal(), np.array(0.3)], kwargs, pos_weight=positive()),
        ]
    return table


def difference_rows() -> list[Case]:
    """Functions of the difference of input and target."""
    table: list[Case] = []
    for reduction in REDUCTIONS:
        for function, settings in [
            (F.mse_loss, {}), (F.l1_loss, {}), (F.smooth_l1_loss, {}), (F.smooth_l1_loss, {"beta": 0.3}),
            (F.smooth_l1_loss, {"beta": 0}), (F.huber_loss, {}), (F.huber_loss, {"delta": 0.6}),
        ]:  # fmt: skip
            for shape in ((3, 4), (), (2, 1, 3)):
                kwargs = {"reduction": reduction, **settings}
                may_be_empty = batch(0, 1, reduction=reduction) if shape else ()
                table.append(row(function, [distinct(*shape), other(*shape)], kwargs, batched=may_be_empty))
        for function in (F.mse_loss, F.l1_loss, F.huber_loss):
            weight = with_last_weight(function)
            for shape in ((3, 4), ()):
                inputs = [distinct(*shape), other(*shape), positive(*shape)]
                table.append(Case(inputs=inputs, kwargs={"reduction": reduction}, **weight))
    return table


def margin_rows() -> list[Case]:
    """Targets of 1 and -1."""
    table: list[Case] = []
    signs = np.array([1, -1, 1, -1, 1, -1])
    for reduction in REDUCTIONS:
        for margin in ({}, {"margin": 0.3}, {"margin": -2}):
            kwargs = {"reduction": reduction, **margin}
            two, three = batch(0, 1, reduction=reduction), batch(0, 1, 2, reduction=reduction)
            table += [
                row(F.cosine_embedding_loss, [distinct(6, 3), other(6, 3), signs], kwargs, batched=three),
                row(F.cosine_embedding_loss, [distinct(3), other(3), np.array(-1)], kwargs),
                row(F.cosine_embedding_loss, [distinct(3), other(3), np.array(1, np.int8)], kwargs),
                row(F.hinge_embedding_loss, [distinct(3, 2), signs.reshape(3, 2)], kwargs, batched=two),
                row(F.hinge_embedding_loss, [distinct(), np.array(-1)], kwargs),
                row(F.margin_ranking_loss, [distinct(6), other(6), signs], kwargs, batched=three),
                row(F.margin_ranking_loss, [distinct(2, 3), other(2, 3), signs.reshape(2, 3) * 0.7], kwargs),
                row(F.margin_ranking_loss, [distinct(), other(), np.array(1)], kwargs),
            ]
    table += [
        # Targets that are neither.
        row(F.cosine_embedding_loss, [distinct(3, 2), other(3, 2), np.array([0, 2, -1])], {"reduction": "none"}),
        row(F.hinge_embedding_loss, [distinct(3), np.array([0, 2, -1])], {"reduction": "none"}),
    ]
    return table


def triplet_rows() -> list[Case]:
    """Distances of three."""
    table: list[Case] = []
    inf = float("inf")
    for reduction in REDUCTIONS:
        may_be_empty = batch(0, 1, 2, reduction=reduction)
        for settings in (
            {}, {"margin": 9.0}, {"p": 1}, {"p": 1.5, "margin": 4}, {"p": 3, "eps": 0.1}, {"p": inf, "margin": 2},
            {"p": 2, "swap": True, "margin": 3}, {"p": 2.5, "swap": True}, {"p": 0.5, "margin": 20},
        ):  # fmt: skip
            kwargs = {"reduction": reduction, **settings}
            inputs = [distinct(5, 3), normal(5, 3), other(5, 3)]
            table.append(row(F.triplet_margin_loss, inputs, kwargs, batched=may_be_empty))
        table += [
            row(F.triplet_margin_loss, [distinct(4), normal(4), other(4)], {"reduction": reduction}),
            row(F.triplet_margin_loss, [distinct(2, 2, 3), normal(2, 2, 3), other(2, 2, 3)], {"reduction": reduction}),
            row(F.triplet_margin_loss, [distinct(2, 1), normal(2, 1), other(2, 1)], {"reduction": reduction}),
        ]
    table += [
        row(F.triplet_margin_loss, [distinct(2, 3), normal(2, 3), other(2, 3)], {"p": 0}),
        row(F.triplet_margin_loss, [normal(2, 0), normal(2, 0), normal(2, 0)], {"reduction": "none"}),
    ]
    return table
