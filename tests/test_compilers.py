"""Clang compiles every module for Linux and macOS, and its kernels are right (`make test-clang`, which installs Zig).

For x86-64 under Linux the tests of kernels run on what was compiled, one row each. For aarch64 they run under QEMU
where MINIDL_AARCH64 names a folder with an aarch64 system's Python 3.11 (`usr/bin`, `usr/lib`, `lib`) and, in `site`,
NumPy, SciPy, safetensors, threadpoolctl, pytest and hypothesis for it. What was compiled for macOS is never run.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KERNELS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").glob("test_kernels*.py"))
TESTS = ["tests/test_ops.py", "tests/test_vector_math.py", *KERNELS]
EMULATOR = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="no Zig here: use make test-clang"),
]


def run(*command: object, **options: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)  # type: ignore
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-8000:]
    return done.stdout


def build(target: str, *arguments: str) -> list[Path]:
    """The modules for another system, in a folder that is kept for the next time."""
    folder, tools = ROOT / "build" / target, ROOT / "build" / f"{target}-tools"
    file = run(sys.executable, ROOT / "tools" / "cross.py", target, tools).strip()
    if not (folder / "build.ninja").exists():
        kind = "--native-file" if file.endswith("native.ini") else "--cross-file"
        run("meson", "setup", folder, kind, file, "-Dbuildtype=release", *arguments, cwd=ROOT)
    run("ninja", "-C", folder, "--quiet")
    return sorted((folder / "minidl" / "_ext").glob("*.so"))


def check(modules: list[Path], numbers: tuple[str, ...]) -> None:
    """Every source went into a module for each type of numbers."""
    sources = {path.stem for path in (ROOT / "minidl" / "_ext").glob("*.pyx") if not path.stem.startswith("_")}
    names = {path.name.partition(".")[0].rsplit("_", 1)[0] for path in modules}
    assert names >= {f"{source}_{number}" for source in sources for number in numbers}


def tree_of(modules: list[Path], folder: Path) -> Path:
    """A copy of the package and its tests, with these modules."""
    for name in ("minidl", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("pyproject.toml", "pytest_minidl.py"):
        shutil.copy2(ROOT / name, folder)
    for module in modules:
        # Named as any Python reads it: the cross compiler's file has the name of the running one.
        shutil.copy2(module, folder / "minidl" / "_ext" / f"{module.name.partition('.')[0]}.so")
    return folder


def run_tests(python: list[object], folder: Path, **environment: str) -> None:
    """One row of each test."""
    known = {name: value for name, value in os.environ.items() if name not in ("MINIDL_ISA", "MINIDL_PARITY")}
    environment = {**known, "MINIDL_SAMPLE": "1000000", "PYTHONPATH": str(folder), **environment}
    print(run(*python, "-c", "import minidl; minidl.show_config()", cwd=folder, env=environment))
    arguments = ["-q", "-p", "no:cacheprovider", "-m", "not slow"]
    print(run(*python, "-m", "pytest", *arguments, *TESTS, cwd=folder, env=environment))


def test_linux(tmp_path: Path) -> None:
    modules = build("x86_64-linux-gnu", "-Dinstruction_sets=native")
    check(modules, ("float", "double"))
    run_tests([sys.executable], tree_of(modules, tmp_path))


def test_linux_on_another_processor(tmp_path: Path) -> None:
    modules = build("aarch64-linux-gnu", "-Doptimization=1")
    check(modules, ("float", "double"))
    root = Path(os.environ.get("MINIDL_AARCH64", "/nowhere"))
    if EMULATOR is None or not root.is_dir():
        pytest.skip("compiled, not run: no QEMU, or MINIDL_AARCH64 names no folder")
    folder = tree_of(modules, tmp_path)
    python = [EMULATOR, "-L", root, root / "usr" / "bin" / "python3.11"]
    path = os.pathsep.join([str(folder), str(root / "site")])
    run_tests(python, folder, PYTHONPATH=path, PYTHONHOME=str(root / "usr"), OPENBLAS_NUM_THREADS="1")


@pytest.mark.parametrize("processor", ["aarch64", "x86_64"])
def test_macos(processor: str) -> None:
    """Compiled and linked, never run; of x86-64 one instruction set."""
    sets = ["-Dinstruction_sets=v3"] if processor == "x86_64" else []
    modules = build(f"{processor}-macos", "-Doptimization=1", *sets)
    check(modules, ("float", "double"))
    for module in modules:
        assert module.read_bytes()[:4] == bytes.fromhex("cffaedfe"), f"{module.name} is not for macOS"
