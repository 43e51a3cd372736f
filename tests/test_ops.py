"""The runner: every check on every row of `op_cases.CASES`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from bits import bits
from op_cases import CASES, Case
from parity import assert_close, counts

import minidl
import minidl.functional as F
from minidl.autograd import Op
from minidl.testing import gradcheck, gradgradcheck
from minidl.testing.findings import NOTHING_TO_CHECK

Array = np.ndarray
DTYPES = ("float32", "float64")

every_row = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
rows_with_gradients = {name: case for name, case in CASES.items() if case.order}
every_differentiable_row = pytest.mark.parametrize("case", rows_with_gradients.values(), ids=rows_with_gradients)
# Every element once, with the kernels that are chosen by default; with others, directions over all elements at a time.
MODE = "random" if "MINIDL_ISA" in os.environ else "full"
small = {name: case for name, case in rows_with_gradients.items() if case.numeric}
every_small_row = pytest.mark.parametrize("case", small.values(), ids=small)


def is_floating(x: Array | None) -> bool:
    return x is not None and x.dtype.kind == "f"


def arrays_of(case: Case, dtype: str) -> list[Array | None]:
    """Fresh copies of the row's inputs."""
    return [x.astype(dtype) if is_floating(x) else None if x is None else x.copy() for x in case.inputs]


def tensors_of(arrays: Iterable[Array | None], requires_grad: bool = True) -> list[Any]:
    """Tensors that share the arrays' memory where they can."""
    return [None if x is None else minidl.Tensor(x, requires_grad=requires_grad and is_floating(x)) for x in arrays]


def upstream(y: Any) -> Array:
    """A fixed gradient for the result to start from."""
    return np.random.default_rng(11).uniform(-1, 1, y.shape).astype(y.dtype)


def value_and_gradients(case: Case, arrays: Iterable[Array | None]) -> list[Array]:
    """The result, and by `.backward()` the gradients of all floating inputs."""
    tensors = tensors_of(arrays, requires_grad=case.order > 0)
    y = case.function(*tensors, **case.kwargs)
    if not case.order:
        return [y.data]
    y.backward(upstream(y))
    return [y.data, *(x.grad.data for x in tensors if x is not None and x.requires_grad)]


def assert_same(found: list[Array], expected: list[Array], tolerance: float) -> None:
    assert len(found) == len(expected)
    for i, (f, e) in enumerate(zip(found, expected, strict=True)):
        assert f.dtype == e.dtype
        assert_close(f, e, tolerance, "the value" if i == 0 else f"gradient {i}")


@every_dtype
@every_row
def test_values_equal_the_references(case: Case, dtype: str) -> None:
    arrays = arrays_of(case, dtype)
    y = case.function(*tensors_of(arrays, requires_grad=False), **case.kwargs)
    wide = [x.astype(np.float64) if is_floating(x) else x for x in arrays]
    expected = case.reference(*wide, **case.kwargs)
    if y.dtype.kind == "f" and case.name != "clone":
        assert y.dtype == dtype
    assert_close(y.data, expected, case.tolerance[dtype])
    counts["values of rows beside the reference's"] += 1
    for now, before in zip(arrays, arrays_of(case, dtype), strict=True):
        assert now is None or np.array_equal(now, before), "an input was modified"


compared = {name: case for name, case in CASES.items() if case.has_peer}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@every_dtype
@pytest.mark.parametrize("case", compared.values(), ids=compared)
def test_values_and_gradients_equal_pytorchs(torch: Any, case: Case, dtype: str) -> None:
    arrays = arrays_of(case, dtype)
    value, *gradients = value_and_gradients(case, arrays)
    theirs = [None if x is None else torch.tensor(x, requires_grad=bool(case.order) and is_floating(x)) for x in arrays]
    # PyTorch counts in int64 alone.
    theirs = [x.long() if x is not None and x.dtype in (torch.int32, torch.uint8) else x for x in theirs]
    y = case.peer_in(torch)(*theirs, **case.kwargs)
    tolerance = max(case.tolerance[dtype], {"float32": 1e-5, "float64": 1e-10}[dtype])
    assert_close(value, y.detach().numpy(), tolerance)
    if case.order:
        start = np.random.default_rng(11).uniform(-1, 1, value.shape).astype(value.dtype)
        y.backward(torch.tensor(start))
        floating = [x for x in theirs if x is not None and x.requires_grad]
        assert len(floating) == len(gradients)
        for i, (x, gradient) in enumerate(zip(floating, gradients, strict=True)):
            expected = np.zeros(gradient.shape) if x.grad is None else x.grad.numpy()
            assert_close(gradient, expected, tolerance, f"gradient {i}", np.abs(start).max(initial=0))
    counts["values and gradients of rows beside PyTorch's"] += 1 + len(gradients)


def assert_checked(check: Callable[..., Any], case: Case, inputs: list[Any]) -> None:
    """The gradients are right, or there are none to check: the row is empty, or so is its result."""
    report = check(lambda *inputs: case.function(*inputs, **case.kwargs), inputs, mode=MODE, raise_exception=False)
    if not report and all(problem.kind == NOTHING_TO_CHECK for problem in report.problems):
        sizes = [t.data.size for t in inputs if t is not None and t.requires_grad]
        assert not all(sizes) or case.function(*inputs, **case.kwargs).data.size == 0, str(report)
    else:
        assert report, str(report)


@every_small_row
def test_first_gradients_equal_numeric_ones(case: Case) -> None:
    inputs = tensors_of(arrays_of(case, "float64"))
    assert_checked(gradcheck, case, inputs)
    counts["rows whose first gradients were checked numerically"] += 1


@every_small_row
def test_second_gradients_equal_numeric_ones(case: Case) -> None:
    inputs = tensors_of(arrays_of(case, "float64"))
    assert_checked(gradgradcheck, case, inputs)
    counts["rows whose second gradients were checked numerically"] += 1


@every_dtype
@every_differentiable_row
def test_fused_gradients_equal_differentiable_ones(case: Case, dtype: str) -> None:
    arrays = arrays_of(case, dtype)
    fused = value_and_gradients(case, arrays)[1:]
    tensors = tensors_of(arrays)
    y = case.function(*tensors, **case.kwargs)
    leaves = [x for x in tensors if x is not None and x.requires_grad]
    recorded = minidl.grad(y, leaves, minidl.Tensor(upstream(y)), create_graph=True)
    assert_same(fused, [g.data for g in recorded], case.tolerance[dtype])
    for now, before in zip(arrays, arrays_of(case, dtype), strict=True):
        assert now is None or np.array_equal(now, before), "an input was modified"


def fortran(x: Array) -> Array:
    return np.array(x, order="F")


def negative(x: Array) -> Array:
    """The same values, every axis with a negative stride."""
    backwards = (slice(None, None, -1),) * x.ndim
    return np.asarray(x[backwards].copy()[backwards])


def strided(x: Array) -> Array:
    """The same values, with others between them along every axis."""
    wide = np.full([2 * n + 1 for n in x.shape], 99, x.dtype)
    view = wide[(*(slice(1, None, 2),) * x.ndim, ...)]
    view[...] = x
    return view


def read_only(x: Array) -> Array:
    x = x.copy()
    x.flags.writeable = False
    return x


def big_endian(x: Array) -> Array:
    return x.astype(x.dtype.newbyteorder(">"))


def unaligned(x: Array) -> Array:
    """The same values, at addresses that are no multiple of their size."""
    memory = np.zeros(x.nbytes + 1, np.uint8)
    view = memory[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


LAYOUTS = (strided, read_only, fortran, negative, big_endian, unaligned)


def layouts_of_rows() -> dict[str, tuple[Case, Callable[[Array], Array]]]:
    """All layouts for the first row of a function, since it makes arrays contiguous for all of them; then two, or one.

    An algorithm of convolution is a function of its own.
    """
    met: set[Any] = set()
    found = {}
    for name, case in CASES.items():
        algorithm = case.kwargs.get("algorithm")
        function, is_small = (case.covers or case.function, algorithm), case.numeric or algorithm is not None
        layouts = LAYOUTS[: 2 if case.numeric else 1] if function in met or not is_small else LAYOUTS
        if is_small:
            met.add(function)
        found.update({f"{name}-{layout.__name__}": (case, layout) for layout in layouts})
    return found


laid_out = layouts_of_rows()


@pytest.mark.parametrize(("case", "layout"), laid_out.values(), ids=laid_out)
def test_memory_layout_does_not_matter(case: Case, layout: Callable[[Array], Array]) -> None:
    plain = arrays_of(case, "float64")
    other = [None if x is None else layout(x) for x in plain]
    before = bits(*other)
    assert_same(value_and_gradients(case, other), value_and_gradients(case, plain), 1e-13)
    assert bits(*other) == before, "an input was modified"


def repeated(x: Array) -> Array:
    """The last entry of every axis, as often as the axis is long: a view whose strides are 0."""
    last = x[(slice(-1, None),) * x.ndim]
    return np.broadcast_to(last, x.shape)


filled = {name: case for name, case in small.items() if all(x is None or x.size for x in case.inputs)}


@pytest.mark.parametrize("case", filled.values(), ids=filled)
def test_broadcast_views_are_inputs_like_others(case: Case) -> None:
    views = [None if x is None else repeated(x) for x in arrays_of(case, "float64")]
    copies = [None if x is None else x.copy() for x in views]
    try:
        expected = value_and_gradients(case, copies)
    except minidl.MinidlError:
        # Equal values may be what the operation refuses, such as labels that are none.
        with pytest.raises(minidl.MinidlError):
            value_and_gradients(case, views)
        return
    assert_same(value_and_gradients(case, views), expected, 1e-13)


@every_dtype
@every_row
def test_any_number_of_threads_gives_the_same_bits(case: Case, dtype: str, threads_everywhere: None) -> None:
    results = []
    for threads in (1, 2, 3, 4):
        minidl.set_num_threads(threads)
        results.append(bits(*value_and_gradients(case, arrays_of(case, dtype))))
    assert results[0] == results[1] == results[2] == results[3]


batched = {name: case for name, case in CASES.items() if case.batched}


@every_dtype
@pytest.mark.parametrize("case", batched.values(), ids=batched)
def test_empty_batches(case: Case, dtype: str) -> None:
    arrays = [x[:0] if i in case.batched else x for i, x in enumerate(arrays_of(case, dtype))]
    value, *gradients = value_and_gradients(case, arrays)
    expected = case.reference(*arrays, **case.kwargs)
    assert value.shape == expected.shape
    assert np.array_equal(value, expected)
    floating = [x for x in arrays if is_floating(x)]
    for gradient, x in zip(gradients, floating, strict=True):
        assert np.array_equal(gradient, np.zeros_like(x))


def public_operations() -> dict[str, Callable[..., Any]]:
    """Every function of `minidl.functional`, and every one of `minidl` that an op stands behind."""
    named = {f"F.{name}": getattr(F, name) for name in F.__all__}
    for name, value in vars(minidl).items():
        module = getattr(value, "__module__", None) or ""
        if callable(value) and not isinstance(value, type) and module.startswith("minidl.ops"):
            named[f"minidl.{name}"] = value
    return named


def test_every_public_operation_has_a_row() -> None:
    covered = {case.covers or case.function for case in CASES.values()}
    missing = [name for name, function in public_operations().items() if function not in covered]
    assert not missing, f"no row in tests/op_cases/ for {', '.join(missing)}"
    assert len(public_operations()) >= 40


# What PyTorch has not, and why a row can't be compared.
WITHOUT_PEER: dict[str, str] = {}


def test_every_public_operation_is_compared_with_pytorch() -> None:
    met = {case.covers or case.function for case in compared.values()}
    missing = {name for name, function in public_operations().items() if function not in met}
    assert missing == set(WITHOUT_PEER), f"rows of {sorted(missing ^ set(WITHOUT_PEER))}: compare, or say why not"


def test_every_op_class_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    met: set[type] = set()
    call = Op.__call__

    def noting(self: Op, *inputs: Any) -> Any:
        met.add(type(self))
        return call(self, *inputs)

    monkeypatch.setattr(Op, "__call__", noting)
    for case in small.values():
        tensors = tensors_of(arrays_of(case, "float64"))
        y = case.function(*tensors, **case.kwargs)
        leaves = [x for x in tensors if x is not None and x.requires_grad]
        minidl.grad(y, leaves, minidl.Tensor(upstream(y)), create_graph=True)

    def below(cls: type) -> set[type]:
        return {cls}.union(*(below(c) for c in cls.__subclasses__()))

    ops = {cls for cls in below(Op) if cls.__module__.startswith("minidl.ops") and "forward" in dir(cls)}
    families = {cls for cls in ops if cls.__subclasses__()}
    missing = {cls.__name__ for cls in ops - families - met}
    assert not missing, f"no row meets {', '.join(sorted(missing))}"


def test_clip_keeps_the_dtype() -> None:
    assert minidl.clip(np.ones(2, np.float32), np.float64(0.5), np.float64(2)).dtype == np.float32


def test_concatenate_promotes_as_the_operators_do() -> None:
    a, b = minidl.tensor([1]), minidl.tensor([1.0])
    assert minidl.concatenate([a, b]).dtype == (a + b).dtype


def test_the_table_is_large() -> None:
    assert len(CASES) >= 300
    assert len(CASES) == len({id(case) for case in CASES.values()})
