"""mode="full": every entry of the Jacobian."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from minidl.testing import kinks
from minidl.testing.checker import Checker
from minidl.testing.findings import Problem
from minidl.testing.report import GradcheckReport
from minidl.testing.rounding import upstream_rounding
from minidl.testing.subject import Options, Subject

Array = np.ndarray


def check_full(
    subject: Subject,
    options: Options,
    report: GradcheckReport,
    complex_values: Callable[[int, int, complex], Array] | None = None,
    hint: Callable[..., str | None] | None = None,
) -> None:
    """Compare all entries, and write what was found into the report."""
    centre = subject.first(options.nondet_tol)
    subject.report_inputs(report)
    if not subject.has_something_to_check(report):
        return
    jacobian, came = subject.jacobian()
    checker = Checker(subject, options, report, jacobian, complex_values)
    report.problems += check_linearity(checker)
    for number in range(len(subject.inputs)):
        checker.check_input(number)
        subject.look_for_changes()
    checker.check_again()
    note_missing(checker, came)
    if checker.kink_elements:
        checker.measure_noise()
    kinks.check_joint(subject, options, report, centre, jacobian, checker.noise, checker.kink_elements)
    if hint is not None:
        checker.add_hints(hint)


def check_linearity(checker: Checker) -> Iterator[Problem]:
    """Whether the gradients of unit upstreams add up to that of a random one, and are the same every time.

    A backward pass that forgets to multiply by its upstream gradient is right for an upstream of 1.
    """
    subject, jacobian, options = checker.subject, checker.jacobian, checker.options
    count = len(checker.rows)
    u = options.random.uniform(0.5, 1.5, count) * np.where(options.random.random(count) < 0.5, -1.0, 1.0)
    # Few digits, so that float32 holds them too.
    u = np.round(u * 16) / 16
    size = np.abs(u)
    found = subject.pull_back(list(subject.split(u)))
    again = subject.pull_back(list(subject.split(u)))
    for each, one, other in zip(subject.inputs, found, again, strict=True):
        if one is not None and other is not None:
            differs = ~(np.abs(one - other) <= options.nondet_tol)
            if differs.any():
                j = int(np.argmax(differs))
                message = (
                    f"the gradient of {each.name} is {one.reshape(-1)[j]:.9g} in one backward pass and "
                    f"{other.reshape(-1)[j]:.9g} in the next (element {j}), for the same inputs and upstream gradient"
                )
                yield Problem("nondeterministic", message, each.name)
    for number, (each, rows, g) in enumerate(zip(subject.inputs, jacobian, found, strict=True)):
        expected = (rows * u[:, None]).sum(axis=0)
        actual = np.zeros(expected.shape) if g is None else g.reshape(-1).astype(np.float64)
        relative = 1e-9 if each.array.dtype == np.float64 else 1e-4
        # An element's own size, since what cancels may have come through it alone.
        small = (relative * checker.scales.sensitivity * size).sum() / checker.scales.own[number]
        small = small + 1e-4 * (np.abs(rows) * size[:, None]).sum(axis=0)
        wrong = ~(np.abs(actual - expected) <= small)
        if wrong.any():
            checker.measure_noise()
            small = small + (100 * checker.noise * size).sum() / checker.scales.own[number]
            small = small + (checker.backward_rounding[number] * size[:, None]).sum(axis=0)
            small = small + upstream_rounding(subject, found, u)[number].reshape(-1)
            wrong = ~(np.abs(actual - expected) <= small)
        if wrong.any():
            j = int(np.argmax(wrong))
            yield Problem(
                "upstream",
                f"the gradient of {each.name} is not linear in the upstream gradient: element {j} is "
                f"{actual[j]:.9g} for a random one, whose parts alone add up to {expected[j]:.9g}; is the upstream "
                "gradient used as a factor?",
                each.name,
            )


def note_missing(checker: Checker, came: list[bool]) -> None:
    """Say for which inputs no gradient came: where one that is always 0 is right, None is as well."""
    for each, summary, is_there in zip(checker.subject.inputs, checker.report.inputs, came, strict=True):
        if is_there or not summary.compared:
            continue
        if summary.wrong:
            message = f"no gradient came for {each.name} (None), and the outputs depend on it"
            checker.report.problems.append(Problem("missing gradient", message, each.name))
        else:
            message = f"nothing depends on {each.name}, and no gradient came for it"
            checker.report.problems.append(Problem("unused", message, each.name))
