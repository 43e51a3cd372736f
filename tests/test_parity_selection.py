"""What chooses among values, and what has a singular point, beside PyTorch's: NaN, infinities, ties, equal values."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import minidl
import minidl.functional as F
from minidl.errors import DTypeError

INF, NAN = np.inf, np.nan
VALUES = [-INF, -1.0, 0.0, 1.0, INF, NAN]
UPSTREAM = [1.0, INF, -INF, NAN]
upstream_values = pytest.mark.parametrize("upstream", UPSTREAM)


def compare(
    torch: Any, ours: Callable, theirs: Callable, arrays: Sequence[Any], upstream: float = 1.0, dtype: str = "float64"
) -> list[np.ndarray]:
    """Values, positions if there are any, and gradients, fused and recorded; the gradients are returned."""
    note = f"{[np.asarray(a).tolist() for a in arrays]}, upstream {upstream}"
    mine = [minidl.Tensor(np.array(a, dtype), requires_grad=True) for a in arrays]
    other = [torch.tensor(np.array(a, dtype), requires_grad=True) for a in arrays]
    y, z = ours(*mine), theirs(*other)
    if isinstance(y, tuple):
        np.testing.assert_array_equal(y[1].data, z[1].numpy(), err_msg=f"positions of {note}")
        y, z = y[0], z[0]
    tolerance = 1e-12 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=tolerance, err_msg=note)
    start = np.full(z.shape, upstream, dtype)
    recorded = minidl.grad(y, mine, minidl.Tensor(start), create_graph=True, retain_graph=True)
    y.backward(start)
    z.backward(torch.tensor(start))
    for i, (a, r, b) in enumerate(zip(mine, recorded, other, strict=True)):
        np.testing.assert_allclose(
            a.grad.data,
            b.grad.numpy(),
            tolerance,
            1e-14 if dtype == "float64" else 1e-6,
            err_msg=f"gradient {i} of {note}",
        )
        np.testing.assert_allclose(
            r.data,
            a.grad.data,
            tolerance,
            1e-14 if dtype == "float64" else 1e-6,
            err_msg=f"recorded gradient {i} of {note}",
        )
    return [a.grad.data for a in mine]


# Choosing


def tuples(upstream: float) -> Iterator[tuple[float, ...]]:
    return itertools.product(VALUES, repeat=3 if upstream == 1 else 2)


@upstream_values
@pytest.mark.parametrize("name", ["amax", "amin"])
def test_extremes_over_dimensions(torch: Any, name: str, upstream: float) -> None:
    ours, theirs = getattr(minidl, name), getattr(torch, name)
    for values in tuples(upstream):
        compare(torch, lambda x: ours(x, 0), lambda x: theirs(x, 0), [values], upstream)
    x = np.array(VALUES)[np.random.default_rng(0).integers(0, 6, (3, 4, 2))]
    for dim, keepdim in ((1, False), ((0, 2), True), ((0, 1, 2), False)):
        compare(torch, lambda x, d=dim, k=keepdim: ours(x, d, k), lambda x, d=dim, k=keepdim: theirs(x, d, k), [x])


@upstream_values
@pytest.mark.parametrize("name", ["max", "min"])
def test_extremes_of_all_and_along_one_dimension(torch: Any, name: str, upstream: float) -> None:
    def of_all(x: Any) -> Any:
        return getattr(x, name)()

    def along(x: Any) -> Any:
        return getattr(x, name)(0)

    for values in tuples(upstream):
        compare(torch, of_all, of_all, [values], upstream)
        compare(torch, along, along, [values], upstream)
        position = getattr(minidl, f"arg{name}")(np.array(values))
        assert position.item() == getattr(torch, f"arg{name}")(torch.tensor(values)).item()


def test_a_nan_among_extremes_is_not_lost() -> None:
    x = minidl.tensor([1.0, NAN], requires_grad=True)
    cases: list[tuple[Callable[[], Any], list[float]]] = [
        (lambda: x.amax(0), [NAN, NAN]),
        (lambda: x.max(), [0, 1]),
        (lambda: x.max(0)[0], [0, 1]),
        (lambda: minidl.maximum(x, 0.5).sum(), [1, 1]),
        (lambda: F.relu6(x).sum(), [1, 1]),
    ]
    for choose, expected in cases:
        (found,) = minidl.grad(choose(), x)
        np.testing.assert_array_equal(found.data, expected)


@upstream_values
@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_the_larger_of_two(torch: Any, name: str, upstream: float) -> None:
    for a, b in itertools.product(VALUES, repeat=2):
        compare(torch, getattr(minidl, name), getattr(torch, name), [[a], [b]], upstream)
    compare(torch, getattr(minidl, name), getattr(torch, name), [[[0.0], [NAN]], [VALUES]], upstream)


@upstream_values
def test_pieces(torch: Any, upstream: float) -> None:
    mask = np.array([True, False])
    for value in (*VALUES, -7.0, 7.0):
        compare(torch, minidl.abs, torch.abs, [[value]], upstream)
        for low, high in ((-1, 1), (None, 1), (0.0, None), (1, -1), (-INF, INF), (NAN, 1)):
            compare(
                torch, lambda x, low=low, high=high: minidl.clip(x, low, high),
                lambda x, low=low, high=high: torch.clamp(x, low, high), [[value]], upstream,
            )  # fmt: skip
        compare(
            torch, lambda x, y: minidl.where(mask, x, y), lambda x, y: torch.where(torch.tensor(mask), x, y),
            [[value, value], [2.0, 2.0]], upstream,
        )  # fmt: skip


# Singular points


def test_powers_of_0(torch: Any) -> None:
    for a, b in itertools.product([0.0, -0.0, 1e-300, 1.0, INF, NAN], [*VALUES, -0.5, 0.5, 2.0]):
        compare(torch, minidl.pow, torch.pow, [[a], [b]])
        compare(torch, minidl.div, torch.div, [[b], [a]])
        compare(torch, minidl.mul, torch.mul, [[b], [a]])
    for base, exponent in itertools.product([0.0, 2.0], [*VALUES, 0.5]):
        compare(torch, lambda x, base=base: base**x, lambda x, base=base: base**x, [[exponent]])


@pytest.mark.parametrize("name", ["sqrt", "log", "exp"])
def test_functions_at_their_limits(torch: Any, name: str) -> None:
    for value in (*VALUES, -0.0, 1e-300, 1e300):
        compare(torch, getattr(minidl, name), getattr(torch, name), [[value]])


def test_the_gradient_of_a_deviation_of_0_is_0(torch: Any) -> None:
    (found,) = compare(torch, lambda x: x.std(1), lambda x: x.std(1), [[[1.0, 2.0], [5.0, 5.0]]])
    np.testing.assert_allclose(found, [[-(0.5**0.5), 0.5**0.5], [0, 0]], rtol=1e-15)
    for kwargs in ({"correction": 0}, {"dim": (0, 2), "keepdim": True}, {"dim": (0, 1, 2), "correction": 0}):
        compare(torch, lambda x, k=kwargs: x.std(**k), lambda x, k=kwargs: x.std(**k), [np.full((2, 4, 2), -3.0)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [0.1, -1 / 3, 1e8, 1e-30, 7.7, 0.0])
def test_equal_values_do_not_vary_at_all(value: float, dtype: str) -> None:
    """Their mean may be another number, by rounding, but none of them is farther from it than the others."""
    for count in (2, 3, 7, 41, 100):
        x = minidl.Tensor(np.full((count, 2), value, dtype), requires_grad=True)
        for name in ("var", "std"):
            y = getattr(x, name)(0)
            (found,) = minidl.grad(y.sum(), x, create_graph=True)
            assert not y.data.any() and not found.data.any()
            (second,) = minidl.grad((found * found).sum(), x)
            assert not second.data.any()


@pytest.mark.filterwarnings("ignore:.*degrees of freedom:UserWarning")
@pytest.mark.parametrize("name", ["var", "std"])
def test_variances_of_few_values_and_of_infinite_ones(torch: Any, name: str) -> None:
    def function(**kwargs: Any) -> Callable:
        return lambda x: getattr(x, name)(**kwargs)

    for correction in (0, 1, 2, 3):
        for x in (np.array(3.0), np.array([3.0]), np.array([1.0, 3.0]), np.array([2.0, 2.0]), np.ones((2, 0))):
            compare(torch, function(correction=correction), function(correction=correction), [x])
    for values in itertools.product([-INF, 1.0, 2.0, INF, NAN], repeat=3):
        compare(torch, function(dim=0), function(dim=0), [values])
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        # PyTorch's gradient in float32 has the rounding of a float32 mean.
        x = rng.normal(size=(5, 3, 4)) + (100 if dtype == "float64" else 0)
        compare(torch, function(dim=(0, 2)), function(dim=(0, 2)), [x], dtype=dtype)
        compare(torch, function(dim=1, keepdim=True), function(dim=1, keepdim=True), [x], dtype=dtype)


def test_variances_name_themselves() -> None:
    for name in ("var", "std", "mean"):
        with pytest.raises(DTypeError, match=f"^{name}: input must be float32 or float64, got int64$"):
            getattr(minidl.tensor([1, 2]), name)()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_mean_of_ones_is_1(dtype: str) -> None:
    for count in range(1, 200):
        assert minidl.ones(count, dtype=dtype).mean().item() == 1


NORMS: dict[str, Callable[[Any], Callable[[Any, Any], Any]]] = {
    "layer_norm": lambda f: lambda x, w: f.layer_norm(x, (4,), w),
    "group_norm": lambda f: lambda x, w: f.group_norm(x, 2, w),
    "batch_norm": lambda f: lambda x, w: f.batch_norm(x, None, None, w, training=True),
    "instance_norm": lambda f: lambda x, w: f.instance_norm(x, None, None, w),
    "layer_norm without eps": lambda f: lambda x, w: f.layer_norm(x, (4,), w, eps=0.0),
    "group_norm without eps": lambda f: lambda x, w: f.group_norm(x, 2, w, eps=0.0),
}


@pytest.mark.parametrize("name", NORMS)
def test_norms_of_equal_values(torch: Any, name: str) -> None:
    """Of powers of 2, whose statistics PyTorch finds without rounding."""
    ours, theirs = NORMS[name](F), NORMS[name](torch.nn.functional)
    x, weight = np.full((2, 4, 4), 0.5), np.array([1.0, -2.0, 0.5, 3.0])
    compare(torch, ours, theirs, [x, weight])
    x[0, 0, 0] = 1.5
    compare(torch, ours, theirs, [x, weight])
    if "without" not in name:
        second = []
        for module, grad, tensor in ((minidl, minidl.grad, minidl.Tensor), (torch, torch.autograd.grad, torch.tensor)):
            a, w = tensor(np.full((2, 4, 4), 0.5), requires_grad=True), tensor(weight, requires_grad=True)
            start = tensor(np.arange(32.0).reshape(2, 4, 4))
            (first,) = grad((NORMS[name](F if module is minidl else torch.nn.functional)(a, w) * start).sum(), [a],
                            create_graph=True)  # fmt: skip
            second.append([g.detach().numpy() for g in grad((first * first).sum(), [a, w])])
        for found, expected in zip(*second, strict=True):
            np.testing.assert_allclose(found, expected, 1e-9, 1e-6 * np.abs(expected).max())
