"""Activation and dropout layers beside PyTorch's, and their state."""

from __future__ import annotations

from copy import deepcopy
from math import sqrt
from typing import Any

import numpy as np
import pytest
from parity import assert_close

import minidl
from minidl import nn, optim
from minidl.errors import ArgumentError, GraphError, ShapeError, StateDictError

# Names, positional and keyword arguments, as PyTorch takes them too.
LAYERS: list[tuple[str, tuple, dict[str, Any]]] = [
    *[(name, (), {}) for name in nn.activation.__all__ if name not in ("Softmax", "LogSoftmax")],
    ("LeakyReLU", (0.3,), {}),
    ("LeakyReLU", (), {"negative_slope": -1.5}),
    ("ELU", (), {"alpha": 1.7}),
    ("GELU", ("tanh",), {}),
    ("GELU", (), {"approximate": "none"}),
    ("Softplus", (2.5, 1), {}),
    ("Softplus", (), {"beta": 0.5, "threshold": 3.0}),
    ("Softmax", (1,), {}),
    ("Softmax", (), {"dim": -1}),
    ("LogSoftmax", (0,), {}),
    ("LogSoftmax", (), {"dim": -2}),
    ("PReLU", (3,), {}),
    ("PReLU", (), {"num_parameters": 3, "init": -0.5}),
]
every_layer = pytest.mark.parametrize(("name", "arguments", "options"), LAYERS)


def inputs() -> np.ndarray:
    """(2, 3, 4, 2) from -9 to 9."""
    return np.random.default_rng(0).permutation(48).reshape(2, 3, 4, 2) * 0.37 - 8.7


def pair(torch: Any, name: str, arguments: tuple, options: dict) -> tuple[Any, Any]:
    """Both layers in float64, ours with the state of theirs, whose parameters are no longer those they start from."""
    theirs = getattr(torch.nn, name)(*arguments, **options).double()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += torch.linspace(0, 1, parameter.numel())
    ours = getattr(nn, name)(*arguments, **options).double()
    assert ours.load_state_dict(theirs.state_dict()) == ([], [])
    return ours, theirs


def test_every_layer_of_the_family_is_here() -> None:
    assert set(nn.dropout.__all__) == {"Dropout", "Dropout2d"}


@every_layer
@pytest.mark.parametrize("training", [True, False])
def test_outputs_and_gradients_equal_pytorchs(
    torch: Any, name: str, arguments: tuple, options: dict, training: bool
) -> None:
    ours, theirs = pair(torch, name, arguments, options)
    ours.train(training)
    theirs.train(training)
    x, start = inputs(), np.random.default_rng(1).normal(size=inputs().shape)
    mine, other = minidl.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(mine), theirs(other)
    y.backward(start)
    z.backward(torch.tensor(start))
    assert_close(y.data, z.detach().numpy(), 1e-12)
    assert_close(mine.grad.data, other.grad.numpy(), 1e-12)
    expected = dict(theirs.named_parameters())
    assert [key for key, _ in ours.named_parameters()] == list(expected)
    for key, parameter in ours.named_parameters():
        assert_close(parameter.grad.data, expected[key].grad.numpy(), 1e-12)


@every_layer
def test_repr_and_state_are_pytorchs(torch: Any, name: str, arguments: tuple, options: dict) -> None:
    ours, theirs = getattr(nn, name)(*arguments, **options), getattr(torch.nn, name)(*arguments, **options)
    assert repr(ours) == repr(theirs)
    expected = {key: value.numpy() for key, value in theirs.state_dict().items()}
    found = {key: value.data for key, value in ours.state_dict().items()}
    assert found.keys() == expected.keys()
    for key, value in found.items():
        assert np.array_equal(value, expected[key])
        assert value.dtype == np.float32


@every_layer
def test_gradients(name: str, arguments: tuple, options: dict) -> None:
    layer = getattr(nn, name)(*arguments, **options).double()
    names = [key for key, _ in layer.named_parameters()]

    def run(values: Any, *parameters: Any) -> Any:
        for key, tensor in zip(names, parameters, strict=True):
            layer.__dict__[key] = tensor
        return layer(values)

    x = minidl.Tensor(inputs()[:, :, :2, :1].copy(), requires_grad=True)
    tensors = [x, *(minidl.Tensor(p.data.copy(), requires_grad=True) for p in layer.parameters())]
    assert minidl.gradcheck(run, tensors)
    assert minidl.gradgradcheck(run, tensors)


@every_layer
def test_copies_and_states_are_on_their_own(name: str, arguments: tuple, options: dict) -> None:
    x = inputs().astype(np.float32)
    layer = getattr(nn, name)(*arguments, **options)
    copy, again = deepcopy(layer), getattr(nn, name)(*arguments, **options)
    before = layer(x).data.copy()
    for parameter in layer.parameters():
        parameter.data += 1
    assert np.array_equal(copy(x).data, before)
    again.load_state_dict(layer.state_dict())
    assert np.array_equal(again(x).data, layer(x).data)
    assert repr(copy) == repr(layer)
    assert layer(x).dtype == np.float32


class TestSettings:
    def test_are_attributes_that_may_change(self) -> None:
        layer = nn.LeakyReLU(0.1)
        assert layer.negative_slope == 0.1
        layer.negative_slope = 0.5
        assert layer(minidl.tensor([-2.0])).tolist() == [-1]
        assert repr(layer) == "LeakyReLU(negative_slope=0.5)"

    def test_are_refused_when_the_layer_is_made(self) -> None:
        with pytest.raises(ArgumentError, match=r"^GELU: approximate must be one of 'none', 'tanh', got 'erf'$"):
            nn.GELU("erf")

    def test_a_softmax_may_name_any_dimension(self) -> None:
        for dim in (-4, 3):
            y = nn.Softmax(dim)(inputs())
            np.testing.assert_allclose(y.data.sum(axis=dim), 1, rtol=1e-14)

    def test_two_layers_share_nothing(self) -> None:
        first, second = nn.ELU(2.0), nn.ELU(3.0)
        assert (first.alpha, second.alpha) == (2, 3)

    def test_an_activation_of_ones_own(self) -> None:
        class Cubed(nn.activation.Activation):
            function = staticmethod(lambda input, factor=1: input**3 * factor)

            def __init__(self, factor: float = 1) -> None:
                self._set(factor=factor)

        assert repr(Cubed(2)) == "Cubed(factor=2)"
        assert Cubed(2)(minidl.tensor([3.0])).tolist() == [54]


class TestPReLU:
    def test_starts_from_init(self) -> None:
        assert nn.PReLU().weight.tolist() == [0.25]
        layer = nn.PReLU(3, 0.5, dtype="float64")
        assert layer.weight.tolist() == [0.5, 0.5, 0.5] and layer.weight.dtype == np.float64
        layer.weight.data[...] = 7
        layer.reset_parameters()
        assert layer.weight.tolist() == [0.5, 0.5, 0.5]

    def test_a_reset_before_the_backward_pass_is_noticed(self) -> None:
        layer = nn.PReLU()
        y = layer(minidl.tensor([-1.0], requires_grad=True))
        layer.reset_parameters()
        with pytest.raises(GraphError, match="a value saved for the backward pass was modified in place"):
            y.backward()

    def test_takes_the_default_dtype(self) -> None:
        minidl.set_default_dtype("float64")
        try:
            assert nn.PReLU().weight.dtype == np.float64
        finally:
            minidl.set_default_dtype("float32")

    def test_learns(self) -> None:
        layer = nn.PReLU(2, dtype="float64")
        x = np.random.default_rng(0).normal(size=(50, 2, 3))
        wanted = np.where(x > 0, x, x * np.array([0.1, 0.9])[:, None])
        optimizer = optim.SGD(layer.parameters(), lr=0.5)
        for _ in range(100):
            optimizer.zero_grad()
            error = layer(x) - minidl.Tensor(wanted)
            (error * error).mean().backward()
            optimizer.step()
        np.testing.assert_allclose(layer.weight.data, [0.1, 0.9], rtol=1e-6)

    def test_a_state_of_another_size_is_refused(self) -> None:
        with pytest.raises(StateDictError, match=r"misshapen: weight has shape \(2,\), the module's is \(3,\)"):
            nn.PReLU(3).load_state_dict(nn.PReLU(2).state_dict())

    def test_the_message_names_the_layer(self) -> None:
        model = nn.Sequential(nn.Dense(4, 2), nn.Sequential(nn.PReLU(3)))
        with pytest.raises(ShapeError, match=r"prelu: weight must have 1 value(.|\n)*in layer 1\.0 \(PReLU\)$"):
            model(minidl.zeros(1, 4))


class TestDropout2d:
    @pytest.mark.parametrize("shape", [(200, 200, 2, 3), (200, 200, 5)])
    def test_drops_whole_channels(self, shape: tuple[int, ...]) -> None:
        layer, x = nn.Dropout2d(0.25, generator=np.random.default_rng(0)), minidl.ones(*shape)
        y = layer(x).data.reshape(200, 200, -1)
        assert set(np.unique(y)) == {0, np.float32(1 / 0.75)}
        assert (y == y[:, :, :1]).all()
        # Five standard deviations of a share of 40,000.
        assert abs((y[:, :, 0] == 0).mean() - 0.25) < 5 * sqrt(0.25 * 0.75 / 40_000)
        assert not np.array_equal(layer(x).data.reshape(y.shape), y)

    def test_the_gradient_is_dropped_alike(self) -> None:
        x = minidl.ones(4, 5, 2, 2).requires_grad_()
        y = nn.Dropout2d(generator=np.random.default_rng(0))(x)
        y.sum().backward()
        assert np.array_equal(x.grad.data, y.data) and 0 < (y.data == 0).mean() < 1

    def test_both_dtypes_drop_the_same(self) -> None:
        first, second = (
            nn.Dropout2d(generator=np.random.default_rng(0))(np.ones((4, 5, 2, 2), dtype)).data
            for dtype in ("float32", "float64")
        )
        assert np.array_equal(first, second)
        assert (first.dtype, second.dtype) == (np.float32, np.float64)

    def test_the_seed_of_minidl(self) -> None:
        results = []
        for _ in range(2):
            minidl.manual_seed(3)
            results.append(nn.Dropout2d()(minidl.ones(4, 5, 2, 2)).tolist())
        assert results[0] == results[1]

    def test_evaluation_and_probability_0(self) -> None:
        x = minidl.ones(2, 3, 2, 2)
        assert nn.Dropout2d(0.9).eval()(x) is x
        assert nn.Dropout2d(0)(x) is x
        assert not nn.Dropout2d(1)(x).any()

    def test_repr(self) -> None:
        assert repr(nn.Dropout2d(0.3)) == "Dropout2d(p=0.3)"

    def test_the_message_names_the_layer(self) -> None:
        with pytest.raises(
            ShapeError, match=r"dropout2d: input must have 4 dimensions(.|\n)*in layer 0 \(Dropout2d\)$"
        ):
            nn.Sequential(nn.Dropout2d())(minidl.ones(2))

    def test_evaluation_refuses_the_same_shapes(self) -> None:
        with pytest.raises(ShapeError, match="dropout2d: input must have 4 dimensions"):
            nn.Dropout2d().eval()(minidl.ones(2))

    @pytest.mark.parametrize("shape", [(40, 30), (40, 30, 2, 2, 3)])
    def test_other_shapes_work_with_a_warning_at_the_line_of_the_call_as_in_pytorch(
        self, torch: Any, shape: tuple[int, ...]
    ) -> None:
        x = minidl.ones(*shape).requires_grad_()
        model = nn.Sequential(nn.Dropout2d(0.5, generator=np.random.default_rng(0)))
        with pytest.warns(UserWarning, match=rf"^dropout2d: input should have .*, got {len(shape)}: ") as caught:
            y = model(x)
        assert caught[0].filename == __file__
        flat = y.data.reshape(40, 30, -1)
        assert (flat == flat[:, :, :1]).all() and set(np.unique(flat)) == {0, 2}
        y.sum().backward()
        assert np.array_equal(x.grad.data, y.data)
        with pytest.warns(UserWarning, match="dropout2d"):
            assert model.eval()(x) is x
        with pytest.warns(UserWarning, match="dropout2d"):
            assert torch.nn.Dropout2d()(torch.ones(*shape)).shape == shape
