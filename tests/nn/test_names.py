"""Layers answer to PyTorch's names and arguments, and their errors name what was written."""

from __future__ import annotations

import copy
import inspect
from abc import ABC
from typing import Any

import numpy as np
import pytest

import minidl
import minidl.functional as F
from minidl import nn
from minidl.errors import ArgumentError, DTypeError, GraphError

LAYERS = [
    getattr(nn, name) for name in sorted(nn.__all__) if isinstance(getattr(nn, name), type) and name != "Identity"
]
IN_PLACE = ["ELU", "Hardswish", "LeakyReLU", "Mish", "ReLU", "ReLU6", "SELU", "SiLU"]
FUNCTIONS = ["elu", "hardswish", "leaky_relu", "mish", "relu", "relu6", "selu", "silu"]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
def test_wrong_arguments_are_told_by_the_layers_own_name(layer: type) -> None:
    message = r"\.__init__\(\) got an unexpected keyword argument 'nonsense'|\(\) takes no arguments"
    with pytest.raises(TypeError, match=rf"^{layer.__name__}({message})"):
        layer(nonsense=1)


def test_constructors_keep_their_signatures() -> None:
    assert str(inspect.signature(nn.MaxPool1d)) == str(inspect.signature(nn.MaxPool2d))
    assert inspect.signature(nn.Linear) == inspect.signature(nn.Dense)
    assert nn.BatchNorm2d.__init__.__qualname__ == "BatchNorm2d.__init__"


class TestLinear:
    def test_it_goes_by_its_name(self) -> None:
        assert repr(nn.Linear(4, 3)) == "Linear(in_features=4, out_features=3)"
        assert repr(nn.Dense(4, 3)) == "Dense(in_features=4, out_features=3)"
        with pytest.raises(ArgumentError, match="^Linear: out_features must be an int"):
            nn.Linear(4, 0)
        with pytest.raises(DTypeError, match="^Linear: dtype must be float32 or float64"):
            nn.Linear(4, 2, dtype="int64")
        with pytest.raises(minidl.MinidlError, match=r"in layer 1 \(Linear\)"):
            nn.Sequential(nn.Tanh(), nn.Linear(4, 3))(minidl.zeros(2, 5))

    def test_each_is_an_instance_of_the_other(self) -> None:
        class Mine(nn.Linear, ABC):
            pass

        dense, linear, mine = nn.Dense(2, 2), nn.Linear(2, 2), Mine(2, 2)
        assert all(isinstance(layer, nn.Dense) and isinstance(layer, nn.Linear) for layer in (dense, linear, mine))
        assert issubclass(nn.Dense, nn.Linear) and issubclass(Mine, nn.Dense)
        assert not isinstance(dense, Mine) and not isinstance(linear, Mine) and not isinstance(nn.ReLU(), nn.Linear)

    def test_it_computes_and_copies_alike(self) -> None:
        minidl.manual_seed(0)
        dense = nn.Sequential(nn.Dense(4, 3), nn.ReLU(), nn.Dense(3, 2))
        minidl.manual_seed(0)
        linear = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        x = minidl.ones(5, 4)
        assert np.array_equal(dense(x).data, linear(x).data)
        assert np.array_equal(copy.deepcopy(linear)(x).data, linear(x).data)
        assert minidl.summary(linear, (5, 4)).multiply_adds == minidl.summary(dense, (5, 4)).multiply_adds == 90

    def test_sequential_computes_it_with_its_neighbours(self) -> None:
        from minidl.nn._fusion import DenseRun

        run = DenseRun([nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)], 0)
        assert run.ends


class TestTo:
    def test_the_cpu_is_where_everything_is(self) -> None:
        layer = nn.Dense(3, 2)
        for arguments, options in (
            (("cpu",), {}), (("cpu:0",), {}), ((), {"device": "cpu"}), (("cpu", "float64"), {}),
            (("float32", "cpu"), {}), ((), {"dtype": "float64", "device": "cpu"}), ((np.float32,), {}),
        ):  # fmt: skip
            assert layer.to(*arguments, **options) is layer
        assert layer.to("cpu", "float64").to("cpu").weight.dtype == np.float64

    def test_pytorchs_object_for_it(self, torch: Any) -> None:
        nn.Dense(3, 2).to(torch.device("cpu"))
        with pytest.raises(
            ArgumentError, match="Module.to: device must be 'cpu', got 'cuda:1': minidl computes on the"
        ):
            nn.Dense(3, 2).to(torch.device("cuda:1"))

    @pytest.mark.parametrize("device", ["cuda", "cuda:0", "mps", "meta", "xpu", "tpu"])
    def test_others_are_refused_by_name(self, device: str) -> None:
        message = f"^Module.to: device must be 'cpu', got '{device}': minidl computes on the CPU and nowhere else$"
        for arguments, options in (((device,), {}), ((device, "float64"), {}), ((), {"device": device})):
            with pytest.raises(ArgumentError, match=message):
                nn.Dense(3, 2).to(*arguments, **options)

    def test_bad_arguments(self) -> None:
        layer = nn.Dense(3, 2)
        for arguments in ((), ("cpu", "cpu"), ("float32", "float64")):
            with pytest.raises(ArgumentError, match="Module.to: (give a dtype|takes one)"):
                layer.to(*arguments)
        for arguments in ((None,), ("cup",), ("int64",), (3,)):
            with pytest.raises(DTypeError, match="Module.to: dtype must"):
                layer.to(*arguments)
        with pytest.raises(ArgumentError, match="Module.to: device must be 'cpu', got 3"):
            layer.to(device=3)


class TestInPlace:
    """PyTorch's functions change their input; what reads it afterwards is to find the same here."""

    @pytest.mark.parametrize("name", FUNCTIONS)
    @pytest.mark.parametrize("is_recorded", [True, False])
    def test_as_in_pytorch(self, torch: Any, name: str, is_recorded: bool) -> None:
        values = np.random.default_rng(0).normal(size=(4, 5))
        found = []
        for library, functional in ((minidl, F), (torch, torch.nn.functional)):
            leaf = library.tensor(values, requires_grad=is_recorded)
            x = leaf * 3
            y = getattr(functional, name)(x, inplace=True)
            assert y is x
            result = (x * x + y).sum()
            if is_recorded:
                result.backward()
            found.append((np.asarray(x.detach()), np.asarray(leaf.grad) if is_recorded else None))
        np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-12, atol=1e-15)
        if is_recorded:
            np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-12, atol=1e-15)

    @pytest.mark.parametrize("name", IN_PLACE)
    def test_layers(self, torch: Any, name: str) -> None:
        layer, theirs = getattr(nn, name)(inplace=True), getattr(torch.nn, name)(inplace=True)
        x = minidl.tensor([[-2.0, 0.5, 4.0]])
        before = x.clone()
        assert layer(x) is x
        np.testing.assert_allclose(x.data, theirs(torch.tensor(before.data)).numpy(), rtol=1e-6)
        assert "inplace=True" in repr(layer) and "inplace" not in repr(getattr(nn, name)())
        layer.inplace = False
        assert layer(before) is not before
        assert getattr(nn, name)(inplace=False).inplace is False

    @pytest.mark.parametrize("name", ["Dropout", "Dropout2d"])
    def test_dropout(self, name: str) -> None:
        layer = getattr(nn, name)(0.5, True, generator=np.random.default_rng(0))
        x = minidl.ones(2, 8, 3)
        assert layer(x) is x and set(np.unique(x.data)) == {0.0, 2.0}
        assert layer.eval()(x) is x and "inplace=True" in repr(layer)
        with pytest.raises(ArgumentError, match=f"^{name}: inplace must be True or False, got 3"):
            getattr(nn, name)(0.5, 3)

    def test_what_pytorch_refuses_is_refused(self, torch: Any) -> None:
        with pytest.raises(RuntimeError):
            torch.nn.functional.relu(torch.ones(2, requires_grad=True), inplace=True)
        with pytest.raises(GraphError, match="relu: a leaf that requires gradients can't be changed in place"):
            F.relu(minidl.ones(2, requires_grad=True), inplace=True)
        for function in (F.relu, F.elu, F.dropout):
            with pytest.raises(ArgumentError, match="inplace must be True or False, got 'yes'"):
                function(minidl.ones(2), inplace="yes")

    def test_an_array_stays_as_it_is(self) -> None:
        x = np.array([-1.0, 2.0])
        assert F.relu(x, inplace=True).tolist() == [0, 2] and x.tolist() == [-1, 2]

    def test_a_residual_block_reads_what_was_written(self, torch: Any) -> None:
        class Block(nn.Module):
            def __init__(self) -> None:
                self.relu = nn.ReLU(inplace=True)

            def forward(self, x: Any) -> Any:
                return self.relu(x) + x

        values = np.array([[-1.0, 2.0]], np.float32)
        theirs = torch.tensor(values)
        assert (
            Block()(minidl.tensor(values)).tolist()
            == (torch.nn.ReLU(inplace=True)(theirs) + theirs).tolist()
            == [[0, 4]]
        )

    def test_a_run_of_layers_gives_the_same_bits(self) -> None:
        minidl.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dense(None, 5), nn.ReLU()
        )
        x = minidl.ones(16, 1, 8, 8)
        model(x)  # The first call, which sizes the last layer, runs layer by layer: other bits.
        plain = model(x)
        for layer in model:
            if isinstance(layer, nn.ReLU):
                layer.inplace = True
        assert np.array_equal(model(x).data, plain.data)


def test_errors_of_an_activations_settings_name_the_layer() -> None:
    for make, message in (
        (lambda: nn.LeakyReLU("x"), "^LeakyReLU: negative_slope must be a number, got 'x'"),
        (lambda: nn.GELU("x"), "^GELU: approximate must be one of"),
        (lambda: nn.Softmax(None), "^Softmax: dim must be an int"),
        (lambda: nn.ReLU(inplace=1), "^ReLU: inplace must be True or False, got 1"),
    ):  # fmt: skip
        with pytest.raises(ArgumentError, match=message):
            make()
