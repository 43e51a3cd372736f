"""Stages of a stack whose convolutions go by Winograd's method along rows, in any mixture, beside the reference."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from by_algorithm import refused
from op_cases.stack import Layer, stages_of
from parity import assert_close

import minidl
from minidl import kernels, nn, reference
from minidl.geometry import Padding, Window, sliding_window
from minidl.kernels import Stage, stack

TOLERANCE = {"float32": 3e-5, "float64": 1e-12}
DIRECTIONS = ("forward", "input", "weight")
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
plain = (1, 1)
around = Padding(1, 2, 0, 3)

# Channels and size of the images, then filters, kernel, stride, padding, dilation, ReLU, pooling of each layer. Pooling
# leaves rows and columns over in some of the last ones and in some of the first ones.
STACKS: dict[str, tuple[int, tuple[int, int], list[Layer]]] = {
    "one row": (2, (6, 9), [(3, (1, 5), 1, 0, 1, True, plain)]),
    "two rows, padded": (1, (5, 4), [(7, (2, 5), 1, around, 1, False, (2, 2))]),
    "three rows, left over": (3, (9, 12), [(5, (3, 5), 1, 1, 1, True, (3, 2))]),
    "four rows": (2, (8, 7), [(4, (4, 5), 1, (3, 2), 1, True, (1, 2))]),
    "six rows": (1, (7, 11), [(2, (6, 5), 1, around, 1, True, plain)]),
    "seven rows": (2, (10, 6), [(9, (7, 5), 1, (3, 4), 1, False, (2, 2))]),
    "as LeNet": (1, (18, 17), [(6, 5, 1, 2, 1, True, (2, 2)), (8, 5, 1, 0, 1, True, (2, 2))]),
    "two in a row": (2, (9, 8), [(7, (3, 5), 1, 1, 1, True, plain), (5, (2, 5), 1, around, 1, False, (3, 2))]),
    "behind others": (3, (11, 14), [(4, 3, 1, 1, 1, True, (2, 2)), (6, (3, 5), 1, (1, 2), 1, True, (2, 2))]),
    "before others": (1, (8, 15), [(6, 5, 1, 2, 1, True, (3, 2)), (3, 2, 1, 1, 1, False, plain)]),
}
Method = tuple[bool, bool, bool]


@pytest.fixture
def by(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes each direction go along rows wherever it can, or directly."""

    def choose(method: Method) -> None:
        allowed = dict(zip(DIRECTIONS, method, strict=True))

        def takes_winograd_rows(direction: str, C: int, F: int, window: Window, precision: str) -> bool:
            return allowed[direction] and refused("winograd_rows", C, F, window) is None

        monkeypatch.setattr(stack, "takes_winograd_rows", takes_winograd_rows)

    return choose


def by_reference(
    x: np.ndarray, weights: list[np.ndarray], biases: list[Any], stages: tuple[Stage, ...], grad: np.ndarray
) -> list[np.ndarray]:
    """The value, then the gradients of x, of all weights and of all biases, in float64."""
    behind = []
    for stage, weight, bias in zip(stages, weights, biases, strict=True):
        y = reference.conv2d(x, weight, bias, stage.window, 1)
        pooling = sliding_window("test", stage.window.output_size, stage.pool, stage.pool)
        pooled, places = reference.max_pool2d(reference.relu(y) if stage.relu else y, pooling)
        behind.append((x, y, pooling, places))
        x = pooled
    grad_weights, grad_biases, dx = [], [], grad
    for stage, weight, (seen, y, _, places) in zip(stages[::-1], weights[::-1], behind[::-1], strict=True):
        dy = reference.scatter_positions(dx, places, stage.window.output_size)
        dy = dy * (y > 0) if stage.relu else dy
        grad_weights.insert(0, reference.conv2d_weight_gradient(seen, dy, stage.window, 1))
        grad_biases.insert(0, dy.sum(axis=(0, 2, 3)))
        dx = reference.conv2d_input_gradient(dy, weight, stage.window, 1)
    return [x, dx, *grad_weights, *grad_biases]


def by_stack(
    x: np.ndarray, weights: list[np.ndarray], biases: list[Any], stages: tuple[Stage, ...], grad: np.ndarray
) -> list[np.ndarray]:
    """The same from the kernels."""
    plan = kernels.stack_plan(stages, "default")
    y, kept = kernels.conv_stack(x, weights, biases, plan, True)
    dx, of_parameters = kernels.conv_stack_gradients(grad, weights, plan, kept, True)
    without = kernels.conv_stack_gradients(grad, weights, plan, kept, False)
    assert without[0] is None
    for one, other in zip(of_parameters, without[1], strict=True):
        assert np.array_equal(one, other, equal_nan=True)
    assert dx is not None
    return [y, dx, *of_parameters[0::2], *of_parameters[1::2]]


def arrays(stages: tuple[Stage, ...], N: int, dtype: str) -> tuple[Any, ...]:
    rng = np.random.default_rng(N)
    first, last = stages[0], stages[-1]
    x = rng.normal(size=(N, first.channels, *first.window.input_size)).astype(dtype)
    weights = [rng.normal(size=(s.filters, s.channels, *s.window.kernel_size)).astype(dtype) for s in stages]
    biases = [rng.normal(size=s.filters).astype(dtype) if i % 2 == 0 else None for i, s in enumerate(stages)]
    return x, weights, biases, stages, rng.normal(size=(N, last.filters, *last.output_size)).astype(dtype)


@every_dtype
@pytest.mark.parametrize("N", [9, 16, 35])
@pytest.mark.parametrize("name", STACKS)
def test_stages_by_rows(name: str, N: int, dtype: str, by: Any, threads_everywhere: None) -> None:
    """In all directions, and in each of them alone, with the same bits for any number of threads."""
    given = arrays(stages_of(*STACKS[name]), N, dtype)
    expected = by_reference(*given)
    methods: list[Method] = [(True, True, True)] if N != 9 else list(product((False, True), repeat=3))  # type: ignore[arg-type]
    for method in methods:
        by(method)
        minidl.set_num_threads(1)
        found = by_stack(*given)
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert a.dtype == dtype
            assert_close(a, b, TOLERANCE[dtype], f"{i} by {method}", scale=1.0)
        minidl.set_num_threads(3)
        for a, b in zip(by_stack(*given), found, strict=True):
            assert np.array_equal(a, b)


def test_the_lanes_beyond_the_batch_add_nothing(by: Any) -> None:
    """A workspace that other numbers were in, and samples that are not finite beside those that are."""
    by((True, True, True))
    stages = stages_of(*STACKS["as LeNet"])
    given = arrays(stages, 19, "float64")
    expected = by_reference(*given)
    spoilt = arrays(stages, 48, "float64")
    for array in (spoilt[0], *spoilt[1], spoilt[4]):
        array[...] = np.nan
    by_stack(*spoilt)
    for a, b in zip(by_stack(*given), expected, strict=True):
        assert_close(a, b, 1e-12)
    x, weights, biases, _, grad = given
    x[18, 0, 3, 3] = np.inf
    got = by_stack(x, weights, biases, stages, grad)
    assert_close(got[0][:18], expected[0][:18], 1e-12)
    assert_close(got[1][:18], expected[1][:18], 1e-12)


def test_only_what_is_recorded_goes_by_rows(by: Any) -> None:
    """So a sample without gradients has the same bits alone and among others."""
    stages = stages_of(*STACKS["as LeNet"])
    x, weights, biases, _, _ = arrays(stages, 20, "float32")
    by((False, False, False))
    directly = kernels.conv_stack(x, weights, biases, kernels.stack_plan(stages, "default"), True)[0]
    by((True, True, True))
    plan = kernels.stack_plan(stages, "default")
    recorded, plainly = (kernels.conv_stack(x, weights, biases, plan, keep)[0] for keep in (True, False))
    assert np.array_equal(plainly, directly)
    assert not np.array_equal(recorded, directly)
    assert np.array_equal(kernels.conv_stack_samples(x[3:7], weights, biases, plan), plainly[3:7])


def test_what_was_kept_of_another_batch_is_refused() -> None:
    x, weights, biases, stages, grad = arrays(stages_of(*STACKS["as LeNet"]), 33, "float32")
    plan = kernels.stack_plan(stages, "default")
    for N in (16, 49):
        kept = kernels.conv_stack(np.resize(x, (N, *x.shape[1:])), weights, biases, plan, True)[1]
        with pytest.raises(ValueError, match="bytes were kept, not of 33 samples"):
            kernels.conv_stack_gradients(grad, weights, plan, kept, True)


# Who decides


@pytest.fixture
def default_precision() -> Iterator[None]:
    yield
    minidl.set_precision("default")


def test_each_direction_of_a_stage_is_decided_for_itself() -> None:
    def methods(channels: int, size: int, layer: Layer) -> Method:
        window = sliding_window("test", (size, size), *layer[1:5])
        (found,) = (
            kernels.stack_plan((Stage(window, channels, layer[0], *layer[5:]),), "default")
            .compiled[np.dtype(np.float32)]
            .winograd_rows()
        )
        return found

    # Forward, input, weight. One channel alone is too few for the input's gradient.
    assert methods(1, 28, (6, 5, 1, 2, 1, True, (2, 2))) == (True, False, True)
    assert methods(6, 14, (16, 5, 1, 0, 1, True, (2, 2))) == (True, True, True)
    assert methods(6, 14, (16, 5, 2, 0, 1, True, (2, 2))) == (False, False, False)
    assert methods(6, 14, (16, 3, 1, 0, 1, True, (2, 2))) == (False, False, False)
    # Too few weights on too small an image for the weight's gradient.
    assert methods(2, 14, (6, 5, 1, 2, 1, True, (2, 2)))[2] is False


def test_the_precision_that_is_asked_for_changes_a_model_that_ran_before(default_precision: None) -> None:
    """What a Sequential remembers of its layers is for one precision."""
    generator = np.random.default_rng(1)
    net = nn.Sequential(nn.Conv2d(2, 6, 5, padding=2, generator=generator), nn.ReLU())
    x = minidl.tensor(generator.normal(size=(16, 2, 12, 12)).astype("float32"))

    def weight_gradient() -> np.ndarray:
        net[0].weight.grad = None
        net(x).sum().backward()
        return net[0].weight.grad.data

    window = sliding_window("test", (12, 12), 5, 1, 2)
    precisely = weight_gradient()
    minidl.set_precision("fast")
    assert kernels.takes_winograd_rows("weight", 2, 6, window, "fast")
    fast = weight_gradient()
    assert not np.array_equal(fast, precisely)
    assert np.abs(fast - precisely).max() <= 1e-4 * np.abs(precisely).max()
    minidl.set_precision("default")
    assert not kernels.takes_winograd_rows("weight", 2, 6, window, "default")
    assert np.array_equal(weight_gradient(), precisely)
