"""Plants realistic mistakes in a copy of minidl, one at a time, and shows which test catches each.

    python tests/mutants.py                all mutants of tests/planted/ (make mutants)
    python tests/mutants.py col2im nn/     those whose name, file or place has one of the words in it
    python tests/mutants.py --every 3      every third of the table
    python tests/mutants.py --list         what there is
    python tests/mutants.py --sanitize     the kernels' tests under the sanitizers, then mistakes that these must see

A mutant is caught if a test fails, and by nothing else: one that does not compile or import, crashes or hangs is an
error of the table. Survivors and errors make the exit status 1. A surviving mutant is a missing test.

Each worker has a copy of the tree, and compiles again what a mutant of a kernel touches, with the commands of the build
folder, for one instruction set alone: `debug`, which compiles fastest.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from planted import MUTANTS, SANITIZED, Mutant

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 600

# What runs under the sanitizers: all that reaches the kernels, but for what PyTorch or another process computes, and
# for large sums that are there for their rounding. Corners and rows meet every algorithm on small convolutions.
LEFT_OUT = {
    "test_kernels.py": "not large_convolutions_equal",
    "test_kernels_elementwise.py": "not pytorch",
    "test_kernels_winograd.py": "not error and not rounding",
    "test_kernels_winograd_strided.py": "not error and not rounding",
    # It counts what more examples bring.
    "test_kernels_corners.py": "not enough",
}
UNDER_SANITIZERS = [
    *(
        f"{file} -k {LEFT_OUT[file]}" if file in LEFT_OUT else file
        for file in sorted(
            str(path.relative_to(ROOT / "tests")) for path in (ROOT / "tests").rglob("test_*kernels*.py")
        )
    ),
    "test_loss_limits.py -k fused_kernels",
    "test_geometries.py -k not enough",
    "nn/test_random_networks.py",
    "test_same_bits.py -k not fresh",
    # Each kernel once or a few times: they are ten times slower here.
    "test_ops.py -k test_values_equal_the_references or fused_gradients or broadcast_views or empty_batches",
]


class BrokenMutant(Exception):
    """The table is wrong: the mutant does not apply, compile or run."""


def arguments_of(tests: str) -> list[str]:
    """The pytest arguments of one line of the table."""
    file, *expression = tests.split(" -k ")
    return [f"tests/{file}", *(["-k", *expression] if expression else [])]


class Tree:
    """A copy of what the tests need, with the kernels of one instruction set."""

    def __init__(self, folder: Path, isa: str) -> None:
        self.folder, self.isa = folder, isa
        self.build = ROOT / "build" / ("sanitize" if isa == "sanitize" else "dev")
        compiled = self.build / "minidl" / "_ext"
        shutil.copytree(ROOT / "minidl", folder / "minidl", ignore=shutil.ignore_patterns("*.so"))
        shutil.copytree(ROOT / "tests", folder / "tests")
        shutil.copytree(ROOT / "tools", folder / "tools")
        shutil.copy2(ROOT / "pyproject.toml", folder)
        shutil.copy2(ROOT / "pytest_minidl.py", folder)
        for module in [*compiled.glob(f"*_{isa}.*.so"), *compiled.glob("_*.so"), *compiled.glob("lib*.so")]:
            shutil.copy2(module, folder / "minidl" / "_ext")
        if not list((folder / "minidl" / "_ext").glob("*.so")):
            raise SystemExit(f"no kernels in {compiled}: use make {'sanitize' if isa == 'sanitize' else 'mutants'}")
        if isa == "sanitize":
            (folder / "torch.py").write_text('raise ImportError("PyTorch would take too long under the sanitizers")')
        self.original: str = ""
        self.times = (0, 0)
        self.kernels = folder / "kernels"
        shutil.copytree(folder / "minidl" / "_ext", self.kernels)

    def pytest(self, *arguments: str, sample: int = 1) -> subprocess.CompletedProcess[str]:
        """Run tests in this tree, of each function every so many (`pytest_collection_modifyitems`)."""
        # No bytecode is written: it is found by the time of a file in seconds, and a mutant may take less.
        environment = {
            **os.environ, "MINIDL_ISA": self.isa, "MINIDL_PARITY": "1", "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_WAIT_POLICY": "passive", "COLUMNS": "250", "MINIDL_SAMPLE": str(sample),
        }  # fmt: skip
        # Where pytest finds these it explains each failure at length, for however long that takes.
        for name in ("CI", "BUILD_NUMBER"):
            environment.pop(name, None)
        if self.isa == "sanitize":
            environment |= {"MINIDL_PARITY": "", "MINIDL_EXAMPLES": "40"}
            names = ("libasan.so", "libubsan.so")
            found = [subprocess.check_output(["cc", f"-print-file-name={name}"], text=True).strip() for name in names]
            environment |= {
                # What allocates must be intercepted from the start.
                "LD_PRELOAD": ":".join(found),
                # Python keeps memory until its end by design.
                "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1",
                "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
            }
        # What a sanitizer writes as the process ends would be lost with pytest's own record of the descriptor.
        capture = "--capture=sys" if self.isa == "sanitize" else "--capture=fd"
        # And what it knows of a crash would be lost with Python's own handler.
        handler = ["-p", "no:faulthandler"] if self.isa == "sanitize" else []
        command = [sys.executable, "-m", "pytest", "-x", "-q", capture, "-p", "no:cacheprovider", *handler, *arguments]
        try:
            return subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT
            )
        except subprocess.TimeoutExpired:
            raise BrokenMutant(f"no end after {TIMEOUT} seconds") from None

    def plant(self, mutant: Mutant) -> None:
        """Put the mistake in, and compile what it touches."""
        try:
            place = mutant.place(self.folder / "minidl")
        except LookupError as error:
            raise BrokenMutant(str(error)) from None
        path = self.folder / "minidl" / place.file
        text = path.read_text()
        self.original, self.times = text, (path.stat().st_atime_ns, path.stat().st_mtime_ns)
        changed = text[place.start : place.stop].replace(mutant.old, mutant.new)
        path.write_text(text[: place.start] + changed + text[place.stop :])
        if modules := self.modules_of(mutant):
            self.compile(modules, translates=path.suffix != ".h")

    def restore(self, mutant: Mutant) -> None:
        """Take the mistake out again."""
        if self.original:
            path = self.folder / "minidl" / mutant.file
            path.write_text(self.original)
            os.utime(path, ns=self.times)
            self.original = ""
        for module in self.modules_of(mutant):
            (compiled,) = self.kernels.glob(f"{module}.*so")
            shutil.copy2(compiled, self.folder / "minidl" / "_ext")

    def modules_of(self, mutant: Mutant) -> list[str]:
        """The compiled modules that a file goes into."""
        path = Path(mutant.file)
        if path.suffix == ".py":
            return []
        if path.suffix == ".pyx":
            names = [path.stem]
        else:
            touched, names = {path.name}, list(mutant.modules)
            sources = {p: p.read_text() for p in self.kernels.rglob("*") if p.suffix in (".pyx", ".pxd", ".h")}
            before = 0
            while not names and before < len(touched):
                before = len(touched)
                for source, text in sources.items():
                    included = re.findall(r'^(?:cdef extern from|#include) "(.*?)"', text, re.M)
                    included += [f"{name}.pxd" for name in re.findall(r"^from minidl\._ext\.(\w+) cimport", text, re.M)]
                    if touched & {Path(name).name for name in included}:
                        touched.add(source.name)
            names = names or sorted(Path(name).stem for name in touched if name.endswith(".pyx"))
            if not names:
                raise BrokenMutant(f"{mutant.file} goes into no compiled module")
        modules = []
        for name in names:
            if name.startswith(("_", "lib")):
                modules.append(name)
            else:
                modules += [f"{name}_{number}_{self.isa}" for number in ("float", "double")]
        return modules

    def compile(self, modules: list[str], translates: bool = True) -> None:
        """Make modules again, by the commands that the build folder would use, but for what takes most of the time.

        Where only a header of C changed, Cython's translation is the build folder's. Nothing is optimised: a mutant's
        few tests would run faster, but compiling takes longer than they do.
        """
        compiled = self.build / "minidl" / "_ext"
        targets = [path.relative_to(self.build) for module in modules for path in compiled.glob(f"{module}.*so")]
        if len(targets) != len(modules):
            raise BrokenMutant(f"{self.build} has not all of {', '.join(modules)}")
        commands = subprocess.check_output(["ninja", "-C", self.build, "-t", "commands", *targets], text=True)
        folder = self.folder / self.build.relative_to(ROOT)
        for objects in {*(f"{target}.p" for target in targets), *re.findall(r"minidl/\S+?\.so\.p(?=/)", commands)}:
            (folder / objects).mkdir(parents=True, exist_ok=True)
        for line in commands.splitlines():
            words = [str(self.folder) if word == str(ROOT) else word for word in shlex.split(line)]
            if words[0] == "ninja:" or "symbolextractor" in words:
                continue
            sources = [word for word in words if word.endswith(".pyx")]
            if sources and not translates:
                ending = "_debug.c" if "--checked" in words else ".c"
                for source in sources:
                    translated = (folder / source).resolve().relative_to(self.folder).with_suffix("")
                    translated = translated.with_name(translated.name + ending)
                    shutil.copy2(self.build / translated, folder / translated)
                continue
            # The command is for many modules.
            names = {module.removesuffix(f"_{self.isa}").rsplit("_", 1)[0] for module in modules} | {*modules}
            words = [word for word in words if word not in sources or Path(word).stem in names]
            if self.isa == "debug":
                words = ["-O0" if word == "-O1" else word for word in words]
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
            if done.returncode:
                raise BrokenMutant(f"does not compile:\n{done.stdout}{done.stderr}")
        for target in targets:
            shutil.copy2(folder / target, self.folder / target)

    def caught_by(self, mutant: Mutant) -> str:
        """The test that fails, or the sanitizer's report; empty if none does."""
        for tests in mutant.tests:
            done = self.pytest(*arguments_of(tests))
            output = done.stdout + done.stderr
            if self.isa == "sanitize":
                if done.returncode and re.search(mutant.report, output, re.DOTALL):
                    lines = (line for line in output.splitlines() if "SUMMARY: Add" in line or "runtime error" in line)
                    return next(lines, "").strip()
            elif done.returncode == 1 and (failed := re.search(r"^FAILED tests/(\S+::.*?)(?: - |$)", output, re.M)):
                return failed[1]
            if done.returncode:
                raise BrokenMutant(
                    f"pytest {tests} ended with {done.returncode} and no failing test:\n{output[-1500:]}"
                )
        return ""


def check_pristine(trees: list[Tree], lines: list[str], sample: int = 1) -> None:
    """Without a mistake all tests pass, or what catches a mutant would mean nothing."""
    expressions: dict[str, list[str]] = defaultdict(list)
    for line in dict.fromkeys(lines):
        file, *expression = line.split(" -k ")
        expressions[file] += expression or ["test"]
    waiting: queue.SimpleQueue[tuple[str, list[str]]] = queue.SimpleQueue()
    for item in expressions.items():
        waiting.put(item)
    wrong: list[str] = []

    def work(tree: Tree) -> None:
        while not wrong and not waiting.empty():
            try:
                file, parts = waiting.get_nowait()
                chosen = " or ".join(f"({part})" for part in dict.fromkeys(parts))
                done = tree.pytest(*arguments_of(file), "-k", chosen, sample=sample)
            except queue.Empty:
                return
            except BrokenMutant as error:
                wrong.append(f"{file}: {error}")
                return
            print(f"{file}: {done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ''}", flush=True)
            if done.returncode or re.search(r"\b\d+ skipped", done.stdout):
                wrong.append(f"{done.stdout[-8000:]}{done.stderr[-8000:]}\nfailed, or skipped, without any mutant")

    in_parallel(work, trees)
    if wrong:
        raise SystemExit("\n".join(wrong))


def in_parallel(work: Callable[[Tree], None], trees: list[Tree]) -> None:
    """Let each tree have a worker of its own."""
    workers = [threading.Thread(target=work, args=(tree,)) for tree in trees]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def run(mutants: list[Mutant], trees: list[Tree]) -> list[str]:
    """Plant all mutants, print a row for each, and return what went wrong."""
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    # Those that compile take longest.
    for mutant in sorted(mutants, key=lambda m: m.file.endswith(".py")):
        waiting.put(mutant)
    wrong: list[str] = []
    width = max(len(m.name) for m in mutants)
    place = max(len(m.file) for m in mutants)

    def work(tree: Tree) -> None:
        while True:
            try:
                mutant = waiting.get_nowait()
            except queue.Empty:
                return
            start = time.monotonic()
            try:
                try:
                    tree.plant(mutant)
                    found = tree.caught_by(mutant)
                finally:
                    tree.restore(mutant)
                if not found:
                    wrong.append(f"{mutant.name} survives: {mutant.why}")
            except BrokenMutant as error:
                found = "BROKEN"
                wrong.append(f"{mutant.name} is broken: {error}")
            seconds = time.monotonic() - start
            print(f"{mutant.name:{width}}  {mutant.file:{place}}  {seconds:5.1f} s  {found or 'SURVIVES'}", flush=True)

    in_parallel(work, trees)
    return wrong


def main() -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description="Plant mistakes in minidl and show which test catches each.")
    parser.add_argument("words", nargs="*", help="only mutants whose name, file or place has one of these in it")
    parser.add_argument("--list", action="store_true", help="print the table and plant nothing")
    parser.add_argument("--sanitize", action="store_true", help="run under the sanitizers")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="plant every N-th alone (default: 1, all)")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default: 2)")
    options = parser.parse_args()
    mutants = [
        mutant
        for mutant in (SANITIZED if options.sanitize else MUTANTS)
        if not options.words or any(word in f"{mutant.name} {mutant.file} {mutant.where}" for word in options.words)
    ][:: 1 if options.sanitize else max(options.every, 1)]
    if options.list:
        for mutant in mutants:
            print(f"{mutant.name}: {mutant.file}, {mutant.where}: {mutant.why}")
        print(f"{len(mutants)} mutants")
        return 0
    if not mutants:
        raise SystemExit(f"no mutant has {' or '.join(options.words)} in its name or file")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="minidl-mutants-") as folder:
        isa = "sanitize" if options.sanitize else "debug"
        trees = [Tree(Path(folder) / str(i), isa) for i in range(max(min(options.jobs, len(mutants)), 1))]
        if options.sanitize:
            # One at a time: the kernels' threads get in each other's way there. A third takes ten minutes.
            check_pristine(trees[:1], UNDER_SANITIZERS, sample=1 if options.every == 1 else 3)
        else:
            check_pristine(trees, [t for m in mutants for t in m.tests])
        print(f"All pass without a mutant, after {time.monotonic() - start:.0f} s.\n", flush=True)
        wrong = run(mutants, trees)
    print(f"\n{len(mutants)} mutants in {time.monotonic() - start:.0f} s: {len(wrong)} survivors and errors")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
