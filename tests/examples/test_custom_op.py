"""The example of an operation of one's own: what it tells is so, in NumPy and compiled."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl
from minidl.errors import DTypeError, ShapeError

SCRIPT = Path(__file__).parents[2] / "examples" / "custom_op.py"


@pytest.fixture(scope="module")
def example() -> Any:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("custom_op_example", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def compiled(example: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The operation with its kernel."""
    if missing := example.what_is_missing():
        pytest.skip(missing)
    return example.compiled(example.build(example.KERNEL.read_text(), "leaky_sum", tmp_path_factory.mktemp("kernel")))


def inputs(dtype: str = "float64", steps: int = 7) -> tuple[Any, Any]:
    generator = np.random.default_rng(1)
    x, decay = generator.normal(size=(steps, 3)).astype(dtype), generator.uniform(0.1, 0.9, 3).astype(dtype)
    return minidl.tensor(x, requires_grad=True), minidl.tensor(decay, requires_grad=True)


def test_the_part_in_numpy(example: Any, capsys: pytest.CaptureFixture) -> None:
    example.in_numpy()
    text = capsys.readouterr().out
    assert "leaky sum    [1.    0.5   0.25  2.125]" in text
    assert "slope of the third by x [0.25 0.5  1.   0.  ]" in text
    sound, broken = text.split("2. Broken")
    assert "flipped along axis 0" in broken and "flipped" not in sound
    assert all(example.check(example.LeakySum, order) for order in (1, 2))


# It compiles the kernel twice.
@pytest.mark.slow
def test_the_whole_story(example: Any, capsys: pytest.CaptureFixture) -> None:
    if missing := example.what_is_missing():
        pytest.skip(missing)
    assert example.main() == 0
    text = capsys.readouterr().out
    assert [f"{k}. " in text for k in (1, 2, 3, 4)] == [True] * 4
    assert "ms in NumPy" in text


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("steps", [0, 1, 2, 7])
def test_the_kernel_computes_the_same(example: Any, compiled: Any, dtype: str, steps: int) -> None:
    found = []
    for op in (example.LeakySum, compiled):
        x, decay = inputs(dtype, steps)
        h = example.leaky_sum(x, decay, op)
        (h * h).sum().backward()
        found.append([h.numpy(), x.grad.numpy(), decay.grad.numpy()])
    for numpy, kernel in zip(*found, strict=True):
        assert kernel.dtype == dtype
        np.testing.assert_allclose(kernel, numpy, rtol=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_the_kernel_has_the_right_gradients(example: Any, compiled: Any, order: int) -> None:
    assert example.check(compiled, order)


def test_strided_inputs_keep_their_history(example: Any, compiled: Any) -> None:
    for op in (example.LeakySum, compiled):
        x, decay = inputs()
        h = example.leaky_sum(x[::2, ::-1], decay[::-1], op)
        (slope,) = minidl.grad((h * h).sum(), [decay], create_graph=True)
        (second,) = minidl.grad(slope.sum(), [decay])
        assert np.abs(second.numpy()).min() > 0


def test_what_is_refused(example: Any) -> None:
    x, decay = inputs()
    with pytest.raises(ShapeError, match=r"x has shape \(7,\), expected \(T, C\)"):
        example.leaky_sum(x[:, 0], decay)
    with pytest.raises(ShapeError, match=r"decay has shape \(2,\), x has 3 channels \(axis 1 of \(7, 3\)\)"):
        example.leaky_sum(x, decay[:2])
    with pytest.raises(DTypeError, match="decay is float32, x float64"):
        example.leaky_sum(x, decay.astype("float32"))


@pytest.mark.parametrize("missing", ["Cython", "cc"])
def test_without_a_compiler(
    example: Any, missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    if missing == "Cython":
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "Cython" else find(name))
    else:
        pytest.importorskip("Cython")
        monkeypatch.setattr(example.shutil, "which", lambda name: None)
    monkeypatch.setattr(example, "in_numpy", lambda: None)
    assert example.main() == 0
    said = "pip install 'minidl[examples]'" if missing == "Cython" else "apt install gcc"
    assert said in capsys.readouterr().out
