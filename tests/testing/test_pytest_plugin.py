"""The pytest plugin, as a project that uses it sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_minidl

ROOT = Path(__file__).resolve().parents[2]

RIGHT = """
import numpy as np

def test_right(check_vjp):
    assert check_vjp(np.tanh, lambda u, x: u * (1 - np.tanh(x) ** 2), [np.array([0.3, -0.7])])
"""

WRONG = """
import numpy as np

def forward(x, w):
    return x @ w

def backward(u, x, w):
    return u @ w.T, 2 * x.T @ u

def test_dense(check_vjp):
    rng = np.random.default_rng(0)
    check_vjp(forward, backward, (rng.normal(size=(4, 3)), rng.normal(size=(3, 2))), names=["x", "weight"])
"""

# The order and mode that arrive, without the time that checks take.
ASKED = """
import minidl.testing, pytest

@pytest.fixture(autouse=True)
def asked(monkeypatch):
    calls = []
    def check(*arguments, **options):
        calls.append(options)
        return True
    monkeypatch.setattr(minidl.testing, "gradcheck", check)
    monkeypatch.setattr(minidl.testing, "check_vjp", check)
    return calls

def test_default(gradcheck, check_vjp, asked):
    gradcheck(None, None)
    gradcheck.vjp(None, None, None)
    check_vjp(None, None, None)
    print("DEFAULT", asked)

def test_own(gradcheck, asked):
    gradcheck(None, None, order=2, mode="full", eps=1e-3)
    print("OWN", asked)
"""


def lines(result: pytest.RunResult, start: str) -> str:
    (found,) = [line for line in result.outlines if line.startswith(start)]
    return found.removeprefix(start).strip()


def test_a_right_gradient_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(RIGHT)
    pytester.runpytest("-p", "pytest_minidl").assert_outcomes(passed=1)


def test_a_failing_test_shows_the_table_and_nothing_of_minidls_inside(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(WRONG)
    result = pytester.runpytest("-p", "pytest_minidl")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">   *check_vjp(forward, backward, *",
            "E *GradcheckError: check_vjp FAILED (order 1, *",
            "E  *weight (3, 2) float64: * entries wrong",
            "E  *index *output *analytic *numeric *verdict",
            "E  *wrong",
            "E  *hint: the gradient is 2 times the numeric one*",
        ]
    )
    assert "minidl/testing" not in result.stdout.str() and "pytest_minidl.py" not in result.stdout.str()
    assert len(result.outlines) < 60


def test_a_check_that_compares_nothing_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import minidl

        X = minidl.tensor([0.5, -1.0, 2.0], requires_grad=True)

        def test_one(gradcheck):
            gradcheck(lambda x: x.argmax(), X)

        def test_two(gradcheck):
            assert not gradcheck(lambda x: x > 0, X, raise_exception=False)

        def test_three(check_vjp):
            check_vjp(lambda x: x[:0], lambda u, x: 0 * x, X.data)
        """
    )
    result = pytester.runpytest("-p", "pytest_minidl", "--gradcheck-order=both", "--gradcheck-report=reports")
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(
        ["E *gradcheck compared nothing (order 1, *", "E  *nothing to check: no output is of *"]
    )
    result.stdout.fnmatch_lines(["E *check_vjp compared nothing *", "E  *nothing to check: output is empty"])
    assert len(list(pytester.path.glob("reports/*.json"))) == 3


def test_a_check_without_the_fixture_has_the_same_short_traceback(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import minidl

        def test_square():
            x = minidl.tensor([0.5, -1.0, 2.0], requires_grad=True)
            minidl.gradcheck(lambda x: x * x.detach(), x)
        """
    )
    result = pytester.runpytest("-p", "pytest_minidl")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([">   *minidl.gradcheck(lambda*", "E *gradcheck FAILED*"])
    assert "minidl/testing" not in result.stdout.str()


def test_other_errors_keep_their_traceback(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def broken(x):
            raise KeyError("mine")

        def test_it(check_vjp):
            import numpy as np
            check_vjp(broken, lambda u, x: u, [np.ones(3)])
        """
    )
    result = pytester.runpytest("-p", "pytest_minidl")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*raise KeyError(*", "E *KeyError: 'mine'"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], [{"order": 1}, {}, {}]),
        (["--gradcheck-order=2"], [{"order": 2}, {}, {}]),
        (["--gradcheck-order=both"], [{"order": 1}, {"order": 2}, {}, {}]),
        (["--gradcheck-mode=random"], [{"mode": "random", "order": 1}, {"mode": "random"}, {"mode": "random"}]),
    ],
)
def test_options_are_defaults(pytester: pytest.Pytester, arguments: list[str], expected: list[dict]) -> None:
    pytester.makepyfile(ASKED)
    result = pytester.runpytest("-p", "pytest_minidl", "-s", *arguments)
    result.assert_outcomes(passed=2)
    text = result.stdout.str()
    found = [eval(line.partition("DEFAULT ")[2]) for line in text.splitlines() if "DEFAULT" in line]
    assert [[dict(sorted(call.items())) for call in calls] for calls in found] == [expected]
    # What a test says itself stays.
    assert "OWN [{'mode': 'full', 'eps': 0.001, 'order': 2}]" in text or "'order': 2" in text.partition("OWN")[2]
    own = eval(text.partition("OWN ")[2].splitlines()[0].rstrip("."))
    assert own == [{"order": 2, "mode": "full", "eps": 1e-3}]


def test_the_configuration_file_sets_them_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ASKED)
    pytester.makeini("[pytest]\ngradcheck_order = 2\ngradcheck_mode = random\n")
    text = pytester.runpytest("-p", "pytest_minidl", "-s").stdout.str()
    first = eval(text.partition("DEFAULT ")[2].splitlines()[0])
    assert first[0] == {"order": 2, "mode": "random"}
    text = pytester.runpytest("-p", "pytest_minidl", "-s", "--gradcheck-order=1").stdout.str()
    assert eval(text.partition("DEFAULT ")[2].splitlines()[0])[0] == {"order": 1, "mode": "random"}


def test_wrong_values_are_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(RIGHT)
    result = pytester.runpytest("-p", "pytest_minidl", "--gradcheck-order=3")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    pytester.makeini("[pytest]\ngradcheck_mode = quick\n")
    result = pytester.runpytest("-p", "pytest_minidl")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*gradcheck_mode must be one of full, random, got 'quick'*"])


def test_both_orders_are_checked_and_the_first_failure_ends_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import minidl

        def test_right(gradcheck):
            report = gradcheck(lambda x: x * x * x, minidl.tensor([0.5, -1.0], requires_grad=True))
            assert report and report.order == 2

        def test_first_order_wrong(gradcheck):
            x = minidl.tensor([0.5, -1.0], requires_grad=True)
            report = gradcheck(lambda x: x * x.detach(), x, raise_exception=False)
            assert not report and report.order == 1
        """
    )
    pytester.runpytest("-p", "pytest_minidl", "--gradcheck-order=both").assert_outcomes(passed=2)


def test_failures_are_written(pytester: pytest.Pytester) -> None:
    pytest.importorskip("matplotlib")
    pytester.makepyfile(test_dense=WRONG + RIGHT.replace("import numpy as np", ""))
    result = pytester.runpytest("-p", "pytest_minidl", "--gradcheck-report=found")
    result.assert_outcomes(failed=1, passed=1)
    folder = pytester.path / "found"
    assert sorted(path.name for path in folder.iterdir()) == [
        "test_dense.py-test_dense-weight.png",
        "test_dense.py-test_dense.json",
    ]
    found = json.loads((folder / "test_dense.py-test_dense.json").read_text())
    assert found["ok"] is False and [each["wrong"] > 0 for each in found["inputs"]] == [False, True]
    assert len(found["inputs"][1]["error"]) == 6
    assert (folder / "test_dense.py-test_dense-weight.png").read_bytes().startswith(b"\x89PNG")
    result.stdout.fnmatch_lines(["*Captured gradcheck call*", "*found/test_dense.py-test_dense.json"])


def test_without_matplotlib_the_json_is_written_and_the_picture_said_to_be_missing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import sys\nsys.modules['matplotlib.figure'] = None\n" + WRONG)
    pytester.makeini("[pytest]\ngradcheck_report = reports\n")
    result = pytester.runpytest_subprocess("-p", "pytest_minidl")
    result.assert_outcomes(failed=1)
    assert [path.suffix for path in (pytester.path / "reports").iterdir()] == [".json"]
    result.stdout.fnmatch_lines(["no heat maps: heatmap: needs the package matplotlib*"])


def test_several_failures_of_one_test_have_files_of_their_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import numpy as np
        import pytest

        @pytest.mark.parametrize("name", ["a/b", "a-b"])
        def test_twice(check_vjp, name):
            for _ in range(2):
                check_vjp(np.sin, lambda u, x: u, [np.array([0.3, 0.9])], raise_exception=False)
        """
    )
    pytester.runpytest("-p", "pytest_minidl", "--gradcheck-report=found").assert_outcomes(passed=2)
    names = sorted(path.name for path in (pytester.path / "found").glob("*.json"))
    assert len(names) == 4 and sum(name.endswith("-2.json") for name in names) == 2


def test_names_of_files_tell_tests_apart() -> None:
    ids = ["t.py::test_a", "t.py::test_a[x]", "t.py::test_a[x y]", "t.py::test_a[x-y]", "t.py::test_a[x/y]"]
    ids += [f"t.py::test_{'b' * 300}[{i}]" for i in range(3)]
    names = [pytest_minidl.file_name(each) for each in ids]
    assert len(set(names)) == len(ids) and max(map(len, names)) < 140
    assert names[0] == "t.py-test_a"
    assert not any(set(name) & set('/\\:*?"<>| ') for name in names)


def test_it_costs_nothing_until_it_is_used() -> None:
    """Neither minidl nor NumPy comes with the plugin, its options, or a test that does not use it."""
    program = (
        "import sys, pytest_minidl\nprint([name for name in ('minidl', 'numpy', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_run_that_does_not_use_it_imports_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import sys\n\ndef test_it():\n    assert not {'minidl', 'numpy'} & set(sys.modules)\n")
    pytester.runpytest_subprocess("-p", "pytest_minidl").assert_outcomes(passed=1)
