"""Time the same work in several libraries, each in a process of its own, in alternation.

A case is a file beside this one with functions named after libraries. Each takes the number of threads and the case's
arguments, and returns what to time, `{name: function without arguments}`, with facts about it; a function that returns
a float has timed itself. The processes stay alive and take turns, so that a drift of the machine's speed meets all of
them, and only one computes at a time.

All processes run the same interpreter of one environment: the same NumPy under everything, and no difference but
the library that a process imports (minidl's import none of the peers).
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from report import NAMES, Comparison, Timing
from report import threads as count_threads

FOLDER = Path(__file__).parent
# What pins OpenBLAS to a processor core.
PINS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
# What a side needs besides minidl and NumPy.
PACKAGES = {
    "torch": ("torch",), "torch_compile": ("torch",), "after_torch": ("torch",), "jax": ("jax",),
    "onnxruntime": ("onnxruntime", "onnx"),
}  # fmt: skip
# Threads of the process before may still be spinning.
PAUSE = 0.01
# A peer that is so much slower than its other thread count in the first turn, best against best, needs no more turns.
HOPELESS = 1.5

Side = tuple[str, int]

# A line for each side that could not take part, and why.
left_out: list[str] = []


def missing(library: str) -> list[str]:
    """The packages of a library's side that are not installed."""
    return [package for package in PACKAGES.get(library, ()) if find_spec(package) is None]


class Worker:
    """A process that serves one library's side of a case."""

    def __init__(self, case: str, library: str, threads: int, environment: dict[str, str]) -> None:
        self.library, self.threads = library, threads
        self.facts: dict[str, Any] = {}
        self.turns: list[list[float]] = []
        self._process = subprocess.Popen(
            [sys.executable, __file__, case, library, str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=FOLDER,
        )  # fmt: skip

    def _ask(self, question: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process for {self.library} ended")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["answer"]

    def prepare(self, **arguments: Any) -> dict[str, Any]:
        """Set up the case with these arguments, in place of those before; returns its facts."""
        self.facts = self._ask({"prepare": arguments})
        return self.facts

    def run(self, work: str, seconds: float) -> list[float]:
        """Time the work again and again for about so long."""
        time.sleep(PAUSE)
        times = self._ask({"run": work, "seconds": seconds})
        self.turns.append(times)
        return times

    def timing(self) -> Timing:
        """What was timed since `turns` was last emptied; turns to come are not in it."""
        return Timing(self.library, self.threads, list(self.turns), self.facts)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


class Bench:
    """The processes of a case, one a side; the first side is ours. Peers that are missing or fail are left out."""

    def __init__(self, case: str, sides: list[Side], environment: dict[str, str]) -> None:
        self._case = case
        self._workers: list[Worker] = []
        for library, threads in sides:
            if packages := missing(library):
                self._leave_out(library, threads, f"not installed: {', '.join(packages)}")
            else:
                self._workers.append(Worker(case, library, threads, environment))
        self._ready: list[Worker] = []

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for worker in self._workers:
            worker.close()

    def _leave_out(self, library: str, threads: int, reason: str) -> None:
        line = f"left out: {NAMES.get(library, library)}, {count_threads(threads)}: {self._case}: {reason}"
        if line not in left_out:
            print(line, flush=True)
            left_out.append(line)

    def prepare(self, **arguments: Any) -> list[Worker]:
        """Set up the case on all sides; returns those that managed."""
        self._ready = []
        for worker in self._workers:
            try:
                worker.prepare(**arguments)
            except RuntimeError as error:
                if worker is self._workers[0]:
                    raise
                self._leave_out(worker.library, worker.threads, str(error))
            else:
                self._ready.append(worker)
        return self._ready

    def compare(
        self, name: str, work: str, rounds: int, seconds: float, drop: bool = False, **about: Any
    ) -> Comparison:
        """Let the sides take turns at a work; the first turn of each only warms up."""
        alternate(self._ready, work, rounds, seconds, drop)
        ours, *peers = [worker.timing() for worker in self._ready]
        return Comparison(name, ours, peers, disagreement(self._ready, work), **about)


def alternate(workers: list[Worker], work: str, rounds: int, seconds: float, drop: bool = False) -> None:
    """Let the workers take turns; the first turn of each only warms up.

    With `drop`, peers that are hopelessly slower than the best peer get no further turns after their first.
    """
    for worker in workers:
        worker.run(work, min(seconds, 0.1))
        worker.turns.clear()
    running = list(workers)
    for turn in range(rounds):
        for worker in running:
            worker.run(work, seconds)
        if turn == 0 and drop and len(workers) > 2:
            best = min(min(worker.turns[0]) for worker in workers[1:])
            running = [w for w in workers if w is workers[0] or min(w.turns[0]) < HOPELESS * best]


def disagreement(workers: list[Worker], work: str) -> str:
    """Which peers computed something else than we did, if their facts tell."""
    ours, *others = [worker.facts.get("results", {}).get(work) for worker in workers]
    if ours is None:
        return ""
    differ = [
        f"{worker.library} computed {theirs}, not {ours}"
        for worker, theirs in zip(workers[1:], others, strict=True)
        if theirs is not None and not abs(theirs - ours) <= 1e-3 * abs(ours)
    ]
    return "; ".join(differ)


def blas_settings() -> dict[str, dict[str, str]]:
    """The environments to measure in, by what they are called: BLAS not pinned and, where it is pinned, as found."""
    free = {key: value for key, value in _surroundings().items() if key not in PINS}
    found = [f"{pin}={os.environ[pin]}" for pin in PINS if pin in os.environ]
    return {"BLAS not pinned": free} | ({f"as found: {' '.join(found)}": _surroundings()} if found else {})


def pinned_to_avx2() -> dict[str, dict[str, str]]:
    """An environment in which OpenBLAS is told to take its AVX2 core, for all sides."""
    return {"OPENBLAS_CORETYPE=Haswell": {**_surroundings(), "OPENBLAS_CORETYPE": "Haswell"}}


def _surroundings() -> dict[str, str]:
    # The peers were compiled to bytecode when they were installed; a checkout is when it is first imported, if it may.
    return {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def machine() -> str:
    """The processor and its number of cores here."""
    name = "unknown processor"
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def _once(work: Callable[[], Any]) -> float:
    """Seconds of one call; the result is let go before the next one, as a training step lets go of what it computed."""
    start = time.perf_counter()
    answer = work()
    if isinstance(answer, float):
        return answer
    del answer
    return time.perf_counter() - start


def _time(work: Callable[[], Any], seconds: float) -> list[float]:
    start = time.perf_counter()
    first = _once(work)
    now = time.perf_counter()
    end = start + seconds
    # Other processes had the caches, so the first call is not counted unless it is most of the turn.
    times = [first] if now - start > seconds / 4 else []
    while not times or now < end:
        times.append(_once(work))
        now = time.perf_counter()
    return times


def _serve(case: str, library: str, threads: int) -> None:
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    side = getattr(importlib.import_module(case), library)
    works: dict[str, Callable[[], Any]] = {}
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if "prepare" in question:
                # The old arrays go before the new ones come.
                works = {}
                works, answer = side(threads=threads, **question["prepare"])
            else:
                answer = _time(works[question["run"]], question["seconds"])
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            print(json.dumps({"error": f"{type(error).__name__}: {lines[0][:200]}"}), file=answers, flush=True)
        else:
            print(json.dumps({"answer": answer}), file=answers, flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
