"""Threads, BLAS's threads, workspace, forks, random numbers."""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest
from bits import bits
from by_algorithm import problem_of

import minidl
import minidl.functional as F
from minidl import kernels, memory, runtime
from minidl.errors import ArgumentError
from minidl.geometry import sliding_window


def run(program: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, env={**os.environ, **environment}
    )


def gradients() -> list[np.ndarray]:
    """A convolution and a dense layer, both ways."""
    generator = np.random.default_rng(0)
    x = minidl.Tensor(generator.standard_normal((4, 3, 16, 16)).astype(np.float32), requires_grad=True)
    w = minidl.Tensor(generator.standard_normal((8, 3, 3, 3)).astype(np.float32), requires_grad=True)
    v = minidl.Tensor(generator.standard_normal((10, 8 * 14 * 14)).astype(np.float32), requires_grad=True)
    F.cross_entropy(F.linear(F.conv2d(x, w, algorithm="im2col").flatten(1), v), [0, 1, 2, 3]).backward()
    return [t.grad.numpy() for t in (x, w, v)]


def work() -> str:
    """Their digest."""
    return bits(*gradients())


def set_threads(libraries: list, counts: list[int]) -> None:
    # threadpoolctl's public method listens to one Python thread only.
    for library, count in zip(libraries, counts, strict=True):
        getattr(library, "_real_set_num_threads", library.set_num_threads)(count)


class TestThreads:
    def test_set_and_get(self) -> None:
        before = minidl.get_num_threads()
        assert before >= 1
        minidl.set_num_threads(3)
        assert minidl.get_num_threads() == 3
        minidl.set_num_threads(before)

    @pytest.mark.parametrize("threads", [0, -1, 1.0, "2", None, True, 2000])
    def test_refused(self, threads: Any) -> None:
        before = minidl.get_num_threads()
        with pytest.raises(ArgumentError, match=r"set_num_threads: threads must be an integer from 1 to 1024, got"):
            minidl.set_num_threads(threads)
        assert minidl.get_num_threads() == before

    @pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
    def test_default_is_what_affinity_leaves(self) -> None:
        program = (
            "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); import minidl; "
            "print(minidl.get_num_threads())"
        )
        result = run(program, OMP_NUM_THREADS="", MINIDL_NUM_THREADS="")
        assert (result.returncode, result.stdout.strip()) == (0, "1"), result.stderr

    def test_default_is_at_most_the_cores_of_this_process(self) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        result = run("import minidl; print(minidl.get_num_threads())", OMP_NUM_THREADS="", MINIDL_NUM_THREADS="")
        assert 1 <= int(result.stdout) <= cores


class TestEnvironment:
    @pytest.mark.parametrize(
        ("own", "everybodys", "expected"),
        [
            (None, None, None), ("", "", None), (None, "1", (1, "OMP_NUM_THREADS")),
            (None, " 4 ", (4, "OMP_NUM_THREADS")), (None, "4,2", (4, "OMP_NUM_THREADS")),
            (None, "5000", (1024, "OMP_NUM_THREADS")), ("3", None, (3, "MINIDL_NUM_THREADS")),
            ("3", "1", (3, "MINIDL_NUM_THREADS")), (" 1024 ", "abc", (1024, "MINIDL_NUM_THREADS")),
            ("", "2", (2, "OMP_NUM_THREADS")),
        ],
    )  # fmt: skip
    def test_what_is_heeded(self, own: Any, everybodys: Any, expected: Any) -> None:
        given = {"MINIDL_NUM_THREADS": own, "OMP_NUM_THREADS": everybodys}
        assert runtime._threads_wanted({k: v for k, v in given.items() if v is not None}) == expected

    @pytest.mark.parametrize("value", ["0", "-1", "abc", "1.5", "4,", "4,0", "4,abc", "٤", "1" * 5000])
    def test_everybodys_is_ignored_with_a_warning(self, value: str) -> None:
        with pytest.warns(RuntimeWarning, match="OMP_NUM_THREADS must be an integer of at least 1.*minidl ignores it"):
            assert runtime._threads_wanted({"OMP_NUM_THREADS": value}) is None

    @pytest.mark.parametrize("value", ["0", "-1", "abc", "1.5", "4,2", "1025", "٤", "1" * 5000])
    def test_minidls_own_is_refused(self, value: str) -> None:
        with pytest.raises(ArgumentError, match="MINIDL_NUM_THREADS: must be an integer from 1 to 1024, got '"):
            runtime._threads_wanted({"MINIDL_NUM_THREADS": value, "OMP_NUM_THREADS": "2"})

    def test_in_a_process_of_its_own(self) -> None:
        program = "import minidl; print(minidl.get_num_threads()); minidl.show_config()"
        result = run(program, OMP_NUM_THREADS="1", MINIDL_NUM_THREADS="")
        assert result.stdout.startswith("1\n") and "\nthreads: 1\nthreads from: OMP_NUM_THREADS\n" in result.stdout
        result = run(program, OMP_NUM_THREADS="1", MINIDL_NUM_THREADS="3")
        assert result.stdout.startswith("3\n") and "\nthreads: 3\nthreads from: MINIDL_NUM_THREADS\n" in result.stdout
        result = run(program, MINIDL_NUM_THREADS="all")
        assert result.returncode == 1 and "ArgumentError: MINIDL_NUM_THREADS: must be an integer" in result.stderr

    def test_where_the_number_comes_from(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runtime._Threads, "wanted", None)
        monkeypatch.setattr(runtime._Threads, "otherwise", None)
        monkeypatch.setattr(runtime._Threads, "environment", None)
        assert (minidl.get_num_threads(), runtime.num_threads_from()) == (runtime.available_cores(), "cores to use")
        minidl.set_num_threads(5)
        assert (minidl.get_num_threads(), runtime.num_threads_from()) == (5, "set_num_threads")
        monkeypatch.setattr(runtime._Threads, "is_forked_child", True)
        assert (minidl.get_num_threads(), runtime.num_threads_from()) == (1, "a forked process has one")


class TestBlas:
    """SciPy's BLAS runs one thread inside minidl's kernels, and what it ran before outside."""

    @pytest.fixture
    def blas(self) -> Any:
        libraries = runtime.blas_libraries()
        before = [library.get_num_threads() for library in libraries]
        set_threads(libraries, [2] * len(libraries))
        if any(library.get_num_threads() != 2 for library in libraries):
            pytest.skip("this BLAS has one thread")
        yield lambda: [library.get_num_threads() for library in libraries]
        set_threads(libraries, before)

    def test_the_library_is_scipys(self) -> None:
        paths = [library.filepath for library in runtime.blas_libraries()]
        assert paths and all("numpy.libs" not in path for path in paths)

    def test_one_inside_and_as_before_outside(self, blas: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list = []
        im2col = kernels.conv.im2col
        for table in (kernels.linear._matmul, im2col._conv_forward, im2col._conv_input_gradient,
                      im2col._conv_weight_gradient):  # fmt: skip
            kernel = table[np.dtype("f4")]

            def spy(*args: Any, kernel: Any = kernel) -> Any:
                seen.append(blas())
                return kernel(*args)

            monkeypatch.setitem(table, np.dtype("f4"), spy)
        work()
        assert len(seen) >= 6 and all(count == 1 for counts in seen for count in counts)
        assert set(blas()) == {2}

    def test_as_before_after_an_error(self, blas: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setitem(kernels.linear._matmul, np.dtype("f4"), fail)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                minidl.ones(2, 2) @ minidl.ones(2, 2)
            assert set(blas()) == {2} and runtime.single_threaded_blas._inside == 0

    def test_an_error_on_the_way_in_leaves_no_trace(self, blas: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        found = runtime.blas_libraries
        monkeypatch.setattr(runtime, "blas_libraries", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            minidl.ones(2, 2) @ minidl.ones(2, 2)
        monkeypatch.setattr(runtime, "blas_libraries", found)
        assert runtime.single_threaded_blas._inside == 0

    def test_nested(self, blas: Any) -> None:
        with runtime.single_threaded_blas:
            with runtime.single_threaded_blas:
                assert set(blas()) == {1}
            assert set(blas()) == {1}
            work()
            assert set(blas()) == {1}
        assert set(blas()) == {2}

    def test_from_several_threads_at_once(self, blas: Any) -> None:
        inside, go, seen = threading.Event(), threading.Event(), []

        def hold() -> None:
            with runtime.single_threaded_blas:
                inside.set()
                go.wait(60)
                seen.append(blas())

        worker = threading.Thread(target=hold)
        worker.start()
        assert inside.wait(60)
        with runtime.single_threaded_blas:
            pass
        assert set(blas()) == {1}, "the other one is still inside"
        go.set()
        worker.join()
        assert set(seen[0]) == {1} and set(blas()) == {2}

    def test_first_in_and_last_out_in_other_threads(self, blas: Any) -> None:
        first_is_in, second_is_in, seen = threading.Event(), threading.Event(), []

        def first() -> None:
            with runtime.single_threaded_blas:
                seen.append(blas())
                first_is_in.set()
                second_is_in.wait(60)

        def second() -> None:
            first_is_in.wait(60)
            with runtime.single_threaded_blas:
                second_is_in.set()
                one.join()
                seen.append(blas())

        one, two = threading.Thread(target=first), threading.Thread(target=second)
        one.start()
        two.start()
        two.join()
        assert len(seen) == 2 and all(count == 1 for counts in seen for count in counts)
        assert set(blas()) == {2}

    def test_from_many_threads(self, blas: Any) -> None:
        expected = work()
        results: list = []
        workers = [threading.Thread(target=lambda: results.extend(work() for _ in range(5))) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert len(results) == 20 and set(results) == {expected}
        assert set(blas()) == {2}


class TestWorkspace:
    def test_what_nobody_asks_for_any_more_makes_room(self) -> None:
        """A large layer's arrays are kept until others have passed that don't fit beside them."""
        minidl.empty_cache()
        large = [memory.new_array((60, 1024, 1024), np.dtype("uint8")) for _ in range(4)]
        del large
        held = memory.held_bytes()
        assert 240 * 1024**2 <= held <= 256 * 1024**2
        calls, found = 0, held
        while found == held and calls < 100:
            memory.new_array((32, 1024, 1024), np.dtype("uint8"))
            calls += 1
            found = memory.held_bytes()
        # Twice what is kept: 16 of these have passed.
        assert calls in range(16, 20)
        assert found == held - held // 4 + 32 * 1024**2
        minidl.empty_cache()

    def test_leases(self) -> None:
        minidl.empty_cache()
        with memory.workspace(3, 100, np.dtype("f4")) as rows:
            assert rows.shape[0] == 3 and rows.shape[1] >= 100 and rows.dtype == np.float32
            assert all(row.ctypes.data % 64 == 0 for row in rows)
            with memory.workspace(3, 100, np.dtype("f4")) as others:
                assert not np.shares_memory(rows, others)
        del rows, others
        assert memory.held_bytes() > 0
        minidl.empty_cache()
        assert memory.held_bytes() == 0

    def test_buffers_are_used_again_and_returned_after_errors(self) -> None:
        minidl.empty_cache()
        with pytest.raises(ZeroDivisionError), memory.workspace(1, 1000, np.dtype("f8")) as rows:
            address = rows.ctypes.data
            raise ZeroDivisionError
        del rows
        with memory.workspace(1, 960, np.dtype("f8")) as rows:
            assert rows.ctypes.data == address

    def test_two_threads_never_share_one(self) -> None:
        barrier, addresses = threading.Barrier(2, timeout=60), []

        def lease() -> None:
            with memory.workspace(1, 1000, np.dtype("f4")) as rows:
                addresses.append(rows.ctypes.data)
                barrier.wait()

        workers = [threading.Thread(target=lease) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert len(set(addresses)) == 2

    LAYERS = (
        ((1, 64, 48, 48), 16, 3), ((2, 512, 6, 6), 64, 5), ((1, 3, 300, 300), 4, 7), ((4, 16, 32, 32), 32, 3),
        ((1, 1000, 4, 4), 300, 3), ((2, 8, 64, 64), 8, 11), ((1, 2000, 2, 2), 100, 2), ((16, 6, 14, 14), 16, 5),
    )  # fmt: skip

    @pytest.mark.parametrize("direction", ["forward", "input", "weight"])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("algorithm", ["direct_bands", "direct_blocks", "winograd_rows"])
    def test_few_channels_lease_what_their_plan_says(
        self, algorithm: str, dtype: str, direction: str, threads_everywhere: None
    ) -> None:
        """At most 8 MiB a thread, the weights in another order, and sums of their gradient."""
        before = minidl.get_num_threads()
        plan_of = {
            "direct_bands": kernels.conv.direct.bands_plan, "direct_blocks": kernels.conv.direct.blocks_plan,
            "winograd_rows": kernels.conv.row_winograd.row_plan,
        }[algorithm]  # fmt: skip
        minidl.set_num_threads(2)
        for (N, C, H, W), filters, kernel in self.LAYERS:
            if algorithm == "winograd_rows":
                kernel = 5
                if C > 64:
                    continue
            window = sliding_window("test", (H, W), kernel, 1, kernel // 2)
            x, weight = np.ones((N, C, H, W), dtype), np.ones((filters, C, kernel, kernel), dtype)
            grad = np.ones((N, filters, *window.output_size), dtype)
            given = {"forward": (x, weight, None), "input": (grad, weight), "weight": (x, grad)}[direction]
            problem = problem_of(direction, N, C, filters, window, dtype)
            if kernels.REGISTRY[algorithm].why_unsupported(problem) is not None:
                continue
            compute = kernels.REGISTRY[algorithm].plan(problem)
            minidl.empty_cache()
            result = compute(*given)
            # Blocks that died: all but the result, each up to a quarter larger than what was asked for.
            leased = memory.held_bytes()
            plan = plan_of(direction, N, C, filters, window, x.itemsize)
            sum_of_weights = weight.size if direction == "weight" else 0
            assert (plan.scratch - sum_of_weights) * x.itemsize <= memory.WORKSPACE_PER_THREAD, (N, C, H, W)
            packed = getattr(plan, "transformed", weight.size) if direction != "weight" else 0
            sums = (plan.chunks - 1) * weight.size if direction == "weight" else 0
            # And the ends of rows, for as many threads as it takes.
            asked = [(threads * (plan.scratch + packed) + sums) * x.itemsize + 1024 for threads in (1, 2)]
            assert asked[0] - 1024 <= leased <= 1.25 * asked[1], (N, C, H, W)
            del result
        minidl.set_num_threads(before)

    @pytest.mark.parametrize("threads", [1, 2])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("algorithm", ["im2col", "implicit_gemm"])
    def test_bounded_by_8_mib_a_thread(
        self, threads: int, dtype: str, algorithm: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        leased, largest = 0, 0
        # implicit_gemm also holds the weights in another order, and sums of their gradient.
        allowed = threads * memory.WORKSPACE_PER_THREAD + 4096

        class Counted(memory.workspace):
            def __enter__(self) -> np.ndarray:
                nonlocal leased, largest
                rows = super().__enter__()
                leased += rows.nbytes
                largest = max(largest, leased)
                self.size = rows.nbytes
                return rows

            def __exit__(self, *exc_info: object) -> None:
                nonlocal leased
                leased -= self.size

        monkeypatch.setattr(getattr(kernels, algorithm), "workspace", Counted)
        before = minidl.get_num_threads()
        minidl.set_num_threads(threads)
        try:
            for size, filters, kernel in self.LAYERS:
                x = minidl.Tensor(np.ones(size, dtype), requires_grad=True)
                w = minidl.Tensor(np.ones((filters, size[1], kernel, kernel), dtype), requires_grad=True)
                F.conv2d(x, w, padding=kernel // 2, algorithm=algorithm).sum().backward()
                assert largest <= allowed + (0 if algorithm == "im2col" else (1 + threads) * w.data.nbytes), size
                largest = min(largest, allowed)
        finally:
            minidl.set_num_threads(before)
        assert leased == 0
        assert 0 < largest <= allowed

    def test_does_not_grow_from_step_to_step(self) -> None:
        minidl.empty_cache()
        for _ in range(3):
            work()
        held = memory.held_bytes()
        for _ in range(20):
            work()
        assert memory.held_bytes() == held

    def test_a_large_result_takes_the_memory_of_one_that_died(self) -> None:
        minidl.empty_cache()
        first = F.relu(minidl.ones(1000, 100))
        address = first.data.ctypes.data
        second = F.relu(minidl.ones(1000, 100))
        assert second.data.ctypes.data != address
        view = first[3]
        del first
        assert F.relu(minidl.ones(1000, 100)).data.ctypes.data != address, "a view still uses it"
        del view
        again = F.relu(minidl.ones(900, 110))
        assert again.data.ctypes.data == address
        assert (again.data == 1).all() and (second.data == 1).all()


# With bounds checks the pool's threads enter Python, to be able to raise. Before 3.12 a child that is forked meanwhile
# waits for a lock that one of them held (`HEAD_LOCK` in `_PyEval_ReInitThreads`): 2 of 4,600 did.
no_forks_inside = pytest.mark.skipif(
    kernels.instruction_set() == "debug" and sys.version_info < (3, 12),
    reason="bounds checks enter Python, and this Python's fork may hang then",
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
class TestFork:
    @pytest.fixture
    def parent(self, threads_everywhere: None) -> str:
        minidl.set_num_threads(2)
        return work()

    @staticmethod
    def wait(child: int) -> int:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")

    def fork(self, function: Any) -> int:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if function() else 2
            finally:
                os._exit(code)
        return self.wait(child)

    def test_a_child_works_on_one_thread(self, parent: str) -> None:
        assert self.fork(lambda: minidl.get_num_threads() == 1 and work() == parent) == 0
        assert minidl.get_num_threads() == 2 and work() == parent

    def test_a_child_cannot_ask_for_more(self, parent: str) -> None:
        def child() -> bool:
            minidl.set_num_threads(2)
            return minidl.get_num_threads() == 1 and work() == parent

        assert self.fork(child) == 0

    def test_a_grandchild(self, parent: str) -> None:
        assert self.fork(lambda: self.fork(lambda: work() == parent) == 0) == 0

    @no_forks_inside
    def test_while_another_thread_is_inside(self, parent: str) -> None:
        stop = threading.Event()

        def keep_busy() -> None:
            while not stop.is_set():
                work()

        worker = threading.Thread(target=keep_busy)
        worker.start()
        try:
            codes = [self.fork(lambda: work() == parent) for _ in range(5)]
        finally:
            stop.set()
            worker.join()
        assert codes == [0] * 5

    @staticmethod
    def draws(generator: np.random.Generator) -> bool:
        return 0 <= generator.random() < 1

    @pytest.mark.parametrize("owner", ["minidl", "loader", "dropout", "dense", "embedding"])
    def test_while_another_thread_draws(self, owner: str) -> None:
        """A lock of NumPy's that nobody lets go of in the child: it waited for ever."""
        own = np.random.default_rng(0)
        generator = {
            "minidl": minidl.default_generator,
            "loader": lambda: minidl.data.DataLoader([1.0, 2.0], shuffle=True).generator,
            "dropout": lambda: minidl.nn.Dropout(generator=own).generator,
            "dense": lambda: minidl.nn.Dense(2, 2, generator=own)._generator,
            "embedding": lambda: minidl.nn.Embedding(2, 2, generator=own)._generator,
        }[owner]()
        is_held, stop = threading.Event(), threading.Event()

        def draw() -> None:
            while not stop.is_set():
                with generator.bit_generator.lock:
                    is_held.set()
                    time.sleep(0.02)

        worker = threading.Thread(target=draw)
        worker.start()
        try:
            assert is_held.wait(60)
            codes = [self.fork(lambda: self.draws(generator)) for _ in range(3)]
        finally:
            stop.set()
            worker.join()
        assert codes == [0] * 3
        assert self.draws(generator), "the parent goes on"

    def test_a_child_draws_what_its_parent_would(self) -> None:
        minidl.manual_seed(3)
        expected = np.random.default_rng(3).random()
        assert self.fork(lambda: minidl.default_generator().random() == expected) == 0
        assert minidl.default_generator().random() == expected

    @pytest.mark.parametrize("name", ["gradients", "statistics", "sizes"])
    def test_while_another_thread_holds_a_lock_of_ours(self, name: str) -> None:
        is_held, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            with getattr(runtime.locks, name):
                is_held.set()
                go_on.wait(60)

        def child() -> bool:
            model = minidl.nn.Sequential(minidl.nn.Dense(None, 3), minidl.nn.BatchNorm1d(3))
            model(minidl.tensor([[1.0, 2.0], [3.0, 5.0]])).sum().backward()
            return model[0].weight.grad is not None

        worker = threading.Thread(target=hold)
        worker.start()
        try:
            assert is_held.wait(60)
            assert self.fork(child) == 0
        finally:
            go_on.set()
            worker.join()

    def test_forks_of_several_threads(self) -> None:
        codes: list[int] = []
        workers = [
            threading.Thread(target=lambda: codes.append(self.fork(lambda: self.draws(minidl.default_generator()))))
            for _ in range(4)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert codes == [0] * 4

    def test_nothing_that_is_computed_once_holds_a_lock(self) -> None:
        """Python 3.11's cached_property has one for all objects, which a child may find held."""
        package = pathlib.Path(minidl.__file__).parent
        assert not [path.name for path in package.rglob("*.py") if "import cached_property\n" in path.read_text()]

    def test_multiprocessing(self, parent: str) -> None:
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        child = context.Process(target=lambda: queue.put((minidl.get_num_threads(), work())))
        child.start()
        threads, result = queue.get(timeout=120)
        child.join(120)
        assert child.exitcode == 0 and threads == 1 and result == parent


class TestInstructionSet:
    def test_unknown(self) -> None:
        result = run("import minidl", MINIDL_ISA="v9")
        assert result.returncode == 1
        assert "ArgumentError: MINIDL_ISA: this build and processor have" in result.stderr
        assert result.stderr.rstrip().endswith("got 'v9'")

    def test_each_that_is_there(self) -> None:
        from minidl import _ext

        expected = np.concatenate(gradients(), axis=None)
        for name in _ext.available:
            program = (
                "import sys, numpy as np, test_runtime, minidl._ext as e; "
                f"assert e.instruction_set == {name!r}; "
                "sys.stdout.buffer.write(np.concatenate(test_runtime.gradients(), axis=None).tobytes())"
            )
            path = os.pathsep.join(filter(None, [os.path.dirname(__file__), os.environ.get("PYTHONPATH", "")]))
            result = subprocess.run(
                [sys.executable, "-c", program], capture_output=True, timeout=300,
                env={**os.environ, "MINIDL_ISA": name, "PYTHONPATH": path},
            )  # fmt: skip
            assert result.returncode == 0, result.stderr.decode()
            np.testing.assert_allclose(np.frombuffer(result.stdout, np.float32), expected, rtol=1e-4, atol=1e-5)


class TestRandom:
    def test_a_seed_is_reproducible(self) -> None:
        def draw() -> list:
            layer = minidl.nn.Dense(3, 2)
            return [layer.weight.tolist(), F.dropout(minidl.ones(50)).tolist(), minidl.default_generator().random()]

        minidl.manual_seed(5)
        first = draw()
        minidl.manual_seed(5)
        assert draw() == first
        minidl.manual_seed(6)
        assert draw() != first

    def test_the_generator_stays_the_same_object(self) -> None:
        held = minidl.default_generator()
        assert minidl.manual_seed(3) is held
        value = held.random()
        minidl.manual_seed(np.int64(3))
        assert held.random() == value

    @pytest.mark.parametrize("seed", [-1, 1.5, "x", None])
    def test_refused(self, seed: Any) -> None:
        with pytest.raises(ArgumentError, match="manual_seed: seed must be a non-negative integer, got"):
            minidl.manual_seed(seed)
