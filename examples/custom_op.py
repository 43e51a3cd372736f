#!/usr/bin/env python3
"""Write an operation of your own, in NumPy and as a Cython kernel, and find its mistakes with a gradient check.

    python examples/custom_op.py

The operation is a sum that leaks, h[t] = decay * h[t - 1] + x[t]: a filter, and the core of a linear recurrent layer.
The kernel (leaky_sum.pyx) is compiled on the spot, which needs Cython and a C compiler; without them that part is left
out.
"""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minidl
from minidl.autograd import Op
from minidl.errors import DTypeError, ShapeError

Array = np.ndarray
KERNEL = Path(__file__).with_name("leaky_sum.pyx")


class LeakySum(Op):
    """h[t] = decay * h[t - 1] + x[t], with a decay a channel.

    x[t] is in h[t], h[t + 1], ... with 1, decay, decay^2, ...; so the gradient of x is the leaky sum of the result's
    gradient, from the end of time to its beginning. `backward` says that in differentiable operations, one of which is
    the leaky sum itself: gradients of gradients then work without another line.
    """

    def forward(self, x: Array, decay: Array) -> Array:
        """Sum x (T, C) up along time, with decay (C,)."""
        h = x.copy()
        for t in range(1, len(x)):
            h[t] += decay * h[t - 1]
        self.save(decay, h)
        return h

    def backward(self, grad: Any) -> tuple:
        """The gradients of x and decay, of the result's (T, C)."""
        decay, h = self.saved
        grad_x = type(self)()(grad[::-1], decay)[::-1]
        grad_decay = (grad_x[1:] * h[:-1]).sum(dim=0)
        return grad_x, grad_decay


class NotTurnedBack(LeakySum):
    """The same, with a mistake: what was summed from the end is not turned back."""

    def backward(self, grad: Any) -> tuple:
        """The gradients of x and decay, of which one is wrong."""
        decay, h = self.saved
        from_the_end = LeakySum()(grad[::-1], decay)
        return from_the_end, (from_the_end[::-1][1:] * h[:-1]).sum(dim=0)


def compiled(kernel: Any) -> type[LeakySum]:
    """The same operation, with the kernel's loops in place of NumPy's where no gradient is recorded."""

    class CompiledLeakySum(LeakySum):
        def forward(self, x: Array, decay: Array) -> Array:
            h = np.empty(x.shape, x.dtype)
            kernel.forward(np.ascontiguousarray(x), np.ascontiguousarray(decay), h)
            # The input itself, not a copy, which would have no history.
            self.save(decay, h)
            return h

        def backward_arrays(self, grad: Array) -> tuple:
            """Both gradients in one pass; `backward` stays for gradients of gradients."""
            decay, h = self.saved_arrays()
            grad_x, grad_decay = np.empty_like(h), np.zeros(decay.shape, decay.dtype)
            kernel.backward(np.ascontiguousarray(grad), h, np.ascontiguousarray(decay), grad_x, grad_decay)
            return grad_x, grad_decay

    return CompiledLeakySum


def leaky_sum(x: Any, decay: Any, op: type[LeakySum] = LeakySum) -> Any:
    """What users call: checks the inputs, then calls the operation.

    Raises
    ------
    ShapeError
        If x is not (T, C), or decay not (C,).
    DTypeError
        If their dtypes differ, for which there is no kernel.
    """
    if x.ndim != 2:
        raise ShapeError(f"leaky_sum: x has shape {x.shape}, expected (T, C)")
    if decay.shape != x.shape[1:]:
        raise ShapeError(f"leaky_sum: decay has shape {decay.shape}, x has {x.shape[1]} channels (axis 1 of {x.shape})")
    if decay.dtype != x.dtype:
        raise DTypeError(f"leaky_sum: decay is {decay.dtype}, x {x.dtype}; both must be the same")
    return op()(x, decay)


def what_is_missing() -> str | None:
    """What there is not to compile with, and what to do about it."""
    for module in ("Cython", "setuptools"):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed (pip install 'minidl[examples]' has it)"
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")[0]
    if sys.platform != "win32" and shutil.which(compiler) is None:
        return f"there is no C compiler: {compiler} was not found (on Debian and Ubuntu: apt install gcc)"
    return None


def build(source: str, name: str, folder: Path) -> Any:
    """Translate Cython to C, compile it and import it; all files go to `folder`."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension

    file = folder / f"{name}.pyx"
    file.write_text(source)
    modules = cythonize([Extension(name, [str(file)], extra_compile_args=["-O3"])], quiet=True)
    command: Any = Distribution({"name": name, "ext_modules": modules}).get_command_obj("build_ext")
    command.build_lib = command.build_temp = str(folder)
    command.ensure_finalized()
    command.run()
    spec = importlib.util.spec_from_file_location(name, command.get_ext_fullpath(name))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(op: type[LeakySum], order: int = 1) -> Any:
    """Check an operation's gradients, at a few numbers that are as good as any."""
    generator = np.random.default_rng(0)
    x = minidl.tensor(generator.normal(size=(6, 3)), requires_grad=True)
    decay = minidl.tensor(generator.uniform(0.3, 0.9, 3), requires_grad=True)
    return minidl.gradcheck(
        lambda x, decay: leaky_sum(x, decay, op), {"x": x, "decay": decay}, order=order, raise_exception=False
    )


def milliseconds(op: type[LeakySum]) -> float:
    """A forward and a backward pass over 2,000 steps of 64 channels, at best of 5."""
    x = minidl.ones((2000, 64), requires_grad=True)
    decay = minidl.full((64,), 0.9, requires_grad=True)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        leaky_sum(x, decay, op).sum().backward()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def print_checked(op: type[LeakySum]) -> None:
    """Gradients, and gradients of gradients: the first line of each report."""
    for order in (1, 2):
        print(str(check(op, order)).splitlines()[0])


def say(text: str) -> None:
    """A heading."""
    print(f"\n{text}\n{'-' * len(text)}")


def in_numpy() -> None:
    """The operation in NumPy: correct, wrong, and what the report says."""
    say("1. In NumPy")
    x = minidl.tensor([[1.0], [0.0], [0.0], [2.0]], requires_grad=True)
    decay = minidl.tensor([0.5])
    h = leaky_sum(x, decay)
    print(f"x            {x.numpy()[:, 0]}\nleaky sum    {h.numpy()[:, 0]}")
    h[2].sum().backward()
    print(f"slope of the third by x {x.grad.numpy()[:, 0]}\n")
    print("A gradient check compares such slopes with differences of the function's values, all of them at once:")
    print_checked(LeakySum)

    say("2. Broken: the gradient of x is not turned back")
    print(check(NotTurnedBack))
    print(
        "\nx is wrong, decay is right; and the hint says what is the matter with x: axis 0, which is time, is flipped."
    )


def in_cython(build_kernel: Callable[[str, str], Any]) -> None:
    """The kernel: with an index that is one off, and as it should be."""
    source = KERNEL.read_text()
    right, wrong = "* h[t - 1, c]\n", "* h[t, c]\n"
    before, after = source.rsplit(right, 1)

    say(f"3. In Cython, broken: {wrong.strip()[2:]} in place of {right.strip()[2:]} in the backward pass")
    print(check(compiled(build_kernel(before + wrong + after, "leaky_sum_broken"))))
    print(
        "\nHere x is right and decay is wrong: of the kernel's lines, only the one that adds to grad_decay can be it."
    )

    say("4. In Cython, mended")
    op = compiled(build_kernel(source, "leaky_sum"))
    print_checked(op)
    print("\n2,000 steps of 64 channels, forward and backward:", end=" ")
    print(f"{milliseconds(LeakySum):.2f} ms in NumPy, {milliseconds(op):.2f} ms in Cython")


def main() -> int:
    """Tell the story."""
    in_numpy()
    if missing := what_is_missing():
        say("3. In Cython")
        print(f"Left out: {missing}.")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        in_cython(lambda source, name: build(source, name, Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
