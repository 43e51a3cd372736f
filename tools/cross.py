"""Write what meson needs to compile for another system with Clang, as `zig cc` brings it (called by tests).

    python tools/cross.py aarch64-macos build/aarch64-macos-tools
    meson setup build/aarch64-macos --cross-file build/aarch64-macos-tools/cross.ini ...

`pip install ziglang` is all that this takes: Clang, the C library's headers of each system and a linker. Python's
headers are those of the running Python: on another system of 64 bits they differ in pyconfig.h, of which the few lines
that the headers may read are changed.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

TARGETS = ("x86_64-linux-gnu", "aarch64-linux-gnu", "x86_64-macos", "aarch64-macos")
# Zig has its own names for instruction sets.
COMPILER = """#!/usr/bin/env bash
set -- "${{@/#-march=x86-64-/-march=x86_64_}}"
exec {python} -m ziglang {tool} "$@"
"""
DARWIN_LACKS = ("HAVE_CLOCK_NANOSLEEP", "HAVE_EPOLL", "HAVE_FUTIMESAT", "HAVE_LINUX_\\w+", "HAVE_PTHREAD_SETNAME_NP")


def headers(target: str, folder: Path) -> Path:
    """Python's headers for another system."""
    include = Path(sysconfig.get_path("include"))
    shutil.copytree(include, folder, dirs_exist_ok=True)
    config = folder / "pyconfig.h"
    # Debian's asks the compiler for the system, and includes that one's.
    own = include.parent / (sysconfig.get_config_var("MULTIARCH") or "") / include.name / "pyconfig.h"
    if own.exists():
        shutil.copy2(own, config)
    if target.endswith("macos"):
        text = re.sub(rf"^#define ({'|'.join(DARWIN_LACKS)}) .*$", r"/* #undef \1 */", config.read_text(), flags=re.M)
        config.write_text(text)
    return folder


def write(target: str, folder: Path) -> Path:
    """Write the compiler's wrapper and the file for meson, whose path comes back."""
    folder.mkdir(parents=True, exist_ok=True)
    processor, system = target.split("-")[:2]
    # Before all others, so that the running Python's headers are not found.
    include = f"-I{shlex.quote(str(headers(target, folder.resolve() / 'include')))}"
    for name, tool in (("cc", f"cc -target {target} {include}"), ("ar", "ar")):
        (folder / name).write_text(COMPILER.format(python=sys.executable, tool=tool))
        (folder / name).chmod(0o755)
    lines = ["[binaries]", f"c = '{folder.resolve() / 'cc'}'", f"ar = '{folder.resolve() / 'ar'}'"]
    if target == "x86_64-linux-gnu":
        path = folder / "native.ini"
    else:
        path = folder / "cross.ini"
        lines += ["[host_machine]", f"system = '{'darwin' if system == 'macos' else system}'"]
        lines += [f"cpu_family = '{processor}'", f"cpu = '{processor}'", "endian = 'little'"]
    path.write_text("\n".join(lines) + "\n")
    return path


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    print(write(options.target, options.folder))


if __name__ == "__main__":
    main()
