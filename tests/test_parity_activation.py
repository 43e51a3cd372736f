"""Activations beside PyTorch's: random configurations, kinks, special values, second gradients; and far from 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from parity import TOLERANCE, Array, Generator, assert_close, compare, compare_functions, compared, generators, shape_of

import minidl
import minidl.functional as F
from minidl import reference
from minidl.errors import GraphError

COUNT = 60


def settings(name: str, rng: Generator) -> dict[str, Any]:
    """Random arguments of a function; its defaults now and then."""
    some: dict[str, Any] = {}
    if name == "leaky_relu":
        some = {"negative_slope": float(rng.choice([0.0, 1.0, rng.normal()]))}
    elif name == "elu":
        some = {"alpha": float(rng.choice([0.0, 1.0, rng.normal()]))}
    elif name == "gelu":
        some = {"approximate": str(rng.choice(["none", "tanh"]))}
    elif name == "softplus":
        some = {
            "beta": float(rng.choice([-1, 1]) * rng.uniform(0.1, 4)),
            "threshold": float(rng.choice([20.0, 1.0, 0.0, -2.0])),
        }
    return {key: value for key, value in some.items() if rng.random() < 0.8}


# The names, and where the slope or the slope's slope jumps.
KINKS: dict[str, list[float]] = {
    "relu": [0.0], "relu6": [0.0, 6.0], "leaky_relu": [0.0], "elu": [0.0], "selu": [0.0], "hardswish": [-3.0, 3.0],
    "softplus": [20.0], "gelu": [], "silu": [], "mish": [], "logsigmoid": [0.0], "tanh": [], "sigmoid": [],
}  # fmt: skip
every_activation = pytest.mark.parametrize("name", KINKS)


def values(name: str, rng: Generator, scale: float) -> Array:
    """Some of them on a kink."""
    x = rng.normal(size=shape_of(rng)) * scale
    x = np.where(rng.random(x.shape) < 0.15, rng.choice([0.0, *KINKS[name]], x.shape), x)
    if name == "gelu":
        # PyTorch's is right to the rounding of x, not to that of a result that is much smaller.
        x.flat[0] = 1
    return x


@every_activation
def test_random_configurations(torch: Any, name: str) -> None:
    for rng in generators(name, COUNT):
        kwargs = settings(name, rng)
        compare(torch, name, [values(name, rng, float(rng.choice([1, 5, 30, 1e4])))], **kwargs)


def prelu_shapes(rng: Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    shape = shape_of(rng, 5)
    channels = shape[1] if len(shape) > 1 else 1
    sizes = [(), (1,), (channels,)] if shape else [(), (1,)]
    return shape, sizes[int(rng.integers(len(sizes)))]


def test_random_configurations_of_prelu(torch: Any) -> None:
    for rng in generators("prelu", COUNT):
        shape, size = prelu_shapes(rng)
        x = np.where(rng.random(shape) < 0.15, 0, rng.normal(size=shape) * 5)
        compare(torch, "prelu", [x, rng.normal(size=size)])


def second_gradients(module: Any, function: Any, inputs: Sequence[Any], **kwargs: Any) -> list[Array]:
    """The gradients of the sum of the gradients' squares, which also depend on the upstream gradient."""
    y = function(*inputs, **kwargs)
    first = module.grad((y * y).sum(), inputs, create_graph=True)
    total = sum((g * g).sum() for g in first)
    return [g.detach().numpy() for g in module.grad(total, inputs)]


def compare_second(torch: Any, name: str, arrays: Sequence[Array], **kwargs: Any) -> None:
    ours = [minidl.Tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    found = second_gradients(minidl, getattr(F, name), ours, **kwargs)
    expected = second_gradients(torch.autograd, getattr(torch.nn.functional, name), theirs, **kwargs)
    for f, e in zip(found, expected, strict=True):
        assert_close(f, e, TOLERANCE, f"{name}({[a.shape for a in arrays]}, {kwargs})", 1.0)
        compared["second gradients"] += 1


@every_activation
def test_second_gradients(torch: Any, name: str) -> None:
    for rng in generators(f"{name} twice", COUNT):
        kwargs = settings(name, rng)
        compare_second(torch, name, [values(name, rng, float(rng.choice([1, 5, 20])))], **kwargs)


def test_second_gradients_of_prelu(torch: Any) -> None:
    for rng in generators("prelu twice", COUNT):
        shape, size = prelu_shapes(rng)
        x = np.where(rng.random(shape) < 0.15, 0, rng.normal(size=shape))
        compare_second(torch, "prelu", [x, rng.normal(size=size)])


def value_and_slopes(module: Any, function: Any, x: Any, **kwargs: Any) -> list[Array]:
    """f, f' and f'', each on its own; 0 where PyTorch knows that there is nothing to differentiate."""
    y = function(x, **kwargs)
    (first,) = module.grad(y.sum(), [x], create_graph=True)
    second = np.zeros(x.shape)
    if first.requires_grad:
        (grad,) = module.grad(first.sum(), [x], allow_unused=True)
        second = second if grad is None else grad.detach().numpy()
    return [y.detach().numpy(), first.detach().numpy(), second]


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [*((name, {}) for name in KINKS), ("leaky_relu", {"negative_slope": 0.3}), ("leaky_relu", {"negative_slope": -2.0}),
     ("elu", {"alpha": 1.7}), ("softplus", {"beta": 2.0, "threshold": 12.0}), ("gelu", {"approximate": "tanh"})],
)  # fmt: skip
def test_kinks(torch: Any, name: str, kwargs: dict[str, Any]) -> None:
    """On a kink and beside it, on either side: element by element, not relative to the largest."""
    points = [0.0, *KINKS[name], *([6.0] if kwargs.get("threshold") else [])]
    for x in (v for point in points for v in (point, np.nextafter(point, -9), np.nextafter(point, 9), -point)):
        # Long enough for PyTorch's vectors, whose code is another than that for one number.
        x = np.full(16, x)
        ours = value_and_slopes(minidl, getattr(F, name), minidl.Tensor(x, requires_grad=True), **kwargs)
        theirs = value_and_slopes(
            torch.autograd, getattr(torch.nn.functional, name), torch.tensor(x, requires_grad=True), **kwargs
        )
        for what, found, expected in zip(("value", "slope", "second slope"), ours, theirs, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-300, err_msg=f"{what} at {x[0]!r}")


SPECIAL = [-np.inf, -1e300, -1e4, -700.0, -40.0, -1e-300, -0.0, 0.0, 1e-300, 40.0, 700.0, 1e4, 1e300, np.inf, np.nan]


@pytest.mark.parametrize("value", SPECIAL)
@every_activation
def test_special_values(torch: Any, name: str, value: float) -> None:
    """One value at a time, since arrays are compared relative to their largest.

    Sixteen of each: for many numbers PyTorch has vector code, whose gradients at NaN are NaN for elu and hardswish; for
    few they are 1, and those of relu6 too, which loses a NaN among many.
    """
    count = 1 if name == "relu6" else 16
    for kwargs in [{}] if name != "gelu" else [{"approximate": "none"}, {"approximate": "tanh"}]:
        compare(torch, name, [np.full(count, value)], **kwargs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_activation
def test_recorded_gradients_of_special_values_are_those_of_the_fused_path(name: str, dtype: str) -> None:
    x = minidl.Tensor(np.clip(SPECIAL, -1e30, 1e30).astype(dtype), requires_grad=True)
    special = np.array([-np.inf, np.inf, np.nan] * 5, dtype)
    for values in (x, minidl.Tensor(special, requires_grad=True)):
        y = getattr(F, name)(values).sum()
        (recorded,) = minidl.grad(y, values, create_graph=True)
        (fused,) = minidl.grad(y, values)
        assert np.array_equal(recorded.data, fused.data, equal_nan=True)


@pytest.mark.parametrize("value", SPECIAL)
@pytest.mark.parametrize("weight", [0.25, 0.0, -1.0, np.inf, np.nan])
def test_special_values_of_prelu(torch: Any, value: float, weight: float) -> None:
    compare(torch, "prelu", [np.full(16, value), np.array([weight])])


@pytest.mark.parametrize("name", ["relu", "relu6", "hardswish"])
@pytest.mark.parametrize("start", [np.inf, -np.inf, np.nan])
def test_gradients_that_do_not_pass_are_0_whatever_they_are(torch: Any, name: str, start: float) -> None:
    x = np.array([-4.0, -3.0, -1.0, 0.0, 3.0, 6.0, 7.0] * 4)
    mine, theirs = minidl.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    getattr(F, name)(mine).backward(np.full(x.shape, start), create_graph=True)
    getattr(torch.nn.functional, name)(theirs).backward(torch.full(x.shape, start, dtype=torch.float64))
    assert np.array_equal(mine.grad.data, theirs.grad.numpy(), equal_nan=True)


REFERENCES = {
    "relu": reference.relu, "relu6": reference.relu6, "leaky_relu": reference.leaky_relu, "elu": reference.elu,
    "selu": reference.selu, "hardswish": reference.hardswish, "softplus": reference.softplus, "gelu": reference.gelu,
    "silu": reference.silu, "mish": reference.mish, "logsigmoid": reference.logsigmoid, "tanh": np.tanh,
    "sigmoid": reference.sigmoid,
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_activation
def test_everything_is_finite_and_right_from_minus_1e4_to_1e4(name: str, dtype: str) -> None:
    """Second gradients too, where PyTorch's of mish is NaN at 1e4."""
    far = np.geomspace(1e-3, 1e4, 200)
    x = np.concatenate([-far[::-1], [0], far]).astype(dtype)
    for kwargs in [{}] if name != "gelu" else [{"approximate": "none"}, {"approximate": "tanh"}]:
        results = value_and_slopes(minidl, getattr(F, name), minidl.Tensor(x, requires_grad=True), **kwargs)
        assert {r.dtype for r in results[:2]} == {np.dtype(dtype)}
        assert all(np.isfinite(r).all() for r in results)
        expected = REFERENCES[name](x.astype(np.float64), **kwargs)
        # Relative to each value where it is large, and to 1 where the function goes to 0.
        error = np.abs(results[0] - expected) / np.maximum(np.abs(expected), 1)
        assert error.max() <= {"float32": 2e-6, "float64": 1e-14}[dtype]


@pytest.mark.parametrize("name", ["sigmoid", "silu", "mish", "gelu", "softplus", "elu"])
def test_small_results_are_accurate_relative_to_themselves(name: str) -> None:
    x = np.linspace(-30, -1, 200)
    # Asymptotically: exp(x), and the tail of the normal distribution.
    from scipy.special import erfc

    exact = {
        "sigmoid": np.exp(x) / (1 + np.exp(x)), "silu": x * np.exp(x) / (1 + np.exp(x)),
        "mish": x * np.tanh(np.log1p(np.exp(x))), "gelu": x * erfc(-x / np.sqrt(2)) / 2,
        "softplus": np.log1p(np.exp(x)), "elu": np.expm1(x),
    }  # fmt: skip
    np.testing.assert_allclose(getattr(F, name)(x).data, exact[name], rtol=2e-13)


def test_softplus_does_not_overflow_whatever_the_threshold() -> None:
    """PyTorch gives infinity, and NaN for the gradient."""
    x = minidl.Tensor(np.array([-1e4, 800.0, 1e4]), requires_grad=True)
    y = F.softplus(x, threshold=1e6)
    y.sum().backward()
    assert y.tolist() == [0, 800, 1e4] and x.grad.tolist() == [0, 1, 1]


def test_the_result_of_relu_changed_between_two_backward_passes_does_not_matter() -> None:
    x, weight = minidl.tensor([-1.0, 2.0], requires_grad=True), minidl.tensor([1.0, 1.0], requires_grad=True)
    y = F.relu(x)
    (g,) = minidl.grad((y * weight).sum(), x, create_graph=True)
    z = F.relu(x)
    with minidl.no_grad():
        y.copy_([5.0, 0.0])
        z.zero_()
    (found,) = minidl.grad(g.sum(), weight)
    assert found.tolist() == [0, 1]
    with pytest.raises(GraphError, match="ReLU: a value saved for the backward pass was modified in place"):
        minidl.grad(z.sum(), x, create_graph=True)


def test_what_is_not_kept_may_change() -> None:
    keeps_result = [(function, True) for function in (F.tanh, F.sigmoid, F.relu, minidl.exp, minidl.sqrt, minidl.neg)]
    keeps_input = [(function, False) for function in (F.silu, F.gelu, F.relu6, minidl.abs, minidl.neg)]
    for function, change_input in (*keeps_result, *keeps_input):
        x = minidl.tensor([0.5, 2.0], requires_grad=True)
        source = x * 1
        y = function(source)
        with minidl.no_grad():
            (source if change_input else y).zero_()
        y.sum().backward()
        again = minidl.tensor([0.5, 2.0], requires_grad=True)
        function(again).sum().backward()
        assert np.array_equal(x.grad.data, again.grad.data)


def test_what_has_no_curve_keeps_nothing() -> None:
    assert minidl.neg(minidl.tensor([1.0], requires_grad=True))._op._pending_saves == ()


@pytest.mark.parametrize("limits", [(-1.0, 2.0), (None, 2.0), (-1.0, None), (2.0, -1.0), (-np.inf, np.inf)])
def test_clip_on_its_limits_and_on_special_values(torch: Any, limits: tuple[float | None, float | None]) -> None:
    for value in (-np.inf, -3.0, -1.0, 0.0, 2.0, 3.0, np.inf, np.nan):
        x, low, high = np.full(16, value), *limits
        compare_functions(
            torch, "clip", lambda x, low=low, high=high: minidl.clip(x, low, high),
            lambda x, low=low, high=high: torch.clamp(x, low, high), [x],
        )  # fmt: skip


def test_log_sigmoid_is_another_name() -> None:
    assert F.log_sigmoid is F.logsigmoid


def test_every_function_was_compared_on_enough_configurations(torch: Any) -> None:
    """Last, so that a generator that quietly gives less is noticed."""
    if not compared["prelu"]:
        pytest.skip("only some of the tests of this file ran")
    for name in (*KINKS, "prelu"):
        assert compared[name] >= 2 * COUNT, name
