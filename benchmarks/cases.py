"""What the scripts here share: their options, and measuring a table of cases."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import report
from harness import Bench, Side, blas_settings, machine, pinned_to_avx2


@dataclass
class Options:
    """What to measure and for how long."""

    only: str = ""
    rounds: int | None = None
    seconds: float | None = None
    quick: bool = False
    avx2: bool = False

    def wants(self, name: str) -> bool:
        """Whether a case was asked for."""
        return re.search(self.only, name) is not None

    def turns(self, rounds: int = 10, seconds: float = 0.15) -> tuple[int, float]:
        """How many turns each side has and how many seconds a turn takes, if the command line does not say."""
        return (2, 0.02) if self.quick else (self.rounds or rounds, self.seconds or seconds)


def parse(description: str | None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="REGEX", help="only the cases in whose names it is found")
    parser.add_argument("--rounds", type=int, help="turns of each process")
    parser.add_argument("--seconds", type=float, help="length of a turn")
    parser.add_argument("--quick", action="store_true", help="see that it works; the figures mean nothing")
    parser.add_argument("--avx2", action="store_true", help="only with OpenBLAS on its AVX2 core, on all sides")
    return Options(**vars(parser.parse_args()))


def measure_cases(
    file: str, work: str, sides: list[Side], cases: dict[str, Any], options: Options, environment: dict[str, str]
) -> list[report.Comparison]:
    """Time one case after the other, each in all libraries."""
    found = []
    with Bench(file, sides, environment) as bench:
        for name, arguments in cases.items():
            if options.wants(name):
                bench.prepare(**arguments)
                found.append(bench.compare(name, work, *options.turns()))
    return found


def versions(comparisons: list[report.Comparison]) -> str:
    """What each library says of itself."""
    facts = {side.library: side.facts for c in comparisons for side in (c.ours, *c.peers)}
    lines = []
    for library, known in facts.items():
        if "version" not in known:
            continue
        said = ", ".join(f"{key} {value}" for key, value in known.items() if key not in ("results", "version"))
        lines.append(f"- {report.NAMES[library]} {known['version']}{f' ({said})' if said else ''}")
    return "\n".join(lines)


def main(
    title: str,
    measure: Callable[[Options, dict[str, str]], Any],
    description: str | None,
    show: Callable[[Any], str] = report.by_library,
) -> None:
    """Measure with BLAS not pinned, and as found; print."""
    options = parse(description)
    print(machine())
    for setting, environment in (pinned_to_avx2() if options.avx2 else blas_settings()).items():
        found = measure(options, environment)
        print(f"\n{title}, {setting}\n\n{show(found)}", flush=True)
        if comparisons := [each for each in found if isinstance(each, report.Comparison)]:
            print(f"\n{versions(comparisons)}")
