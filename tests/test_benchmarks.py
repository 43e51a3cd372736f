"""The benchmarks measure what they say: shapes of the grid, our side of every case, ratios, tables and the chart."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl
from minidl.geometry import sliding_window

FOLDER = Path(__file__).parents[1] / "benchmarks"
# A program, which is run as one and needs PyTorch.
PROGRAMS = ("fast_example_torch",)
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in PROGRAMS)

sys.path.insert(0, str(FOLDER))

import harness  # noqa: E402
import layers  # noqa: E402
import report  # noqa: E402
from layer_shapes import DIRECTIONS, FAMILIES, GRID  # noqa: E402


@pytest.fixture(autouse=True)
def settings_as_before() -> Iterator[None]:
    """A benchmark's process sets threads and recording for good."""
    threads = minidl.get_num_threads()
    with minidl.enable_grad():
        yield
    minidl.set_num_threads(threads)


def timing(library: str, *medians: float, threads: int = 1) -> report.Timing:
    return report.Timing(library, threads, [[median * 0.9, median, median * 1.1] for median in medians])


def made_up() -> list[report.Comparison]:
    ours, peer = timing("minidl", 1e-3, 1.2e-3, 1.1e-3, threads=2), timing("torch", 2e-3, 2.4e-3, 2.2e-3)
    return [
        report.Comparison(layer.name, ours, [peer, timing("torch", 1e-6)], "", layer.family, direction)
        for layer in GRID[:6]
        for direction in DIRECTIONS
    ]


@pytest.mark.parametrize("name", MODULES)
def test_every_file_imports_without_the_peers(name: str) -> None:
    module = importlib.import_module(name)
    for library, _ in getattr(module, "SIDES", ()):
        assert name == "fast_example" or callable(getattr(module, library))


def test_the_grid_has_every_family_and_valid_shapes() -> None:
    assert {layer.family for layer in GRID} == set(FAMILIES)
    assert len({layer.name for layer in GRID}) == len(GRID)
    for layer in GRID:
        window = sliding_window("conv2d", layer.image, layer.kernel, layer.stride, layer.padding)
        assert layer.channels % layer.groups == layer.filters % layer.groups == 0
        assert tuple(window.output_size) == layer.output
    sizes = [int(np.prod(shape)) for layer in GRID for shape in layer.shapes.values()]
    assert not any(size % layers.BLOCK == 0 for size in sizes)


@pytest.mark.parametrize("name", ["001", "odd 1x3x13x29 -> 16", "odd 3x5x64x64"])
def test_a_layer_has_the_shapes_and_flops_that_it_says(name: str) -> None:
    layer = next(layer for layer in GRID if layer.name.startswith(name))
    works, facts = layers.minidl(1, layer.name)
    output = works["forward"]()
    assert output.shape == layer.shapes["output"]
    assert works["input gradient"]().shape == layer.shapes["input"]
    assert works["weight gradient"]().shape == layer.shapes["weight"]
    assert layer.flops == 2 * output.data.size * np.prod(layer.shapes["weight"][1:])
    assert set(facts["results"]) == set(DIRECTIONS) == set(works)


def test_checkers_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    comparison = importlib.import_module("gradcheck_comparison")
    cases = ["dense weight transposed", "element of 1e minus 9", "upstream modified", "relu at 0", "log of expm1"]
    assert comparison.main(["--seeds", "2", "--markdown", "--only", *cases]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^\| dense weight transposed \| 2/2 \| .* \| 2/2 \| .* \| 2/2 \|$", text, re.MULTILINE)
    assert re.search(r"^\| element of 1e minus 9 \| 0/2 \|  \| 2/2 \|", text, re.MULTILINE)
    assert "minidl : caught 6 of 6, missed 0 (0 of 3 cases); false alarms 0 of 6 (0 of 3 cases)" in text
    assert "kind of mistake named in 6 of 6; hint right in 2 of 2" in text


def test_missed_gradients_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    misses = importlib.import_module("gradcheck_misses")
    misses.SINE = ((1e-9, 1), (1e-2, 1))
    misses.LENET = (1e-2,)
    assert misses.main(["--errors", "5", "--seeds", "1", "--parameters", "classifier.4.bias"]) == 0
    text = capsys.readouterr().out
    assert "| 1e-09 | 1 | 1.000 | 1.000 |" in text
    assert "| 1e-02 | 1 | 0.000 | 0.000 |" in text
    assert "right gradients: 0 alarms at 1 seeds" in text
    assert "| classifier.4.bias | 1 of 1 |" in text
    misses.LENET = (1e-12,)
    assert misses.main(["--parts", "lenet", "--seeds", "1", "--parameters", "classifier.4.bias"]) == 1
    assert "| classifier.4.bias | 0 of 1 |" in capsys.readouterr().out


def test_a_checker_that_is_mistaken_or_breaks_down_is_counted() -> None:
    comparison = importlib.import_module("gradcheck_comparison")
    wrong, right = comparison.WRONG[:2], comparison.RIGHT[:2]

    def crash(made: Any) -> Any:
        raise ZeroDivisionError("1 / 0")

    for checker, missed, alarms in ((crash, 0, 3), (lambda made: comparison.Answer(False), 3, 0)):
        assert [tally.mistaken for tally in comparison.run(wrong, checker, 3)] == [missed] * 2
        found = comparison.run(right, checker, 3)
        assert [tally.mistaken for tally in found] == [alarms] * 2
        assert found[0].said == ("CRASH ZeroDivisionError: 1 / 0" if checker is crash else "")


def test_random_functions_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    program = importlib.import_module("gradcheck_random")
    assert program.main(["--count", "8", "--first", "16", "--wrong", "1"]) == 0
    text = capsys.readouterr().out
    (row,) = re.findall(r"^all +(.*)$", text, re.MULTILINE)
    functions, alarms, planted, decidable, caught, told, missed, _ = map(int, row.split())
    assert (functions, alarms, planted, missed) == (8, 0, 8, 0)
    assert decidable == caught + told >= 3
    tensors = importlib.import_module("gradcheck_random_tensors")
    assert tensors.main(["--count", "2", "--first", "1030"]) == 0
    assert "order 2, random: 0 alarms of 2" in capsys.readouterr().out


def test_mistakes_of_a_checker_are_counted_by_the_random_functions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = importlib.import_module("gradcheck_random")
    for says, column in ((True, 6), (False, 1)):
        report = type("Report", (), {"__bool__": lambda self, says=says: says, "inputs": []})()
        monkeypatch.setattr(program, "check", lambda *args, report=report: report)
        monkeypatch.setattr(program, "was_told", lambda *args: False)
        assert program.main(["--count", "6", "--first", "16", "--wrong", "1"]) == 1
        (row,) = re.findall(r"^all +(.*)$", capsys.readouterr().out, re.MULTILINE)
        assert int(row.split()[column]) >= 2


@pytest.mark.parametrize("seed", [15, 100268, 100336, 100374, 100645, 200087, 200754, 200881, 200898])
def test_right_gradients_of_random_functions_that_were_called_wrong(seed: int) -> None:
    """Rounding in backward passes, kinks of elements of unlike scales, and float32 inside."""
    functions = importlib.import_module("random_functions")
    random, made = np.random.default_rng([seed, 20]), None
    with np.errstate(all="ignore"):
        while made is None or not functions.is_exact(made[0]):
            made = functions.make(random)
    function, _ = made
    assert minidl.testing.check_vjp(function.forward, function.backward, function.arrays)


def test_lenet_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    lenet = importlib.import_module("gradcheck_lenet")
    lenet.main(["--batch", "1", "--data", "normal", "--modes", "random", "--rounds", "1", "--threads", "1"])
    text = capsys.readouterr().out
    assert text.startswith("LeNet-5, 61,706 parameters, 1 images") and "minidl, random" in text
    assert text.count("all agree") == 1 + (importlib.util.find_spec("torch") is not None)


@pytest.mark.parametrize("case", ["lenet_step", "mlp_step", "lenet_inference"])
def test_our_side_computes_something_finite(case: str) -> None:
    works, facts = importlib.import_module(case).minidl(1, 2)
    assert set(works) == set(facts["results"])
    assert all(np.isfinite(result) for result in facts["results"].values())


def test_processes_take_turns_and_what_is_missing_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(harness, "left_out", [])
    monkeypatch.setitem(harness.PACKAGES, "torch", ("no_such_package",))
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent))
    with harness.Bench("mlp_step", [("minidl", 1), ("torch", 1)], dict(os.environ)) as bench:
        (worker,) = bench.prepare(batch_size=4)
        comparison = bench.compare("batch 4", "step", 2, 0.01)
        with pytest.raises(RuntimeError, match="KeyError: 'no such work'"):
            worker.run("no such work", 0.01)
    assert "left out: PyTorch, 1 thread: mlp_step: not installed: no_such_package" in capsys.readouterr().out
    assert len(comparison.ours.turns) == 2 and min(comparison.ours.times) > 0
    assert comparison.best is None and comparison.ratio != comparison.ratio


class FakeWorker:
    """A side whose every call takes as long."""

    def __init__(self, time: float) -> None:
        self.time, self.turns = time, []  # type: ignore[var-annotated]

    def run(self, _work: str, _seconds: float) -> None:
        self.turns.append([self.time])


def test_a_hopeless_peer_gets_one_turn() -> None:
    workers: list[Any] = [FakeWorker(time) for time in (9.0, 1.0, 2.0, 1.4)]
    harness.alternate(workers, "work", 3, 0.0, drop=True)
    assert [len(worker.turns) for worker in workers] == [3, 3, 1, 3]


def test_ratios_come_from_medians_and_their_spread_from_turns() -> None:
    comparison = made_up()[0]
    assert comparison.best is not None and len(comparison.best.turns) == 3
    assert comparison.ratio == pytest.approx(2)
    assert comparison.spread == pytest.approx(0)
    assert not comparison.is_slower
    slow = report.Comparison("slow", timing("minidl", 1.0, 1.0, 1.0), [timing("torch", 0.5, 0.8, 0.9)])
    assert slow.ratio == pytest.approx(0.8, rel=0.1) and slow.spread == pytest.approx(0.25)
    assert not slow.is_slower
    slow.ours = timing("minidl", 2.0, 2.0, 2.0)
    assert slow.is_slower
    assert report.geometric_mean([1, 4, float("nan")]) == pytest.approx(2)


def test_peers_that_compute_something_else_are_named() -> None:
    workers: list[Any] = [FakeWorker(1.0) for _ in range(3)]
    for worker, result in zip(workers, (1.0, 1.0001, 1.5), strict=True):
        worker.facts, worker.library = {"results": {"step": result}}, f"library {result}"
    assert harness.disagreement(workers, "step") == "library 1.5 computed 1.5, not 1.0"


def test_tables_are_markdown() -> None:
    found = made_up()
    memory = {found[0].name: {"minidl": 2_500_000.0, "torch": 208_000_000.0}}
    text = layers.show(found, memory)
    assert "| few channels" in text and "2.5 / 208.0" in text and "1.10 ms, 2.20 ms, 2.00 ±0%" in text
    lines = report.by_library(found[:1]).splitlines()
    assert len({len(line) for line in lines}) == 1 and "2.00 ±0% (PyTorch)" in lines[2]
    assert report.slower(found) == "None."
    assert [report.seconds(value) for value in (2.0, 0.0123, 4.56e-4, 1e-7)] == [
        "2.00 s",
        "12.3 ms",
        "456 us",
        "0.10 us",
    ]


def test_the_chart_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    chart = importlib.import_module("chart")
    chart.draw(made_up()[:2], made_up(), tmp_path / "chart.png")
    assert (tmp_path / "chart.png").stat().st_size > 10_000


def test_digests_tell_other_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digests = importlib.import_module("digests")
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    digests.write(before, "LeNet, batch 5$", [1, 2])
    known = json.loads(before.read_text())
    assert known
    assert all(name.endswith(": LeNet, batch 5") and set(found) == {"1", "2"} for name, found in known.items())
    after.write_text(before.read_text())
    assert digests.compare(before, after) == 0
    name = next(iter(known))
    after.write_text(json.dumps(known | {name: {"1": "0", "2": "0"}, "new": {"1": "1", "2": "2"}}))
    assert digests.compare(before, after) == 2
    text = capsys.readouterr().out
    assert f"{name}: other bits" in text
    assert "new: threads differ" in text


@pytest.mark.parametrize("kind", ["layer", "row", "network"])
def test_digests_are_those_of_results(kind: str) -> None:
    digests = importlib.import_module("digests")
    works = {
        "layer": lambda: digests._layer_works(GRID[1]), "row": digests._row_works, "network": digests._network_works,
    }[kind]()  # fmt: skip
    name, work = next(iter(works))
    first, again = digests.digest(*work()), digests.digest(*work())
    assert name
    assert first == again != digests.digest(*[np.asarray(array) + 1 for array in work()])


def test_before_and_after_are_compared(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before_after = importlib.import_module("before_after")
    command = [str(FOLDER.parent), "--parts", "mlp", "--rounds", "2", "--seconds", "0.01"]
    monkeypatch.setattr(sys, "argv", ["before_after.py", *command])
    with pytest.raises(SystemExit):
        before_after.main()
    text = capsys.readouterr().out
    assert re.search(r"^mlp_step: batch 32, step: .* to .*, \d\.\d+ ±", text, re.MULTILINE)
    assert re.search(r"^mlp_step: geometric mean \d\.\d+ of 1; slower: ", text, re.MULTILINE)


def test_the_reading_path_counts_what_was_entered(capsys: pytest.CaptureFixture[str]) -> None:
    path = importlib.import_module("reading_path")
    trip = path.Trip().watch(lambda: [minidl.get_num_threads() for _ in range(3)])
    (code,) = [code for code in trip.calls if code.co_name == "get_num_threads"]
    assert trip.calls[code] == 3
    source = Path(code.co_filename)
    first = source.read_text().splitlines().index("def get_num_threads() -> int:")
    # Its body is one statement below a docstring, or a few: whatever it is, its head is among the lines.
    assert code.co_firstlineno == first + 1
    assert 2 <= path.lines_entered(source, [code]) < 20
    path.main(["--batch", "2", "--list"])
    text = capsys.readouterr().out
    first, tenth = [int(n) for n in re.findall(r"^\| (?:first|tenth) \| (\d+) ", text, re.MULTILINE)[:2]]
    assert first > tenth > 5
    assert "Op.__call__ (" in text
    assert "_ext/stack.pyx: " in text
