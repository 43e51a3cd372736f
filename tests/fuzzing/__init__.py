"""A fuzzer of the public API: every public callable, with valid arguments of which some are replaced by hostile ones.

`targets` finds the callables by introspection and valid calls of them in docstrings' examples, in the table of
operations, and else by search; `values` has what replaces their arguments; `run` makes the calls in a child process,
so that a crash or a hang is seen and is reported with its call. A call is known by its seed and its number:

    python tests/fuzzing --seed 3 --calls 20000      # so many calls, and what came of them
    python tests/fuzzing --seed 3 --call 1234        # one of them again, in this process
"""
