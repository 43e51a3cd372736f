"""A gradient check's report as text, at most 120 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from minidl.testing.findings import NOTHING_TO_CHECK, Element, Findings, InputReport, Problem

_WIDTH = 120
# Beyond these, the rest is counted.
_MAX_KINKS = 5
_MAX_PROBLEMS = 20
_HEADINGS = ("index", "output", "analytic", "numeric", "+/-", "abs. error", "rel. error", "verdict")
# Errors line up at their exponents, which is what one compares.
_SIDES = ("<", "<", "<", "<", ">", ">", ">", "<")


def text(report: Findings) -> str:
    """The whole report."""
    lines = [header(report)]
    for note in report.notes:
        lines += _wrapped("  note: ", note)
    for problem in report.problems[:_MAX_PROBLEMS]:
        lines += _wrapped(f"  {problem.kind}: ", _described(problem))
    if len(report.problems) > _MAX_PROBLEMS:
        lines.append(f"  and {len(report.problems) - _MAX_PROBLEMS:,} more problems")
    for number, each in enumerate(report.inputs):
        if number == 0 or each.worst or report.inputs[number - 1].worst:
            lines.append("")
        # An input that is right needs no more than its worst element where something else is wrong.
        lines += _input(each, _verdict(report, each), len(each.worst) if report or each.wrong else 1)
    if report.kinks:
        lines += ["", *_kinks(report.kinks)]
    return "\n".join(lines)


def header(report: Findings) -> str:
    """Its first line: what was checked, how, and what came of it."""
    evaluations = "1 evaluation" if report.evaluations == 1 else f"{report.evaluations:,} evaluations"
    outcome = "ok" if report else "FAILED"
    if any(problem.kind == NOTHING_TO_CHECK for problem in report.problems):
        outcome = "compared nothing"
    return (
        f"{report.name} {outcome} (order {report.order}, method {report.method}, "
        f"mode {report.mode}, {evaluations}, {report.seconds:.2f} s)"
    )


def _described(problem: Problem) -> str:
    where = ""
    if problem.input is not None and problem.input not in problem.message:
        where += f"{problem.input}: "
    if problem.block is not None:
        start, stop = problem.block
        owner = f" of {problem.input}" if problem.input is not None else ""
        return f"{where}{problem.message} (elements {start:,} to {stop - 1:,}{owner}, flat)"
    return where + problem.message


def _verdict(report: Findings, each: InputReport) -> str:
    if report.mode != "random" or each.compared or 0 in each.shape:
        return each.verdict
    # No elements are compared where the directions agree, which is not the same as no check.
    failures = [problem for problem in report.problems if problem.is_failure and problem.input in (each.name, None)]
    return "see above" if failures else "agrees along random directions"


def _input(each: InputReport, verdict: str, most: int) -> list[str]:
    lines = [f"{_shortened(each.name, 60)} {_shape(each.shape)} {each.dtype}: {verdict}"]
    if each.worst:
        lines += _table(each.worst[:most])
    if each.hint:
        lines += _wrapped("  hint: ", each.hint)
    return lines


def _table(elements: Sequence[Element]) -> list[str]:
    columns = [
        [_index(element.index) or "scalar" for element in elements],
        [element.output + _index(element.output_index) or "scalar" for element in elements],
        _signed([_value(element.analytic) for element in elements]),
        _signed([_value(element.numeric) for element in elements]),
        [f"{element.error_estimate:.1e}" for element in elements],
        [f"{element.absolute_error:.1e}" for element in elements],
        [f"{element.relative_error:.1e}" for element in elements],
        [element.verdict for element in elements],
    ]
    columns = [[heading, *cells] for heading, cells in zip(_HEADINGS, columns, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    # The two places share what the numbers leave of a line, and one has what the other does not need.
    left = _WIDTH - 2 * len(columns) - sum(widths[2:])
    widths[0] = min(widths[0], max(left // 2, left - widths[1]))
    widths[1] = min(widths[1], left - widths[0])
    lines = []
    for row in zip(*columns, strict=True):
        cells = [
            f"{_shortened(cell, width):{side}{width}}" for cell, side, width in zip(row, _SIDES, widths, strict=True)
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    for element in elements:
        if element.one_sided is not None and element.verdict == "wrong at a kink":
            left_slope, right_slope = element.one_sided
            lines += _wrapped(
                "  ",
                f"at the kink {_place(element)} the derivatives from below and from above are {_value(left_slope)} and "
                f"{_value(right_slope)}: {_value(element.analytic)} is not between them",
            )
    return lines


def _value(value: float) -> str:
    # The sum has no negative zero, in which nobody should look for a meaning.
    return f"{value + 0.0:.9g}"


def _signed(cells: list[str]) -> list[str]:
    """Digits below digits, where some of the numbers have a sign."""
    return [cell if cell.startswith("-") else f" {cell}" for cell in cells] if "-" in {c[0] for c in cells} else cells


def _place(element: Element) -> str:
    output = element.output + _index(element.output_index)
    return f"{element.input}{_index(element.index)}" + (f" in {output}" if output else "")


def _kinks(kinks: Sequence[Element]) -> list[str]:
    number = "1 kink" if len(kinks) == 1 else f"{len(kinks):,} kinks"
    lines = [f"{number} (the derivatives from below and from above differ):"]
    for element in kinks[:_MAX_KINKS]:
        sides = ""
        if element.one_sided is not None:
            left_slope, right_slope = element.one_sided
            sides = f": {_value(left_slope)} and {_value(right_slope)}, the gradient is {_value(element.analytic)}"
        remark = {"skipped": " (not judged)", "wrong at a kink": " (wrong)"}.get(element.verdict, "")
        lines += _wrapped("  ", _place(element) + sides + remark)
    if len(kinks) > _MAX_KINKS:
        lines.append(f"  and {len(kinks) - _MAX_KINKS:,} more")
    return lines


def _shape(shape: Sequence[int]) -> str:
    return str(tuple(int(size) for size in shape)) if len(shape) else "scalar"


def _index(index: Sequence[int]) -> str:
    return str([int(place) for place in index]) if len(index) else ""


def _shortened(cell: str, width: int) -> str:
    if len(cell) <= width:
        return cell
    kept = width - 3
    return f"{cell[: kept // 2]}...{cell[len(cell) - (kept - kept // 2) :]}"


def _wrapped(start: str, message: str) -> list[str]:
    """The message behind `start`, its further lines indented as far as its first."""
    lines: list[str] = []
    for paragraph in message.splitlines() or [""]:
        indent = start if not lines else " " * len(start)
        lines += textwrap.wrap(
            paragraph,
            _WIDTH,
            initial_indent=indent,
            subsequent_indent=" " * len(start),
            break_on_hyphens=False,
        ) or [indent.rstrip()]
    return lines
