"""The pytest plugin of minidl: gradient checks as fixtures.

    def test_my_op(gradcheck):
        gradcheck(my_op, minidl.tensor([0.5, -1.0], requires_grad=True))

    def test_my_numpy_function(check_vjp):
        check_vjp(forward, backward, (x, w))

`gradcheck` is `minidl.gradcheck` and `check_vjp` (also `gradcheck.vjp`) is `minidl.testing.check_vjp`, with the options
of the command line, or of pytest's configuration, where a test says nothing else:

    --gradcheck-order=1|2|both     gradcheck_order     check gradients, gradients of gradients, or both
    --gradcheck-mode=full|random   gradcheck_mode      all elements, or random directions
    --gradcheck-report=DIR         gradcheck_report    write what failed there: JSON, and a heat map of each wrong input

A test that fails shows the report's table. minidl, and NumPy with it, is imported by the first test that checks a
gradient, so that the plugin costs nothing where it is only installed.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_OPTIONS = {
    "order": ("1", "2", "both"),
    "mode": ("full", "random"),
}
_LONGEST_NAME = 120


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and their twins in the configuration file."""
    group = parser.getgroup("gradcheck", "gradient checks (minidl)")
    helps = {
        "order": "what the fixture gradcheck checks by default: gradients (1), gradients of gradients (2), or both",
        "mode": "how the fixtures gradcheck and check_vjp check by default: all elements, or random directions",
    }
    for name, choices in _OPTIONS.items():
        group.addoption(f"--gradcheck-{name}", choices=choices, default=None, help=helps[name])
        parser.addini(f"gradcheck_{name}", f"{helps[name]} ({', '.join(choices)})", default="")
    where = "folder for reports of failed gradient checks: JSON, and a heat map of each wrong input (matplotlib)"
    group.addoption("--gradcheck-report", metavar="DIR", default=None, help=where)
    parser.addini("gradcheck_report", f"{where}, relative to the configuration file", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a wrong value in the configuration file at once; argparse does so for the command line."""
    for name, choices in _OPTIONS.items():
        value = config.getini(f"gradcheck_{name}")
        if value and value not in choices:
            raise pytest.UsageError(f"gradcheck_{name} must be one of {', '.join(choices)}, got {value!r}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
    """End the traceback of a failed check where it was called: the table says what is wrong, minidl's frames don't."""
    if call.excinfo is None or not _is_failed_check(call.excinfo.value):
        return
    last = entry = call.excinfo.value.__traceback__
    while entry is not None:
        module = entry.tb_frame.f_globals.get("__name__", "")
        if module.partition(".")[0] not in ("minidl", __name__):
            last = entry
        entry = entry.tb_next
    if last is not None:
        last.tb_next = None


class Gradcheck:
    """Gradient checks with a test run's options; see the module's documentation."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._node = request.node
        self._config = request.config
        self._failed = 0

    def __call__(self, fn: Callable[..., Any], inputs: Any, **options: Any) -> Any:
        """`minidl.gradcheck`; with the order "both", the report of order 2, or of order 1 if that one fails."""
        from minidl.testing import gradcheck

        options = self._mode() | options
        order = self._option("order") or "1"
        orders = [options.pop("order")] if "order" in options else [1, 2] if order == "both" else [int(order)]
        report = None
        for each in orders:
            report = self._run(gradcheck, fn, inputs, order=each, **options)
            if not report:
                break
        return report

    def vjp(self, forward: Callable[..., Any], backward: Callable[..., Any], arrays: Any, **options: Any) -> Any:
        """`minidl.testing.check_vjp`; it knows no order."""
        from minidl.testing import check_vjp

        return self._run(check_vjp, forward, backward, arrays, **self._mode() | options)

    def _mode(self) -> dict[str, str]:
        mode = self._option("mode")
        return {"mode": mode} if mode else {}

    def _option(self, name: str) -> str:
        return self._config.getoption(f"gradcheck_{name}") or self._config.getini(f"gradcheck_{name}")

    def _run(self, check: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            report = check(*arguments, **options)
        except AssertionError as error:
            if _is_failed_check(error):
                self._write(error.report)  # type: ignore[attr-defined]
            raise
        if not report:
            self._write(report)
        return report

    def _write(self, report: Any) -> None:
        """Write a failed report to the folder asked for, and tell its files in the test's output."""
        asked, configured = self._config.getoption("gradcheck_report"), self._config.getini("gradcheck_report")
        if not asked and not configured:
            return
        folder = self._config.invocation_params.dir / asked if asked else self._config.rootpath / configured
        folder.mkdir(parents=True, exist_ok=True)
        self._failed += 1
        name = file_name(self._node.nodeid) + (f"-{self._failed}" if self._failed > 1 else "")
        told = [_write_text(folder / f"{name}.json", report.to_json(indent=2, errors=True))]
        for each in report.inputs:
            if each.wrong and each.error is not None:
                path = folder / f"{name}-{file_name(each.name)}.png"
                try:
                    report.plot(path, each.name)
                except ImportError as error:
                    told.append(f"no heat maps: {error}")
                    break
                told.append(str(path))
        self._node.add_report_section("call", "gradcheck", "\n".join(told))


@pytest.fixture
def gradcheck(request: pytest.FixtureRequest) -> Gradcheck:
    """`minidl.gradcheck` with the options of the command line; `gradcheck.vjp` is `minidl.testing.check_vjp`."""
    return Gradcheck(request)


@pytest.fixture
def check_vjp(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`minidl.testing.check_vjp` with the options of the command line: gradients written by hand in NumPy."""
    return Gradcheck(request).vjp


def file_name(node_id: str) -> str:
    """The part of a file's name that says which test, or input, it is of; what no file may be called is replaced."""
    name = re.sub(r"[^\w.-]+", "-", node_id).strip("-.")
    # Of a parameter, other signs are replaced too, and long names are cut: two tests may then be alike.
    _, _, parameters = node_id.partition("[")
    if len(name) <= _LONGEST_NAME and re.fullmatch(r"[\w.-]*\]?", parameters):
        return name
    return f"{name[:_LONGEST_NAME]}-{zlib.crc32(node_id.encode()):08x}"


def _write_text(path: Path, text: str) -> str:
    path.write_text(text + "\n", encoding="utf-8")
    return str(path)


def _is_failed_check(error: BaseException) -> bool:
    # Asked by name: its class is minidl's, which nothing here may import.
    return type(error).__name__ == "GradcheckError" and getattr(error, "report", None) is not None
