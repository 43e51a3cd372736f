"""Translate Cython modules to C, many in one process (called by meson.build).

Cython spends most of a module's time on what all modules share, so that a process for each takes three times as long.
A module whose C file is newer than what it was made from is left alone, and so is a C file that would be the same:
what was compiled from it is not compiled again.
"""

import argparse
import re
import sys
from pathlib import Path

from Cython.Build.Dependencies import create_dependency_tree
from Cython.Compiler import Options
from Cython.Compiler.Main import CompilationOptions, Context, compile_single

DIRECTIVES = {
    "language_level": 3, "wraparound": False, "cdivision": True, "embedsignature": False,
    "show_performance_hints": False, "binding": False,
}  # fmt: skip
# They are for whoever reads the sources; nobody asks a kernel for help.
Options.docstrings = False
# What reads a call's arguments is a third of a module's code and loops over nothing. At -O3 it takes a fifth of a
# wheel, to save 0.06 us a call.
ENTRY = """\
#if defined(__OPTIMIZE__) && defined(__GNUC__) && !defined(__clang__)
#define MINIDL_ENTRY __attribute__((optimize("Os")))
#else
#define MINIDL_ENTRY
#endif
"""
CHECKS = ("boundscheck", "initializedcheck", "nonecheck")


def translate(source: Path, target: Path, made_from: set[str], root: Path, directives: dict[str, object]) -> bool:
    """Write the module's C file if it is not there or would be another one; whether that went well."""
    if target.exists() and target.stat().st_mtime > max(Path(file).stat().st_mtime for file in made_from):
        return True
    made = target.with_suffix(".new.c")
    options = CompilationOptions(
        compiler_directives={**Options.get_directive_defaults(), **directives},
        shared_utility_qualified_name="minidl._ext._cyutility",
        include_path=[str(root)],
        output_file=str(made),
    )
    if compile_single(str(source), options, None, context=Context.from_options(options)).num_errors:
        made.unlink(missing_ok=True)
        return False
    made.write_text(ENTRY + re.sub(r"^(?=static PyObject \*__pyx_pw_)", "MINIDL_ENTRY ", made.read_text(), flags=re.M))
    if target.exists() and target.read_bytes() == made.read_bytes():
        made.unlink()
    else:
        made.replace(target)
    return True


def _escaped(path: str) -> str:
    """As make reads it."""
    return path.replace(" ", "\\ ").replace("$", "$$")


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="the folder of the package's folder")
    parser.add_argument("folder", type=Path, help="where the C files go")
    parser.add_argument("sources", type=Path, nargs="+", help="files .pyx")
    parser.add_argument("--depfile", type=Path, help="what is to be written: the files that the C files are made from")
    parser.add_argument("--checked", action="store_true", help="check bounds; the C file's name ends with _debug")
    options = parser.parse_args()
    directives = {**DIRECTIVES, **dict.fromkeys(CHECKS, options.checked)}
    ending = "_debug.c" if options.checked else ".c"
    tree = create_dependency_tree(quiet=True)
    targets, needed, is_done = [], set(), True
    for source in options.sources:
        target = options.folder / (source.stem + ending)
        made_from = {*tree.all_dependencies(str(source.resolve())), str(Path(__file__).resolve())}
        is_done = translate(source.resolve(), target, made_from, options.root.resolve(), directives) and is_done
        targets.append(str(target))
        needed |= made_from
    if options.depfile:
        options.depfile.write_text(f"{' '.join(targets)}: {' '.join(map(_escaped, sorted(needed)))}\n")
    return 0 if is_done else 1


if __name__ == "__main__":
    sys.exit(main())
