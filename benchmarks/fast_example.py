"""`examples/lenet.py --fast --no-plots` as a whole process, beside the same recipe as a program in PyTorch.

    python benchmarks/fast_example.py [--quick]

Seconds are from each process's start to the end of its last evaluation, as it says itself: imports and reading the
data are included.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import report
from cases import Options, main
from harness import FOLDER, Side, missing

TITLE = "examples/lenet.py --fast"
EXAMPLE = FOLDER.parent / "examples" / "lenet.py"
SEEDS = range(5)
SIDES: list[Side] = [("minidl", 2), ("torch", 1), ("torch", 2)]


@dataclass
class Runs:
    """What one side's processes said, one a seed."""

    library: str
    threads: int
    accuracies: list[float]
    seconds: list[float]


def example() -> Any:
    """The example's module."""
    spec = importlib.util.spec_from_file_location("lenet_example", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _run(side: Side, seed: int, data: Path, recipe: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
    library, threads = side
    with tempfile.TemporaryDirectory() as folder:
        metrics = Path(folder) / "metrics.jsonl"
        if library == "minidl":
            command = [str(EXAMPLE), "--fast", "--no-plots", "--data-dir", str(data), "--out", folder]
            command += ["--metrics", str(metrics), "--seed", str(seed), "--threads", str(threads)]
        else:
            command = [str(FOLDER / "fast_example_torch.py"), str(data), str(seed), str(threads), json.dumps(recipe)]
        done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no message")
        said = metrics.read_text() if library == "minidl" else done.stdout
    return json.loads(said.strip().splitlines()[-1])


def measure(options: Options, environment: dict[str, str]) -> list[Runs]:
    """All seeds, the sides in alternation; nothing where MNIST is not to be had."""
    from minidl.data import MNIST
    from minidl.errors import MinidlError

    try:
        data = MNIST().source
    except MinidlError as error:
        print(f"left out: {TITLE}: {str(error).splitlines()[0]}")
        return []
    recipe = asdict(example().FAST)
    runs = [Runs(*side, [], []) for side in SIDES if not missing(side[0])]
    for seed in SEEDS[:1] if options.quick else SEEDS:
        for side in runs:
            said = _run((side.library, side.threads), seed, data, recipe, environment)
            side.accuracies.append(said["test_accuracy"])
            side.seconds.append(said["elapsed"])
    return runs


def show(runs: list[Runs]) -> str:
    """A table of medians and ranges."""
    rows = [
        [
            f"{report.NAMES[side.library]}, {report.threads(side.threads)}",
            f"{statistics.median(side.accuracies):.2%} ({min(side.accuracies):.2%} to {max(side.accuracies):.2%})",
            f"{statistics.median(side.seconds):.2f} s ({min(side.seconds):.2f} to {max(side.seconds):.2f})",
        ]
        for side in runs
    ]
    return report.table(["", "test accuracy: median and range", "since process start: median and range"], rows)


if __name__ == "__main__":
    main(TITLE, measure, __doc__, show)
