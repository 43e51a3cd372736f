"""Threads, BLAS's threads and random numbers: what a process has one of."""

from __future__ import annotations

import os
import re
import threading
import warnings
import weakref
from collections.abc import Mapping
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl.arguments import is_int
from minidl.errors import ArgumentError

# Work below this many multiply-adds is over before a second thread has woken up.
_WORK_FOR_A_SECOND_THREAD = 40_000


def _cgroup_cores() -> float:
    """The processor quota of this process's control group (version 2, then 1), in cores."""
    root = Path("/sys/fs/cgroup")
    limits = [float("inf")]
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return limits[0]
    folders = {root, root / "cpu", *(root / line.split(":", 2)[2].lstrip("/") for line in groups if ":" in line)}
    for folder in folders:
        try:
            quota, period = (folder / "cpu.max").read_text().split()
            limits.append(float(quota) / float(period))
        except (OSError, ValueError):
            pass
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            if int(quota) > 0:
                limits.append(int(quota) / int((folder / "cpu.cfs_period_us").read_text()))
        except (OSError, ValueError):
            pass
    return min(limits)


def available_cores() -> int:
    """The number of cores that this process may use, by affinity and by control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, ceil(min(_cgroup_cores(), 2**20))))


_MAX_THREADS = 1024


def _threads_wanted(environment: Mapping[str, str]) -> tuple[int, str] | None:
    """Find how many threads the environment asks for, and by which variable; None if by none.

    Raises
    ------
    ArgumentError
        If MINIDL_NUM_THREADS holds no such number. OMP_NUM_THREADS is everybody's, so that is ignored with a warning.
    """
    own = environment.get("MINIDL_NUM_THREADS", "").strip()
    if own:
        if not re.fullmatch(r"[0-9]{1,9}", own) or not 1 <= int(own) <= _MAX_THREADS:
            raise ArgumentError(f"MINIDL_NUM_THREADS: must be an integer from 1 to {_MAX_THREADS}, got {own!r}")
        return int(own), "MINIDL_NUM_THREADS"
    everybodys = environment.get("OMP_NUM_THREADS", "").strip()
    if everybodys:
        # OpenMP has a number for each level of regions within regions; ours are all of the first.
        levels = [level.strip() for level in everybodys.split(",")]
        if all(re.fullmatch(r"[0-9]{1,9}", level) and int(level) >= 1 for level in levels):
            return min(int(levels[0]), _MAX_THREADS), "OMP_NUM_THREADS"
        warnings.warn(
            f"OMP_NUM_THREADS must be an integer of at least 1, or several with commas between, got {everybodys!r}: "
            "minidl ignores it",
            RuntimeWarning,
            stacklevel=2,
        )
    return None


class _Threads:
    # They were told by set_num_threads, by the environment at import, and otherwise; None until it is asked for.
    wanted: int | None = None
    environment = _threads_wanted(os.environ)
    otherwise: int | None = None
    is_forked_child = False


def set_num_threads(threads: int) -> None:
    """Set how many threads minidl's kernels use.

    The results do not depend on it. A process forked from one that has used minidl always uses one thread.

    Parameters
    ----------
    threads : int
        At least 1. Before it is set, the environment variable MINIDL_NUM_THREADS says how many there are, or else
        OMP_NUM_THREADS, as they were when minidl was imported; without them it is the cores that this process may use.

    Raises
    ------
    ArgumentError
        If `threads` is not an integer of at least 1.

    Examples
    --------
    >>> import minidl
    >>> before = minidl.get_num_threads()
    >>> minidl.set_num_threads(1)
    >>> minidl.get_num_threads()
    1
    >>> minidl.set_num_threads(before)
    """
    if not isinstance(threads, int) or isinstance(threads, bool) or not 1 <= threads <= _MAX_THREADS:
        raise ArgumentError(f"set_num_threads: threads must be an integer from 1 to {_MAX_THREADS}, got {threads!r}")
    _Threads.wanted = threads


def get_num_threads() -> int:
    """Give how many threads the kernels use: see `set_num_threads`; by default the cores that this process may use."""
    if _Threads.is_forked_child:
        return 1
    # Never written back to `wanted`, which another Python thread may be setting.
    return _Threads.wanted or _Threads.otherwise or _threads_otherwise()


def _threads_otherwise() -> int:
    _Threads.otherwise = count = available_cores() if _Threads.environment is None else _Threads.environment[0]
    return count


def num_threads_from() -> str:
    """Tell what says how many threads there are: set_num_threads, a variable of the environment, or else."""
    if _Threads.is_forked_child:
        return "a forked process has one"
    if _Threads.wanted is not None:
        return "set_num_threads"
    return "cores to use" if _Threads.environment is None else _Threads.environment[1]


def threads_for(work: int) -> int:
    """The number of threads for a kernel of `work` multiply-adds: small work stays on one."""
    return 1 if work < _WORK_FOR_A_SECOND_THREAD else get_num_threads()


class _Precision:
    wanted = "default"


def set_precision(precision: str) -> None:
    """Allow convolutions to round more coarsely where that is faster, or not.

    Parameters
    ----------
    precision : {"default", "fast"}
        By default Winograd's algorithm computes a convolution in larger tiles, or in tiles along rows, only where its
        rounding errors stay within about 4 times those of im2col (root mean square, against float64); "fast" lets it
        do so everywhere. Gradients of a convolution may keep what was set when it was computed.

    Raises
    ------
    ArgumentError
        If it is another one.

    Examples
    --------
    >>> import minidl
    >>> minidl.set_precision("fast")
    >>> minidl.get_precision()
    'fast'
    >>> minidl.set_precision("default")
    """
    if not isinstance(precision, str) or precision not in ("default", "fast"):
        raise ArgumentError(f"set_precision: precision must be 'default' or 'fast', got {precision!r}")
    _Precision.wanted = precision


def get_precision() -> str:
    """Give what `set_precision` has set: "default" or "fast"."""
    return _Precision.wanted


@lru_cache(maxsize=1)
def blas_libraries() -> list[Any]:
    """The controllers of the BLAS that SciPy calls; found once, since looking costs milliseconds."""
    import scipy.linalg.cython_blas  # is what loads it
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().select(user_api="blas").lib_controllers
    folder = Path(scipy.__file__).parent
    own = [
        library
        for library in found
        if Path(library.filepath).is_relative_to(folder) or "scipy.libs" in Path(library.filepath).parts
    ]
    return own or found


def _set_blas_threads(library: Any, threads: int) -> None:
    # The method of threadpoolctl 3.8 silently does nothing in any Python thread but the first one that called it.
    # Here a count under a lock says whose turn it is.
    getattr(library, "_real_set_num_threads", library.set_num_threads)(threads)


if TYPE_CHECKING:
    from functools import cached_property as computed_once
else:

    class computed_once:
        """An attribute that is computed when it is first asked for.

        As functools.cached_property, but for the lock that one has in Python 3.11, the same for all objects: another
        thread may hold it when this process forks, and the child would wait for it. Two threads that ask at once may
        both compute the value.
        """

        def __init__(self, function):
            self._function, self.__doc__ = function, function.__doc__

        def __set_name__(self, owner, name):
            self._name = name

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            value = instance.__dict__[self._name] = self._function(instance)
            return value


class _SingleThreadedBlas:
    """Holds SciPy's BLAS at one thread while any of minidl's kernels runs.

    The first one in remembers the counts and sets one thread, the last one out restores them. Only a count is kept
    under the lock, so kernels of several Python threads run at the same time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._previous: list[int] = []

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                libraries = blas_libraries()
                self._previous = [library.get_num_threads() for library in libraries]
                for library, previous in zip(libraries, self._previous, strict=True):
                    if previous != 1:
                        _set_blas_threads(library, 1)
            # Last, so that an error above leaves the count as it was.
            self._inside += 1

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                for library, previous in zip(blas_libraries(), self._previous, strict=True):
                    if previous != 1:
                        _set_blas_threads(library, previous)


single_threaded_blas = _SingleThreadedBlas()


class _Locks:
    """Locks for what all Python threads share; a forked child has new ones, whoever held them in its parent."""

    def __init__(self) -> None:
        # While a gradient is added to a tensor's.
        self.gradients = threading.RLock()
        # While running statistics take a batch in.
        self.statistics = threading.RLock()
        # While the first call of a layer gives it its size and draws its parameters.
        self.sizes = threading.RLock()


locks = _Locks()


# The locks that NumPy's generators are drawn from under: those that minidl holds, by their ids.
_generator_locks: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


class _Forking(threading.local):
    held: list[Any] = []


_forking = _Forking()


def fork_safe(generator: Any) -> Any:
    """Return a generator itself (or what is none); a fork waits from now on until no other thread draws from it.

    Otherwise the child would wait for ever, since a lock that is held in the parent has nobody to let go of it there.
    """
    if isinstance(generator, np.random.Generator):
        lock: Any = generator.bit_generator.lock
        _generator_locks[id(lock)] = lock
    return generator


class _Random:
    generator = fork_safe(np.random.default_rng())


def default_generator() -> np.random.Generator:
    """The generator that everything random uses which was not given one of its own."""
    return _Random.generator


def manual_seed(seed: int) -> np.random.Generator:
    """Seed minidl's default generator: initialisation, dropout and shuffling follow from it.

    Parameters
    ----------
    seed : int
        Any non-negative integer.

    Returns
    -------
    numpy.random.Generator
        The default generator, seeded.

    Examples
    --------
    >>> import minidl
    >>> generator = minidl.manual_seed(0)
    >>> minidl.default_generator() is generator
    True
    """
    if not is_int(seed) or seed < 0:
        raise ArgumentError(f"manual_seed: seed must be a non-negative integer, got {seed!r}")
    # The object stays, so that whoever holds it sees the new state; none of it while another thread draws.
    bits = _Random.generator.bit_generator
    with bits.lock:
        bits.state = np.random.default_rng(int(seed)).bit_generator.state
    return _Random.generator


def _prepare_fork() -> None:
    # NumPy's generators can't be given a new lock, so a fork takes theirs, as long as a draw takes.
    _forking.held = held = [lock for ref in _generator_locks.valuerefs() if (lock := ref()) is not None]
    for lock in held:
        lock.acquire()


def _resume_parent() -> None:
    held, _forking.held = _forking.held, []
    for lock in held:
        lock.release()


def _reset_child() -> None:
    # GNU OpenMP's threads do not survive a fork, and a lock may have been held by a thread that did not either.
    _Threads.is_forked_child = True
    single_threaded_blas.__init__()  # type: ignore[misc]
    locks.__init__()  # type: ignore[misc]
    _resume_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_prepare_fork, after_in_parent=_resume_parent, after_in_child=_reset_child)
