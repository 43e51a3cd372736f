"""One check from beginning to end, whichever front end asked for it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from minidl.errors import GradcheckError
from minidl.testing.directions import check_random
from minidl.testing.full import check_full
from minidl.testing.hints import explain
from minidl.testing.report import GradcheckReport
from minidl.testing.subject import Found, Options, Subject

Array = np.ndarray


def run_check(
    subject: Subject,
    options: Options,
    report: GradcheckReport,
    raise_exception: bool,
    complex_values: Callable[[int, int, complex], Array] | None = None,
) -> GradcheckReport:
    """Check in the mode that was asked for, put all that was found into the report, and return it or raise."""
    start = time.perf_counter()
    # Beyond a domain's edge and at infinities, NumPy would warn of what is handled here.
    with np.errstate(all="ignore"):
        try:
            if options.mode == "random":
                check_random(subject, options, report)
            else:
                check_full(subject, options, report, complex_values, explain)
        except Found as found:
            if not report.inputs:
                subject.report_inputs(report)
            report.problems.append(found.problem)
    report.evaluations = subject.evaluations
    report.seconds = time.perf_counter() - start
    return finished(report, raise_exception)


def finished(report: GradcheckReport, raise_exception: bool) -> GradcheckReport:
    """The report, or what is raised of it."""
    if raise_exception and not report:
        raise GradcheckError(str(report), report)
    return report
