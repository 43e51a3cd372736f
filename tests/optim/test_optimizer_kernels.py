"""The steps of optimisers beside their twins, called directly: every option, every way of sharing out."""

from __future__ import annotations

import inspect
from itertools import product
from typing import Any

import numpy as np
import pytest
from bits import bits
from parity import assert_close

import minidl
from minidl import kernels, nn, optim, reference

SHAPES = ((3, 4), (), (0, 2), (1,), (1000, 7))
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])

# Of each step: how many lists of memory it has, its numbers of each parameter at step t, and its options. A tuple of
# options stands for each of them.
STEPS: dict[str, tuple[int, Any, dict[str, Any]]] = {
    "sgd_step": (1, lambda t: [t == 1], {"momentum": (0.0, 0.9), "dampening": 0.3, "nesterov": (False, True)}),
    "adam_step": (3, lambda t: [1 - 0.9**t, np.sqrt(1 - 0.999**t)], {
        "beta1": (0.9, 0.2), "beta2": 0.999, "eps": 1e-8, "decoupled": (False, True), "amsgrad": (False, True),
    }),
    "radam_step": (2, lambda t: [1 - 0.9**t, 0.0 if t < 3 else 0.1 * t], {
        "beta1": (0.9, 0.2), "beta2": 0.999, "eps": 1e-8, "decoupled": (False, True),
    }),
    "rmsprop_step": (3, lambda t: [], {
        "alpha": (0.9, 0.2), "eps": 1e-3, "momentum": (0.0, 0.8), "centered": (False, True),
    }),
    "adagrad_step": (1, lambda t: [0.1 / t], {"eps": 1e-8}),
    "lion_step": (1, lambda t: [], {"beta1": 0.9, "beta2": 0.99}),
}  # fmt: skip
every_step = pytest.mark.parametrize("name", STEPS)


def choices(name: str) -> list[dict[str, Any]]:
    options = {**STEPS[name][2], "weight_decay": (0.0, 0.1), "maximize": (False, True)}
    if name != "adagrad_step":
        options["lr"] = 0.01
    values = [v if isinstance(v, tuple) else (v,) for v in options.values()]
    return [dict(zip(options, chosen, strict=True)) for chosen in product(*values)]


def arrays(seed: int, dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.normal(size=shape)).astype(dtype) for shape in SHAPES]


def run(module: Any, name: str, dtype: str, options: dict[str, Any], steps: int = 4) -> list[np.ndarray]:
    """Some steps from the same start; the parameters and what is remembered of them."""
    kinds, each, _ = STEPS[name]
    p = arrays(0, dtype)
    memory = [[np.zeros_like(x) for x in p] for _ in range(kinds)]
    for t in range(1, steps + 1):
        g = arrays(t, dtype)
        before = [x.copy() for x in g]
        numbers = [[number] * len(p) for number in each(t)]
        getattr(module, name)(g, p, *memory, *numbers, **options)
        assert all(np.array_equal(x, y) for x, y in zip(g, before, strict=True)), "gradients must not change"
    return [*p, *(x for kind in memory for x in kind)]


def test_every_step_is_here() -> None:
    assert set(STEPS) == {name for name in vars(kernels) if name.endswith("_step")}


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def misaligned(*shape: int) -> np.ndarray:
    return np.zeros(4 * int(np.prod(shape)) + 1, np.uint8)[1:].view(np.float32).reshape(shape)


def single(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("grad", "parameter", "fits"),
    [
        (single(2, 3), single(2, 3), True), (single(), single(), True), (single(0, 3), single(0, 3), True),
        (np.zeros(3), np.zeros(3), True), (read_only(single(3)), single(3), True),
        (single(3), read_only(single(3)), False), (single(2, 3), single(3, 2), False), (single(6), single(2, 3), False),
        (single(0, 3), single(0, 2), False), (single(1), single(), False), (np.zeros(3), single(3), False),
        (np.zeros(3, np.int32), single(3), False), (single(3, 2).T, single(2, 3), False),
        (single(2, 3), single(3, 2).T, False), (single(6)[::2], single(3), False), (single(3), single(6)[::2], False),
        (misaligned(3), single(3), False), (single(3), misaligned(3), False),
    ],
)  # fmt: skip
def test_what_a_step_takes_as_it_is(grad: np.ndarray, parameter: np.ndarray, fits: bool) -> None:
    good = single(4)
    assert kernels.all_fit([grad], [parameter]) is fits
    assert kernels.all_fit([good, good, grad], [good, good, parameter]) is fits
    assert kernels.all_fit([grad, good], [parameter, good]) is fits


def test_nothing_fits_and_numbers_must_match() -> None:
    assert kernels.all_fit([], [])
    assert not kernels.all_fit([single(1)], [])
    with pytest.raises(TypeError):
        kernels.all_fit([single(1)], [None])


@pytest.mark.parametrize("grad", [single(3, 2).T, misaligned(2, 3)], ids=["transposed", "misaligned"])
def test_gradients_of_another_layout(grad: np.ndarray) -> None:
    grad[...] = np.arange(6).reshape(2, 3)
    results = []
    for own in (grad, grad.copy()):
        p, q = nn.Parameter(single(2, 3)), nn.Parameter(single(2))
        p.grad, q.grad = minidl.ones(2, 3), minidl.ones(2)
        # As it is: a tensor made of it, or given it as its data, would have it laid out anew.
        p.grad._data = own
        optim.SGD([q, p], lr=0.5).step()
        results.append((p.numpy(), q.numpy()))
        np.testing.assert_array_equal(p.grad.data, own)
    np.testing.assert_array_equal(results[0][0], -0.5 * np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(results[0][1], results[1][1])


@every_dtype
@every_step
def test_steps_equal_the_reference(name: str, dtype: str, threads_everywhere: None) -> None:
    minidl.set_num_threads(3)
    for options in choices(name):
        for found, expected in zip(
            run(kernels, name, dtype, options), run(reference, name, dtype, options), strict=True
        ):
            assert_close(found, expected, TOLERANCE[dtype], str(options))


@every_dtype
@every_step
def test_any_number_of_threads_gives_the_same_bits(name: str, dtype: str, threads_everywhere: None) -> None:
    for options in choices(name):
        results = set()
        for threads in (1, 2, 3, 4):
            minidl.set_num_threads(threads)
            results.add(bits(*run(kernels, name, dtype, options, 3)))
        assert len(results) == 1, options


def rest(name: str, dtype: str, options: dict[str, Any], steps: int) -> list[np.ndarray]:
    """Parameters and what is remembered of them after steps without a gradient, from the least normal number on."""
    kinds, each, _ = STEPS[name]
    p = [np.ones(100, dtype)]
    memory = [[np.full(100, np.finfo(dtype).tiny, dtype)] for _ in range(kinds)]
    for t in range(3, steps + 3):
        getattr(kernels, name)([np.zeros(100, dtype)], p, *memory, *([number] for number in each(t)), **options)
    return [p[0], *(kind[0] for kind in memory)]


@every_dtype
@every_step
def test_what_decays_does_not_come_to_rest_at_subnormal_numbers(
    name: str, dtype: str, threads_everywhere: None
) -> None:
    """At which each step would take a slow path of the processor."""
    minidl.set_num_threads(3)
    for options in choices(name):
        for array in rest(name, dtype, options, 20):
            assert np.isfinite(array).all()
            assert not np.any((array != 0) & (np.abs(array) < np.finfo(dtype).tiny)), options


@every_dtype
def test_a_step_leaves_the_arithmetic_of_others_alone(dtype: str, threads_everywhere: None) -> None:
    """Of the caller, and of the threads that shared the step."""
    minidl.set_num_threads(3)
    tiny, half = np.finfo(dtype).tiny, np.full(100, 0.5, dtype)
    rest("adam_step", dtype, choices("adam_step")[0], 3)
    # As integers: where subnormal numbers are zero, they are equal to it, too.
    assert np.all((np.full(100, tiny, dtype) * half).view(f"i{half.itemsize}") > 0)
    x, weight = np.full((64, 1, 30, 30), tiny, dtype), half[:1].reshape(1, 1, 1, 1)
    y = minidl.functional.conv2d(minidl.tensor(x), minidl.tensor(weight), algorithm="direct")
    assert np.all(y.numpy().view(f"i{half.itemsize}") > 0)


@every_step
def test_no_parameters_take_a_step(name: str) -> None:
    kinds, each, _ = STEPS[name]
    for module in (kernels, reference):
        getattr(module, name)([], [], *([] for _ in range(kinds)), *([] for _ in each(1)), **choices(name)[0])


@every_step
def test_steps_have_the_arguments_of_their_twins(name: str) -> None:
    assert inspect.signature(getattr(kernels, name)) == inspect.signature(getattr(reference, name))


@every_step
def test_lists_that_do_not_fit_change_nothing(name: str) -> None:
    kinds, each, _ = STEPS[name]
    options = choices(name)[-1]

    def call(change: Any) -> list[np.ndarray]:
        g, p = [np.ones(3), np.ones(2)], [np.ones(3), np.ones(2)]
        lists = [g, p, *([np.zeros(3), np.zeros(2)] for _ in range(kinds))]
        numbers = [[number] * 2 for number in each(1)]
        change(lists, numbers)
        with pytest.raises((TypeError, ValueError)):
            getattr(kernels, name)(*lists, *numbers, **options)
        return p

    def replace(kind: int, i: int, array: np.ndarray) -> Any:
        return lambda lists, numbers: lists[kind].__setitem__(i, array)

    fixed = np.ones(2)
    fixed.flags.writeable = False
    for change in (
        replace(0, 1, np.ones(3)), replace(2, 1, np.ones(3)), replace(2, 1, np.zeros(2, np.float32)),
        replace(2, 1, np.ones((2, 4))[:, 0]), replace(2, 1, fixed), replace(0, 1, np.ones(2, np.int64)),
        lambda lists, numbers: lists[2].pop(), lambda lists, numbers: lists[0].pop(),
        lambda lists, numbers: (numbers or lists)[0].pop(),
    ):  # fmt: skip
        assert call(change)[0].tolist() == [1, 1, 1]
    mixed = [np.ones(2), np.ones(2, np.float32)]
    with pytest.raises(TypeError, match="several dtypes"):
        getattr(kernels, name)(mixed, mixed, *(mixed for _ in range(kinds)), *numbers_of(name), **options)


def numbers_of(name: str) -> list[list[float]]:
    return [[number] * 2 for number in STEPS[name][1](1)]


@every_dtype
def test_without_decay_an_infinite_parameter_leaves_its_gradient_alone(dtype: str) -> None:
    for name in STEPS:
        for options in choices(name):
            if options["weight_decay"] == 0:
                kinds, each, _ = STEPS[name]
                p, g = [np.full(40, np.inf, dtype)], [np.ones(40, dtype)]
                memory = [[np.zeros(40, dtype)] for _ in range(kinds)]
                getattr(kernels, name)(g, p, *memory, *([n] for n in each(1)), **options)
                assert all(np.isfinite(kind[0]).all() for kind in memory), (name, options)
                assert np.array_equal(p[0], np.full(40, np.inf)), (name, options)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "RAdam", "Lion"])
def test_optimisers_give_the_same_bits_on_any_number_of_threads(name: str, threads_everywhere: None) -> None:
    found = set()
    for threads in (1, 2, 3, 4):
        minidl.set_num_threads(threads)
        p = [nn.Parameter(a) for a in arrays(0, "float32")]
        optimizer = getattr(optim, name)(p, weight_decay=0.1)
        for t in range(1, 8):
            for q, g in zip(p, arrays(t, "float32"), strict=True):
                q.grad = minidl.Tensor(g)
            optimizer.step()
        found.add(bits(*p))
    assert len(found) == 1
