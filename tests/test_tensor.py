"""`Tensor`: memory, operators, indexing, and the way to other libraries."""

from __future__ import annotations

import copy
import operator
from typing import Any

import numpy as np
import pytest

import minidl
from minidl.errors import ArgumentError, DTypeError, GraphError, MinidlError, OutOfRangeError, ShapeError


def arange(*shape: int) -> minidl.Tensor:
    return minidl.Tensor(np.arange(float(np.prod(shape))).reshape(shape))


class TestMemory:
    def test_the_class_shares_and_the_function_copies(self) -> None:
        a = np.zeros(3)
        shared, copied = minidl.Tensor(a), minidl.tensor(a)
        a[0] = 5
        assert shared.tolist() == [5, 0, 0] and copied.tolist() == [0, 0, 0]
        shared[1] = 7
        assert a.tolist() == [5, 7, 0]

    @pytest.mark.parametrize("view", [
        lambda x: x[1:], lambda x: x[0], lambda x: x[:, ::-1], lambda x: x.reshape(6), lambda x: x.T,
        lambda x: x.permute(1, 0), lambda x: x.flatten(), lambda x: x.unsqueeze(0), lambda x: x[None, ..., 1],
        lambda x: x.detach(), lambda x: x[1, 2], lambda x: minidl.Tensor(x), lambda x: x.view(3, 2),
    ])  # fmt: skip
    def test_views_share_memory_and_versions(self, view: Any) -> None:
        x = arange(2, 3)
        y = view(x)
        assert np.shares_memory(x.data, y.data)
        before = x._version[0]
        y.fill_(9)
        assert (x.data == 9).any() and x._version[0] > before

    @pytest.mark.parametrize("make", [
        lambda x: x[[0, 1]], lambda x: x[x > 0], lambda x: x.clone(), lambda x: x.T.reshape(6),
        lambda x: x.expand(2, 2, 3), lambda x: x + 0, lambda x: copy.deepcopy(x), lambda x: minidl.tensor(x),
    ])  # fmt: skip
    def test_copies_do_not(self, make: Any) -> None:
        x = arange(2, 3)
        y = make(x)
        y.fill_(9)
        assert x.tolist() == [[0, 1, 2], [3, 4, 5]]

    def test_layouts(self) -> None:
        a = np.arange(12.0).reshape(3, 4)
        reversed_, fortran, strided = a[::-1, ::-1], np.asfortranarray(a), np.repeat(a, 2, 1)[:, ::2]
        for array in (reversed_, fortran, strided):
            x = minidl.Tensor(array, requires_grad=True)
            assert np.shares_memory(x.data, array)
            (x * x).sum().backward()
            assert np.array_equal(x.grad.data, 2 * array)

    def test_read_only_arrays(self) -> None:
        a = np.arange(3.0)
        a.flags.writeable = False
        x = minidl.Tensor(a, requires_grad=True)
        (x * 2).sum().backward()
        assert x.grad.tolist() == [2, 2, 2]
        for change in (lambda t: t.add_(1), lambda t: t.zero_(), lambda t: t.__setitem__(0, 1)):
            with pytest.raises(GraphError, match="the memory of this tensor is read-only"):
                change(x.detach())
        assert a.tolist() == [0, 1, 2]


class TestInPlace:
    def test_values(self) -> None:
        x = arange(3)
        same = x
        x += 1
        x *= 2
        x -= 1
        x /= 2
        assert same is x and x.tolist() == [0.5, 1.5, 2.5]
        assert x.copy_([1, 2, 3]).tolist() == [1, 2, 3] and x.copy_(4).tolist() == [4, 4, 4]
        assert x.zero_() is x and x.tolist() == [0, 0, 0]

    def test_overlapping_copies(self) -> None:
        x = arange(5)
        x.copy_(x[::-1])
        assert x.tolist() == [4, 3, 2, 1, 0]

    def test_integers_do_not_become_floating(self) -> None:
        x = minidl.tensor([1, 2])
        with pytest.raises(DTypeError, match="add_: a result of float32 doesn't fit in place of int64"):
            x += 0.5
        x.copy_([2.9, -2.9])
        assert x.tolist() == [2, -2], "copy_ converts, as in PyTorch"

    def test_shapes(self) -> None:
        with pytest.raises(ShapeError, match=r"add_: a result of shape \(2, 3\) doesn't fit in place of \(3,\)"):
            arange(3).add_(arange(2, 3))
        with pytest.raises(ShapeError, match="broadcast_to: input of shape"):
            arange(3).copy_(arange(4))
        with pytest.raises(ShapeError, match="indexing: "):
            arange(3)[0:2] = arange(3)


class TestNumPy:
    def test_asarray_shares(self) -> None:
        x = arange(3)
        np.asarray(x)[0] = 7
        assert x.tolist() == [7, 1, 2]
        assert np.asarray(x, dtype="float32").dtype == np.float32
        copied = np.array(x)
        copied[0] = 0
        assert x[0].item() == 7

    def test_a_recorded_tensor_gives_a_read_only_array(self) -> None:
        x = minidl.tensor([1.0, 2.0], requires_grad=True)
        for tensor in (x, x * 2, (x * 2)[0:1]):
            for array in (np.asarray(tensor), tensor.numpy(), np.asarray(tensor, dtype=tensor.dtype)):
                with pytest.raises(ValueError, match="read-only"):
                    array[0] = 5
        np.array(x * 2)[0] = 5

    def test_a_copy_that_is_forbidden(self) -> None:
        with pytest.raises(DTypeError, match="__array__: float64 as float32 needs a copy"):
            arange(3).__array__(np.float32, copy=False)

    @pytest.mark.parametrize("op", [
        operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.eq, operator.lt, operator.ge,
    ])  # fmt: skip
    def test_arrays_on_either_side(self, op: Any) -> None:
        a, b = np.array([1.0, 4.0, 3.0]), np.array([2.0, 3.0, 3.0])
        for found in (op(a, minidl.Tensor(b)), op(minidl.Tensor(a), b), op(minidl.Tensor(a), minidl.Tensor(b))):
            assert type(found) is minidl.Tensor
            assert np.array_equal(found.data, op(a, b))

    def test_matmul_with_an_array_on_the_left(self) -> None:
        a = np.arange(6.0).reshape(2, 3)
        x = minidl.Tensor(a.T.copy(), requires_grad=True)
        y = a @ x
        assert type(y) is minidl.Tensor and np.allclose(y.data, np.dot(a, a.T))
        y.sum().backward()
        assert np.allclose(x.grad.data, np.repeat(a.sum(0)[:, None], 2, 1))

    def test_boolean_arrays_on_the_left(self) -> None:
        mask, other = np.array([True, False, True]), minidl.tensor([True, True, False])
        for op in (operator.and_, operator.or_, operator.xor):
            found = op(mask, other)
            assert type(found) is minidl.Tensor and np.array_equal(found.data, op(mask, other.data))

    def test_ufuncs_refuse_rather_than_lose_the_history(self) -> None:
        with pytest.raises(TypeError):
            np.sin(minidl.ones(3, requires_grad=True))


class TestDLPack:
    def test_to_numpy(self) -> None:
        x = arange(2, 3)
        assert np.shares_memory(np.from_dlpack(x), x.data)

    def test_from_numpy(self) -> None:
        a = np.arange(3.0)
        assert np.shares_memory(minidl.from_dlpack(a).data, a)

    def test_with_torch(self, torch: Any) -> None:
        x = arange(2, 3)
        t = torch.from_dlpack(x)
        t[0, 0] = 9
        assert x[0, 0].item() == 9
        t = torch.arange(4, dtype=torch.float32)[::2]
        y = minidl.from_dlpack(t)
        t[1] = -1
        assert y.dtype == np.float32 and y.tolist() == [0, -1]

    def test_refusals(self) -> None:
        with pytest.raises(GraphError, match="__dlpack__: a tensor that requires gradients is not handed out"):
            np.from_dlpack(minidl.ones(2, requires_grad=True))
        with pytest.raises(ArgumentError, match="from_dlpack: "):
            minidl.from_dlpack([1.0])


class TestOperators:
    @pytest.mark.parametrize("op", [
        operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge,
    ])  # fmt: skip
    def test_comparisons(self, op: Any) -> None:
        a, b = np.array([[1.0, np.nan, 3.0]]), np.array([[2.0], [3.0]])
        x = minidl.Tensor(a, requires_grad=True)
        found = op(x, minidl.Tensor(b))
        assert found.dtype == np.bool_ and not found.requires_grad and np.array_equal(found.data, op(a, b))
        assert np.array_equal(op(x, 3).data, op(a, 3)) and np.array_equal(op(2, x).data, op(2, a))

    def test_comparisons_with_something_else(self) -> None:
        x = arange(2)
        assert (x == "text") is False and (x != None) is True  # noqa: E711
        with pytest.raises(TypeError):
            x < "text"  # noqa: B015
        with pytest.raises(ShapeError, match=r"eq: input of shape \(2,\) and other of shape \(3,\) don't broadcast"):
            x == arange(3)  # noqa: B015

    def test_logic(self) -> None:
        a, b = minidl.tensor([True, True, False]), minidl.tensor([True, False, False])
        assert (a & b).tolist() == [True, False, False] and (a | b).tolist() == [True, True, False]
        assert (a ^ b).tolist() == [False, True, False] and (~a).tolist() == [False, False, True]
        assert bool(a.any()) and not bool(a.all())
        with pytest.raises(DTypeError, match="and: only booleans combine, got float64"):
            a & arange(3)

    def test_reflected(self) -> None:
        x = minidl.tensor([2.0, 4.0])
        assert (1 - x).tolist() == [-1, -3] and (8 / x).tolist() == [4, 2] and (2**x).tolist() == [4, 16]

    def test_booleans_count_in_powers(self, torch: Any) -> None:
        assert str((minidl.tensor([True]) ** 2).dtype) == str((torch.tensor([True]) ** 2).dtype).removeprefix("torch.")

    @pytest.mark.parametrize(("compute", "match"), [
        (lambda x: x - x, "sub: booleans can't be subtracted"), (lambda x: -x, "neg: "),
    ])  # fmt: skip
    def test_booleans(self, compute: Any, match: str) -> None:
        with pytest.raises(DTypeError, match=match):
            compute(minidl.tensor([True]))

    @pytest.mark.parametrize("other", [None, "text", {}, {1}, 1j, object()])
    def test_other_operands(self, other: Any) -> None:
        with pytest.raises(TypeError):
            arange(2) + other

    def test_shapes_that_do_not_broadcast(self) -> None:
        with pytest.raises(ShapeError, match=r"add: .*\(2, 3\).*\(2, 4\) don't broadcast: axis -1 has 3 and 4 entries"):
            arange(2, 3) + arange(2, 4)


class TestIndexing:
    @pytest.mark.parametrize("index", [
        0, -1, (1, 2), slice(None, None, 2), slice(None, None, -1), ..., None, (..., 0), (slice(1, None), None, 1),
        [0, 1], [[0], [1]], np.array([1, 0, 1]), ([0, 1], [2, 0]), (slice(None), [1, 1]), np.array([True, False]), [],
        (0, np.array([True, False, True])), np.int64(1), True, (), (Ellipsis, None),
    ])  # fmt: skip
    def test_as_in_numpy_with_gradient(self, index: Any) -> None:
        a = np.arange(6.0).reshape(2, 3)
        x = minidl.Tensor(a, requires_grad=True)
        y = x[index]
        expected = a[np.asarray(index, np.intp) if index == [] else index] if isinstance(index, list) else a[index]
        assert y.shape == np.shape(expected) and np.array_equal(y.data, expected)
        weights = np.random.default_rng(0).standard_normal(y.shape)
        (y * minidl.Tensor(weights)).sum().backward()
        gradient = np.zeros((2, 3))
        np.add.at(gradient, np.asarray(index, np.intp) if isinstance(index, list) and not index else index, weights)
        assert np.allclose(x.grad.data, gradient)

    def test_tensors_as_indices(self) -> None:
        x = arange(3, 4)
        assert x[minidl.tensor([2, 0])].tolist() == x.data[[2, 0]].tolist()
        assert x[minidl.tensor([True, False, True]), 1].tolist() == [1, 9]
        assert x[x > 9].tolist() == [10, 11] and x[minidl.tensor(1), 0].item() == 4

    @pytest.mark.parametrize("index", [0, (1, 2), slice(0, 1), [0, 1], np.array([[True, False, True]] * 2), ...])
    def test_assignment(self, index: Any) -> None:
        a = np.arange(6.0).reshape(2, 3)
        x = minidl.tensor(a)
        x[index] = 9
        a[index] = 9
        assert np.array_equal(x.data, a)

    @pytest.mark.parametrize("index", [5, (0, 0, 0), 1.5, "a", [7], np.array([True] * 3), (slice(None), -4)])
    def test_out_of_range(self, index: Any) -> None:
        for use in (lambda x: x[index], lambda x: x.__setitem__(index, 1.0)):
            with pytest.raises(MinidlError, match="indexing: ") as caught:
                use(arange(2, 3))
            assert isinstance(caught.value, OutOfRangeError | DTypeError)

    def test_floating_indices(self) -> None:
        with pytest.raises(DTypeError, match="indexing: indices must be integers or booleans, got float64"):
            arange(3)[arange(1)]

    def test_iteration(self) -> None:
        x = minidl.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        rows = list(x)
        assert [r.tolist() for r in rows] == [[1, 2], [3, 4]]
        (rows[1] * 3).sum().backward()
        assert x.grad.tolist() == [[0, 0], [3, 3]]
        with pytest.raises(TypeError, match="a tensor without dimensions has no length"):
            iter(minidl.tensor(1.0))


class TestNumbers:
    def test_conversions(self) -> None:
        assert minidl.tensor([[2.5]]).item() == 2.5 and type(minidl.tensor(2).item()) is int
        assert float(minidl.tensor(2.5)) == 2.5 and int(minidl.tensor(2.5)) == 2
        assert [10, 20, 30][minidl.tensor(1)] == 20
        assert bool(minidl.tensor([1.0])) and not bool(minidl.tensor(0))
        assert len(arange(4, 2)) == 4

    def test_refusals(self) -> None:
        for use, error, match in (
            (lambda: arange(2).item(), ShapeError, r"item: only a tensor of one element .* shape \(2,\)"),
            (lambda: float(arange(2)), ShapeError, "item: only a tensor of one element"),
            (lambda: bool(arange(2)), ShapeError, r"bool: the truth of a tensor of shape \(2,\) is ambiguous"),
            (lambda: bool(minidl.zeros(0)), ShapeError, "bool: the truth"),
            (lambda: len(minidl.tensor(1.0)), DTypeError, "len: a tensor without dimensions has no length"),
            (lambda: [1][minidl.tensor(0.0)], DTypeError, "index: only an integer tensor of one element"),
        ):
            with pytest.raises(error, match=match):
                use()

    def test_formatting(self) -> None:
        assert f"{minidl.tensor(1.25):.1f}" in ("1.2", "1.3")
        assert f"{minidl.tensor(3):>4}" == "   3"
        assert f"{minidl.ones(2)}" == "tensor([1., 1.])"


class TestText:
    @pytest.mark.parametrize(("tensor", "expected"), [
        (lambda: minidl.tensor([1.0, 2.5]), "tensor([1. , 2.5])"),
        (lambda: minidl.tensor(3), "tensor(3)"),
        (lambda: minidl.tensor([True]), "tensor([ True])"),
        (lambda: minidl.zeros(0), "tensor([])"),
        (lambda: arange(2), "tensor([0., 1.], dtype=float64)"),
        (lambda: minidl.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
        (lambda: minidl.Tensor(np.ones(1, np.int8)), "tensor([1], dtype=int8)"),
    ])  # fmt: skip
    def test_repr(self, tensor: Any, expected: str) -> None:
        assert repr(tensor()) == str(tensor()) == expected

    def test_large_tensors_are_abridged(self) -> None:
        assert len(repr(minidl.zeros(100, 100))) < 1000


class TestCopies:
    def test_deepcopy(self) -> None:
        x = minidl.tensor([1.0, 2.0], requires_grad=True)
        (x * 3).sum().backward()
        for twin in (copy.deepcopy(x), copy.copy(x)):
            assert twin.requires_grad and twin.is_leaf and twin.grad.tolist() == [3, 3]
            assert not np.shares_memory(twin.data, x.data) and not np.shares_memory(twin.grad.data, x.grad.data)
        pair = copy.deepcopy([x, x])
        assert pair[0] is pair[1]

    def test_a_result_is_not_copied(self) -> None:
        with pytest.raises(GraphError, match="deepcopy: a recorded result can't be copied"):
            copy.deepcopy(minidl.ones(1, requires_grad=True) * 2)

    def test_clone_has_history(self) -> None:
        x = minidl.tensor([1.0], requires_grad=True)
        y = x.clone()
        y *= 5
        y.sum().backward()
        assert x.grad.tolist() == [5] and x.tolist() == [1]


class TestCreation:
    def test_shapes_and_dtypes(self) -> None:
        assert minidl.zeros(2, 3).shape == minidl.ones((2, 3)).shape == minidl.full((2, 3), 7).shape == (2, 3)
        assert minidl.zeros(2).dtype == np.float32 and minidl.ones(2, dtype="int32").dtype == np.int32
        assert minidl.full((2,), 7).tolist() == [7, 7] and minidl.zeros(()).shape == ()
        assert minidl.ones(2, requires_grad=True).requires_grad

    def test_refusals(self) -> None:
        with pytest.raises(ShapeError, match="sizes must not be negative"):
            minidl.zeros(2, -1)
        with pytest.raises(ArgumentError, match="zeros: sizes must be ints"):
            minidl.zeros(2.5)

    def test_identity_is_the_hash(self) -> None:
        x, y = minidl.ones(1), minidl.ones(1)
        assert {x: 1, y: 2}[x] == 1 and len({x, y}) == 2
