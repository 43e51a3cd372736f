"""Count the lines that a reader needs from `Tensor` to a trained LeNet.

These are the functions of the package that are entered when LeNet is built, trained with Adam and evaluated (each
whole, with the heads of their classes), and the kernel sources that hold the kernels used. Documentation, comments and
blank lines are counted apart.

    python benchmarks/reading_path.py
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from types import FrameType

import numpy as np

entered: set[tuple[str, int]] = set()


def watch(frame: FrameType, event: str, _argument: object) -> None:
    """Note the function that a frame belongs to."""
    if event == "call":
        entered.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))


def train() -> None:
    """Build LeNet, train it for some steps, and evaluate it."""
    import minidl
    from minidl import nn

    minidl.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dense(400, 120), nn.ReLU(), nn.Dense(120, 84), nn.ReLU(), nn.Dense(84, 10),
    )  # fmt: skip
    optimizer = minidl.optim.Adam(model.parameters())
    images = minidl.Tensor(np.random.default_rng(0).normal(size=(64, 1, 28, 28)).astype(np.float32))
    labels = minidl.Tensor(np.arange(64) % 10)
    for _ in range(3):
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(model(images), labels).backward()
        optimizer.step()
    with minidl.no_grad():
        model.eval()(images).argmax(1)


def code_lines(source: str, first: int, last: int, without: set[int]) -> int:
    """Lines with code, from first to last."""
    lines = source.split("\n")[first - 1 : last]
    return sum(
        1
        for number, line in enumerate(lines, first)
        if number not in without and line.strip() and not line.strip().startswith("#")
    )


def main() -> None:
    """Count and print."""
    import minidl

    root = Path(minidl.__file__).parent
    sys.setprofile(watch)
    train()
    sys.setprofile(None)
    code = text = 0
    for path in sorted(root.rglob("*.py")):
        source = path.read_text()
        tree = ast.parse(source)
        documentation: set[int] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
                documentation |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
        used: set[int] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                if (str(path), first) in entered or (str(path), node.lineno) in entered:
                    used |= set(range(first, (node.end_lineno or 0) + 1))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and used & set(range(node.lineno, (node.end_lineno or 0) + 1)):
                start = node.body[0].lineno
                heads = [s for s in node.body if not isinstance(s, ast.FunctionDef)]
                used |= set(range(node.lineno, start + 1))
                for statement in heads:
                    used |= set(range(statement.lineno, (statement.end_lineno or 0) + 1))
        text += len(used)
        code += sum(code_lines(source, number, number, documentation) for number in used)
    kernels = 0
    names = (
        "conv.pyx",
        "pool.pyx",
        "matmul.pyx",
        "elementwise.pyx",
        "loss.pyx",
        "optim.pyx",
        "_window.pxd",
        "_blas.pxd",
    )
    for name in (*names, "_threads.pxd", "_real.pxd", "real.h", "runs.h", "max_pool.h"):
        source = re.sub(r'"""(.|\n)*?"""|/\*(.|\n)*?\*/', "", (root / "_ext" / name).read_text())
        kernels += code_lines(source, 1, source.count("\n") + 1, set())
    print(f"Python: {code} lines of code ({text} with documentation)")
    print(f"kernels: {kernels} lines of code, whole files")
    print(f"together: {code + kernels}")


if __name__ == "__main__":
    main()
