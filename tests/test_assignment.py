"""What may be assigned to a tensor's `data` and `grad`, and what its constructor takes: as in PyTorch, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.errors import ArgumentError, DTypeError, GraphError, ShapeError

Array = np.ndarray


class TestData:
    ARRAYS: tuple[Array, ...] = (
        np.ones(3, np.float32), np.ones(3), np.ones((2, 2), np.float32), np.ones(0, np.float32), np.ones(()),
        np.arange(3), np.ones(3, bool),
    )  # fmt: skip

    @pytest.mark.parametrize("requires_grad", [False, True])
    def test_the_same_tensors_as_in_pytorch(self, torch: Any, requires_grad: bool) -> None:
        for array in self.ARRAYS:
            ours = minidl.tensor([1.0, 2.0, 3.0], requires_grad=requires_grad)
            theirs = torch.tensor([1.0, 2.0, 3.0], requires_grad=requires_grad)
            try:
                theirs.data = torch.from_numpy(array)
            except RuntimeError:
                with pytest.raises(DTypeError, match="Tensor.data: a tensor that requires gradients must be float"):
                    ours.data = minidl.Tensor(array)
                assert ours.tolist() == [1, 2, 3]
            else:
                ours.data = minidl.Tensor(array)
                assert ours.shape == tuple(theirs.shape) and ours.dtype == theirs.detach().numpy().dtype
                assert ours.requires_grad == theirs.requires_grad

    @pytest.mark.parametrize("value", [[1.0], 1.0, None, "x", {}, print])
    def test_what_is_no_tensor_or_array(self, value: Any) -> None:
        x = minidl.ones(3)
        with pytest.raises(DTypeError, match="Tensor.data: only a tensor or an array can be assigned, got "):
            x.data = value
        assert x.tolist() == [1, 1, 1]

    @pytest.mark.parametrize("dtype", [object, complex, "M8[s]", "U3", [("a", "f4")]])
    def test_dtypes_that_there_are_not(self, dtype: Any) -> None:
        with pytest.raises(DTypeError, match="Tensor.data: data must be real numbers or booleans, got dtype"):
            minidl.ones(3).data = np.zeros(3, dtype)

    def test_dtypes_that_are_converted(self) -> None:
        x = minidl.ones(3)
        for array, dtype in (
            (np.ones(3, np.float16), "float32"), (np.ones(3, ">f8"), "float64"), (np.ones(3, np.longdouble), "float64"),
        ):  # fmt: skip
            x.data = array
            assert x.dtype == dtype and x.dtype.isnative
        misaligned = np.zeros(13, np.uint8)[1:].view(np.float32)
        x.data = misaligned
        assert x.data.flags.aligned and x.tolist() == [0, 0, 0]

    def test_memory_is_shared(self) -> None:
        x, y, array = minidl.ones(3), minidl.zeros(3), np.full(3, 7, np.float32)
        x.data = array
        assert x.data is array
        x.data = y
        assert np.shares_memory(x.data, y.data)
        x.data = x.data[:2]
        assert np.shares_memory(x.data, y.data)

    def test_numbers_of_numpy_without_dimensions(self) -> None:
        x = minidl.tensor(3.0)
        x.data = x.data - 1
        assert x.shape == () and x.item() == 2

    def test_changes_in_place_keep_what_is_saved_in_view(self) -> None:
        x, y = minidl.tensor([1.0, 2.0]), minidl.tensor([3.0, 4.0], requires_grad=True)
        product = (x * y).sum()
        other = minidl.ones(2)
        other.data = x
        other.add_(1)
        with pytest.raises(GraphError, match="was modified in place afterwards"):
            product.backward()
        product = (x * y).sum()
        before = x._version
        x.data += 0
        assert x._version is before, "the array is the same"
        product.backward()

    def test_of_a_layer(self) -> None:
        """It was taken as it was, and the next call failed with an AttributeError."""
        layer, optimizer_of = nn.Dense(3, 2, bias=False), optim.SGD
        layer.weight.data = minidl.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        assert layer(minidl.ones(1, 3)).tolist() == [[6, 15]]
        optimizer = optimizer_of(layer.parameters(), lr=1.0)
        layer(minidl.ones(1, 3)).sum().backward()
        optimizer.step()
        assert layer.weight.tolist() == [[0, 1, 2], [3, 4, 5]]
        layer.weight.data = minidl.ones(2, 4)
        with pytest.raises(ShapeError, match="input has 3 features .*, weight expects 4"):
            layer(minidl.ones(1, 3))

    def test_of_a_parameter_without_a_shape(self) -> None:
        layer = nn.Dense(None, 2)
        with pytest.raises(DTypeError, match="Parameter.data: the parameter has no shape yet; call its module once"):
            layer.weight.data = minidl.ones(2, 3)
        assert layer(minidl.ones(1, 4)).shape == (1, 2)


class TestGrad:
    def test_the_same_tensors_as_in_pytorch(self, torch: Any) -> None:
        for array in (np.ones(3, np.float32), np.ones(3), np.ones(2, np.float32), np.ones((1, 3), np.float32),
                      np.ones(3, np.int64)):  # fmt: skip
            ours, theirs = minidl.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
            try:
                theirs.grad = torch.from_numpy(array)
            except RuntimeError:
                with pytest.raises((ShapeError, DTypeError), match="Tensor.grad: a tensor of .* can't have a gradient"):
                    ours.grad = minidl.Tensor(array)
                assert ours.grad is None
            else:
                ours.grad = minidl.Tensor(array)
                assert ours.grad.tolist() == theirs.grad.tolist()
        ours.grad = None

    @pytest.mark.parametrize("value", [np.ones(2), [1.0, 1.0], 1.0, "x"])
    def test_what_is_no_tensor(self, value: Any) -> None:
        with pytest.raises(
            DTypeError, match=r"Tensor.grad: only a tensor or None can be assigned, got .*minidl.tensor"
        ):
            nn.Parameter([1.0, 2.0]).grad = value

    def test_itself(self) -> None:
        x = minidl.ones(2)
        with pytest.raises(GraphError, match="a tensor can't be its own gradient"):
            x.grad = x

    @pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RAdam", "RMSprop", "Adagrad", "Lion"])
    def test_what_becomes_of_it_later_reaches_no_step(self, name: str) -> None:
        for change, error in (
            (lambda g: setattr(g, "data", np.ones(3, np.float32)), ShapeError),
            (lambda g: setattr(g, "data", np.ones(2)), DTypeError),
            (lambda g: setattr(g.data, "shape", (1, 2)), ShapeError),
            (lambda g: setattr(g.data, "dtype", np.int32), DTypeError),
            (lambda g: g.data.resize(5, refcheck=False), ShapeError),
        ):
            p = nn.Parameter([1.0, 2.0])
            p.grad = minidl.ones(2)
            change(p.grad)
            with pytest.raises(error, match=f"{name}: a parameter of "):
                getattr(optim, name)([p]).step()
            assert p.tolist() == [1, 2]


class TestConstructor:
    @pytest.mark.parametrize(
        ("make", "match"),
        [
            (lambda: minidl.Tensor(7), r"Tensor: data must be values, but 7 may be a size; write minidl.tensor\(7\)"),
            (lambda: minidl.Tensor(np.int64(7)), r"may be a size; .*, or minidl.zeros\(7\) for so many elements"),
            (lambda: nn.Parameter(7), "Parameter: data must be values, but 7 may be a size"),
            (lambda: nn.Parameter(minidl.Tensor(7)), "Tensor: data must be values"),
            (lambda: minidl.Tensor(60, 16), r"Tensor: data must be values, got the sizes 60, 16; .*zeros\(60, 16\)"),
            (lambda: minidl.Tensor(2, 3, 4), r"write minidl.zeros\(2, 3, 4\)"),
            (lambda: minidl.Tensor(2, 3, 4, 5, 6), r"write minidl.zeros\(2, 3, 4, 5, 6\)"),
            (lambda: minidl.Tensor([1.0], None, False, 3), "the arguments are data, dtype and requires_grad, got 4"),
        ],
    )
    def test_sizes_are_refused(self, make: Callable[[], Any], match: str) -> None:
        """In PyTorch they are the shape of a tensor that nobody has written to."""
        with pytest.raises(ArgumentError, match=match):
            make()

    def test_what_it_takes(self) -> None:
        array = np.arange(3, dtype=np.int16)
        assert minidl.Tensor(array).data is array
        assert minidl.Tensor([1, 2]).dtype == np.int64 and minidl.Tensor((1.5, 2)).dtype == np.float32
        assert minidl.Tensor(0.5).shape == () and minidl.Tensor(np.array(7)).item() == 7
        assert minidl.Tensor(True).item() is True and minidl.Tensor(np.float64(2)).dtype == np.float64
        assert minidl.Tensor([1, 2], "float64", True).requires_grad
        assert nn.Parameter(2.0).shape == () and nn.Parameter(np.array(7)).item() == 7
        assert nn.Parameter(minidl.tensor(7)).dtype == np.float32

    def test_no_data(self, torch: Any) -> None:
        assert minidl.Tensor().shape == tuple(torch.Tensor().shape) == (0,)
        assert minidl.Tensor().dtype == np.float32 == torch.Tensor().numpy().dtype
