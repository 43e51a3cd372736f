"""How often minidl's checker is mistaken about functions that nobody chose.

    python benchmarks/gradcheck_random.py [--first 0] [--count 1000] [--wrong 2] [--verbose]

Random expression graphs (`random_functions`) have exact gradients. Each is checked as it is, and with mistakes planted
into it. A mistake counts as decidable only where numeric differentiation can know. At some element,

- central differences of the function's own float64 values, plain or extrapolated once, must be ten times closer to the
  true derivative than the mistake is large, at three neighbouring steps of those from 2^-40 to 2^2 of the element's
  scale (each four times the one before), at which the mistake amounts to 16 units in the last place of the result;
- the mistake must be at least 0.9e-4 of the entry, and ten times what rounding makes of the right gradient;
- the element must not have been put on a kink, where other gradients are right as well.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np
from random_functions import Function, is_exact, make

from minidl.testing import GradcheckReport, check_vjp
from minidl.testing.findings import VERDICTS

Array = np.ndarray
Backward = Callable[..., tuple[Array, ...]]

SIZES = (1e-4, 1e-3, 1e-2, 0.5, 2.0)
_UNRESOLVED = VERDICTS.index("unresolved")
_MOST_LOOKED_AT = 8


def scale_class(scales: list[float]) -> str:
    """By the scales of a function's arrays."""
    low, high = min(scales), max(scales)
    if high > 1e3 * low:
        return "of several scales"
    return "1e-9 to 1e-4" if high < 1e-4 else "1e2 to 1e7" if low > 1e2 else "1e-4 to 1e2"


def plant(function: Function, random: np.random.Generator) -> tuple[str, Backward]:
    """A mistake: its kind, and the wrong gradient."""
    number = int(random.integers(len(function.arrays)))
    shape = function.arrays[number].shape
    kind = str(random.choice(["element", "row", "input", "step", "missing term", "sign", "swapped", "zeroed"]))
    relative = float(random.choice(SIZES)) * (1 if random.random() < 0.5 else -1)
    mask = np.zeros(shape, bool)
    if kind == "element" or (kind in ("sign", "zeroed") and random.random() < 0.5):
        mask.reshape(-1)[random.integers(mask.size)] = True
    elif kind == "row" and shape:
        mask[int(random.integers(shape[0]))] = True
    else:
        mask[...] = True
    factor = {"sign": -1.0, "zeroed": 0.0}.get(kind, 1 + relative)
    order = np.arange(mask.size)
    if kind == "swapped" and mask.size > 1:
        one, other = random.choice(mask.size, 2, replace=False)
        order[[one, other]] = order[[other, one]]
    inside = Function(function.arrays, function.steps)
    if kind in ("step", "missing term"):
        step = int(random.integers(len(function.steps)))
        inside.dropped = step, int(random.integers(len(function.steps[step].sources)))
        inside.scaled = 0.0 if kind == "missing term" else 1 + relative

    def backward(upstream: Array, *arrays: Array) -> tuple[Array, ...]:
        found = list(inside.backward(upstream, *arrays))
        if kind == "swapped":
            found[number] = found[number].reshape(-1)[order].reshape(shape)
        elif kind not in ("step", "missing term"):
            found[number] = np.where(mask, found[number] * factor, found[number])
        return tuple(found)

    sized = kind in ("element", "row", "input", "step")
    return f"{kind}, {abs(relative):g}" if sized else kind, backward


def differences(function: Function, number: int, element: int) -> tuple[Array, Array]:
    """[step, output]: central differences in float64, extrapolated in the second half of the outputs; and the steps."""
    arrays = [x.copy() for x in function.arrays]
    flat = arrays[number].reshape(-1)
    before = float(flat[element])
    scale = max(abs(before), float(np.sqrt(np.mean(flat**2)))) if before == 0 else abs(before)
    slopes, steps = [], []
    for k in range(-40, 3, 2):
        values, points = [], []
        for sign in (1, -1):
            flat[element] = before + sign * scale * 2.0**k
            points.append(float(flat[element]))
            values.append(function.forward(*arrays).reshape(-1))
        steps.append((points[0] - points[1]) / 2)
        slopes.append((values[0] - values[1]) / (points[0] - points[1]))
    table = np.stack(slopes)
    better = np.full_like(table, np.nan)
    better[:-1] = table[:-1] + (table[:-1] - table[1:]) / 15
    return np.concatenate([table, better], axis=1), np.array(steps)[:, None]


def decidable(function: Function, right: list[Array], true: list[Array], wrong: list[Array]) -> list[tuple[int, int]]:
    """The elements (array, place) at which numeric differentiation can see the mistake."""
    found = []
    least = np.tile(16 * np.spacing(np.abs(function.forward(*function.arrays)).reshape(-1)), 2)
    for number, (r, t, w) in enumerate(zip(right, true, wrong, strict=True)):
        error = np.abs(w - t)
        # What rounding makes of the right gradient is no mistake.
        error[error < 10 * np.abs(r - t)] = 0
        with np.errstate(all="ignore"):
            relative = error / np.maximum(np.abs(t), np.abs(w))
        relative = np.where((error > 0) & (relative >= 0.9e-4), relative, 0)
        if function.kinks:
            relative[:, function.kinks[number].reshape(-1)] = 0
        order = np.argsort(-relative.max(axis=0), kind="stable")
        for j in order[:_MOST_LOOKED_AT].tolist():
            rows = relative[:, j] > 0
            if not rows.any():
                break
            slopes, steps = differences(function, number, j)
            wrong_by = np.tile(error[:, j], 2)
            near = np.abs(slopes - np.tile(t[:, j], 2)) <= 0.1 * wrong_by
            near &= steps * wrong_by >= least
            three = (near[:-2] & near[1:-1] & near[2:]).any(axis=0)
            if ((three[: len(rows)] | three[len(rows) :]) & rows).any():
                found.append((number, j))
    return found


def check(function: Function, backward: Backward) -> GradcheckReport:
    """With the defaults."""
    return check_vjp(function.forward, backward, function.arrays, raise_exception=False)


def describe(report: GradcheckReport) -> str:
    """What the first failure was."""
    if not report.failures:
        return "nothing wrong"
    first = report.failures[0]
    if hasattr(first, "kind"):
        return f"{first.kind}: {first.message}"
    return (
        f"{first.verdict} {first.input}{list(first.index)} by {first.output_index}: {first.analytic:.9g}, numeric "
        f"{first.numeric:.9g} +- {first.error_estimate:.1e}, sides {first.one_sided}"
    )


def was_told(report: GradcheckReport, elements: list[tuple[int, int]]) -> bool:
    """Whether the report lists one of these elements as unresolved."""
    states = [each.state for each in report.inputs]
    found = [(states[i], j) for i, j in elements]
    return any(state is not None and state.reshape(-1)[j] == _UNRESOLVED for state, j in found)


class Count:
    """What came of all trials of one class."""

    COLUMNS = (
        "functions",
        "false alarms",
        "planted",
        "decidable",
        "caught",
        "told unresolved",
        "missed",
        "caught beyond",
    )

    def __init__(self) -> None:
        self.of: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, group: str, column: str, by: int = 1) -> None:
        self.of[group][column] += by

    def table(self, groups: list[str]) -> None:
        width = max(len(group) for group in groups)
        print(" " * width, *(f"{column:>15}" for column in self.COLUMNS))
        for group in groups:
            print(f"{group:{width}}", *(f"{self.of[group][column]:15,}" for column in self.COLUMNS))
        print()


def trial(seed: int, wrong: int, count: Count, verbose: bool) -> None:
    """One function, as it is and with mistakes."""
    random = np.random.default_rng([seed, 20])
    made = None
    with np.errstate(all="ignore"):
        while made is None or not is_exact(made[0]):
            if made is not None:
                count.add("all", "not exact")
            made = make(random)
    function, scales = made
    groups = ["all", scale_class(scales)]
    groups += ["float32 inside"] * function.has_float32 + ["at kinks"] * function.at_kinks
    report = check(function, function.backward)
    for group in groups:
        count.add(group, "functions")
        count.add(group, "false alarms", not report)
        count.add(group, "entries", sum(each.compared for each in report.inputs))
        count.add(group, "unresolved", sum(each.unresolved for each in report.inputs))
    if verbose and not report:
        print(f"seed {seed}: FALSE ALARM ({', '.join(groups[1:])}) {describe(report)}", flush=True)
    right = function.jacobian()
    true = [rows.astype(np.float64) for rows in function.jacobian(np.longdouble)]
    for _ in range(wrong):
        kind, backward = plant(function, random)
        with np.errstate(all="ignore"):
            different = function.jacobian(backward=backward)
            elements = decidable(function, right, true, different)
        report = check(function, backward)
        verdict = "caught" if not report else "told unresolved" if was_told(report, elements) else "missed"
        for group in [*groups, kind.split(",")[0], *([f"by {kind.split()[-1]}"] if "," in kind else [])]:
            count.add(group, "planted")
            if elements:
                count.add(group, "decidable")
                count.add(group, verdict)
            elif not report:
                count.add(group, "caught beyond")
        if verbose and elements and report:
            i, j = elements[0]
            k = int(np.argmax(np.abs(different[i][:, j] - true[i][:, j])))
            print(f"seed {seed}: {verdict.upper()} ({', '.join(groups[1:])}) {kind}: array {i} element {j} output {k} "
                  f"{different[i][k, j]:.9g} for {true[i][k, j]:.9g}", flush=True)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Run and print; the exit code says whether there was a false alarm or a decidable mistake missed in silence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1000, help="of functions")
    parser.add_argument("--wrong", type=int, default=2, help="mistakes planted into each")
    parser.add_argument("--verbose", action="store_true", help="each mistake of the checker")
    options = parser.parse_args(argv)
    count, start = Count(), time.perf_counter()
    for seed in range(options.first, options.first + options.count):
        trial(seed, options.wrong, count, options.verbose)
    scales = ["1e-9 to 1e-4", "1e-4 to 1e2", "1e2 to 1e7", "of several scales", "float32 inside", "at kinks"]
    kinds = ["element", "row", "input", "step", *(f"by {size:g}" for size in SIZES), "missing term", "sign", "swapped",
             "zeroed"]  # fmt: skip
    count.table([*scales, *kinds, "all"])
    every = count.of["all"]
    print(f"{every['entries']:,} entries of right gradients, {every['unresolved']:,} unresolved; "
          f"{every['not exact']:,} functions rejected, whose own gradient is not exact; "
          f"{time.perf_counter() - start:.0f} s")  # fmt: skip
    return int(every["false alarms"] > 0 or every["missed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
