"""All benchmarks, one after the other (`make bench`): prints and writes results.md and results.png beside this file.

    python benchmarks/run.py [--parts 'lenet|layers'] [--quick] [--out DIR]

What is timed is timed with OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE removed and, where the environment has them, again
as found; where it has not, LeNet's step is timed again with OpenBLAS told to take its AVX2 core on all sides.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import cases
import chart
import fast_example
import harness
import layers
import lenet_inference
import lenet_step
import memory
import mlp_step
import report
import scaling

PARTS: dict[str, ModuleType] = {
    module.__name__: module for module in (lenet_step, lenet_inference, mlp_step, memory, layers, scaling, fast_example)
}
# What does not hang on BLAS's core is measured once.
ONCE = ("memory", "scaling", "fast_example")
NOTES = """\
Medians, with half the distance between the quartiles as spread (±). A ratio is the peer's median time over minidl's, so
more than 1 says that minidl is faster; its spread is that of the ratios of single turns. The processes of all
libraries stay alive and take turns; the first turn only warms up. minidl has 2 threads; a peer's figure is the better
of its 1-thread and 2-thread ones. float32, NCHW, through the public API, graph and layout conversions included.
"""


class Report:
    """What is printed and, as far as it has come, in the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parts: list[str] = []

    def add(self, text: str) -> None:
        """Print a piece and append it."""
        print(f"\n{text}", flush=True)
        self._parts.append(text)
        self._path.write_text("\n\n".join(self._parts) + "\n")


def show(name: str, found: Any, above: Any) -> str:
    """The tables of a part."""
    if name == "layers":
        return layers.show(found, above)
    module = PARTS[name]
    return module.show(found) if hasattr(module, "show") else report.by_library(found)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="", metavar="REGEX", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--only", default="", metavar="REGEX", help="only the cases in whose names it is found")
    parser.add_argument("--quick", action="store_true", help="see that it works; the figures mean nothing")
    parser.add_argument("--out", type=Path, default=harness.FOLDER, metavar="DIR")
    arguments = parser.parse_args()
    options = cases.Options(only=arguments.only, quick=arguments.quick)
    parts = [name for name in PARTS if re.search(arguments.parts, name)]
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = Report(arguments.out / "results.md")
    quick = "\n\n**Measured with --quick: the figures mean nothing.**" if options.quick else ""
    command = " ".join(["python benchmarks/run.py", *sys.argv[1:]])
    results.add(f"# Benchmarks\n\n{harness.machine()}, {datetime.date.today()}, `{command}`{quick}\n\n{NOTES}".strip())
    started = time.perf_counter()
    drawn: dict[str, Any] = {}
    above: Any = None
    failed: list[str] = []
    runs = [(setting, parts if at == 0 else [p for p in parts if p not in ONCE], environment)
            for at, (setting, environment) in enumerate(harness.blas_settings().items())]  # fmt: skip
    if len(runs) == 1 and "lenet_step" in parts:
        runs += [(f"{setting} on all sides", ["lenet_step"], env) for setting, env in harness.pinned_to_avx2().items()]
    for setting, names, environment in runs:
        for name in names:
            begun = time.perf_counter()
            module = PARTS[name]
            try:
                found = module.measure(options, environment)
            except Exception as error:
                failed.append(name)
                results.add(f"## {module.TITLE}, {setting}\n\nFAILED: {type(error).__name__}: {error}")
                continue
            if name == "memory":
                above = found
            if not found:
                continue
            drawn.setdefault(name, found)
            said = cases.versions([each for each in found if isinstance(each, report.Comparison)])
            how = f"`python benchmarks/{name}.py`, {time.perf_counter() - begun:.0f} s"
            tables = show(name, found, above)
            results.add("\n\n".join(filter(None, [f"## {module.TITLE}, {setting}", how, tables, said])))
    if "lenet_step" in drawn or "layers" in drawn:
        chart.draw(drawn.get("lenet_step", []), drawn.get("layers", []), arguments.out / "results.png")
        results.add("![LeNet's training step and the layers by family](results.png)")
    if harness.left_out:
        results.add("\n".join(f"- {line}" for line in harness.left_out))
    results.add(f"In all: {(time.perf_counter() - started) / 60:.1f} minutes.")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
