"""Mistakes in the pool of threads, and in kernels whose threads wait for one another."""

from __future__ import annotations

from planted._mutant import Mutant

LIBRARY = ("libminidl_threads",)

MUTANTS = [
    Mutant(
        "pool-number", "give",
        "atomic_store(&worker->number, number++)", "number++, atomic_store(&worker->number, 1)",
        "every worker runs the same share", ("test_threads.py -k sizes_that_change",), modules=LIBRARY,
    ),
    Mutant(
        "pool-barrier", "minidl_team_barrier",
        "if (team == NULL || team->size == 1) return;", "if (team == NULL || team->size > 1) return;",
        "a barrier that nobody waits at", ("test_threads.py -k test_barriers",), modules=LIBRARY,
    ),
    Mutant(
        "pool-fork", "prepare",
        "pthread_atfork(NULL, NULL, forget)", "pthread_atfork(NULL, NULL, NULL)",
        "a child waits for its parent's threads", ("test_threads.py -k a_child_has_threads",), modules=LIBRARY,
    ),
    Mutant(
        "pool-never-sleeps", "wait_while",
        "time <= end; time = now()", "1; time = now()",
        "threads that spin for ever", ("test_threads.py -k threads_sleep",), modules=LIBRARY,
    ),
    Mutant(
        "pool-signals", "start_worker",
        "sigfillset(&all)", "sigemptyset(&all)",
        "signals interrupt threads that Python does not know", ("test_threads.py -k threads_sleep",), modules=LIBRARY,
    ),
    Mutant(
        "dense-barrier", "backward",
        "        team_barrier()\n", "",
        "weight gradients begin while another thread still writes what they read",
        ("test_threads.py -k test_barriers",),
    ),
    Mutant(
        "winograd-barrier", "winograd: forward",
        "        team_barrier()\n        for slot in prange(threads, schedule=\"static\"):\n            for item",
        "        for slot in prange(threads, schedule=\"static\"):\n            for item",
        "tiles multiplied with weights that another thread still transforms", ("test_threads.py -k test_barriers",),
    ),
]  # fmt: skip
