"""The report: what it counts as a failure, how it prints, and that its JSON is JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from minidl.testing.findings import VERDICTS, Element, InputReport, Problem, relative_error
from minidl.testing.report import GradcheckReport

NAN, INF = float("nan"), float("inf")


def element(verdict: str = "wrong", **changes: Any) -> Element:
    found: dict[str, Any] = {
        "input": "weight",
        "index": (0, 2),
        "output": "loss",
        "output_index": (),
        "analytic": 2.0,
        "numeric": 1.0,
        "error_estimate": 1e-12,
        "verdict": verdict,
    }
    return Element(**found | changes)


def report_of(*inputs: InputReport, **changes: Any) -> GradcheckReport:
    found: dict[str, Any] = {"order": 1, "method": "auto", "mode": "full", "evaluations": 1234, "seconds": 0.5}
    return GradcheckReport("gradcheck", inputs=list(inputs), **found | changes)


def input_of(**changes: Any) -> InputReport:
    found: dict[str, Any] = {"name": "weight", "shape": (2, 3), "dtype": "float64", "compared": 6}
    return InputReport(**found | changes)


def no_constant(name: str) -> float:
    raise AssertionError(f"{name} is not JSON")


@pytest.mark.parametrize(
    ("analytic", "numeric", "estimate", "expected"),
    [
        (1.0, 1.0, 0.0, 0.0),
        (0.0, 0.0, 0.0, 0.0),
        (2.0, 1.0, 0.0, 0.5),
        (1.0, -1.0, 0.0, 2.0),
        (0.0, 1e-300, 0.0, 1.0),
        (1.1, 1.0, 0.05, 0.05 / 1.1),
        (1.1, 1.0, 0.2, 0.0),
        (2.0, 1.0, INF, 0.5),
        (2.0, 1.0, NAN, 0.5),
        (NAN, 1.0, 0.0, NAN),
        (1.0, NAN, 0.0, NAN),
        (INF, 1.0, 0.0, INF),
        (INF, INF, 0.0, 0.0),
        (INF, -INF, 0.0, INF),
        (1e308, -1e308, 0.0, INF),
    ],
)
def test_relative_error(analytic: float, numeric: float, estimate: float, expected: float) -> None:
    np.testing.assert_allclose(relative_error(analytic, numeric, estimate), expected, rtol=1e-12)


def test_it_is_true_when_nothing_failed() -> None:
    assert report_of()
    assert report_of(input_of(kinks=2, unresolved=1), problems=[Problem("unused", "nothing depends on it")])
    assert not report_of(input_of(wrong=1))
    assert not report_of(input_of(), problems=[Problem("nondeterministic", "fn gives another value each time")])


def test_failures_are_problems_then_wrong_elements() -> None:
    problems = [Problem("unused", "x is not used"), Problem("dtype", "float32 for float64", "x")]
    worst = [element(), element("wrong at a kink", one_sided=(0.0, 1.0)), element("kink"), element("unresolved")]
    report = report_of(input_of(wrong=2, worst=worst), problems=problems)
    assert report.failures == [problems[1], worst[0], worst[1]]
    assert report_of(input_of()).failures == []


def test_the_table_says_what_is_wrong_and_where() -> None:
    worst = [
        element(index=(0, 2), analytic=-0.123456789123, numeric=1.5),
        element(index=(1, 0), analytic=NAN, numeric=3.0, error_estimate=INF),
    ]
    report = report_of(input_of(wrong=2, kinks=1, unresolved=1, worst=worst, hint="twice " * 30), notes=["a note"])
    expected = """\
gradcheck FAILED (order 1, method auto, mode full, 1,234 evaluations, 0.50 s)
  note: a note

weight (2, 3) float64: 2 of 6 entries wrong, 1 at a kink, 1 unresolved
  index   output  analytic      numeric      +/-  abs. error  rel. error  verdict
  [0, 2]  loss    -0.123456789  1.5      1.0e-12     1.6e+00     1.1e+00  wrong
  [1, 0]  loss     nan          3            inf         nan         nan  wrong
  hint: twice twice twice"""
    assert str(report).startswith(expected)
    assert str(report).splitlines()[-1].startswith("        twice")
    assert repr(report) == f"<{expected.splitlines()[0]}>"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "6 entries, ok"),
        ({"compared": 1}, "1 entry, ok"),
        ({"wrong": 6}, "all 6 entries wrong"),
        ({"wrong": 1, "compared": 1}, "its only entry is wrong"),
        ({"wrong": 1}, "1 of 6 entries wrong"),
        ({"kinks": 2}, "6 entries, ok, 2 at kinks"),
        ({"unresolved": 6}, "6 entries, all unresolved"),
        ({"compared": 0}, "nothing compared"),
        ({"compared": 0, "shape": (0, 3)}, "empty, nothing to compare"),
        ({"compared": 61706, "wrong": 1200}, "1,200 of 61,706 entries wrong"),
    ],
)
def test_the_verdict_in_words(changes: dict[str, Any], expected: str) -> None:
    assert input_of(**changes).verdict == expected


def test_it_fits_120_columns_whatever_the_names_and_values() -> None:
    long = element(
        "wrong at a kink",
        input="model.features.0.block.1.convolution.weight",
        index=(10,) * 9,
        output="outputs['a name that is as long as names get']",
        output_index=(3,) * 9,
        analytic=-1.23456789e-100,
        numeric=-1.23456789e-200,
        one_sided=(-1e-200, -2e-200),
    )
    each = input_of(name=long.input * 2, wrong=1, worst=[long, element()], hint="long " * 60)
    problems = [Problem("direction", "word " * 60, each.name, (5, 1_000_000))] * 30
    report = report_of(each, problems=problems, notes=["note " * 60], kinks=[long] * 1000)
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 120
    assert "  and 10 more problems" in lines and "  and 995 more" in lines
    assert "(elements 5 to 999,999" in str(report)
    # What is wrong at a kink says between which values it should be.
    assert "are -1e-200 and -2e-200: -1.23456789e-100 is not between them" in " ".join(str(report).split())


def test_scalars_and_empty_inputs_print() -> None:
    scalar = input_of(
        name="scale", shape=(), compared=1, wrong=1, worst=[element(input="scale", index=(), output="", one_sided=None)]
    )
    text = str(report_of(scalar, input_of(name="nothing", shape=(0, 4), compared=0)))
    assert "scale scalar float64: its only entry is wrong" in text
    assert "\n  scalar  scalar  2 " in text
    assert "nothing (0, 4) float64: empty, nothing to compare" in text


def test_kinks_are_listed() -> None:
    kinks = [
        element("kink", one_sided=(-0.0, 1.0), analytic=0.5),
        element("skipped", one_sided=(0.0, 1.0)),
        element("wrong at a kink", one_sided=(0.0, 1.0)),
        element("kink"),
    ]
    lines = str(report_of(input_of(kinks=4), kinks=kinks)).splitlines()
    assert lines[-5:] == [
        "4 kinks (the derivatives from below and from above differ):",
        "  weight[0, 2] in loss: 0 and 1, the gradient is 0.5",
        "  weight[0, 2] in loss: 0 and 1, the gradient is 2 (not judged)",
        "  weight[0, 2] in loss: 0 and 1, the gradient is 2 (wrong)",
        "  weight[0, 2] in loss",
    ]


@pytest.mark.parametrize("errors", [False, True])
def test_json_is_json(errors: bool) -> None:
    error = np.array([[0.0, NAN, INF], [1e-12, 0.5, 1.0]])
    state = np.array([[1, 6, 6], [1, 4, 5]], dtype=np.int8)
    worst = [element(index=(np.int64(0), np.int64(1)), analytic=np.float64(NAN), numeric=-INF)]
    each = input_of(wrong=np.int64(2), worst=worst, error=error, state=state)
    report = report_of(
        each, problems=[Problem("direction", "x", "w", (np.int64(1), np.int64(2)))], kinks=[element("kink")]
    )
    found = json.loads(report.to_json(indent=1, errors=errors), parse_constant=no_constant)
    assert found == report.to_dict(errors=errors)
    assert (found["ok"], found["order"], found["evaluations"]) == (False, 1, 1234)
    (weight,) = found["inputs"]
    assert weight["worst"][0]["analytic"] == "nan" and weight["worst"][0]["numeric"] == "-inf"
    assert weight["worst"][0]["index"] == [0, 1] and found["problems"][0]["block"] == [1, 2]
    if errors:
        assert weight["error"] == [0.0, "nan", "inf", 1e-12, 0.5, 1.0]
        assert weight["state"] == [VERDICTS[i] for i in state.reshape(-1)]
        np.testing.assert_array_equal(np.array(weight["error"], dtype=np.float64), error.reshape(-1))
    else:
        assert "error" not in weight


def test_sixty_thousand_elements_print_in_a_few_lines() -> None:
    size = 61_706
    worst = [element(index=(i,)) for i in range(5)]
    each = input_of(shape=(size,), compared=size, wrong=size, worst=worst, error=np.ones(size))
    report = report_of(each, kinks=[element("kink", index=(i,)) for i in range(size)])
    assert len(str(report).splitlines()) < 20
    assert len(report.to_dict()["kinks"]) == size


def test_a_right_input_beside_a_wrong_one_takes_one_row() -> None:
    right = input_of(name="right", worst=[element("ok")] * 5)
    assert str(report_of(right)).count("ok\n") + str(report_of(right)).endswith("ok") == 1 + 5
    both = str(report_of(right, input_of(wrong=3, worst=[element()] * 5)))
    assert both.count("  wrong") == 5 and both.count("  ok") == 1


def test_random_mode_does_not_say_that_nothing_was_compared() -> None:
    inputs = [
        input_of(name="a", compared=0),
        input_of(name="b", compared=0),
        input_of(name="c", compared=0, shape=(0,)),
    ]
    report = report_of(*inputs, mode="random", problems=[Problem("direction", "it differs", "b", (0, 6))])
    lines = str(report).splitlines()
    assert "a (2, 3) float64: agrees along random directions" in lines
    assert "b (2, 3) float64: see above" in lines and "c (0,) float64: empty, nothing to compare" in lines
    assert "a (2, 3) float64: nothing compared" in str(report_of(inputs[0]))
