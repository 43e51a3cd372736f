"""Count what really runs: the trip of a convolution's call, and the files of a LeNet training step.

    python benchmarks/reading_path.py [--list] [--batch 64]

Of the first and the tenth call of an `nn.Conv2d`, and of the first and the tenth training step of LeNet-5 with Adam:
the functions of the package that are entered, how often, their files, and the time. Functions are watched by
`sys.setprofile`; times are medians of other layers and models of the same kind, of which nothing is watched. A first
call is one of a shape that has not been met before, in a process that has loaded the kernels.

Of the tenth step also: lines of code (of the functions that were entered, with the heads of their classes), and the
sources of the compiled kernels that the steps have loaded, with all that they include. `--list` names each file and
its functions.
"""

from __future__ import annotations

import argparse
import ast
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np

import minidl
from minidl import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from count_kernels import lines_of_code, python_code_lines

PACKAGE = Path(minidl.__file__).resolve().parent
# The tenth call is the tenth that a layer gets; new layers, of other shapes, are timed so often.
TENTH, REPEATS = 10, 9
_COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")


@dataclass
class Trip:
    """The Python functions of the package that a call entered, and how often each."""

    calls: Counter[CodeType] = field(default_factory=Counter)

    def watch(self, work: Callable[[], object]) -> Trip:
        """Run some work and note what it enters."""

        def note(frame: FrameType, event: str, _argument: object) -> None:
            code = frame.f_code
            if event == "call" and code.co_filename.startswith(f"{PACKAGE}/") and code.co_name not in _COMPREHENSIONS:
                self.calls[code] += 1

        sys.setprofile(note)
        try:
            work()
        finally:
            sys.setprofile(None)
        return self

    @property
    def files(self) -> dict[Path, list[CodeType]]:
        """The files that were entered, each with its functions from the top."""
        found: dict[Path, list[CodeType]] = {}
        for code in sorted(self.calls, key=lambda code: (code.co_filename, code.co_firstlineno)):
            found.setdefault(Path(code.co_filename), []).append(code)
        return found

    def row(self, name: str, seconds: float) -> str:
        """A row of the table: distinct functions, calls of them, their files, microseconds."""
        return f"| {name} | {len(self.calls)} | {self.calls.total()} | {len(self.files)} | {1e6 * seconds:.1f} |"


def timed(work: Callable[[], object]) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def repeatedly(makes: Iterator[Callable[[], object]]) -> list[tuple[str, Trip, float]]:
    """The trips of a first and of a tenth run of new work, and their times, as medians of further new work."""
    work = next(makes)
    trips = {"first": Trip().watch(work)}
    for _ in range(TENTH - 2):
        work()
    trips["tenth"] = Trip().watch(work)
    seconds: dict[str, list[float]] = {"first": [], "tenth": []}
    for _ in range(REPEATS):
        work = next(makes)
        times = [timed(work) for _ in range(TENTH)]
        seconds["first"].append(times[0])
        seconds["tenth"].append(times[-1])
    return [(name, trip, statistics.median(seconds[name])) for name, trip in trips.items()]


def convolutions() -> Iterator[Callable[[], object]]:
    """Calls of a layer each, whose shapes have not been met: images grow by a row from one to the next."""
    generator = np.random.default_rng(0)
    for rows in range(28, 1000):
        layer = nn.Conv2d(3, 6, 5, padding=2)
        images = minidl.Tensor(generator.normal(size=(8, 3, rows, 28)).astype(np.float32))
        yield lambda layer=layer, images=images: layer(images)  # type: ignore[misc]


def steps(batch: int) -> Iterator[Callable[[], object]]:
    """Training steps of a LeNet-5 each, with batches that have not been met."""
    for more in range(1000):
        minidl.manual_seed(0)
        yield step_of(batch + more)


def step_of(batch: int) -> Callable[[], object]:
    """A training step of a new LeNet-5 with Adam."""
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dense(400, 120), nn.ReLU(), nn.Dense(120, 84), nn.ReLU(), nn.Dense(84, 10),
    )  # fmt: skip
    optimizer, loss = minidl.optim.Adam(model.parameters()), nn.CrossEntropyLoss()
    images = minidl.Tensor(np.random.default_rng(0).normal(size=(batch, 1, 28, 28)).astype(np.float32))
    labels = minidl.Tensor(np.arange(batch) % 10)

    def step() -> None:
        optimizer.zero_grad()
        loss(model(images), labels).backward()
        optimizer.step()

    return step


def lines_entered(path: Path, codes: list[CodeType]) -> int:
    """Lines of code of the functions that were entered, whole, and of the heads of their classes."""
    source = path.read_text()
    starts = {code.co_firstlineno for code in codes}
    used: set[int] = set()
    classes = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            decorators = getattr(node, "decorator_list", [])
            first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
            if starts & {first, node.lineno}:
                used |= span(node, first)
        elif isinstance(node, ast.ClassDef):
            classes.append(node)
    for node in classes:
        if used & span(node):
            used |= set(range(node.lineno, node.body[0].lineno))
            for statement in node.body:
                if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    used |= span(statement)
    return len(used & python_code_lines(source))


def span(node: Any, first: int | None = None) -> set[int]:
    """The lines of a node."""
    return set(range(first or node.lineno, node.end_lineno + 1))


def kernel_sources() -> list[Path]:
    """The sources of the compiled modules that are loaded, and all of ours that these include, in turn."""
    names = {name.removeprefix("minidl._ext.") for name in sys.modules if name.startswith("minidl._ext.")}
    folder = PACKAGE / "_ext"
    kernels = {re.sub(r"_(float|double)_\w+$", "", name) for name in names}
    waiting = [path for path in folder.rglob("*.pyx") if path.stem in kernels]
    found: set[Path] = set()
    while waiting:
        path = waiting.pop().resolve()
        if path in found or not path.exists():
            continue
        found.add(path)
        text = path.read_text()
        waiting += [folder / f"{name}.pxd" for name in re.findall(r"from minidl\._ext\.(\w+) cimport", text)]
        included = re.findall(r'(?:#\s*include|cdef extern from)\s+"([^"]+)"', text)
        waiting += [base / name for name in included for base in (path.parent, folder)]
        waiting += [path.with_suffix(".pxd")] if path.suffix == ".pyx" else []
    return sorted(found)


def main(arguments: list[str] | None = None) -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="name each file of the tenth step and its functions")
    parser.add_argument("--batch", type=int, default=64, help="samples of a step")
    options = parser.parse_args(arguments)

    works = steps(options.batch)
    next(works)()
    step_trips = repeatedly(works)
    # Before anything else is computed, which would load other kernels.
    kernels = {path: lines_of_code(path) for path in kernel_sources()}
    works = convolutions()
    next(works)()
    for title, trips in (
        ("nn.Conv2d(3, 6, 5, padding=2), 8 images of 28 columns", repeatedly(works)),
        (f"LeNet-5 training step with Adam, batches of {options.batch} and more", step_trips),
    ):
        print(f"{title}\n\n| which | functions | calls | files | us |\n| --- | ---: | ---: | ---: | ---: |")
        print("\n".join(trip.row(name, seconds) for name, trip, seconds in trips), end="\n\n")
    trip = step_trips[-1][1]

    lines = {path: lines_entered(path, codes) for path, codes in trip.files.items()}
    print(f"Python of the tenth step: {len(trip.calls)} functions in {len(lines)} files, {sum(lines.values())} lines")
    print(f"kernels that LeNet loads: {len(kernels)} files, {sum(kernels.values())} lines, whole")
    if options.list:
        for path, codes in trip.files.items():
            print(f"\n{path.relative_to(PACKAGE)}: {lines[path]} lines")
            for code in codes:
                print(f"    {code.co_qualname} ({trip.calls[code]})")
        print("\nkernels")
        for path, number in kernels.items():
            print(f"    {path.relative_to(PACKAGE)}: {number} lines")


if __name__ == "__main__":
    main()
