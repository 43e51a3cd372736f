"""Time the same work in several libraries, each in a process of its own, in alternation.

A case is a file beside this one with functions named after libraries; each takes keyword arguments and returns a
function without arguments, the work to be timed. The processes stay alive and take turns, so that a drift of the
machine's speed meets all of them, and only one computes at a time.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PINS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def environment(pinned: bool) -> dict[str, str]:
    """This process's environment, with what pins OpenBLAS to a core as it is found or removed."""
    return {key: value for key, value in os.environ.items() if pinned or key not in PINS}


class Worker:
    """A process that has set up one library's side of a case."""

    def __init__(self, case: str, library: str, pinned: bool, **arguments: Any) -> None:
        self.library = library
        command = [sys.executable, __file__, case, library, json.dumps(arguments)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(pinned)
        )
        self.facts: dict[str, Any] = self._answer()
        self.times: list[float] = []

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process for {self.library} ended")
        return json.loads(line)

    def run(self, seconds: float) -> None:
        """Time the work again and again for about so long."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        self.times += self._answer()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    @property
    def median(self) -> float:
        """Of all times so far, in seconds."""
        return statistics.median(self.times)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, over the median."""
        low, _, high = statistics.quantiles(self.times, n=4)
        return (high - low) / 2 / self.median


def alternate(workers: list[Worker], rounds: int = 10, seconds: float = 0.4) -> None:
    """Let the workers take turns; the first turn of each only warms up."""
    for turn in range(rounds + 1):
        for worker in workers:
            worker.run(seconds)
            if turn == 0:
                worker.times.clear()


def machine() -> str:
    """The processor and its number of cores here."""
    name = "unknown processor"
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def _serve(case: str, library: str, arguments: dict[str, Any]) -> None:
    path = Path(__file__).parent / f"{case}.py"
    spec = importlib.util.spec_from_file_location(case, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    work, facts = getattr(module, library)(**arguments)
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        times = []
        end = time.perf_counter() + float(line)
        while True:
            start = time.perf_counter()
            work()
            now = time.perf_counter()
            times.append(now - start)
            if now > end:
                break
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
