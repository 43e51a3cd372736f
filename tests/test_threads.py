"""Kernels' threads: teams of any size, several callers at once, forks, signals, the end of a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import test_runtime
from bits import bits
from test_runtime import run

import minidl
import minidl.functional as F
from minidl import _ext, kernels, runtime

pool_only = pytest.mark.skipif(kernels.threads_by() != "minidl's pool", reason="the compiler's threads")
THREADS = (2, 3, 8, 1, 5, 16)


def relu(threads: int, size: int = 1000) -> bool:
    """A region without a barrier, and whether all its slots were run."""
    x = np.arange(size, dtype=np.float32) - size // 2
    y = np.full_like(x, np.nan)
    _ext.elementwise[4].value(0, x, 0, 0, y, threads)
    return np.array_equal(y, np.maximum(x, 0))


def barriers() -> str:
    """The digest of what the regions that have barriers give: Winograd, both kinds, and dense layers backward."""
    generator = np.random.default_rng(0)
    x = minidl.Tensor(generator.standard_normal((2, 20, 18, 17)).astype(np.float32), requires_grad=True)
    w = minidl.Tensor(generator.standard_normal((24, 20, 3, 3)).astype(np.float32), requires_grad=True)
    F.conv2d(x, w, algorithm="winograd").pow(2).sum().backward()
    model = minidl.nn.Sequential(minidl.nn.Dense(30, 90), minidl.nn.Tanh(), minidl.nn.Dense(90, 10))
    # Not by minidl's own generator, which all Python threads share.
    for parameter in model.parameters():
        parameter.data[...] = generator.standard_normal(parameter.shape)
    model(minidl.Tensor(generator.standard_normal((250, 30)).astype(np.float32))).pow(2).sum().backward()
    return bits(*[t.grad for t in (x, w, *model.parameters())])


def run_in(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class TestTeams:
    def test_sizes_that_change(self) -> None:
        assert all(relu(threads, size) for _ in range(500) for threads in THREADS for size in (1, 1000))

    def test_after_threads_have_fallen_asleep(self) -> None:
        for _ in range(20):
            assert relu(4)
            time.sleep(0.005)

    def test_barriers(self, threads_everywhere: None) -> None:
        minidl.set_num_threads(1)
        expected = barriers()
        for _ in range(20):
            for threads in THREADS:
                minidl.set_num_threads(threads)
                assert barriers() == expected

    def test_several_callers(self, threads_everywhere: None) -> None:
        minidl.set_num_threads(4)
        expected, results = barriers(), []

        def call() -> None:
            for i in range(20):
                results.append(barriers() == expected)
                results.extend(relu(threads) for threads in THREADS)
                time.sleep(0.002 * (i % 2))

        run_in([threading.Thread(target=call) for _ in range(4)])
        assert len(results) == 4 * 20 * (1 + len(THREADS)) and all(results)

    def test_callers_that_come_and_go(self) -> None:
        results: list[bool] = []
        for _ in range(30):
            run_in([threading.Thread(target=lambda: results.append(relu(3))) for _ in range(3)])
        assert results == [True] * 90

    def test_exceptions_between_regions(self) -> None:
        for _ in range(50):
            assert relu(2)
            with pytest.raises(ValueError, match="wrong number of dimensions"):
                _ext.elementwise[4].value(0, np.zeros(3, np.float32), 0, 0, np.zeros((3, 3), np.float32), 2)


@pool_only
class TestPool:
    def test_no_openmp_is_loaded(self) -> None:
        program = (
            "from minidl import _ext; import numpy as np; x = np.zeros(1000, np.float32); "
            "_ext.elementwise[4].value(0, x, 0, 0, x.copy(), 2); print(open('/proc/self/maps').read().count('libgomp'))"
        )
        assert run(program).stdout == "0\n"

    def test_threads_sleep_and_leave_signals_to_python(self) -> None:
        program = """
import os, time
import numpy as np
from minidl import _ext

before = set(os.listdir("/proc/self/task"))
x = np.zeros(1000, np.float32)
_ext.elementwise[4].value(0, x, 0, 0, x.copy(), 4)
mine = set(os.listdir("/proc/self/task")) - before
deadline = time.monotonic() + 60
while True:
    found = [open(f"/proc/self/task/{task}/status").read() for task in mine]
    if all("State:\\tS" in status for status in found) or time.monotonic() > deadline:
        break
    time.sleep(0.01)
blocked = [int(status.split("SigBlk:")[1].split()[0], 16) >> 1 & 1 for status in found]
print(len(found), all("State:\\tS" in status for status in found), blocked)
"""
        result = run(program)
        assert result.stdout == "3 True [1, 1, 1]\n", result.stderr

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    def test_a_child_has_threads_of_its_own(self, threads_everywhere: None) -> None:
        minidl.set_num_threads(3)
        expected = barriers()

        def child() -> bool:
            runtime._Threads.is_forked_child = False
            before = len(os.listdir("/proc/self/task"))
            return barriers() == expected and relu(4) and len(os.listdir("/proc/self/task")) == before + 3

        for _ in range(5):
            assert test_runtime.TestFork().fork(child) == 0
        assert barriers() == expected

    @test_runtime.no_forks_inside
    def test_a_child_of_a_process_that_is_inside(self) -> None:
        stop = threading.Event()

        def keep_busy() -> None:
            while not stop.is_set():
                relu(4, 100_000)

        worker = threading.Thread(target=keep_busy)
        worker.start()
        try:
            codes = [test_runtime.TestFork().fork(lambda: all(relu(threads) for threads in THREADS)) for _ in range(10)]
        finally:
            stop.set()
            worker.join()
        assert codes == [0] * 10


class TestEnd:
    BUSY = """
import threading, time
import numpy as np
from minidl import _ext
x = np.zeros(100_000, np.float32)
def work(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        _ext.elementwise[4].value(0, x, 0, 0, x.copy(), 4)
"""

    @pytest.mark.parametrize(
        ("last", "code"),
        [
            ("work(0.1)", 0),
            ("work(0.1); raise SystemExit(3)", 3),
            ("threading.Thread(target=work, args=(60,), daemon=True).start(); work(0.1)", 0),
            ("import os; work(0.1); os._exit(4)", 4),
        ],
    )
    def test_of_a_process(self, last: str, code: int) -> None:
        result = run(self.BUSY + last)
        assert (result.returncode, result.stderr) == (code, "")

    @pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name != "posix", reason="no signals here")
    def test_ctrl_c(self) -> None:
        # A process that was started in the background ignores the signal, and so would its children.
        handler = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        program = handler + self.BUSY + "print('begun', flush=True)\nwork(60)"
        with subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=Path(__file__).parents[1],
        ) as process:  # fmt: skip
            assert process.stdout is not None and process.stdout.readline() == "begun\n"
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=300)
        assert "KeyboardInterrupt" in errors and process.returncode != 0
