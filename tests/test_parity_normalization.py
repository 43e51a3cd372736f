"""Normalisations beside PyTorch's on random configurations: values, gradients, running statistics, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from parity import TOLERANCE, assert_close, compare_functions, compared, generators

import minidl
import minidl.functional as F

Array = np.ndarray
Generator = np.random.Generator


def sizes(rng: Generator, most: int) -> tuple[int, ...]:
    return tuple(int(v) for v in rng.integers(1, 6, rng.integers(0, most + 1)))


def parameters(rng: Generator, shape: tuple[int, ...]) -> list[Array | None]:
    """A weight and a bias, or only one of them, or none."""
    return [rng.normal(size=shape) if rng.random() < 0.7 else None for _ in range(2)]


def values(rng: Generator, shape: tuple[int, ...]) -> Array:
    """Of different sizes, and now and then far from 0."""
    x = rng.normal(size=shape) * float(rng.choice([1, 1, 30, 1e4]))
    return x + float(rng.choice([0, 0, 1, 100]))


def statistics(rng: Generator, channels: int) -> tuple[Array, Array]:
    return rng.normal(size=channels), rng.uniform(0.1, 3, channels)


def options(rng: Generator) -> dict[str, float]:
    # A small eps beside few values makes gradients small differences of large numbers.
    return {"eps": float(rng.choice([1e-5, 1e-3, 0.5])), "momentum": float(rng.choice([0, 0.1, 0.7, 1]))}


def compare_running(
    torch: Any, name: str, x: Array, running: tuple[Array, Array] | None, own: list[Array | None], **kwargs: Any
) -> None:
    """Values and gradients, and the running statistics afterwards."""
    mine: tuple[Any, Any] = (None, None)
    other: tuple[Any, Any] = (None, None)
    if running is not None:
        mean, var = running
        mine = minidl.tensor(mean), minidl.tensor(var)
        other = torch.tensor(mean), torch.tensor(var)
    ours, theirs = getattr(F, name), getattr(torch.nn.functional, name)
    compare_functions(
        torch, name,
        lambda x, w, b, **k: ours(x, *mine, w, b, **k), lambda x, w, b, **k: theirs(x, *other, w, b, **k),
        [x, *own], **kwargs,
    )  # fmt: skip
    for a, b, what in zip(mine, other, ("running_mean", "running_var"), strict=True):
        if a is not None:
            assert_close(a.data, b.numpy(), TOLERANCE, f"{what} after {name} of {x.shape} with {kwargs}")
            compared[name] += 1


def test_batch_norm(torch: Any) -> None:
    for rng in generators("batch_norm"):
        channels = int(rng.integers(1, 8))
        shape = (int(rng.integers(3, 8)), channels, *sizes(rng, 4))
        training = bool(rng.random() < 0.6)
        running = statistics(rng, channels) if not training or rng.random() < 0.6 else None
        own = parameters(rng, (channels,))
        compare_running(torch, "batch_norm", values(rng, shape), running, own, training=training, **options(rng))


def test_batch_norm_of_many_columns(torch: Any) -> None:
    """Rows of one number are computed by blocks of columns."""
    for rng in generators("batch_norm_columns", 20):
        channels = int(rng.choice([1, 63, 64, 65, 130, 200]))
        x = values(rng, (int(rng.integers(3, 40)), channels))
        running, own = statistics(rng, channels), parameters(rng, (channels,))
        compare_running(torch, "batch_norm", x, running, own, training=True, **options(rng))


def test_instance_norm(torch: Any) -> None:
    for rng in generators("instance_norm"):
        channels = int(rng.integers(1, 8))
        uses_input = bool(rng.random() < 0.6)
        space = (int(rng.integers(3, 8)), *sizes(rng, 3)) if uses_input else sizes(rng, 3)
        running = statistics(rng, channels) if not uses_input or rng.random() < 0.6 else None
        x = values(rng, (int(rng.integers(1, 5)), channels, *space))
        own = parameters(rng, (channels,))
        compare_running(torch, "instance_norm", x, running, own, use_input_stats=uses_input, **options(rng))


def layer_norm(function: Callable) -> Callable:
    """With the tensors first."""
    return lambda x, w, b, n, eps: function(x, n, w, b, eps)


def test_layer_norm(torch: Any) -> None:
    for rng in generators("layer_norm"):
        last = (*sizes(rng, 2), int(rng.integers(3, 40)))
        x, eps = values(rng, (*sizes(rng, 3), *last)), options(rng)["eps"]
        compare_functions(
            torch, "layer_norm", layer_norm(F.layer_norm), layer_norm(torch.nn.functional.layer_norm),
            [x, *parameters(rng, last)], n=last, eps=eps,
        )  # fmt: skip


def group_norm(function: Callable, torch: Any = None) -> Callable:
    """With the tensors first; PyTorch's backward pass fails for a bias without a weight."""

    def called(x: Any, w: Any, b: Any, groups: int, eps: float) -> Any:
        if torch is not None and w is None and b is not None:
            w = torch.ones_like(b)
        return function(x, groups, w, b, eps)

    return called


def test_group_norm(torch: Any) -> None:
    for rng in generators("group_norm"):
        groups, width = (int(v) for v in rng.integers(1, 5, 2))
        space = sizes(rng, 3)
        if width * np.prod(space) < 3:
            space = (3,)
        x = values(rng, (int(rng.integers(1, 5)), groups * width, *space))
        compare_functions(
            torch, "group_norm", group_norm(F.group_norm), group_norm(torch.nn.functional.group_norm, torch),
            [x, *parameters(rng, (groups * width,))], groups=groups, eps=options(rng)["eps"],
        )  # fmt: skip


FUNCTIONS: dict[str, Callable[[Any], Callable]] = {
    "batch_norm": lambda f: lambda x, w, b: f.batch_norm(x, None, None, w, b, training=True),
    "instance_norm": lambda f: lambda x, w, b: f.instance_norm(x, weight=w, bias=b),
    "layer_norm": lambda f: lambda x, w, b: f.layer_norm(x, w.shape, w, b),
    "group_norm": lambda f: lambda x, w, b: f.group_norm(x, 2, w, b),
}
every_function = pytest.mark.parametrize("name", FUNCTIONS)


@every_function
def test_second_gradients(torch: Any, name: str) -> None:
    for rng in generators(f"second {name}", 20):
        shape = (int(rng.integers(2, 4)), 2 * int(rng.integers(1, 4)), int(rng.integers(3, 6)))
        own = shape[1:] if name == "layer_norm" else shape[1:2]
        arrays = rng.normal(size=shape), rng.normal(size=own), rng.normal(size=own)
        mine = [minidl.Tensor(a, requires_grad=True) for a in arrays]
        other = [torch.tensor(a, requires_grad=True) for a in arrays]
        y, z = FUNCTIONS[name](F)(*mine), FUNCTIONS[name](torch.nn.functional)(*other)
        found = minidl.grad((y * y * y).sum(), mine, create_graph=True)
        expected = torch.autograd.grad((z * z * z).sum(), other, create_graph=True)
        sum(((g * g).sum() for g in found), minidl.tensor(0.0, dtype="float64")).backward()
        sum((g * g).sum() for g in expected).backward()
        for a, b in zip(mine, other, strict=True):
            assert_close(a.grad.data, b.grad.numpy(), TOLERANCE, f"{name} of {shape}")
            compared["second gradients"] += 1


SPECIAL = {
    "infinity": [np.inf, 1.0, -2.0, 3.0],
    "minus infinity": [0.0, -np.inf, 1.0, 2.0],
    "both": [np.inf, -np.inf, 1.0, 2.0],
    "NaN": [1.0, np.nan, 2.0, 3.0],
    # With less noise PyTorch's own rounding shows in the comparison; test_kernels_norm.py has less.
    "10,000 and noise": [1e4, 1e4 + 0.5, 1e4 - 1.0, 1e4 + 0.25],
    "large": [1e4, -1e4, 1e4, 0.0],
    "huge": [1e150, -1e150, 2e150, 0.0],
    "zeros": [0.0, -0.0, 0.0, 0.0],
    "ones": [1.0, 1.0, 1.0, 1.0],
    "tiny": [1e-300, -1e-300, 0.0, 1e-300],
}


@pytest.mark.parametrize("special", SPECIAL)
@every_function
def test_special_values(torch: Any, name: str, special: str) -> None:
    """They stay in the row that shares statistics with them: in one channel, sample, group or position."""
    row = np.array([1.0, 2.0, -1.0, 0.5])
    if name == "layer_norm":
        x, own = np.array([SPECIAL[special], row, row + 1]), (4,)
    elif name == "batch_norm":
        x, own = np.array([[SPECIAL[special][:2], row[:2]], [SPECIAL[special][2:], row[2:]]]), (2,)
    else:
        x, own = np.array([[SPECIAL[special], row], [row, row * 2]]), (2,)
    weight, bias = np.arange(1.0, own[0] + 1), np.arange(own[0]) - 0.5
    compare_functions(
        torch, f"special {name}", FUNCTIONS[name](F), FUNCTIONS[name](torch.nn.functional), [x, weight, bias]
    )


@pytest.mark.parametrize("name", ["batch_norm", "instance_norm"])
def test_special_running_statistics(torch: Any, name: str) -> None:
    x = np.arange(24.0).reshape(2, 6, 2)
    mean, var = np.array([np.inf, -np.inf, np.nan, 1e4, 0, 0]), np.array([1, 1, 1, np.inf, np.nan, -1.0])
    flag = {"batch_norm": "training", "instance_norm": "use_input_stats"}[name]
    compare_running(torch, name, x, (mean, var), [np.ones(6), np.ones(6)], **{flag: False})


@pytest.mark.parametrize("special", ["infinity", "both", "NaN", "large", "ones"])
@pytest.mark.parametrize("name", ["batch_norm", "instance_norm"])
def test_running_statistics_of_special_values(torch: Any, name: str, special: str) -> None:
    x = np.array([[SPECIAL[special], [1.0, 2.0, 3.0, 5.0]], [[1.0, -1.0, 0.0, 2.0], [0.0, 1.0, 0.0, 1.0]]])
    flag = {"batch_norm": "training", "instance_norm": "use_input_stats"}[name]
    compare_running(torch, name, x, (np.zeros(2), np.ones(2)), [None, None], **{flag: True})


def test_every_function_was_compared_on_enough_configurations(torch: Any) -> None:
    """Last, so that a generator that quietly gives less is noticed."""
    if not compared["group_norm"]:
        pytest.skip("only some of the tests of this file ran")
    for name in FUNCTIONS:
        assert compared[name] >= 2 * 200, name
