"""What users may do to arrays between and within the passes: no kernel is given one that was not looked at.

Shapes and dtypes are assigned to `data`, set in place by NumPy's own means, and changed by hooks. What comes of it is a
gradient or one of minidl's errors. With `MINIDL_ISA=debug` an access out of bounds is an error of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from geometries import DEFAULT_EXAMPLES, EXAMPLES
from op_cases import CASES, Case

import minidl
import minidl.functional as F
from minidl import kernels
from minidl.autograd import Op
from minidl.errors import DTypeError, GraphError, MinidlError, ShapeError
from minidl.geometry import sliding_window

Array = np.ndarray


def half(x: Array) -> Array:
    return x.reshape(-1)[: x.size // 2].copy()


def more(x: Array) -> Array:
    return np.ones([4 * n + 3 for n in x.shape], x.dtype)


def other_dtype(x: Array) -> Array:
    return x.astype("float32" if x.dtype == np.float64 else "float64")


def set_shape(x: Array) -> None:
    x.shape = (x.size,) if x.ndim != 1 else (1, x.size)


def reverse_shape(x: Array) -> None:
    x.shape = x.shape[::-1]


def set_dtype(x: Array) -> None:
    x.dtype = np.dtype(f"i{x.itemsize}")


def swap_bytes(x: Array) -> None:
    x.dtype = x.dtype.newbyteorder()


def shrink(x: Array) -> None:
    x.resize([max(n // 2, 1) for n in x.shape], refcheck=False)


def grow(x: Array) -> None:
    x.resize([2 * n for n in x.shape], refcheck=False)


def forbid_writing(x: Array) -> None:
    x.flags.writeable = False


# What is assigned to `data`, and what is done to its array.
ASSIGNED: tuple[Callable[[Array], Any], ...] = (
    half, more, other_dtype, lambda x: x.T, lambda x: x[None], lambda x: x.reshape(-1),
    lambda x: np.zeros((), x.dtype), lambda x: x.astype(np.int64), lambda x: x.astype(x.dtype.newbyteorder()),
    lambda x: x.astype(np.float16), lambda x: x.astype(object), lambda x: x.astype(complex),
    lambda x: x.tolist(), lambda x: None, lambda x: minidl.Tensor(half(x)),
)  # fmt: skip
IN_PLACE = (set_shape, reverse_shape, set_dtype, swap_bytes, shrink, grow, forbid_writing)
HOWS = [*ASSIGNED, *IN_PLACE]
FEW = [half, more, other_dtype, set_shape, set_dtype, shrink, grow]


def tamper(tensor: Any, how: Callable[[Array], Any]) -> None:
    try:
        if how in IN_PLACE:
            how(tensor.data)
        else:
            tensor.data = how(tensor.data)
    except MinidlError:
        raise
    except (AttributeError, TypeError, ValueError):
        # NumPy refuses some of it for some arrays.
        pass


def attempt(case: Case, where: Any, how: Callable[[Array], Any], recorded: bool) -> None:
    """Both passes of a row, with something done to the hooks' gradients, to the result, to what comes after or before.

    A number is that of an input.
    """
    single = [x.astype(np.float32) if x is not None and x.dtype.kind == "f" else x for x in case.inputs]
    tensors = [None if x is None else minidl.tensor(x, requires_grad=x.dtype.kind == "f") for x in single]
    leaves = [t for t in tensors if t is not None and t.requires_grad]
    y = case.function(*tensors, **case.kwargs)
    start = minidl.Tensor(np.ones_like(y.data))
    z = y
    if where == "hook":
        y.register_hook(lambda grad: tamper(grad, how))
    elif where == "leaf's hook":
        for leaf in leaves:
            leaf.register_hook(lambda grad: tamper(grad, how))
    elif where == "start":
        y.register_hook(lambda grad: tamper(start, how))
    elif where == "result":
        tamper(y, how)
    elif where == "later":
        z = y * 2 + y
        tamper(y, how)
    elif tensors[where] is not None:
        tamper(tensors[where], how)
    z.backward(start, create_graph=recorded)
    for leaf in leaves[:1]:
        if leaf.grad is not None and leaf.grad.requires_grad:
            leaf.grad.sum().backward()


PLACES = ("hook", "leaf's hook", "start", "result", "later")
# One row for each operation, which are many sizes and options otherwise.
ROWS: dict[str, Case] = {}
for case in CASES.values():
    if case.order and case.numeric and all(x is None or x.size for x in case.inputs):
        ROWS.setdefault(case.name or case.function.__name__, case)


def attempts(case: Case, hows: list[Callable[[Array], Any]]) -> Iterator[tuple[Any, Callable[[Array], Any]]]:
    return ((where, how) for where in (*PLACES, *range(len(case.inputs))) for how in hows)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", ROWS.values(), ids=ROWS)
def test_tampering_ends_in_a_gradient_or_an_error_of_ours(case: Case) -> None:
    for i, (where, how) in enumerate(attempts(case, FEW)):
        try:
            attempt(case, where, how, recorded=bool(i % 2))
        except MinidlError:
            pass


ROWS = [case for case in CASES.values() if case.order and case.numeric]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", ROWS[:: 1 if EXAMPLES > DEFAULT_EXAMPLES else 16], ids=lambda case: case.id)
def test_all_tampering_with_rows(case: Case) -> None:
    """With every 16th row, and with all of them where more examples are asked for."""
    for where, how in attempts(case, HOWS):
        for recorded in (False, True):
            try:
                attempt(case, where, how, recorded)
            except MinidlError:
                pass


def leaf(*values: float, dtype: str = "float32") -> Any:
    return minidl.tensor(values, dtype, requires_grad=True)


@pytest.mark.parametrize("recorded", [False, True])
class TestHooks:
    @pytest.mark.parametrize("on_leaf", [False, True])
    def test_other_shapes_and_dtypes_are_refused(self, recorded: bool, on_leaf: bool) -> None:
        """Setting data crashed the process in a recorded pass, and did nothing in the other."""
        for how, error, match in (
            (half, ShapeError, r"hook: made it shape \(2,\) for a gradient of \(4,\)"),
            (set_shape, ShapeError, r"hook: made it shape \(1, 4\) for a gradient of \(4,\)"),
            (other_dtype, DTypeError, "hook: made it float64 for a gradient of float32"),
            (set_dtype, DTypeError, "hook: made it int32 for a gradient of float32"),
            (lambda x: x.tolist(), DTypeError, "Tensor.data: only a tensor or an array can be assigned, got list"),
        ):
            x = leaf(1, 2, 3, 4)
            y = F.relu(x)
            (x if on_leaf else y).register_hook(lambda grad, how=how: tamper(grad, how))
            with pytest.raises(error, match=match):
                (y * 2).sum().backward(create_graph=recorded)
            assert x.grad is None

    @pytest.mark.filterwarnings("ignore:Using backward")
    def test_data_that_fit_take_the_gradients_place(self, recorded: bool, torch: Any) -> None:
        x = leaf(1, -2, 3)
        y = F.relu(x)
        y.register_hook(lambda grad: setattr(grad, "data", grad.data * 10))
        (y * 2).sum().backward(create_graph=recorded)
        theirs = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
        z = torch.relu(theirs)
        z.register_hook(lambda grad: setattr(grad, "data", grad.data * 10))
        (z * 2).sum().backward(create_graph=recorded)
        assert x.grad.tolist() == theirs.grad.tolist() == [20, 0, 20]

    def test_an_array_that_was_kept_and_changed_later(self, recorded: bool) -> None:
        """One gradient goes to both inputs of a sum; the first hook keeps it, the second changes its shape."""
        x, kept = leaf(1, 2, 3, 4), []
        a, b = F.relu(x), F.relu(x)
        a.register_hook(lambda grad: set_shape(kept[0].data) if kept else kept.append(grad))
        b.register_hook(lambda grad: set_shape(kept[0].data) if kept else kept.append(grad))
        with pytest.raises(MinidlError, match=r"shape \(1, 4\)"):
            (a + b).sum().backward(create_graph=recorded)


@pytest.mark.parametrize("recorded", [False, True])
class TestSaved:
    @pytest.mark.parametrize("how", [set_shape, set_dtype, shrink, grow, swap_bytes])
    def test_changed_in_place(self, recorded: bool, how: Callable[[Array], Any]) -> None:
        x, w = minidl.tensor(np.ones((2, 3)), requires_grad=True), minidl.tensor(np.ones((4, 3)), requires_grad=True)
        y = F.linear(x, w)
        how(w.data)
        with pytest.raises(
            GraphError, match=r"Linear: a value saved .* was float64 of shape \(4, 3\), and has been made"
        ):
            y.sum().backward(create_graph=recorded)

    def test_of_layers_that_run_together(self, recorded: bool) -> None:
        nn = minidl.nn
        dense = nn.Sequential(nn.Dense(4, 4), nn.ReLU(), nn.Dense(4, 2))
        images = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU())
        for model, shape, name in ((dense, (1, 4), "DenseStack"), (images, (8, 2, 6, 6), "ConvStack")):
            for change in (shrink, grow):
                for which in (0, 1):
                    x = minidl.ones(*shape)
                    y = model(x)
                    assert y._op.name == name
                    change((x, model[0].weight)[which].data)
                    if which == 0 and model is images and not recorded:
                        # The kernels have kept what they need of it.
                        y.sum().backward()
                        continue
                    with pytest.raises(GraphError, match=f"{name}: a value saved for the backward pass"):
                        y.sum().backward(create_graph=recorded)
                    model[0].weight.data = np.ones((4, 4) if model is dense else (3, 2, 3, 3), np.float32)

    def test_a_leaf_that_became_another(self, recorded: bool) -> None:
        x = leaf(1, 2)
        y = x + 1
        x.data = np.ones(3, np.float32)
        with pytest.raises(GraphError, match=r"a gradient of shape \(2,\) came to a tensor of shape \(3,\)"):
            y.sum().backward(create_graph=recorded)

    def test_a_gradient_that_became_another(self, recorded: bool) -> None:
        x = leaf(1, 2)
        (x * 3).sum().backward()
        x.grad.data = np.ones(3, np.float32)
        with pytest.raises(
            GraphError, match=r"has a gradient of float32 of shape \(3,\), which nothing can be added to"
        ):
            (x * 3).sum().backward(create_graph=recorded)


class Widening(Op):
    """Twice the input, with a gradient in float64 always."""

    def forward(self, x):
        return x * 2

    def backward(self, grad):
        return minidl.Tensor(np.full(grad.shape, 2.0))


@pytest.mark.parametrize("recorded", [False, True])
def test_a_gradient_of_the_other_floating_dtype_is_converted(recorded: bool) -> None:
    """As in PyTorch; NumPy's numbers are float64 before one notices."""
    for x in (leaf(1, 2), leaf(1, -2)):
        y = F.relu(x) if x.tolist()[1] < 0 else x
        Widening()(y).sum().backward(create_graph=recorded)
        assert x.grad.dtype == np.float32 and x.grad.tolist() == [2, 2 if y is x else 0]


def ones(*shape: int) -> Array:
    return np.ones(shape, np.float32)


WINDOW, POOL = sliding_window("test", (6, 6), 3, 1, 1), sliding_window("test", (6, 6), 2, 2)
DEPTHWISE, IM2COL = kernels.conv.depthwise, kernels.conv.im2col
# A function, its arrays, what else it takes, and the axes of arrays (array, axis) whose sizes are its own to find.
Call = tuple[Callable[..., Any], tuple[Array, ...], tuple[Any, ...], set[tuple[int, int]]]
CALLS: dict[str, Call] = {
    "elementwise_gradient": (
        lambda grad, kept: kernels.elementwise_gradient("relu", grad, kept), (ones(2, 3), ones(2, 3)), (), set(),
    ),
    "softmax_gradient": (kernels.softmax_gradient, (ones(2, 3), ones(2, 3)), (), set()),
    "matmul": (kernels.matmul, (ones(3, 4), ones(4, 5), ones(5)), (), {(0, 0)}),
    "unfold": (kernels.unfold, (ones(2, 3, 6, 6),), (WINDOW,), {(0, 0), (0, 1)}),
    "fold": (kernels.fold, (ones(2, 27, 36),), (3, WINDOW), {(0, 0)}),
    "max_pool2d": (kernels.max_pool2d, (ones(2, 3, 6, 6),), (POOL,), {(0, 0), (0, 1)}),
    "avg_pool2d": (kernels.avg_pool2d, (ones(2, 3, 6, 6),), (POOL, ones(3, 3)), {(0, 0), (0, 1)}),
    "avg_pool2d_gradient": (kernels.avg_pool2d_gradient, (ones(2, 3, 3, 3),), (POOL, ones(3, 3)), {(0, 0), (0, 1)}),
    "scatter_positions": (
        kernels.scatter_positions, (ones(2, 3, 3, 3),), (np.zeros((2, 3, 3, 3), np.int32), (6, 6)), set(),
    ),
    "squared_distance": (kernels.squared_distance, (ones(8), ones(8)), (), set()),
    "squared_distance_gradient": (kernels.squared_distance_gradient, (ones(8), ones(8)), (1.0,), set()),
    "depthwise": (DEPTHWISE.depthwise2d, (ones(2, 3, 6, 6), ones(6, 1, 3, 3), ones(6)), (WINDOW,), {(0, 0), (0, 1)}),
    "depthwise input": (
        DEPTHWISE.depthwise2d_input_gradient, (ones(2, 3, 6, 6), ones(3, 1, 3, 3)), (WINDOW, 3), {(0, 0)},
    ),
    "depthwise weight": (
        DEPTHWISE.depthwise2d_weight_gradient, (ones(2, 3, 6, 6), ones(2, 3, 6, 6)), (WINDOW,), {(0, 1), (1, 1)},
    ),
    "im2col": (
        IM2COL.im2col_conv2d, (ones(2, 3, 6, 6), ones(4, 3, 3, 3), ones(4)), (WINDOW, 1), {(0, 0)},
    ),
    "im2col input": (
        IM2COL.im2col_input_gradient, (ones(2, 4, 6, 6), ones(4, 3, 3, 3)), (WINDOW, 1), {(0, 0), (1, 1)},
    ),
    "im2col weight": (
        IM2COL.im2col_weight_gradient, (ones(2, 3, 6, 6), ones(2, 4, 6, 6)), (WINDOW, 1), {(0, 1), (1, 1)},
    ),
}  # fmt: skip
for name in (
    "implicit_gemm", "implicit_gemm_filters", "implicit_gemm_taps", "direct_bands", "direct_blocks", "winograd_2x2",
    "winograd_4x4",
):  # fmt: skip
    plans = kernels.conv_plans(2, 3, 4, 1, WINDOW, np.dtype(np.float32), name)
    CALLS |= {
        f"{name} forward": (plans.forward, (ones(2, 3, 6, 6), ones(4, 3, 3, 3), ones(4)), (), set()),
        f"{name} input": (plans.input_gradient, (ones(2, 4, 6, 6), ones(4, 3, 3, 3)), (), set()),
        f"{name} weight": (plans.weight_gradient, (ones(2, 3, 6, 6), ones(2, 4, 6, 6)), (), set()),
    }


@pytest.mark.parametrize("name", CALLS)
def test_kernels_measure_what_they_are_given(name: str) -> None:
    """What another Python thread makes of an array after it has been checked: more rows or fewer, columns, or axes."""
    function, arrays, others, found_out = CALLS[name]
    for i, array in enumerate(arrays):
        for axis in range(array.ndim):
            for size in {1, array.shape[axis] + 1, 3 * array.shape[axis]} - {array.shape[axis]}:
                given = [*arrays]
                given[i] = ones(*array.shape[:axis], size, *array.shape[axis + 1 :])
                if (i, axis) not in found_out:
                    with pytest.raises((MinidlError, ValueError)):
                        function(*given, *others)
    function(*arrays, *others)


def test_kernels_name_a_dtype_that_they_have_not() -> None:
    with pytest.raises(
        DTypeError, match="kernels: an array must be float32 or float64, this one has been made float16"
    ):
        kernels.elementwise("relu", np.ones(3, np.float16))
    with pytest.raises(DTypeError, match="this one has been made int32"):
        kernels.matmul(np.ones((3, 3), np.int32), np.ones((3, 3), np.int32))
