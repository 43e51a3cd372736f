"""Mistakes in Winograd's convolution with strides."""

from __future__ import annotations

from planted._mutant import Mutant

TESTS = "test_kernels_winograd_strided.py"
BUILT = ("winograd",)

MUTANTS = [
    Mutant(
        "phases-row-by-the-stride-across", "neighbours",
        "above % phases.SH - phases.top", "above % phases.SW - phases.top",
        "phases of rows are counted by the columns' stride", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "phases-across-groups", "neighbours",
        "cdef Py_ssize_t j = phase % phases.SW, above = phase // phases.SW\n    cdef Py_ssize_t y",
        "cdef Py_ssize_t j = 0, above = phase // phases.SW\n    cdef Py_ssize_t y",
        "a group of 16 begins with the first phase of its row", (f"{TESTS} -k remainder_of_channels",), modules=BUILT,
    ),
    Mutant(
        "phases-left-edge", "gather_phases",
        "image[near.row + at + i] if 0 <= at + i < near.width else 0",
        "image[near.row + at + i] if at + i < near.width else 0",
        "numbers before a row's first are those of the row before", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "phases-what-is-not-seen", "neighbours",
        "if 0 <= y < phases.seen_rows else 0", "if 0 <= y < phases.H else 0",
        "rows that only taps of zero meet are read and written", (f"{TESTS} -k no_window_sees",), modules=BUILT,
    ),
    Mutant(
        "phases-taps-beyond-the-kernel", "taps_of_phases",
        "if y >= phases.KH or x >= phases.KW:", "if y >= phases.KH:",
        "a row's missing taps are the next row's first", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "phases-gradient-of-the-first-tap", "write_taps",
        "                if places[i] >= 0:\n", "                if places[i] > 0:\n",
        "gradients of the first tap are left out", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "phases-pairs", "copy_apart",
        "    elif count == 2:\n        for _time in range(times):\n            memcpy(to, source, 2 * sizeof(real))\n",
        "    elif count == 2:\n        for _time in range(times):\n            memcpy(to, source, sizeof(real))\n",
        "of two neighbours the second is lost", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "phases-of-the-first-filter", "transform_weights",
        "(c if plan.transposed else f + lane) * filter_step", "(c if plan.transposed else f) * filter_step",
        "all lanes have the first filter's taps", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "phases-taps-of-the-first-group", "write_taps",
        "taps_of_phases(plan.phases, group * LANES, lanes, r", "taps_of_phases(plan.phases, 0, lanes, r",
        "every group's gradients are the first channels'", (TESTS,), modules=BUILT,
    ),
    Mutant(
        "phases-seen-without-padding", "phases_of",
        "seen = min((OH - 1) * SH + KH - padding.top, H)", "seen = min((OH - 1) * SH + KH, H)",
        "padding above counts as rows that are seen", (f"{TESTS} -k random_geometries",),
    ),
    Mutant(
        "phases-budget-of-channels", "_why_unsupported",
        '    channels = C * window.stride[0] * window.stride[1]\n', '    channels = C\n',
        "the budget of weights takes phases for one channel", (f"{TESTS} -k budget",),
    ),
    Mutant(
        "phases-precision-of-one-channel", "_strides_are_precise",
        '== "input":\n        return C > 1\n', '== "input":\n        return True\n',
        "auto takes what rounds more than it may", (f"{TESTS} -k precision",),
    ),
    Mutant(
        "phases-cost-of-channels", "_cost",
        '    C = phases.channels\n', '    C = problem.C\n',
        "the model counts a channel's phases as one", (f"{TESTS} -k model",),
    ),
]  # fmt: skip
