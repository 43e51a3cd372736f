"""The layers of the code: imports go down only, and what no module may do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import minidl

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "minidl"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# From the bottom; what stands together may import each other's siblings, but not in a circle.
LAYERS = [
    {"errors", "version"},
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


# Modules of our own that a function imports when it runs, (importer, imported): why it is not done at the top. They are
# held to the layers and may close no circle, like any other. Optional packages of others are imported on use as well;
# nothing needs to be said of these.
DEFERRED: dict[tuple[str, str], str] = {}


def imports(path: Path) -> list[tuple[int, str, bool]]:
    """The modules of minidl that a file imports, wherever it does: line, name, and whether a function imports it."""
    tree = ast.parse(path.read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]
    inner = {id(node) for function in functions for node in ast.walk(function)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            members = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if is_module(name) else str(node.module) for name in members]
        else:
            continue
        found += [(node.lineno, name, id(node) in inner) for name in names if name.split(".")[0] == "minidl"]
    return found


def test_every_module_has_a_layer() -> None:
    assert SOURCES
    unknown = {layer_of(module_name(path)) for path in SOURCES} - set(LEVEL)
    assert not unknown, f"say where {sorted(unknown)} stands in LAYERS"


def test_imports_go_down_only() -> None:
    upward = []
    for path in SOURCES:
        own = layer_of(module_name(path))
        for line, name, _ in imports(path):
            other = layer_of(name)
            if other != own and LEVEL[other] >= LEVEL[own]:
                upward.append(f"{path.relative_to(ROOT)}:{line} ({own}) imports {name}")
    assert not upward, "\n".join(upward)


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, the first one again at the end; empty if there are none."""
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module not in done:
            for other in sorted(edges.get(module, ())):
                if found := visit(other, (*path, module)):
                    return found
            done.add(module)
        return []

    for module in sorted(edges):
        if found := visit(module, ()):
            return found
    return []


def test_no_circles_within_a_layer() -> None:
    edges = {module_name(p): {name for _, name, _ in imports(p)} - {module_name(p)} for p in SOURCES}
    assert not circle(edges), " -> ".join(circle(edges))


def test_a_circle_is_found_through_an_import_inside_a_function(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text("def f():\n    from minidl.ops.shapes import Reshape\n\n\nimport minidl.errors\n")
    assert sorted(imports(tmp_path / "file.py")) == [(2, "minidl.ops.shapes", True), (5, "minidl.errors", False)]
    assert circle({"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"b"}}) == ["b", "d", "b"]
    assert not circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def test_own_modules_are_imported_at_the_top_or_for_a_reason() -> None:
    deferred = {(module_name(p), name) for p in SOURCES for _, name, inside in imports(p) if inside}
    assert deferred == set(DEFERRED)
    # `_ext` imports its compiled modules by name, and `errors` what an extra installs; nothing else may go that way.
    dynamic = set()
    for path, node in nodes():
        called = node.func if isinstance(node, ast.Call) else None
        if getattr(called, "attr", getattr(called, "id", "")) in ("import_module", "__import__"):
            dynamic.add(module_name(path))
    assert dynamic <= {"minidl._ext", "minidl.errors"}


def test_only_kernels_imports_the_compiled_code() -> None:
    importers = set()
    for path in SOURCES:
        for _, name, _ in imports(path):
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
