"""Which algorithm computes a convolution: the model's choice, what the user may ask for, and the clock's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import by_algorithm
import numpy as np
import pytest
from parity import assert_close

import minidl
import minidl.functional as F
from minidl import kernels, nn, reference
from minidl.checkpoint import load_checkpoint, save_checkpoint
from minidl.errors import ArgumentError, CheckpointError, ShapeError
from minidl.geometry import sliding_window, transposed_window
from minidl.kernels import REGISTRY
from minidl.kernels.conv import autotune
from minidl.kernels.conv import select as selection

DIRECTIONS = ("forward", "input", "weight")


@pytest.fixture(autouse=True)
def settings_as_before() -> Iterator[None]:
    yield
    minidl.set_precision("default")
    minidl.benchmark_algorithms(False)


def chosen(direction: str, shape: tuple[int, ...], weight: tuple[int, ...], groups: int = 1, itemsize: int = 4) -> str:
    """The name, of Winograd's tiles, or the family of what "auto" takes."""
    window = sliding_window("conv2d", shape[2:], weight[2:], 1, weight[2] // 2)
    sizes = shape[0], shape[1], weight[0], window
    entry = by_algorithm.chosen(direction, *sizes, f"f{itemsize}", groups, minidl.get_precision())
    return entry.name if entry.family == "winograd" else entry.family


def test_the_model_knows_the_plain_cases() -> None:
    for direction in DIRECTIONS:
        assert chosen(direction, (64, 1, 28, 28), (6, 1, 3, 3)) == "direct"
        assert chosen(direction, (64, 6, 14, 14), (16, 6, 5, 5)) == "winograd_rows"
        # Too few samples to fill the lanes; filters or taps fill tiles of the product's other cuts.
        few = ("direct", "im2col") if direction == "forward" else ("direct", "im2col", "implicit_gemm")
        assert chosen(direction, (2, 6, 14, 14), (16, 6, 5, 5)) in few
        assert chosen(direction, (8, 128, 28, 28), (128, 1, 3, 3), 128) == "direct"
        # Without AVX2 BLAS's product is as fast.
        old = minidl.kernels.instruction_set() not in ("v3", "v4")
        products = ("im2col", "implicit_gemm") if old else ("implicit_gemm",)
        assert chosen(direction, (8, 512, 14, 14), (512, 512, 1, 1)) in products
        assert chosen(direction, (8, 64, 28, 28), (64, 32, 3, 3), 2) == "im2col"
        assert chosen(direction, (8, 128, 56, 56), (128, 128, 3, 3)) == "winograd_4x4"
        assert chosen(direction, (8, 96, 27, 27), (256, 96, 5, 5)) == "winograd_2x2"


def test_precision_decides_on_the_larger_tile() -> None:
    layer = (8, 64, 56, 56), (32, 64, 3, 3)
    assert chosen("input", *layer) == "winograd_2x2"
    minidl.set_precision("fast")
    assert minidl.get_precision() == "fast"
    assert chosen("input", *layer) == "winograd_4x4"
    minidl.set_precision("default")
    of_5x5 = (8, 64, 28, 28), (64, 64, 5, 5)
    assert [chosen(direction, *of_5x5) == "winograd_2x2" for direction in DIRECTIONS] == [True, False, True]
    minidl.set_precision("fast")
    assert [chosen(direction, *of_5x5) == "winograd_2x2" for direction in DIRECTIONS] == [True, True, True]
    with pytest.raises(ArgumentError, match="set_precision: precision must be 'default' or 'fast', got 'low'"):
        minidl.set_precision("low")


def test_calls_that_are_known_follow_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same call again, under another precision, by the clock, and as at first."""
    rng = np.random.default_rng(0)
    x, weight = (minidl.tensor(rng.normal(size=size), dtype="float32") for size in ((16, 1, 28, 28), (6, 1, 3, 5)))
    first = [F.conv2d(x, weight).data for _ in range(2)]
    minidl.set_precision("fast")
    fast = [F.conv2d(x, weight).data for _ in range(2)]
    assert np.array_equal(*first)
    assert np.array_equal(*fast)
    assert not np.array_equal(first[0], fast[0])
    minidl.set_precision("default")
    assert np.array_equal(F.conv2d(x, weight).data, first[0])
    asked = []
    measured_plan = selection.measured_plan

    def noting(problem: Any, plan_for: Any) -> Any:
        asked.append(problem.direction)
        return measured_plan(problem, plan_for)

    monkeypatch.setattr(selection, "measured_plan", noting)
    minidl.benchmark_algorithms(True)
    weight.requires_grad = x.requires_grad = True
    F.conv2d(x, weight).sum().backward()
    assert asked == ["forward", "input", "weight"]


def test_gradients_follow_the_setting_of_their_convolution() -> None:
    """Not the one of the moment when they are computed."""
    rng = np.random.default_rng(0)
    x, weight = (rng.normal(size=size).astype("float32") for size in ((2, 64, 56, 56), (32, 64, 3, 3)))
    slope = minidl.tensor(rng.normal(size=(2, 32, 54, 54)), dtype="float32")

    def gradients(precision: str, then: str) -> list[np.ndarray]:
        leaves = [minidl.Tensor(a, requires_grad=True) for a in (x, weight)]
        minidl.set_precision(precision)
        y = F.conv2d(*leaves)
        minidl.set_precision(then)
        return [grad.data for grad in minidl.grad(y, leaves, slope)]

    for first in (True, False):
        default, changed, fast = (
            gradients("default", "default"),
            gradients("default", "fast"),
            gradients("fast", "fast"),
        )
        assert all(np.array_equal(a, b) for a, b in zip(default, changed, strict=True)), first
        assert not all(np.array_equal(a, b) for a, b in zip(default, fast, strict=True)), first


def test_transformed_weights_have_a_budget() -> None:
    window = sliding_window("conv2d", (8, 8), (3, 3))
    assert kernels.refusal("winograd_4x4", 512, 512, 1, window, 4) is None
    refused = kernels.refusal("winograd_4x4", 1024, 1024, 1, window, 4)
    assert refused is not None
    assert "budget" in refused
    tiles = by_algorithm.chosen("forward", 1, 512, 512, window, "float64", algorithm="winograd")
    assert tiles.name == "winograd_2x2"
    window = sliding_window("conv2d", (8, 8), (5, 5))
    assert kernels.refusal("winograd_2x2", 512, 512, 1, window, 4) is None
    refused = kernels.refusal("winograd_2x2", 512, 1024, 1, window, 4)
    assert refused == "the transformed weights of 512 channels and 1024 filters exceed their budget"


@pytest.mark.parametrize(
    ("kwargs", "reason"),
    [
        ({"stride": 2}, r"kernels of 3 x 3.* strides, rounded up, .*got 3 x 3, \(2, 2\)"),
        ({"dilation": 2}, r"dilation 1 .*got 3 x 3, \(1, 1\), \(2, 2\)"),
        ({"groups": 2}, r"1 group.* and 2$"),
    ],
)
@pytest.mark.parametrize("algorithm", ["winograd", "winograd_2x2", "winograd_4x4"])
def test_what_does_not_apply_is_refused(algorithm: str, kwargs: dict[str, int], reason: str) -> None:
    weight = minidl.ones(4, 4 // kwargs.get("groups", 1), 3, 3)
    with pytest.raises(ArgumentError, match=f"conv2d: algorithm '{algorithm}' does not apply: .*{reason}"):
        F.conv2d(minidl.ones(1, 4, 9, 9), weight, algorithm=algorithm, **kwargs)


def test_kernels_that_a_tile_does_not_take_are_refused() -> None:
    x, weight = minidl.ones(1, 4, 9, 9), minidl.ones(4, 4, 5, 5)
    assert F.conv2d(x, weight, algorithm="winograd").shape == (1, 4, 5, 5)
    with pytest.raises(
        ArgumentError, match="'winograd_4x4' does not apply: it takes kernels of 3 x 3 strides.*got 5 x 5"
    ):
        F.conv2d(x, weight, algorithm="winograd_4x4")
    for rows, columns in ((5, 3), (3, 5), (4, 4)):
        weight = minidl.ones(4, 4, rows, columns)
        for algorithm in ("winograd", "winograd_2x2"):
            got = f"got {rows} x {columns},"
            with pytest.raises(ArgumentError, match=f"'{algorithm}' does not .* 3 x 3 or 5 x 5 strides.*{got}"):
                F.conv2d(x, weight, algorithm=algorithm)


@pytest.mark.parametrize(
    ("kernel", "kwargs", "got"),
    [
        ((5, 3), {}, r"5 x 3, \(1, 1\), \(1, 1\) and 1$"),
        ((3, 5), {"stride": (1, 2)}, r"3 x 5, \(1, 2\), \(1, 1\) and 1$"),
        ((3, 5), {"stride": (2, 1)}, r"3 x 5, \(2, 1\), \(1, 1\) and 1$"),
        ((3, 5), {"dilation": (2, 1)}, r"3 x 5, \(1, 1\), \(2, 1\) and 1$"),
        ((3, 5), {"dilation": (1, 2)}, r"3 x 5, \(1, 1\), \(1, 2\) and 1$"),
        ((3, 5), {"groups": 2}, r"3 x 5, \(1, 1\), \(1, 1\) and 2$"),
    ],
)
def test_rows_are_refused_what_they_do_not_take(kernel: tuple[int, int], kwargs: dict[str, Any], got: str) -> None:
    x, weight = minidl.ones(1, 4, 9, 9), minidl.ones(4, 4 // kwargs.get("groups", 1), *kernel)
    reason = "it takes kernels of 5 columns with stride 1, dilation 1 and 1 group, got"
    with pytest.raises(ArgumentError, match=f"conv2d: algorithm 'winograd_rows' does not apply: {reason} {got}"):
        F.conv2d(x, weight, algorithm="winograd_rows", **kwargs)
    assert F.conv2d(x, minidl.ones(4, 4, 3, 5), algorithm="winograd_rows").shape == (1, 4, 7, 5)


def test_precision_decides_on_tiles_along_rows() -> None:
    def allowed(C: int, F: int, size: int, rows: int = 5) -> list[bool]:
        window = sliding_window("conv2d", (size, size), (rows, 5), 1, (rows // 2, 2))
        how = C, F, window, minidl.get_precision()
        return [by_algorithm.is_precise("winograd_rows", direction, *how) for direction in DIRECTIONS]

    assert allowed(1, 6, 28) == allowed(6, 16, 14) == allowed(3, 16, 64) == [True, True, True]
    # Too few terms forward, too few weights for so small an image, too many terms back.
    assert allowed(1, 6, 28, 3) == [False, True, True]
    assert allowed(2, 6, 14) == [True, True, False]
    assert allowed(16, 70, 14) == [True, False, True]
    assert allowed(16, 16, 4) == [False, True, False]
    assert chosen("weight", (64, 2, 14, 14), (6, 2, 5, 5)) == "direct"
    minidl.set_precision("fast")
    assert allowed(1, 6, 28, 3) == allowed(2, 6, 14) == allowed(16, 70, 14) == [True, True, True]
    assert chosen("weight", (64, 2, 14, 14), (6, 2, 5, 5)) == "winograd_rows"


@pytest.fixture
def met(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the entries that compute something, and the directions, in their order."""
    found: list[str] = []
    for name, entry in REGISTRY.items():

        def noting(problem: Any, entry: Any = entry) -> Any:
            plan = entry.plan(problem)

            def compute(*arrays: Any) -> Any:
                found.append(f"{problem.direction} by {entry.name}")
                return plan(*arrays)

            return compute

        monkeypatch.setitem(REGISTRY, name, replace(entry, plan=noting))
    plans = minidl.functional.conv._plans
    selection._planned.cache_clear()
    plans.clear()
    yield found
    selection._planned.cache_clear()
    plans.clear()


@pytest.mark.parametrize("name", REGISTRY)
def test_the_algorithm_asked_for_computes_all_directions_that_it_can(name: str, met: list[str]) -> None:
    groups, size = 40 if name == "depthwise" else 1, 5
    kernel = {"winograd_4x4": 3, "winograd_2x2": 3, "winograd_rows": 5}.get(name, 1)
    x = minidl.ones(2, 40, size, size, requires_grad=True)
    weight = minidl.ones(40, 40 // groups, kernel, kernel, requires_grad=True)
    F.conv2d(x, weight, groups=groups, algorithm=name).sum().backward()
    window = sliding_window("conv2d", (size, size), (kernel, kernel))
    for direction in DIRECTIONS:
        problem = by_algorithm.problem_of(direction, 2, 40, 40, window, groups=groups)
        computes = REGISTRY[name].why_unsupported(problem) is None
        assert (f"{direction} by {name}" in met) == computes
    # A direction that it does not compute is its family's.
    assert {note.split()[0] for note in met} == set(DIRECTIONS)


def test_depthwise_is_recognised_in_all_three_directions(met: list[str]) -> None:
    x, weight = minidl.ones(4, 32, 12, 12, requires_grad=True), minidl.ones(32, 1, 3, 3, requires_grad=True)
    F.conv2d(x, weight, groups=32).sum().backward()
    assert met == [f"{direction} by depthwise" for direction in DIRECTIONS]
    # Where the gradients are recorded, they are operations of their own.
    minidl.grad(F.conv2d(x, weight, groups=32).sum(), [x, weight], create_graph=True)
    assert met == [f"{direction} by depthwise" for direction in DIRECTIONS] * 2


@pytest.mark.parametrize("padding", [1, (1, 1), "same", minidl.Padding(1, 1, 1, 1)])
def test_a_layer_takes_the_way_of_the_function(monkeypatch: pytest.MonkeyPatch, padding: Any) -> None:
    layer, x = nn.Conv2d(3, 4, 3, padding=padding), minidl.ones(2, 3, 8, 9)
    expected = F.conv2d(x, layer.weight, layer.bias, padding=padding)
    # Neither is checked again, nor planned.
    monkeypatch.delattr(minidl.functional.conv, "_convolve")
    assert np.array_equal(layer(x), expected)
    assert np.array_equal(F.conv2d(x, layer.weight, layer.bias, (1, 1), padding, (1, 1)), expected)


@pytest.mark.parametrize("algorithm", kernels.ALGORITHMS[1:])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_pixel_that_is_not_finite_stays_in_its_image(algorithm: str, bad: float) -> None:
    generator = np.random.default_rng(0)
    rows, groups = {"winograd_rows": 5, "implicit_gemm_pointwise": 1}.get(algorithm, 3), 1
    if algorithm == "depthwise":
        groups = 16
    size, filters = (rows, rows), 24 if groups == 1 else 16
    x, weight = generator.normal(size=(3, 16, 30, 30)), generator.normal(size=(filters, 16 // groups, *size))
    x[1, 3, 15, 15] = bad
    with np.errstate(invalid="ignore"):
        y = F.conv2d(x, weight, padding=size[0] // 2, groups=groups, algorithm=algorithm)
    spoilt = ~np.isfinite(y.numpy())
    seeing = np.zeros_like(spoilt)
    reach = size[0] // 2
    seeing[1, 3 if groups > 1 else slice(None), 15 - reach : 16 + reach, 15 - reach : 16 + reach] = True
    assert spoilt[seeing].all()
    assert not spoilt[[0, 2]].any()
    if algorithm in ("im2col", "depthwise") or algorithm.startswith(("direct", "implicit_gemm")):
        assert np.array_equal(spoilt, seeing)
        assert algorithm != "im2col" or spoilt.sum() == 216
    if algorithm == "winograd_4x4":
        assert spoilt.sum() == 600


def test_choices_by_the_clock_are_remembered_and_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Conv2d(20, 24, 3)
    x = np.random.default_rng(0).normal(size=(2, 20, 9, 8)).astype("float32")
    expected = model(x).data
    minidl.benchmark_algorithms(True)
    # The clock says that the last algorithm is fastest.
    by_algorithm.let_the_last_be_fastest(monkeypatch)
    y = model(x)
    assert [name for _, name in kernels.remembered_algorithms()] == [list(REGISTRY)[-1]]
    assert np.abs(y.data - expected).max() < 1e-5
    y.sum().backward()
    assert len(kernels.remembered_algorithms()) == 2
    before = kernels.remembered_algorithms()
    path = tmp_path / "run.safetensors"
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)
    save_checkpoint(path, model=model, optimizer=optimizer)
    minidl.benchmark_algorithms(False)
    assert kernels.remembered_algorithms() == []
    minidl.benchmark_algorithms(True)
    monkeypatch.setattr(autotune, "_seconds", lambda plan, arrays: pytest.fail("measured again"))
    load_checkpoint(path, model=model, optimizer=optimizer)
    assert kernels.remembered_algorithms() == before
    model(x).sum().backward()
    with pytest.raises(ArgumentError, match="benchmark_algorithms: enabled must be"):
        minidl.benchmark_algorithms(1)  # type: ignore[arg-type]


def test_damaged_choices_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Dense(2, 1)
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)
    path = tmp_path / "run.safetensors"
    monkeypatch.setattr("minidl.checkpoint.remembered_algorithms", lambda: [[3]])
    save_checkpoint(path, model=model, optimizer=optimizer)
    with pytest.raises(CheckpointError, match="the algorithms does not fit"):
        load_checkpoint(path, model=model, optimizer=optimizer)


def test_the_clock_measures_every_algorithm_that_applies() -> None:
    minidl.benchmark_algorithms(True)
    x, weight = minidl.ones(1, 18, 7, 7, requires_grad=True), minidl.ones(17, 18, 3, 3, requires_grad=True)
    F.conv2d(x, weight).sum().backward()
    assert {name for _, name in kernels.remembered_algorithms()} <= set(REGISTRY)
    assert [key[0] for key, _ in kernels.remembered_algorithms()] == ["forward", "input", "weight"]


def test_what_was_measured_is_for_one_convolution_on_so_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    minidl.benchmark_algorithms(True)
    by_algorithm.let_the_last_be_fastest(monkeypatch)
    before = minidl.get_num_threads()

    def number(dtype: str = "float32", groups: int = 1, **kwargs: int) -> int:
        """How many choices there are after one more convolution."""
        weight = minidl.ones(16, 16 // groups, 3, 3, dtype=dtype)
        F.conv2d(minidl.ones(2, 16, 9, 9, dtype=dtype), weight, groups=groups, **kwargs)
        return len(kernels.remembered_algorithms())

    try:
        minidl.set_num_threads(1)
        assert number() == 1
        assert number() == 1
        assert number("float64") == 2
        assert number(groups=16) == 3
        assert number(padding=1) == 4
        # Of the same sizes, but for the dilation.
        assert number(padding=1, stride=3) == 5
        assert number(padding=1, stride=3, dilation=2) == 6
        minidl.set_num_threads(2)
        assert number() == 7
    finally:
        minidl.set_num_threads(before)


@pytest.mark.parametrize("seed", range(40))
def test_every_algorithm_sees_what_a_transposed_convolution_s_windows_see(seed: int) -> None:
    """Which may be as many as pixels and lie elsewhere, or be fewer than fit."""
    rng = np.random.default_rng(seed)
    while True:
        size, kernel, stride, dilation, padding = (
            tuple(int(v) for v in rng.integers(low, high, 2)) for low, high in ((1, 9), (1, 6), (1, 4), (1, 4), (0, 3))
        )
        further = tuple(int(rng.integers(0, max(s, d))) for s, d in zip(stride, dilation, strict=True))
        if seed % 4 == 0:
            # As many outputs as inputs.
            kernel, stride, padding, further = (1, 1), (1, 1), (0, 1), (0, 2)
            dilation = (1, 3)
        try:
            window = transposed_window("test", size, kernel, stride, padding, further, dilation)
        except ShapeError:
            continue
        if min(window.input_size) > 0:
            break
    N, C, filters = (int(v) for v in rng.integers(1, 20, 3))
    x, weight = rng.normal(size=(N, C, *window.input_size)), rng.normal(size=(filters, C, *window.kernel_size))
    grad = rng.normal(size=(N, filters, *window.output_size))
    for function, arrays in (
        ("conv2d", (x, weight, None)), ("conv2d_input_gradient", (grad, weight)), ("conv2d_weight_gradient", (x, grad)),
    ):  # fmt: skip
        expected = getattr(reference, function)(*arrays, window, 1)
        for algorithm in kernels.ALGORITHMS[1:]:
            if kernels.refusal(algorithm, C, filters, 1, window, 8) is None:
                found = getattr(kernels, function)(*arrays, window, 1, algorithm)
                assert_close(found, expected, 1e-12, f"{function} {algorithm} {window}")
