"""The layers of the code: imports go down only, and what no module may do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minidl

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "minidl"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# From the bottom; what stands together may import each other's siblings, but not in a circle.
LAYERS = [
    {"errors"},
    {"arguments"},
    {"dtypes", "geometry", "runtime", "_ext", "grad_mode", "files"},
    {"memory"},
    {"kernels"},
    {"reference"},
    {"autograd"},
    {"backward", "copies"},
    {"ops"},
    {"tensor"},
    {"creation"},
    {"functional"},
    # nn.utils has what optim clips gradients with, where PyTorch's scripts look for it.
    {"optim", "data"},
    {"nn"},
    {"checkpoint", "testing", "plot", "summary", "config"},
    {"weights"},
    {"minidl"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def layer_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "minidl"


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def imports(path: Path, inside_functions: bool) -> list[tuple[int, str]]:
    """The modules of minidl that a file imports as (line, name): on its top level, or inside functions."""
    tree = ast.parse(path.read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]
    inner = {id(node) for function in functions for node in ast.walk(function)}
    found = []
    for node in ast.walk(tree):
        if (id(node) in inner) is not inside_functions:
            continue
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] == "minidl"]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            if node.module and node.module.split(".")[0] == "minidl":
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    found.append((node.lineno, full if is_module(full) else node.module))
    return found


def test_every_module_has_a_layer() -> None:
    assert SOURCES
    unknown = {layer_of(module_name(path)) for path in SOURCES} - set(LEVEL)
    assert not unknown, f"say where {sorted(unknown)} stands in LAYERS"


@pytest.mark.parametrize("inside_functions", [False, True], ids=["top level", "inside functions"])
def test_imports_go_down_only(inside_functions: bool) -> None:
    upward = []
    for path in SOURCES:
        own = layer_of(module_name(path))
        for line, name in imports(path, inside_functions):
            other = layer_of(name)
            if inside_functions and (own, name) == ("config", "minidl"):
                # It prints the version, which stands at the top.
                continue
            if other != own and LEVEL[other] >= LEVEL[own]:
                upward.append(f"{path.relative_to(ROOT)}:{line} ({own}) imports {name}")
    assert not upward, "\n".join(upward)


def test_no_circles_within_a_layer() -> None:
    edges = {module_name(p): {name for _, name in imports(p, False)} - {module_name(p)} for p in SOURCES}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path, module])
        if module not in done and module in edges:
            for other in edges[module]:
                visit(other, (*path, module))
            done.add(module)

    for module in edges:
        visit(module, ())


def test_only_kernels_imports_the_compiled_code() -> None:
    importers = set()
    for path in SOURCES:
        for inside in (False, True):
            for _, name in imports(path, inside):
                if layer_of(name) == "_ext" and layer_of(module_name(path)) != "_ext":
                    importers.add(layer_of(module_name(path)))
    assert importers == {"kernels", "memory"}


def nodes() -> list[tuple[Path, ast.AST]]:
    return [(path, node) for path in SOURCES for node in ast.walk(ast.parse(path.read_text()))]


def test_matrix_products_go_through_scipys_blas() -> None:
    names = {"matmul", "dot", "vdot", "inner", "einsum", "tensordot"}
    found = []
    for path, node in nodes():
        if path.parent.name == "reference":
            continue
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult):
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}: @")
        numpy_name = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np"
        if numpy_name and node.attr in names:
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}: np.{node.attr}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "dot":
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}: .dot()")
    assert not found, "\n".join(found)


def test_no_assert_statements() -> None:
    found = [f"{path.relative_to(ROOT)}:{node.lineno}" for path, node in nodes() if isinstance(node, ast.Assert)]
    assert not found, "python -O drops them: " + ", ".join(found)


def test_no_pickle() -> None:
    found = []
    for path, node in nodes():
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if {name.split(".")[0] for name in names} & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal"}:
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant) and node.value.value is False, path
    assert not found, ", ".join(found)


def test_no_module_is_too_long() -> None:
    files = [*SOURCES, *PACKAGE.rglob("*.pyx"), *PACKAGE.rglob("*.pxd"), *PACKAGE.rglob("*.h")]
    long = {str(path.relative_to(ROOT)): n for path in files if (n := len(path.read_text().splitlines())) > 450}
    assert not long


def test_one_version() -> None:
    (in_build,) = re.findall(r"^\s*version: '([^']+)'", (ROOT / "meson.build").read_text(), re.MULTILINE)
    assert minidl.__version__ == in_build


def test_import_brings_only_the_core() -> None:
    optional = ["matplotlib", "tqdm", "pooch", "sklearn", "requests", "safetensors", "torch", "pytest", "pandas"]
    program = f"import sys, minidl; print([name for name in {optional} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert (result.returncode, result.stdout.strip()) == (0, "[]"), result.stderr
