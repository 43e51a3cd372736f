"""Dtypes: what data become, and what two of them become together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minidl
import minidl.functional as F
from minidl.errors import ArgumentError, DTypeError

# PyTorch promotes no unsigned integers but uint8.
SHARED = ["bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64"]
ALL = [*SHARED, "uint16", "uint32", "uint64"]


@pytest.fixture
def float64_default() -> Iterator[None]:
    minidl.set_default_dtype("float64")
    yield
    minidl.set_default_dtype("float32")


def array(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.ones(shape, dtype)


class TestPromotion:
    @pytest.mark.parametrize("shapes", [((3,), (3,)), ((), (3,)), ((3,), ()), ((), ()), ((2, 1), (3,))])
    def test_pairs_of_tensors_as_in_pytorch(self, torch: Any, shapes: tuple) -> None:
        for a, b in itertools.product(SHARED, SHARED):
            x, y = array(a, shapes[0]), array(b, shapes[1])
            expected = str(torch.result_type(torch.from_numpy(x), torch.from_numpy(y))).removeprefix("torch.")
            for op in (minidl.add, minidl.mul, minidl.maximum):
                found = op(minidl.Tensor(x), minidl.Tensor(y))
                assert str(found.dtype) == expected, f"{op.__name__} of {a} {shapes[0]} and {b} {shapes[1]}"
                assert found.shape == np.broadcast_shapes(*shapes)

    @pytest.mark.parametrize("scalar", [True, 2, 2.0])
    @pytest.mark.parametrize("shape", [(), (3,)])
    def test_python_scalars_are_weak_as_in_pytorch(self, torch: Any, scalar: Any, shape: tuple) -> None:
        for dtype in SHARED:
            x = array(dtype, shape)
            expected = str(torch.result_type(torch.from_numpy(x), scalar)).removeprefix("torch.")
            tensor = minidl.Tensor(x)
            assert str((tensor + scalar).dtype) == expected, f"{dtype} + {scalar!r}"
            assert str((scalar + tensor).dtype) == expected, f"{scalar!r} + {dtype}"
            assert str((scalar * tensor).dtype) == expected, f"{scalar!r} * {dtype}"

    def test_python_float_beside_integers_takes_the_default_dtype(self, float64_default: None) -> None:
        assert (minidl.Tensor(np.arange(3)) + 0.5).dtype == np.float64
        assert (minidl.Tensor(np.arange(3)) / 2).dtype == np.float64

    @pytest.mark.parametrize("dtype", ["int8", "int64", "bool", "uint8"])
    def test_division_of_integers_is_floating(self, torch: Any, dtype: str) -> None:
        x = np.array([1, 1, 1]).astype(dtype)
        expected = torch.from_numpy(x) / torch.from_numpy(x)
        found = minidl.Tensor(x) / minidl.Tensor(x)
        assert str(found.dtype) == str(expected.dtype).removeprefix("torch.")
        assert found.tolist() == expected.tolist()

    def test_numpy_scalars_count_as_tensors_without_dimensions(self) -> None:
        assert (minidl.ones(3) * np.float64(2)).dtype == np.float32
        assert (minidl.Tensor(np.arange(3)) * np.float64(2)).dtype == np.float64
        assert (np.float64(2) * minidl.ones(3)).dtype == np.float32

    def test_uint64_and_int64_have_no_common_integer(self) -> None:
        a, b = minidl.Tensor(array("uint64", (2,))), minidl.Tensor(array("int64", (2,)))
        operations: dict[str, Callable[[], Any]] = {
            "add": lambda: a + b, "sub": lambda: b - a, "mul": lambda: a * b, "maximum": lambda: minidl.maximum(a, b),
            "lt": lambda: a < b, "eq": lambda: a == b, "where": lambda: minidl.where(a > 0, a, b),
            "concatenate": lambda: minidl.cat([a, b]),
        }  # fmt: skip
        for name, operation in operations.items():
            message = (
                rf"^{name}: there is no integer dtype that holds both u?int64 and u?int64; convert one with astype"
            )
            with pytest.raises(DTypeError, match=message):
                operation()

    @pytest.mark.parametrize("dtype", [d for d in ALL if not d.startswith("float")])
    def test_sums_of_integers_are_int64(self, torch: Any, dtype: str) -> None:
        x = (np.arange(12).reshape(3, 4) * 25 % 256).astype(dtype)
        for kwargs in ({}, {"dim": 0}, {"dim": (1,), "keepdim": True}):
            found, expected = minidl.sum(minidl.Tensor(x), **kwargs), torch.sum(torch.from_numpy(x), **kwargs)
            assert found.dtype == np.int64
            assert np.array_equal(found.data, expected.numpy())
        assert minidl.Tensor(x[:0]).sum().dtype == np.int64

    def test_sums_of_images_can_be_subtracted(self) -> None:
        images = np.array([[200, 100], [255, 255]], np.uint8)
        assert (minidl.tensor(images[0]).sum() - minidl.tensor(images[1]).sum()).item() == -210

    def test_powers_and_limits_of_booleans(self, torch: Any) -> None:
        x = np.array([True, False])
        with pytest.raises(DTypeError, match="^pow: booleans have no powers"):
            minidl.pow(minidl.Tensor(x), minidl.Tensor(x))
        for function in (lambda x: x**2, lambda x: x**3, lambda x: 2**x):
            found, expected = function(minidl.Tensor(x)), function(torch.from_numpy(x))
            assert found.dtype == np.int64 and found.tolist() == expected.tolist()
        for low, high in ((2, 50), (-1, -1), (None, 0), (-5, None), (0.25, 0.5)):
            found, expected = minidl.clip(minidl.Tensor(x), low, high), torch.clamp(torch.from_numpy(x), low, high)
            assert str(found.dtype) == str(expected.dtype).removeprefix("torch.")
            assert found.tolist() == expected.tolist()

    def test_limits_of_small_integers(self) -> None:
        x = minidl.Tensor(np.array([0, 100, 255], np.uint8))
        assert minidl.clip(x, -1, 300).tolist() == minidl.clip(x, None, 2**70).tolist() == [0, 100, 255]
        assert minidl.clip(x, 50, 300).tolist() == [50, 100, 255]
        with pytest.raises(ArgumentError, match="^clip: max must be a number that uint8 holds, got -1; use astype"):
            minidl.clip(x, -1, -1)
        with pytest.raises(ArgumentError, match="^clip: min must be a number that uint8 holds, got 256; use astype"):
            minidl.clip(x, 256)

    def test_gradients_keep_the_dtype_of_their_tensor(self) -> None:
        x = minidl.tensor([1.0, 2.0], dtype="float32", requires_grad=True)
        y = minidl.tensor([3.0, 4.0], dtype="float64", requires_grad=True)
        z = x * y
        assert z.dtype == np.float64
        z.sum().backward()
        assert x.grad.dtype == np.float32 and x.grad.tolist() == [3, 4]
        assert y.grad.dtype == np.float64 and y.grad.tolist() == [1, 2]
        (recorded,) = minidl.grad((x * y).sum(), [x], create_graph=True)
        assert recorded.dtype == np.float32

    @pytest.mark.parametrize("compute", [
        lambda x: x * 2, lambda x: x / 3, lambda x: x**2, lambda x: x**1.5, lambda x: 2**x, lambda x: x.exp(),
        lambda x: x.log(), lambda x: x.sqrt(), lambda x: abs(x), lambda x: -x, lambda x: x.clip(0, 9),
        lambda x: x.sum(), lambda x: x.mean(), lambda x: x.amax(), lambda x: minidl.maximum(x, 1), lambda x: 1 - x,
        lambda x: minidl.where(x > 0, x, 0.0), lambda x: F.relu(x), lambda x: F.tanh(x), lambda x: F.sigmoid(x),
        lambda x: x.reshape(1), lambda x: x.clone(), lambda x: 1 / x, lambda x: F.dropout(x, 0.5),
    ])  # fmt: skip
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_0d_tensors_keep_dtype_and_shape_both_ways(self, compute: Any, dtype: str) -> None:
        x = minidl.tensor(2.0, dtype=dtype, requires_grad=True)
        y = compute(x)
        assert y.dtype == np.dtype(dtype) and type(y.data) is np.ndarray
        y.sum().backward()
        assert x.grad.dtype == np.dtype(dtype) and x.grad.shape == () and type(x.grad.data) is np.ndarray


class TestMixedPrecisionIsRefused:
    def test_matmul(self) -> None:
        with pytest.raises(DTypeError, match="matmul: input is float32 and other is float64"):
            minidl.ones(2, 2) @ minidl.ones(2, 2, dtype="float64")

    def test_linear(self) -> None:
        with pytest.raises(DTypeError, match="linear: input is float64 and weight is float32"):
            F.linear(minidl.ones(2, 3, dtype="float64"), minidl.ones(4, 3))
        with pytest.raises(DTypeError, match="linear: input is float32 and bias is float64"):
            F.linear(minidl.ones(2, 3), minidl.ones(4, 3), minidl.ones(4, dtype="float64"))

    def test_conv2d(self) -> None:
        with pytest.raises(DTypeError, match="conv2d: input is float32 and weight is float64"):
            F.conv2d(minidl.ones(1, 1, 3, 3), minidl.ones(1, 1, 3, 3, dtype="float64"))
        with pytest.raises(DTypeError, match="conv2d: input is float32 and bias is float64"):
            F.conv2d(minidl.ones(1, 1, 3, 3), minidl.ones(1, 1, 3, 3), minidl.ones(1, dtype="float64"))

    def test_integers(self) -> None:
        with pytest.raises(DTypeError, match="matmul: input must be float32 or float64, got int64"):
            minidl.tensor([[1]]) @ minidl.tensor([[1]])
        with pytest.raises(DTypeError, match="conv2d: input must be float32 or float64, got uint8"):
            F.conv2d(np.ones((1, 1, 3, 3), np.uint8), minidl.ones(1, 1, 3, 3))


class TestReading:
    @pytest.mark.parametrize("dtype", ALL)
    def test_supported_dtypes_are_kept_and_shared(self, dtype: str) -> None:
        x = array(dtype, (2, 3))
        tensor = minidl.Tensor(x)
        assert tensor.dtype == np.dtype(dtype)
        assert np.shares_memory(tensor.data, x)

    @pytest.mark.parametrize(("data", "expected"), [
        (1.5, "float32"), ([1.5], "float32"), ([[1, 2.5]], "float32"), (3, "int64"), ([1, 2], "int64"),
        (True, "bool"), ([True, False], "bool"), ([], "float32"), ([[], []], "float32"), (range(3), "int64"),
        (np.float64(1), "float64"), (np.float32(1), "float32"), (np.int8(1), "int8"), (np.empty(0), "float64"),
        (np.float16(1), "float32"), (np.longdouble(1), "float64"),
    ])  # fmt: skip
    def test_what_data_become(self, data: Any, expected: str) -> None:
        assert minidl.tensor(data).dtype == np.dtype(expected)
        assert minidl.tensor(data).dtype == np.dtype(expected)

    def test_lists_and_floats_take_the_default_dtype(self, float64_default: None) -> None:
        assert minidl.get_default_dtype() == np.float64
        assert minidl.tensor([0.1]).item() == 0.1
        assert minidl.tensor(0.5).dtype == minidl.zeros(2).dtype == minidl.ones(2).dtype == np.float64
        assert minidl.nn.Dense(2, 3).weight.dtype == minidl.nn.Parameter([1]).dtype == np.float64
        assert minidl.Tensor(np.ones(2, np.float32)).dtype == np.float32

    @pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4", ">u2", "f2", ">f2", "g"])
    def test_foreign_formats_are_converted_by_copy(self, dtype: str) -> None:
        x = np.array([1, 2, 300]).astype(dtype)
        tensor = minidl.Tensor(x)
        assert tensor.tolist() == [1, 2, 300]
        assert tensor.dtype.isnative and tensor.dtype.itemsize >= min(x.itemsize, 8)
        assert not np.shares_memory(tensor.data, x)
        assert (tensor + tensor).tolist() == [2, 4, 600]

    def test_misaligned_arrays_are_copied(self) -> None:
        x = np.frombuffer(bytearray(4 * 100 + 1), np.uint8)[1:].view(np.float32)
        x[:] = np.arange(100)
        assert not x.flags.aligned
        tensor = minidl.Tensor(x)
        assert tensor.data.flags.aligned and np.array_equal(tensor.data, np.arange(100))

    @pytest.mark.parametrize("data", [
        1j, [1j], np.ones(2, np.complex64), [None], None, [object()], "text", ["a"], np.array(["2020"], "M8[D]"),
        np.zeros(2, [("a", "f4")]), b"bytes", {1: 2}, [2**70],
    ])  # fmt: skip
    @pytest.mark.parametrize("make", [minidl.Tensor, minidl.tensor])
    def test_other_data_are_refused(self, make: Any, data: Any) -> None:
        with pytest.raises(DTypeError, match=r"^[Tt]ensor: data must be real numbers or booleans, got dtype"):
            make(data)

    @pytest.mark.parametrize("data", [1j, np.ones(2, np.complex128), "1.5", [None]])
    def test_other_data_are_refused_with_a_dtype_too(self, data: Any) -> None:
        with pytest.raises(DTypeError, match="data must be real numbers or booleans"):
            minidl.tensor(data, dtype="float32")

    def test_ragged_lists_are_refused(self) -> None:
        with pytest.raises(DTypeError, match="tensor: data can't be read as an array"):
            minidl.tensor([[1.0, 2.0], [3.0]])

    @pytest.mark.parametrize("dtype", ["float16", "complex64", "object", "S3", "datetime64[s]", "longdouble"])
    def test_unsupported_dtype_arguments(self, dtype: str) -> None:
        with pytest.raises(DTypeError, match="must be bool, an integer, float32 or float64"):
            minidl.tensor([1.0], dtype=dtype)

    @pytest.mark.parametrize("dtype", ["float", "f4", np.float32, np.dtype("int16"), bool, int])
    def test_dtype_arguments(self, dtype: Any) -> None:
        assert minidl.tensor([1, 0], dtype=dtype).dtype == np.dtype(dtype)

    @pytest.mark.parametrize("dtype", ["nonsense", None, object, 7])
    def test_what_names_no_dtype(self, dtype: Any) -> None:
        with pytest.raises(DTypeError, match="^astype: dtype must"):
            minidl.ones(2).astype(dtype)

    @pytest.mark.parametrize("dtype", ["int32", "bool", "float16", None, "nonsense"])
    def test_default_dtypes_that_are_refused(self, dtype: Any) -> None:
        with pytest.raises(DTypeError, match="set_default_dtype: dtype must"):
            minidl.set_default_dtype(dtype)
        assert minidl.get_default_dtype() == np.float32

    def test_only_floating_tensors_require_gradients(self) -> None:
        with pytest.raises(
            DTypeError, match="requires_grad: only float32 and float64 tensors have gradients, got int64"
        ):
            minidl.tensor([1, 2], requires_grad=True)


class TestAstype:
    def test_values_and_gradient(self) -> None:
        x = minidl.tensor([1.25, -2.5], requires_grad=True)
        y = x.astype("float64")
        assert y.dtype == np.float64 and y.requires_grad and y.tolist() == [1.25, -2.5]
        (y * minidl.tensor([2.0, 3.0], dtype="float64")).sum().backward()
        assert x.grad.dtype == np.float32 and x.grad.tolist() == [2, 3]

    def test_the_dtype_that_it_has_gives_the_tensor_itself(self) -> None:
        x = minidl.ones(3)
        assert x.astype("float32") is x

    def test_to_integers_no_gradient_flows(self) -> None:
        x = minidl.tensor([1.75, -2.5], requires_grad=True)
        y = x.astype("int32")
        assert not y.requires_grad and y.tolist() == [1, -2]


class TestNumbersThatDoNotFit:
    @pytest.mark.parametrize("scalar", [300, -1])
    def test_a_python_int_beside_a_small_integer_dtype(self, scalar: int) -> None:
        with pytest.raises((DTypeError, ValueError), match=f"add: .*{scalar}.*uint8"):
            minidl.Tensor(np.ones(2, np.uint8)) + scalar

    def test_in_a_comparison(self) -> None:
        with pytest.raises((DTypeError, ValueError), match="eq: .*1099511627776.*int32"):
            minidl.Tensor(np.ones(2, np.int32)) == 2**40  # noqa: B015
