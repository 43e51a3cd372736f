"""Convolution's kernels called by the name of an entry of the registry, whatever "auto" would choose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minidl.geometry import Window
from minidl.kernels.conv import autotune
from minidl.kernels.conv.algorithm import Algorithm
from minidl.kernels.conv.problem import ConvProblem
from minidl.kernels.conv.registry import REGISTRY, choose

Array = np.ndarray


def problem_of(
    direction: Any, N: int, C: int, F: int, window: Window, dtype: Any = "float32", groups: int = 1,
    precision: str = "default",
) -> ConvProblem:  # fmt: skip
    return ConvProblem(direction, N, C, F, groups, window, np.dtype(dtype), precision)


def chosen(
    direction: Any, N: int, C: int, F: int, window: Window, dtype: Any = "float32", groups: int = 1,
    precision: str = "default", algorithm: str = "auto",
) -> Algorithm:  # fmt: skip
    """The entry that a name stands for; its family and its name say which it is."""
    return choose(problem_of(direction, N, C, F, window, dtype, groups, precision), algorithm)


def is_precise(name: str, direction: Any, C: int, F: int, window: Window, precision: str = "default") -> bool:
    """Whether an entry is exact enough for a precision, in float32."""
    return REGISTRY[name].within_precision(problem_of(direction, 1, C, F, window, precision=precision))


def refused(name: str, C: int, F: int, window: Window, dtype: Any = "float32", groups: int = 1) -> str | None:
    """Why an entry does not compute a forward pass."""
    return REGISTRY[name].why_unsupported(problem_of("forward", 1, C, F, window, dtype, groups))


def forward(name: str, x: Array, weight: Array, bias: Array | None, window: Window, groups: int = 1) -> Array:
    problem = problem_of("forward", len(x), x.shape[1], len(weight), window, x.dtype, groups)
    return choose(problem, name).plan(problem)(x, weight, bias)


def input_gradient(name: str, grad: Array, weight: Array, window: Window, groups: int = 1) -> Array:
    problem = problem_of("input", len(grad), weight.shape[1] * groups, len(weight), window, grad.dtype, groups)
    return choose(problem, name).plan(problem)(grad, weight)


def weight_gradient(name: str, x: Array, grad: Array, window: Window, groups: int = 1) -> Array:
    problem = problem_of("weight", len(x), x.shape[1], grad.shape[1], window, x.dtype, groups)
    return choose(problem, name).plan(problem)(x, grad)


def all_directions(
    name: str, x: Array, weight: Array, bias: Array | None, grad: Array, window: Window, groups: int = 1
) -> list[Array]:
    """Forward, the input's and the weight's gradient; what an entry does not compute is its family's."""
    return [
        forward(name, x, weight, bias, window, groups),
        input_gradient(name, grad, weight, window, groups),
        weight_gradient(name, x, grad, window, groups),
    ]


def let_the_last_be_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the clock would say of the entries that apply."""
    supported = autotune.supported
    monkeypatch.setattr(autotune, "supported", lambda problem: supported(problem)[::-1])
    monkeypatch.setattr(autotune, "_seconds", lambda plan, arrays: 0.0)
