"""The same works in two checkouts of minidl, in alternation: what a change has made slower or quicker.

    python benchmarks/before_after.py CHECKOUT [--parts 'layers|lenet'] [--only REGEX] [--rounds 5] [--seconds 0.05]

CHECKOUT has the package as it was before, with its kernels compiled in place; the scripts are this checkout's own, and
reach minidl through its public functions. Each work takes turns in two processes. Printed are the median times, the
ratio of after to before with the spread of the single turns' ratios, and for each part the geometric mean and what is
slower by more than 3 % and its spread. Exits with 1 if something is, or a mean is above 1.01.

Given this checkout itself, it shows what the machine's noise alone amounts to.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import lenet_inference
import lenet_step
import report
from harness import Worker, alternate, blas_settings, machine
from layer_shapes import DIRECTIONS, GRID

# Of a part's file: the cases by name, each with its arguments, and the works that a case has.
Cases = dict[str, dict[str, Any]]
PARTS: dict[str, tuple[Cases, tuple[str, ...]]] = {
    "lenet_step": ({f"batch {n}": {"batch_size": n} for n in lenet_step.BATCH_SIZES}, ("step",)),
    "lenet_inference": ({f"batch {n}": {"batch_size": n} for n in lenet_inference.BATCH_SIZES}, ("infer",)),
    "mlp_step": ({"batch 32": {"batch_size": 32}}, ("step",)),
    "layers": ({layer.name: {"layer": layer.name} for layer in GRID}, DIRECTIONS),
}
ROUNDS, SECONDS, THREADS = 7, 0.05, 2
# A work that is slower by more than this and its spread, and a mean, are failures.
SLOWER, MEAN = 1.03, 1.01


def compare(part: str, checkouts: tuple[Path, Path], options: argparse.Namespace) -> list[tuple[str, float, float]]:
    """Ratio, after to before, and its spread, of each work of a part; printed as they come."""
    cases, works = PARTS[part]
    environment = next(iter(blas_settings().values()))
    workers = [Worker(part, "minidl", THREADS, {**environment, "PYTHONPATH": str(path)}) for path in checkouts]
    found = []
    try:
        for name, arguments in cases.items():
            if not re.search(options.only, name):
                continue
            for worker in workers:
                worker.prepare(**arguments)
            for work in works:
                alternate(workers, work, options.rounds, options.seconds)
                before, after = (worker.timing() for worker in workers)
                ratios = [
                    report.statistics.median(b) / report.statistics.median(a)
                    for a, b in zip(before.turns, after.turns, strict=True)
                ]
                ratio, spread = report.statistics.median(ratios), report.spread_of(ratios)
                print(
                    f"{part}: {name}, {work}: {report.seconds(before.median)} to {report.seconds(after.median)}, "
                    f"{ratio:.3f} ±{report.percent(spread)}",
                    flush=True,
                )
                found.append((f"{part}: {name}, {work}", ratio, spread))
    finally:
        for worker in workers:
            worker.close()
    return found


def main() -> None:
    """Compare, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--parts", default="", metavar="REGEX", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--only", default="", metavar="REGEX", help="only the cases in whose names it is found")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options = parser.parse_args()
    print(f"{machine()}, {THREADS} threads")
    checkouts = options.checkout.resolve(), Path(__file__).resolve().parents[1]
    failed = False
    for part in PARTS:
        if not re.search(options.parts, part):
            continue
        found = compare(part, checkouts, options)
        if not found:
            continue
        mean = report.geometric_mean([ratio for _, ratio, _ in found])
        slower = [line for line, ratio, spread in found if ratio > SLOWER and ratio - 1 > spread]
        print(f"{part}: geometric mean {mean:.3f} of {len(found)}; slower: {', '.join(slower) or 'none'}\n", flush=True)
        failed |= mean > MEAN or bool(slower)
    sys.exit(failed)


if __name__ == "__main__":
    main()
