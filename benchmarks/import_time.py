"""How long `import minidl` takes, by the package whose modules are imported.

    python benchmarks/import_time.py --runs 20

Each run is a process of its own under `-X importtime`, whose bookkeeping is in the figures; of each package the median
is printed. NumPy, SciPy and what they import would be there without minidl; the rest is minidl's.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from collections import Counter
from statistics import median

# What minidl imports of them, before it, so that what they import themselves is theirs.
PEERS = "import numpy, scipy.linalg.blas, scipy.linalg.cython_blas, scipy.special"


def imports(program: str) -> dict[str, int]:
    """Microseconds of each module's own code, without what it imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program], capture_output=True, text=True, check=True
    )
    rows = (line.removeprefix("import time:").split("|") for line in done.stderr.splitlines() if "|" in line)
    return {row[2].strip(): int(row[0]) for row in rows if row[0].strip().isdigit()}


def processor_ms(program: str, runs: int) -> float:
    """The least processor time of a process, which other processes disturb less than the time on the clock."""
    times = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", program], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return min(times) * 1000


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--modules", type=int, default=0, help="also print so many of the slowest modules")
    options = parser.parse_args()
    totals: dict[str, list[int]] = {}
    slowest: Counter[str] = Counter()
    for _ in range(options.runs):
        found = imports(f"{PEERS}; import site, minidl")
        theirs = imports(PEERS).keys()
        packages: Counter[str] = Counter()
        for module, time in found.items():
            package = module.partition(".")[0]
            packages["NumPy, SciPy and before" if module in theirs else package] += time
            if module not in theirs:
                slowest[module] += time
        for package, time in packages.items():
            totals.setdefault(package, []).append(time)
    figures = {package: median(times) / 1000 for package, times in totals.items()}
    theirs_ms = figures.pop("NumPy, SciPy and before")
    print(f"{theirs_ms:7.1f} ms  NumPy, SciPy and before")
    print(f"{sum(figures.values()):7.1f} ms  beyond them, of which")
    for package, time in sorted(figures.items(), key=lambda item: -item[1]):
        if time >= 0.2:
            print(f"{time:11.1f} ms  {package}")
    before, after = (processor_ms(program, options.runs) for program in (PEERS, f"{PEERS}; import minidl"))
    print(f"{after - before:7.1f} ms  of processor time beyond theirs ({before:.1f} ms), the least of all runs")
    for module, time in slowest.most_common(options.modules):
        print(f"{time / options.runs / 1000:11.2f} ms  {module}")


if __name__ == "__main__":
    main()
