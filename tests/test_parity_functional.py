"""Values and all gradients beside PyTorch's, on random configurations, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from parity import (
    CONFIGURATIONS,
    TOLERANCE,
    as_pair,
    assert_close,
    compare,
    compare_functions,
    compared,
    generators,
    lead,
    shape_of,
    window,
)

import minidl
import minidl.functional as F

# PyTorch copies the input for such paddings, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")


def test_conv2d(torch: Any) -> None:
    for rng in generators("conv2d"):
        size, kwargs = window(rng)
        kernel = as_pair(kwargs.pop("kernel_size"))
        groups = int(rng.choice([1, 1, 2, 3]))
        channels, filters = (groups * int(v) for v in rng.integers(1, 4, 2))
        if kwargs["stride"] == 1 and rng.random() < 0.5:
            kwargs["padding"] = str(rng.choice(["same", "valid"])) if min(size) > 8 else "same"
        if kwargs["padding"] == "valid" and any(
            d * (k - 1) + 1 > s for d, k, s in zip(as_pair(kwargs["dilation"]), kernel, size, strict=True)
        ):
            kwargs["padding"] = "same"
        x = rng.normal(size=(*lead(rng), channels, *size))
        w = rng.normal(size=(filters, channels // groups, *kernel))
        b = rng.normal(size=filters) if rng.random() < 0.7 else None
        kwargs["groups"] = groups
        compare(torch, "conv2d", [x, w, b], **kwargs)


def test_max_pool2d(torch: Any) -> None:
    for rng in generators("max_pool2d"):
        size, kwargs = window(rng, pooling=True)
        if rng.random() < 0.3:
            # Many equal values: the first must win in both.
            x = rng.integers(0, 3, (*lead(rng), int(rng.integers(1, 4)), *size)).astype(np.float64)
        else:
            x = rng.normal(size=(*lead(rng), int(rng.integers(1, 4)), *size))
        compare(torch, "max_pool2d", [x], **kwargs)


def test_avg_pool2d(torch: Any) -> None:
    for rng in generators("avg_pool2d"):
        size, kwargs = window(rng, pooling=True)
        while kwargs["dilation"] not in (1, (1, 1)):
            size, kwargs = window(rng, pooling=True)
        del kwargs["dilation"]
        if rng.random() < 0.2 and all(k <= s for k, s in zip(as_pair(kwargs["kernel_size"]), size, strict=True)):
            kwargs["stride"] = None
        x = rng.normal(size=(*lead(rng), int(rng.integers(1, 4)), *size))
        compare(torch, "avg_pool2d", [x], **kwargs)


def test_unfold(torch: Any) -> None:
    for rng in generators("unfold"):
        size, kwargs = window(rng)
        x = rng.normal(size=(*lead(rng), int(rng.integers(1, 4)), *size))
        compare(torch, "unfold", [x], **kwargs)


def test_fold(torch: Any) -> None:
    for rng in generators("fold"):
        size, kwargs = window(rng)
        shape = F.unfold(np.zeros((*lead(rng), int(rng.integers(1, 4)), *size)), **kwargs).shape
        x = rng.normal(size=shape)
        compare(torch, "fold", [x], output_size=size, **kwargs)


def test_linear(torch: Any) -> None:
    for rng in generators("linear"):
        features, out = (int(v) for v in rng.integers(1, 13, 2))
        x = rng.normal(size=(*rng.integers(1, 8, rng.integers(0, 4)), features))
        w = rng.normal(size=(out, features))
        b = rng.normal(size=out) if rng.random() < 0.7 else None
        compare(torch, "linear", [x, w, b])


def test_cross_entropy(torch: Any) -> None:
    for rng in generators("cross_entropy"):
        rows, classes = (int(v) for v in rng.integers(1, 13, 2))
        scale = float(rng.choice([1, 1, 30, 1e4]))
        unbatched = rng.random() < 0.2
        x = rng.normal(size=classes if unbatched else (rows, classes)) * scale
        target = rng.integers(0, classes, None if unbatched else rows)
        kwargs: dict[str, Any] = {"reduction": str(rng.choice(["mean", "sum", "none"]))}
        if rng.random() < 0.4 and not unbatched:
            kwargs["ignore_index"] = int(rng.choice([-100, 0, -1, classes - 1]))
            target = np.where(rng.random(rows) < 0.3, kwargs["ignore_index"], target)
        compare(torch, "cross_entropy", [x, np.asarray(target)], **kwargs)


ELEMENTWISE = ["relu", "tanh", "sigmoid", "exp", "abs", "neg", "log", "sqrt"]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(torch: Any, name: str) -> None:
    for rng in generators(name, 30):
        x = rng.normal(size=shape_of(rng)) * float(rng.choice([1, 20]))
        x = np.abs(x) + 0.01 if name in ("log", "sqrt") else x
        if name in ("relu", "abs", "tanh"):
            x = np.where(rng.random(x.shape) < 0.1, 0, x)
        compare(torch, name, [x])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(torch: Any, name: str) -> None:
    for rng in generators(name, 60):
        x = rng.normal(size=shape_of(rng)) * float(rng.choice([1, 30, 1e4]))
        dim = int(rng.integers(-max(x.ndim, 1), max(x.ndim, 1)))
        compare(torch, name, [x], dim=dim)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow", "maximum", "minimum"])
def test_binary(torch: Any, name: str) -> None:
    for rng in generators(name, 40):
        shape = shape_of(rng)
        a, b = (
            rng.normal(size=tuple(1 if rng.random() < 0.3 else n for n in shape[rng.integers(0, len(shape) + 1) :]))
            for _ in range(2)
        )
        a, b = (np.abs(a) + 0.1, b) if name == "pow" else (a, np.where(b == 0, 1, b))
        if name in ("maximum", "minimum"):
            a, b = np.round(a), np.round(b)
        compare(torch, name, [a, b])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_pow_at_zero(torch: Any) -> None:
    a, b = (v.reshape(-1).copy() for v in np.meshgrid([0.0, 1.0, 2.5], [0.0, 1.0, 2.0, 3.5, 0.5]))
    keep = ~((a == 0) & (b == 0.5))
    compare(torch, "pow", [a[keep], b[keep]])
    for exponent in (0, 1, 2, 3, 0.0, 1.5):
        compare(torch, "pow", [np.array([0.0, 1.0, 2.0])], exponent=exponent)


def test_matmul(torch: Any) -> None:
    for rng in generators("matmul", 100):
        m, k, n = (int(v) for v in rng.integers(1, 6, 3))
        batch = shape_of(rng, 3)
        a_shape = (k,) if rng.random() < 0.15 else (*batch[rng.integers(0, len(batch) + 1) :], m, k)
        b_shape = (k,) if rng.random() < 0.15 else (*batch[rng.integers(0, len(batch) + 1) :], k, n)
        a, b = rng.normal(size=a_shape), rng.normal(size=b_shape)
        compare(torch, "matmul", [a, b])


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin", "var"])
def test_reductions(torch: Any, name: str) -> None:
    for rng in generators(name, 40):
        shape = tuple(int(v) for v in rng.integers(2, 5, rng.integers(1, 4)))
        # Ties: amax shares the gradient among them.
        x = rng.normal(size=shape) if name == "var" else np.round(rng.normal(size=shape), 1)
        dims = sorted({int(d) for d in rng.integers(0, len(shape), 2)})
        kwargs: dict[str, Any] = {"dim": dims[0] if rng.random() < 0.5 else tuple(dims), "keepdim": rng.random() < 0.5}
        if name == "var":
            kwargs["correction"] = int(rng.integers(0, 2))
        compare(torch, name, [x], **kwargs)


def test_max_along_a_dimension_gives_the_gradient_to_the_first(torch: Any) -> None:
    for rng in generators("max", 40):
        x = rng.integers(0, 3, (3, 4)).astype(np.float64)
        dim = int(rng.integers(0, 2))
        for name in ("max", "min"):
            compare_functions(
                torch,
                name,
                lambda x, n, d: getattr(x, n)(d)[0],
                lambda x, n, d: getattr(x, n)(d)[0],
                [x],
                n=name,
                d=dim,
            )


SPECIAL = np.array([-np.inf, -1e300, -20.0, -1.0, -0.0, 0.0, 1.0, 20.0, 1e300, np.inf, np.nan])


def test_sigmoid_is_accurate_far_below_zero(torch: Any) -> None:
    x = np.linspace(-700, -1, 500)
    assert np.allclose(F.sigmoid(x).data, torch.sigmoid(torch.tensor(x)).numpy(), rtol=1e-13, atol=0)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid", "exp", "abs", "log", "sqrt"])
def test_special_values(torch: Any, name: str) -> None:
    # PyTorch's slope of |x| at NaN is 0, ours NaN.
    compare(torch, name, [SPECIAL[:-1] if name == "abs" else SPECIAL])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize(
    "values",
    [[0, -np.inf, 1], [-np.inf, -np.inf, 2], [1e4, -1e4, 0], [-1e308, 1e308, 0], [0, np.inf, 1], [0, np.nan, 1],
     [-np.inf, -np.inf, -np.inf], [np.nan, -np.inf, 1]],
    ids=str,
)  # fmt: skip
def test_softmax_of_special_values(torch: Any, name: str, values: list[float]) -> None:
    compare(torch, name, [np.array([values, [0.5, 1, 2]])], dim=1)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_of_special_values(torch: Any, reduction: str) -> None:
    x = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 5], [0, -np.inf, 1], [1e300, 0, -1e300], [3, 3, 3]])
    target = np.array([1, 1, 0, 2, 0])
    compare(torch, "cross_entropy", [x, target], reduction=reduction)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_that_ignores_every_row(torch: Any, reduction: str) -> None:
    x, target = np.ones((2, 3)), np.array([-100, -100])
    compare(torch, "cross_entropy", [x, target], reduction=reduction)


def test_max_pool2d_of_special_values(torch: Any) -> None:
    for i, rng in enumerate(generators("special", 60)):
        x = rng.choice([-np.inf, np.inf, np.nan, 0.0, -0.0, 1.0], size=(2, 2, 6, 5), p=[0.4, 0.1, 0.1, 0.1, 0.1, 0.2])
        if i == 0:
            x[...] = -np.inf
        kwargs = {"kernel_size": (2, 3), "stride": (1, 2), "padding": (1, 1), "dilation": (2, 1)}
        compare(torch, "max_pool2d", [x], **kwargs)


def test_infinite_and_nan_images(torch: Any) -> None:
    x, w = np.ones((1, 1, 4, 5)), np.ones((1, 1, 2, 2))
    x[0, 0, 1, 1], x[0, 0, 3, 4] = np.nan, np.inf
    compare(torch, "conv2d", [x, w])
    compare(torch, "avg_pool2d", [x], kernel_size=2)


def test_dilation_larger_than_the_image(torch: Any) -> None:
    x, w = np.arange(12.0).reshape(1, 1, 3, 4), np.ones((2, 1, 2, 2))
    kwargs: dict[str, Any] = {"dilation": (9, 7), "padding": (4, 5)}
    compare(torch, "conv2d", [x, w], **kwargs)


def test_second_gradients_of_convolution(torch: Any) -> None:
    for rng in generators("double", 40):
        size, kwargs = window(rng)
        kernel = as_pair(kwargs.pop("kernel_size"))
        x, w = rng.normal(size=(2, 2, *size)), rng.normal(size=(3, 2, *kernel))
        mine = [minidl.Tensor(a, requires_grad=True) for a in (x, w)]
        other = [torch.tensor(a, requires_grad=True) for a in (x, w)]
        y, z = F.conv2d(*mine, **kwargs), torch.nn.functional.conv2d(*other, **kwargs)
        found = minidl.grad((y * y).sum(), mine, create_graph=True)
        expected = torch.autograd.grad((z * z).sum(), other, create_graph=True)
        ((found[0] * found[0]).sum() + (found[1] * found[1]).sum()).backward()
        ((expected[0] * expected[0]).sum() + (expected[1] * expected[1]).sum()).backward()
        for a, b in zip(mine, other, strict=True):
            assert_close(a.grad.data, b.grad.numpy(), TOLERANCE, str((x.shape, w.shape, kwargs)))
            compared["second gradients"] += 1


def test_every_family_was_compared_on_enough_configurations(torch: Any) -> None:
    """Last, so that a generator that quietly gives less is noticed."""
    if not compared["fold"]:
        pytest.skip("only some of the tests of this file ran")
    for name in ("conv2d", "max_pool2d", "avg_pool2d", "unfold", "fold", "linear", "cross_entropy"):
        assert compared[name] >= 2 * CONFIGURATIONS, name
