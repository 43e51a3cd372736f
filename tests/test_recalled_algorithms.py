"""Algorithms that a checkpoint names: each passes what a user's own choice passes, for what it is used with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from by_algorithm import problem_of

import minidl
import minidl.functional as F
from minidl import _ext, kernels
from minidl.checkpoint import load_checkpoint, save_checkpoint
from minidl.errors import ArgumentError, CheckpointError
from minidl.geometry import sliding_window, transposed_window
from minidl.kernels.conv import autotune

THREADS = minidl.get_num_threads()


@pytest.fixture(autouse=True)
def measuring() -> Iterator[None]:
    before = minidl.get_num_threads()
    # The keys below were made for these.
    minidl.set_num_threads(THREADS)
    minidl.benchmark_algorithms(True)
    yield
    minidl.benchmark_algorithms(False)
    minidl.set_num_threads(before)


def key(direction: str, x: tuple[int, ...], weight: tuple[int, ...], window: Any, groups: int = 1) -> list[Any]:
    return [
        direction, x[0], x[1], weight[0], groups, *window.input_size, *window.kernel_size, *window.stride,
        *window.padding, *window.dilation, *window.output_size, 4, _ext.instruction_set, THREADS,
        "default",
    ]  # fmt: skip


# Convolutions of each of which some algorithms can't compute.
CONVOLUTIONS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 16, 5, 6), (17, 16, 1, 1), {}),
    ((1, 3, 9, 9), (4, 3, 3, 3), {"stride": (1, 2)}),
    ((2, 4, 9, 8), (6, 2, 3, 3), {"groups": 2}),
    ((2, 4, 9, 8), (4, 1, 3, 3), {"groups": 4}),
    ((3, 2, 11, 11), (5, 2, 3, 5), {"dilation": 2}),
    ((2, 1, 3, 40), (2, 1, 1, 33), {}),
    ((17, 1, 8, 8), (3, 1, 5, 5), {"padding": 2}),
]


@pytest.mark.parametrize("name", [*kernels.ALGORITHMS, "nonsense", ""])
def test_a_hostile_checkpoint_of_each_algorithm(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is named for convolutions that it can and can't compute; "winograd_4x4" for 1 x 1 corrupted the heap."""
    entries, expected = [], {}
    for x, weight, options in CONVOLUTIONS:
        groups = options.get("groups", 1)
        window = sliding_window("test", x[2:], weight[2:], **{k: v for k, v in options.items() if k != "groups"})
        for direction in ("forward", "input", "weight"):
            entries.append([key(direction, x, weight, window, groups), name])
            problem = problem_of(direction, x[0], x[1], weight[0], window, groups=groups)
            applies = name in kernels.ALGORITHMS[1:] and any(
                entry.why_unsupported(problem) is None for entry in kernels.entries(name)
            )
            expected[tuple(entries[-1][0])] = applies
    path, p = tmp_path / "run", minidl.nn.Parameter([1.0])
    monkeypatch.setattr("minidl.checkpoint.remembered_algorithms", lambda: entries)
    save_checkpoint(path, optimizer=minidl.optim.SGD([p]))
    load_checkpoint(path, optimizer=minidl.optim.SGD([p]))
    taken = {tuple(k): chosen for k, chosen in kernels.remembered_algorithms()}
    assert taken == {k: name for k, applies in expected.items() if applies}
    # What runs is what applies, whatever was recalled: also if all of it had been.
    autotune._Timing.recalled = {tuple(k): chosen for k, chosen in entries}
    random = np.random.default_rng(0)
    for x, weight, options in CONVOLUTIONS:
        minidl.benchmark_algorithms(True)
        a = minidl.Tensor(random.normal(size=x).astype(np.float32), requires_grad=True)
        b = minidl.Tensor(random.normal(size=weight).astype(np.float32), requires_grad=True)
        y = F.conv2d(a, b, **options)
        y.sum().backward()
        exact = F.conv2d(a.detach(), b.detach(), algorithm="im2col", **options)
        assert np.abs(y.data - exact.data).max() < 1e-3
    for k, chosen in autotune._Timing.found.items():
        assert chosen in kernels.ALGORITHMS[1:] and (chosen != name or expected.get(k, True))


def test_what_was_recalled_is_judged_by_what_it_is_used_with() -> None:
    """Without a kernel, since with a wrong choice it would crash."""
    window = sliding_window("test", (6, 6), (1, 1))
    autotune._Timing.recalled[tuple(key("forward", (1, 4, 6, 6), (4, 4, 1, 1), window))] = "winograd_4x4"
    tried: list[str] = []

    def plan_for(problem: kernels.ConvProblem, name: str) -> Any:
        tried.append(name)
        return lambda *arrays: None

    problem = problem_of("forward", 1, 4, 4, window)
    autotune.measured_plan(problem, plan_for)()
    assert tried and all(kernels.REGISTRY[name].why_unsupported(problem) is None for name in tried)
    assert autotune._Timing.recalled == {}


def test_a_choice_that_is_less_exact_than_asked_for_is_not_taken() -> None:
    window = sliding_window("test", (12, 12), (3, 3), padding=1)
    x, weight = np.ones((2, 4, 12, 12), np.float32), np.ones((4, 4, 3, 3), np.float32)
    at = tuple(key("input", x.shape, weight.shape, window))
    kernels.recall_algorithms([[list(at), "winograd_4x4"]])
    kernels.conv2d_input_gradient(np.ones((2, 4, 12, 12), np.float32), weight, window, 1)
    assert autotune._Timing.found[at] != "winograd_4x4"


GOOD = key("forward", (2, 3, 9, 8), (4, 3, 3, 3), sliding_window("test", (9, 8), (3, 3)))


WRONG_PARTS = [
    [[[*GOOD[:at], value, *GOOD[at + 1 :]], "im2col"]]
    for at, part in enumerate(GOOD)
    for value in (-1, 1.0, True, None, "3", [1], {})
    if value == -1 or type(value) is not type(part)
]


@pytest.mark.parametrize("entries", [
    3, None, "ab", {"a": 1}, [3], [[]], [["a", "im2col"]], [[GOOD]], [[GOOD, "im2col", 1]], [[GOOD, 3]], [[GOOD, None]],
    [[GOOD, ["im2col"]]], [[GOOD[:-2], "im2col"]], [[[*GOOD, 1], "im2col"]], [[{"a": 1}, "im2col"]], [[None, "im2col"]],
    *WRONG_PARTS,
])  # fmt: skip
def test_malformed_entries_are_refused_and_nothing_is_taken(entries: Any, tmp_path: Path) -> None:
    both = [[GOOD, "im2col"], *entries] if isinstance(entries, list) else entries
    with pytest.raises(ArgumentError, match=r"^recall_algorithms: entries(\[1\])? must be"):
        kernels.recall_algorithms(both)
    assert kernels.remembered_algorithms() == []


@pytest.mark.parametrize(("at", "value"), [
    (0, "backward"), (0, ""), (1, 0), (2, 0), (3, 0), (4, 0), (4, 2), (5, 0), (5, 2), (7, 0), (7, 12), (9, 0),
    (13, 2**62), (15, 0), (15, 2**63), (17, 8), (17, 10**30), (19, 0), (19, 2), (19, 16), (22, "slow"),
])  # fmt: skip
def test_entries_of_no_convolution_are_forgotten(at: int, value: Any) -> None:
    kernels.recall_algorithms([[[*GOOD[:at], value, *GOOD[at + 1 :]], "im2col"], [GOOD, "direct"]])
    assert kernels.remembered_algorithms() == [[GOOD, "direct"]]


def test_what_a_transposed_convolution_measured_is_recalled() -> None:
    x, weight = np.ones((2, 3, 4, 5), np.float32), np.ones((3, 4, 3, 3), np.float32)
    window = transposed_window("test", (4, 5), (3, 3), stride=2, dilation=4, output_padding=3)
    assert window.output_size == (4, 5)
    kernels.conv2d_input_gradient(x, weight, window, 1)
    before = kernels.remembered_algorithms()
    minidl.benchmark_algorithms(False)
    kernels.recall_algorithms(before)
    assert kernels.remembered_algorithms() == before != []


def test_entries_from_before_there_was_a_precision_are_taken_for_that_which_is_set() -> None:
    try:
        minidl.set_precision("fast")
        kernels.recall_algorithms([[GOOD[:-1], "im2col"]])
    finally:
        minidl.set_precision("default")
    assert kernels.remembered_algorithms() == [[[*GOOD[:-1], "fast"], "im2col"]]


def test_what_is_recalled_takes_the_place_of_what_was_measured(tmp_path: Path) -> None:
    kernels.recall_algorithms([[GOOD, "im2col"]])
    x, weight = np.ones((2, 3, 9, 8), np.float32), np.ones((4, 3, 3, 3), np.float32)
    window = sliding_window("test", (9, 8), (3, 3))
    kernels.conv2d(x, weight, None, window, 1)
    assert kernels.remembered_algorithms() == [[GOOD, "im2col"]]
    kernels.recall_algorithms([[GOOD, "direct"]])
    assert kernels.remembered_algorithms() == [[GOOD, "direct"]]
    kernels.conv2d(x, weight, None, window, 1)
    assert kernels.remembered_algorithms() == [[GOOD, "direct"]]


def test_a_file_with_malformed_algorithms_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    p = minidl.nn.Parameter([1.0])
    monkeypatch.setattr("minidl.checkpoint.remembered_algorithms", lambda: [[GOOD, "im2col"], [GOOD, -1]])
    save_checkpoint(tmp_path / "run", optimizer=minidl.optim.SGD([p], lr=0.5))
    optimizer = minidl.optim.SGD([p], lr=0.25)
    with pytest.raises(
        CheckpointError, match=r"run: the algorithms does not fit: .*entries\[1\] must be \[\[direction"
    ):
        load_checkpoint(tmp_path / "run", optimizer=optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.25 and kernels.remembered_algorithms() == []
