"""Layers: that they pass their options on, and what they start from."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest

import minidl
import minidl.functional as F
from minidl import nn
from minidl.errors import ArgumentError, ShapeError


def random(*shape: int) -> minidl.Tensor:
    return minidl.Tensor(np.random.default_rng(0).standard_normal(shape))


LAYERS = [
    ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}),
    ("Conv2d", (4, 6, 3), {"padding": "same", "bias": False}),
    ("Conv2d", (4, 6, 3), {"padding": "valid"}),
    ("MaxPool2d", (3,), {}),
    ("MaxPool2d", ((3, 2),), {"stride": (1, 2), "padding": (1, 0), "dilation": (1, 2)}),
    ("AvgPool2d", ((2, 3),), {"stride": 1, "padding": (1, 0)}),
    ("Linear", (9, 5), {}),
    ("Linear", (9, 5), {"bias": False}),
    ("ReLU", (), {}),
    ("Tanh", (), {}),
    ("Sigmoid", (), {}),
    ("Flatten", (), {}),
    ("Flatten", (2, 3), {}),
]


@pytest.mark.parametrize(("name", "arguments", "options"), LAYERS)
def test_layers_as_in_pytorch(torch: Any, name: str, arguments: tuple, options: dict) -> None:
    ours, theirs = getattr(nn, name)(*arguments, **options), getattr(torch.nn, name)(*arguments, **options)
    ours.to("float64")
    theirs.to(torch.float64)
    ours.load_state_dict(theirs.state_dict())
    x = random(2, 4, 8, 9)
    expected = theirs(torch.from_numpy(x.data)).detach().numpy()
    np.testing.assert_allclose(ours(x).numpy(), expected, rtol=1e-12, atol=1e-12)


def test_linear_is_dense() -> None:
    assert issubclass(nn.Linear, nn.Dense)
    assert isinstance(nn.Dense(2, 3), nn.Linear)


class TestDropout:
    def test_training(self) -> None:
        layer, x = nn.Dropout(0.25, generator=np.random.default_rng(0)), minidl.ones(200, 200)
        y = layer(x).data
        assert set(np.unique(y)) == {0, np.float32(1 / 0.75)}
        # Five standard deviations of a share of 40,000.
        assert abs((y == 0).mean() - 0.25) < 5 * sqrt(0.25 * 0.75 / 40_000)
        assert not np.array_equal(layer(x).data, y)

    def test_evaluation(self) -> None:
        x = minidl.ones(5, 5)
        assert nn.Dropout(0.9).eval()(x) is x

    @pytest.mark.parametrize("p", [-0.1, 1.1, "x", True, float("nan")])
    def test_refused(self, p: Any) -> None:
        with pytest.raises(ArgumentError, match="Dropout: p must be a number from 0 to 1"):
            nn.Dropout(p)


class TestCrossEntropyLoss:
    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    def test_as_in_pytorch(self, torch: Any, reduction: str) -> None:
        x, target = random(5, 3), np.array([0, 2, 7, 1, 0])
        expected = torch.nn.CrossEntropyLoss(ignore_index=7, reduction=reduction)(
            torch.from_numpy(x.data), torch.from_numpy(target)
        )
        found = nn.CrossEntropyLoss(ignore_index=7, reduction=reduction)(x, target)
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-13)


class TestInitialisation:
    @pytest.mark.parametrize(("make", "fan_in"), [
        (lambda: nn.Dense(100, 400), 100), (lambda: nn.Conv2d(8, 64, (5, 3)), 8 * 15),
        (lambda: nn.Conv2d(8, 256, 3, groups=4), 2 * 9),
    ])  # fmt: skip
    def test_uniform_within_one_over_the_root_of_fan_in(self, make: Any, fan_in: int) -> None:
        from scipy.stats import kstest

        minidl.manual_seed(0)
        layer, bound = make(), 1 / sqrt(fan_in)
        for values in (layer.weight.data.ravel(), layer.bias.data):
            assert np.abs(values).max() <= bound
            spread = bound / sqrt(3)
            assert abs(values.mean()) < 5 * spread / sqrt(values.size)
            assert kstest(values.astype(np.float64), "uniform", args=(-bound, 2 * bound)).pvalue > 1e-4

    def test_the_bounds_are_pytorchs(self, torch: Any) -> None:
        for ours, theirs in (
            (nn.Dense(100, 5000), torch.nn.Linear(100, 5000)),
            (nn.Conv2d(3, 2000, 5), torch.nn.Conv2d(3, 2000, 5)),
        ):
            for name in ("weight", "bias"):
                a, b = getattr(ours, name).data, getattr(theirs, name).detach().numpy()
                assert np.abs(a).max() == pytest.approx(np.abs(b).max(), rel=0.01)
                assert a.std() == pytest.approx(b.std(), rel=0.05)

    def test_a_seed_gives_the_same_values_in_both_dtypes(self) -> None:
        minidl.manual_seed(3)
        first = nn.Conv2d(2, 3, 3)
        second = nn.Conv2d(2, 3, 3)
        minidl.manual_seed(3)
        again = nn.Conv2d(2, 3, 3, dtype="float64")
        assert np.array_equal(first.weight.data, again.weight.data.astype(np.float32))
        assert np.array_equal(first.bias.data, again.bias.data.astype(np.float32))
        assert not np.array_equal(first.weight.data, second.weight.data)

    def test_a_generator_of_its_own(self) -> None:
        state = minidl.default_generator().bit_generator.state
        layers = [nn.Dense(3, 4, generator=np.random.default_rng(7)) for _ in range(2)]
        assert np.array_equal(layers[0].weight.data, layers[1].weight.data)
        assert minidl.default_generator().bit_generator.state == state

    def test_init_functions(self) -> None:
        x = minidl.zeros(1000)
        assert nn.init.uniform_(x, 2, 3) is x and 2 <= x.data.min() and x.data.max() <= 3
        weight = nn.Parameter(np.zeros((50, 30)))
        nn.init.kaiming_uniform_(weight)
        assert 0.9 * sqrt(6 / 30) < np.abs(weight.data).max() <= sqrt(6 / 30)
        with pytest.raises(ShapeError, match=r"kaiming_uniform_: a weight of shape \(3,\) has no fan"):
            nn.init.kaiming_uniform_(minidl.zeros(3))


@pytest.mark.parametrize(("make", "match"), [
    (lambda: nn.Dense(0, 3), "Dense: in_features must be an int of at least 1 or None, got 0"),
    (lambda: nn.Dense(3, None), "Dense: out_features must be an int of at least 1, got None"),
    (lambda: nn.Dense(3, 2.5), "Dense: out_features must be an int of at least 1, got 2.5"),
    (lambda: nn.Conv2d(True, 3, 3), "Conv2d: in_channels must be"),
    (lambda: nn.Conv2d(1, -1, 3), "Conv2d: out_channels must be"),
    (lambda: nn.Conv2d(1, 1, 0), "Conv2d: kernel_size"),
    (lambda: nn.Conv2d(1, 1, 3, stride=0), "Conv2d: stride"),
    (lambda: nn.Conv2d(1, 1, 3, padding=-1), "Conv2d: padding"),
    (lambda: nn.Conv2d(1, 1, 3, padding="full"), "Conv2d: padding must be an int, a pair of ints, 'same' or 'valid'"),
    (lambda: nn.Conv2d(1, 1, 3, dilation=(1, 0)), "Conv2d: dilation"),
    (lambda: nn.Conv2d(4, 6, 3, groups=4), "Conv2d: out_channels=6 can't be split into 4 groups"),
    (lambda: nn.Conv2d(3, 4, 3, groups=2), "Conv2d: in_channels=3 can't be split into 2 groups"),
])  # fmt: skip
def test_refusals(make: Any, match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        make()


def test_layers_take_arrays_and_functions_agree() -> None:
    x = np.random.default_rng(1).standard_normal((2, 3, 4, 4)).astype(np.float32)
    assert np.array_equal(nn.MaxPool2d(2)(x).data, F.max_pool2d(x, 2).data)
    assert nn.Flatten()(x).shape == (2, 48)
