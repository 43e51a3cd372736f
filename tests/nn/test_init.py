"""Initialisers: moments, limits, shapes of distributions, and the fans that PyTorch counts."""

from __future__ import annotations

from math import erf, exp, pi, sqrt
from typing import Any

import numpy as np
import pytest
from bits import bits
from parity import generators

import minidl
import minidl.functional as F
from minidl import nn
from minidl.nn import init
from minidl.nn._filling import fans_of

COUNT = 50_000


def drawn(name: str, *shape: int, **options: Any) -> np.ndarray:
    """Values of one initialiser in float64."""
    tensor = minidl.zeros(*shape, dtype="float64")
    assert getattr(init, name)(tensor, generator=np.random.default_rng(0), **options) is tensor
    return tensor.data


def assert_moments(values: np.ndarray, mean: float, std: float, kurtosis: float = 3.0) -> None:
    """Within five standard deviations of what so many values have."""
    error = std / sqrt(values.size)
    assert abs(values.mean() - mean) < 5 * error
    # The variance of a sample variance follows from the fourth moment.
    assert abs(values.var() - std**2) < 5 * std**2 * sqrt((kurtosis - 1) / values.size)


def assert_distribution(values: np.ndarray, name: str, *parameters: float) -> None:
    from scipy.stats import kstest

    assert kstest(values.ravel(), name, args=parameters).pvalue > 1e-4


class TestDistributions:
    @pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (-3.0, -1.0), (2, 5), (-1e4, 1e4)])
    def test_uniform(self, a: float, b: float) -> None:
        values = drawn("uniform_", COUNT, a=a, b=b)
        assert a <= values.min() and values.max() <= b
        assert_moments(values, (a + b) / 2, (b - a) / sqrt(12), 9 / 5)
        assert_distribution(values, "uniform", a, b - a)

    @pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-5.0, 0.02), (1e4, 100)])
    def test_normal(self, mean: float, std: float) -> None:
        values = drawn("normal_", COUNT, mean=mean, std=std)
        assert_moments(values, mean, std)
        assert_distribution(values, "norm", mean, std)

    @pytest.mark.parametrize(("mean", "std", "a", "b"), [
        (0.0, 1.0, -2.0, 2.0), (0.0, 0.02, -2.0, 2.0), (1.0, 2.0, -1.0, 1.5), (0.0, 1.0, 3.0, 4.0),
        (0.0, 1.0, -4.0, -3.0), (5.0, 1.0, 0.0, 20.0), (0.0, 1.0, 0.5, float("inf")), (0.0, 1.0, -float("inf"), 0.5),
        (0.0, 1.0, 9.0, 12.0),
    ])  # fmt: skip
    def test_truncated_normal(self, mean: float, std: float, a: float, b: float) -> None:
        from scipy.stats import truncnorm

        values = drawn("trunc_normal_", COUNT, mean=mean, std=std, a=a, b=b)
        assert a <= values.min() and values.max() <= b
        low, high = (a - mean) / std, (b - mean) / std
        assert_distribution(values, "truncnorm", low, high, mean, std)
        expected, spread = truncnorm.stats(low, high, mean, std, moments="mv")
        assert abs(values.mean() - expected) < 5 * sqrt(spread / COUNT)

    def test_truncated_normal_by_hand(self) -> None:
        """Of the standard normal distribution from -2 to 2."""
        values = drawn("trunc_normal_", COUNT)
        inside = erf(2 / sqrt(2))
        variance = 1 - 4 * exp(-2) / sqrt(2 * pi) / inside
        assert abs(values.mean()) < 5 * sqrt(variance / COUNT)
        assert abs(values.var() - variance) < 0.01
        share = (np.abs(values) < 1).mean()
        assert abs(share - erf(1 / sqrt(2)) / inside) < 5 * sqrt(0.25 / COUNT)

    def test_no_spread(self) -> None:
        assert np.array_equal(drawn("normal_", 5, mean=3.0, std=0.0), np.full(5, 3.0))
        assert np.array_equal(drawn("uniform_", 5, a=3.0, b=3.0), np.full(5, 3.0))


SHAPES = [(400, 300), (30, 20, 5), (40, 30, 5, 7), (6, 400, 3, 1)]


class TestWeights:
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    @pytest.mark.parametrize("gain", [1.0, 5 / 3])
    def test_xavier(self, shape: tuple[int, ...], gain: float) -> None:
        std = gain * sqrt(2 / sum(fans_of("", shape)))
        values = drawn("xavier_uniform_", *shape, gain=gain)
        assert_moments(values, 0, std, 9 / 5)
        assert_distribution(values, "uniform", -std * sqrt(3), 2 * std * sqrt(3))
        values = drawn("xavier_normal_", *shape, gain=gain)
        assert_moments(values, 0, std)
        assert_distribution(values, "norm", 0, std)

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    @pytest.mark.parametrize("options", [
        {}, {"a": sqrt(5)}, {"mode": "fan_out", "nonlinearity": "relu"}, {"mode": "fan_out"}, {"nonlinearity": "tanh"},
        {"a": 0.2, "mode": "fan_in", "nonlinearity": "leaky_relu"}, {"nonlinearity": "linear"},
    ], ids=str)  # fmt: skip
    def test_kaiming(self, torch: Any, shape: tuple[int, ...], options: dict[str, Any]) -> None:
        fan = torch.nn.init._calculate_correct_fan(torch.empty(shape), options.get("mode", "fan_in"))
        gain = torch.nn.init.calculate_gain(options.get("nonlinearity", "leaky_relu"), options.get("a", 0))
        std = gain / sqrt(fan)
        values = drawn("kaiming_uniform_", *shape, **options)
        assert_moments(values, 0, std, 9 / 5)
        assert_distribution(values, "uniform", -std * sqrt(3), 2 * std * sqrt(3))
        values = drawn("kaiming_normal_", *shape, **options)
        assert_moments(values, 0, std)
        assert_distribution(values, "norm", 0, std)

    def test_fans_are_pytorchs(self, torch: Any) -> None:
        for rng in generators("fans", 50):
            shape = tuple(int(n) for n in rng.integers(1, 7, rng.integers(2, 6)))
            assert fans_of("", shape) == torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))

    @pytest.mark.parametrize("nonlinearity", [
        "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "sigmoid",
        "tanh", "relu", "leaky_relu", "selu",
    ])  # fmt: skip
    def test_gains_are_pytorchs(self, torch: Any, nonlinearity: str) -> None:
        for param in (None, 0.3, 2, 0):
            expected = torch.nn.init.calculate_gain(nonlinearity, param)
            assert init.calculate_gain(nonlinearity, param) == pytest.approx(expected, rel=1e-15)

    def test_values_keep_their_size_through_many_layers(self) -> None:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(200, 300))
        for _ in range(10):
            weight = init.kaiming_normal_(minidl.zeros(300, 300, dtype="float64"), nonlinearity="relu", generator=rng)
            x = F.relu(F.linear(x, weight)).data
        assert 0.4 < (x**2).mean() < 2.5

    def test_weights_without_entries(self) -> None:
        for name in ("xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_", "orthogonal_"):
            assert drawn(name, 0, 3).shape == (0, 3) and drawn(name, 3, 0).shape == (3, 0)


class TestOrthogonal:
    @pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 2, 3), (9, 2, 2, 2), (1, 6), (6, 1)], ids=str)
    @pytest.mark.parametrize("gain", [1.0, 2.5, -1.0])
    def test_rows_or_columns_are_orthogonal(self, shape: tuple[int, ...], gain: float) -> None:
        matrix = drawn("orthogonal_", *shape, gain=gain).reshape(shape[0], -1)
        products = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
        assert np.allclose(products, gain**2 * np.eye(len(products)), atol=1e-13)

    def test_all_directions_are_as_likely(self) -> None:
        """Without the signs of R, LAPACK's would make the diagonal negative more often than not."""
        rng = np.random.default_rng(0)
        matrices = np.array([
            init.orthogonal_(minidl.zeros(3, 3, dtype="float64"), generator=rng).data for _ in range(4000)
        ])  # fmt: skip
        # The entries of such a matrix have mean 0 and variance 1/3.
        assert np.abs(matrices.mean(0)).max() < 5 * sqrt(1 / 3 / 4000)
        assert np.abs((matrices**2).mean(0) - 1 / 3).max() < 5 * sqrt(0.09 / 4000)
        assert abs((np.linalg.det(matrices) > 0).mean() - 0.5) < 5 * 0.5 / sqrt(4000)

    def test_any_number_of_threads_gives_the_same_bits(self) -> None:
        before = minidl.get_num_threads()
        results = []
        for threads in (1, 2, 4):
            minidl.set_num_threads(threads)
            results.append(bits(drawn("orthogonal_", 200, 150)))
        minidl.set_num_threads(before)
        assert results[0] == results[1] == results[2]

    def test_float32(self) -> None:
        weight = init.orthogonal_(minidl.zeros(20, 30))
        assert weight.dtype == np.float32 and np.allclose(weight.data @ weight.data.T, np.eye(20), atol=1e-6)


class TestConstants:
    def test_values(self) -> None:
        x = minidl.ones(2, 3)
        assert init.zeros_(x) is x and not x.data.any()
        assert init.ones_(x) is x and (x.data == 1).all()
        assert init.constant_(x, -2.5) is x and (x.data == -2.5).all()
        assert np.isnan(init.constant_(x, float("nan")).data).all() and np.isinf(init.constant_(x, np.inf).data).all()
        assert init.constant_(minidl.zeros(()), 3).item() == 3

    def test_eye(self, torch: Any) -> None:
        for shape in ((3, 3), (2, 4), (4, 2), (0, 2)):
            expected = torch.nn.init.eye_(torch.empty(shape)).numpy()
            assert np.array_equal(init.eye_(minidl.ones(*shape)).data, expected)
        layer = nn.Dense(3, 3, bias=False)
        init.eye_(layer.weight)
        assert np.array_equal(layer(np.arange(6, dtype=np.float32).reshape(2, 3)).data, [[0, 1, 2], [3, 4, 5]])

    @pytest.mark.parametrize(("shape", "groups"), [
        ((3, 3, 3), 1), ((4, 2, 3), 1), ((2, 4, 4), 1), ((4, 2, 3, 5), 2), ((6, 2, 2, 2), 3), ((6, 1, 3, 3), 6),
        ((4, 3, 1, 2, 3), 2), ((6, 1, 5), 2),
    ], ids=str)  # fmt: skip
    def test_dirac_is_pytorchs(self, torch: Any, shape: tuple[int, ...], groups: int) -> None:
        expected = torch.nn.init.dirac_(torch.empty(shape), groups).numpy()
        assert np.array_equal(init.dirac_(minidl.ones(*shape), groups).data, expected)

    @pytest.mark.parametrize(("channels", "groups"), [(3, 1), (4, 2), (6, 6)])
    def test_dirac_hands_on_channels(self, channels: int, groups: int) -> None:
        layer = nn.Conv2d(channels, channels, (3, 5), padding=(1, 2), groups=groups, bias=False)
        init.dirac_(layer.weight, groups)
        x = np.random.default_rng(0).normal(size=(2, channels, 6, 7)).astype(np.float32)
        assert np.array_equal(layer(x).data, x)


class TestWriting:
    NAMES = [name for name in init.__all__ if name not in ("calculate_gain", "eye_", "dirac_", "constant_")]

    @pytest.mark.parametrize("name", NAMES)
    def test_a_seed_means_the_same_in_both_dtypes(self, name: str) -> None:
        minidl.manual_seed(3)
        single = getattr(init, name)(minidl.tensor(np.full((6, 5), 9, np.float32)))
        minidl.manual_seed(3)
        double = getattr(init, name)(minidl.tensor(np.full((6, 5), 9.0)))
        assert single.dtype == np.float32 and double.dtype == np.float64
        assert np.array_equal(single.data, double.data.astype(np.float32))

    @pytest.mark.parametrize("name", [n for n in NAMES if n not in ("ones_", "zeros_")])
    def test_a_generator_of_its_own(self, name: str) -> None:
        state = minidl.default_generator().bit_generator.state
        assert np.array_equal(drawn(name, 4, 3), drawn(name, 4, 3))
        assert minidl.default_generator().bit_generator.state == state
        source = np.random.default_rng(0)
        first = getattr(init, name)(minidl.zeros(4, 3), generator=source).data
        assert not np.array_equal(getattr(init, name)(minidl.zeros(4, 3), generator=source).data, first)

    @pytest.mark.parametrize("name", init.__all__[1:])
    def test_parameters_are_written_in_place_and_unrecorded(self, name: str) -> None:
        parameter = nn.Parameter(np.full((4, 4, 3) if name == "dirac_" else (4, 3), 9.0))
        memory, version = parameter.data, parameter._version[0]
        arguments = [0.5] if name == "constant_" else []
        assert getattr(init, name)(parameter, *arguments) is parameter
        assert parameter.data is memory and parameter.is_leaf and parameter.requires_grad
        assert parameter._version[0] > version and (memory != 9).all()

    def test_strided_tensors(self) -> None:
        memory = np.zeros((4, 6))
        init.ones_(minidl.Tensor(memory[::2, 1::2]))
        assert memory.sum() == 6 and memory[::2, 1::2].all()
