"""The public API takes whatever comes, by a result or an error of minidl's; and the fuzzer sees what it should."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzzing import run, targets

# Valid calls of these need an object in a certain state, which neither an example nor a search gives.
WITHOUT_CALLS = {"data.Compose.__call__", "nn.Parameter.initialise"}


def test_a_few_calls() -> None:
    made, found = run.run(seed=17, calls=2000, quickly=True)
    assert made == 2000
    assert not found, run.report(found)


@pytest.mark.slow
def test_many_calls() -> None:
    made, found = run.run(seed=18, calls=60_000, seconds=90)
    assert made > 2000, "so slow a machine tests nothing"
    assert not found, run.report(found)


@pytest.mark.slow
def test_every_public_callable_is_called() -> None:
    missing = {target.name for target in targets.found() if not target.templates}
    assert missing == WITHOUT_CALLS, "give it an example in its docstring, or a value in fuzzing.targets.NAMED"


def test_the_callables_are_found() -> None:
    found = set(targets.public_callables())
    assert found >= {
        "grad", "Tensor.reshape", "Tensor.__getitem__", "functional.conv2d", "nn.Conv2d", "nn.Conv2d.__call__",
        "nn.Module.to", "nn.init.uniform_", "nn.utils.clip_grad_value_", "optim.Adam", "optim.Optimizer.step",
        "optim.lr_scheduler.StepLR", "data.DataLoader.__iter__", "testing.check_vjp", "plot.filters",
    }  # fmt: skip
    assert not any("._" in name.replace(".__", "") for name in found if ":" not in name)


PLANTED = """
import os
import minidl.functional as F
from minidl.functional import activation

def tanh(input):
    if input is None:
        os.abort()
    if isinstance(input, (str, dict, complex)):
        raise TypeError("a raw error")
    return original(input)

original, F.tanh, activation.tanh = F.tanh, tanh, tanh
tanh.__module__ = "minidl.functional.activation"
"""


def test_crashes_and_errors_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(PLANTED)
    root = Path(__file__).resolve().parents[1]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
    made, found = run.run(seed=1, calls=60, only="functional.tanh", quickly=True)
    assert made == 60
    kinds = {(each["kind"], each["error"]) for each in found}
    assert ("TypeError", "a raw error") in kinds
    assert any(kind == "crash" and "ends the process with -6" in error for kind, error in kinds)


def test_a_call_is_the_same_again() -> None:
    first, again = run.Plan(3, "functional", quickly=True), run.Plan(3, "functional", quickly=True)
    for number in range(50):
        one, other = first.call(number), again.call(number)
        assert run.describe(one[0], *one[2:]) == run.describe(other[0], *other[2:])
