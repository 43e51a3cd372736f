"""Mistakes in the numerical side of gradient checks, and in what judges it."""

from __future__ import annotations

from planted._mutant import Mutant

MUTANTS = [
    Mutant(
        "central-half-step", "Ladder.central",
        "        width = (upper + lower)[:, None]\n", "        width = upper[:, None]\n",
        "a difference over two steps divided by one", ("testing/test_strictness.py -k part_in_ten",),
    ),
    Mutant(
        "kinks-anything-goes", "judge_element",
        "(analytic[rows] >= low - margin) & (analytic[rows] <= high + margin)", "analytic[rows] <= high + margin",
        "a gradient below both one-sided ones passes at a kink", ("testing/test_kinks.py",),
    ),
    Mutant(
        "ties-unlooked-at", "check_joint",
        "outside = (expected < low - margin) | (expected > high + margin)", "outside = expected < low - margin",
        "ties counted twice pass", ("testing/test_kinks.py -k ties",),
    ),
    Mutant(
        "noise-unmeasured", "noise_of",
        "noise = np.stack([_noise_in(table) for table in tables])",
        "noise = np.stack([0 * _noise_in(table) for table in tables])",
        "rounding is taken for the function's shape", ("testing/test_strictness.py",),
    ),
    Mutant(
        "unmeasured-for-good", "Checker.check_again",
        "for number, j, first in self._unmeasured:", "for number, j, first in self._unmeasured[:0]:",
        "what stood still before noise was known agrees with a gradient of 0",
        ("testing/test_strictness.py -k stands_still",),
    ),
    Mutant(
        "kinks-for-noise", "noise_of",
        "noise[k][suspect & ~still", "noise[k][suspect & still",
        "kinks between points far apart are taken for noise", ("testing/test_strictness.py -k kinks_around",),
    ),
    Mutant(
        "one-sided-steps-for-a-kink", "Checker._escalate",
        "                ladder.measure_steps(broad, left)\n", "                pass\n",
        "a right gradient at the edge of a clip in float32 is called wrong", ("testing/test_kinks.py -k further_on",),
    ),
    Mutant(
        "kinks-nearby-for-steps", "Ladder.measure_steps",
        "one_sided & (first == k) & (changes <= 1)", "one_sided & (first == k)",
        "what stands still up to a kink is taken for rounding", ("testing/test_kinks.py -k standing_still",),
    ),
    Mutant(
        "slopes-nearby-as-they-are", "_slopes_nearby",
        "            near += near - far\n", "            pass\n",
        "right gradients at kinks of a function that bends are complained of", ("testing/test_kinks.py -k bends",),
    ),
    Mutant(
        "parameters-not-given-back", "_Function.borrowed",
        "                tensor.data, tensor._version = data, version\n", "                tensor._version = version\n",
        "a checked model keeps its float64 copies", ("testing/test_gradcheck_models.py -k as_it_was",),
    ),
    Mutant(
        "buffers-run-on", "_Function._reset_buffers",
        "tensor.data, tensor._version = start.copy(), [0, False]", "tensor._version = [0, False]",
        "running statistics change from call to call", ("testing/test_gradcheck_models.py",),
    ),
    Mutant(
        "upstream-unchecked", "check_full",
        "    report.problems += check_linearity(checker)\n", "",
        "a backward that forgets its upstream gradient passes", ("testing/test_problems.py -k upstream",),
    ),
    Mutant(
        "other-sizes-unlooked-at", "check_linearity",
        "upstream_rounding(subject, found, u)[number].reshape(-1)", "0",
        "terms that cancel but for rounding are called not linear", ("testing/test_problems.py -k cancel_but",),
    ),
    Mutant(
        "nan-gradient-passes", "Subject.jacobian",
        "if not np.isfinite(rows[i][entry]).all():", "if np.isinf(rows[i][entry]).any():",
        "a gradient of NaN has no message of its own", ("testing/test_problems.py -k nan",),
    ),
    Mutant(
        "random-one-direction", "miss_probability",
        "math.erf(width / math.sqrt(2)) ** count", "math.erf(width / math.sqrt(2))",
        "the stated probability is that of one direction", ("testing/test_random_mode.py -k probability or formula",),
    ),
    Mutant(
        "nothing-is-a-success", "_HARMLESS",
        '_HARMLESS = {"unused"}', '_HARMLESS = {"unused", "nothing to check"}',
        "a check that compared nothing passes", ("testing/test_problems.py -k nothing_to_check",),
    ),
    Mutant(
        "empty-outputs-unseen", "Subject.has_something_to_check",
        "report.problems += self._empty_outputs()", "pass",
        "what goes back from empty outputs is not looked at", ("testing/test_problems.py -k empty_input",),
    ),
]  # fmt: skip
