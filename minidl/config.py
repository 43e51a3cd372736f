"""`show_config`: what this installation runs on."""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy

from minidl import kernels, runtime
from minidl.version import __version__

# The instruction sets that OpenBLAS's cores are written for, by x86-64 level; cores not named here are below 3.
_AVX512_CORES = {"skylakex", "cooperlake", "sapphirerapids", "zen5"}
_AVX2_CORES = {"haswell", "zen"}


def config() -> dict[str, Any]:
    """Collect what `show_config` prints, as a dict."""
    # Nothing else needs it as a rule, and its import takes a tenth of minidl's.
    import scipy

    libraries = [library.info() for library in runtime.blas_libraries()]
    blas = libraries[0] if libraries else {}
    core = str(blas.get("architecture", "unknown"))
    found: dict[str, Any] = {
        "minidl": __version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "instruction set": kernels.instruction_set(),
        "instruction sets built": ", ".join(kernels.instruction_sets()),
        "threads": runtime.get_num_threads(),
        "threads from": runtime.num_threads_from(),
        "cores to use": runtime.available_cores(),
        "threads by": kernels.threads_by(),
        "blas": blas.get("internal_api", "unknown"),
        "blas version": blas.get("version", "unknown"),
        "blas core": core,
        "blas threads outside minidl": blas.get("num_threads", "unknown"),
    }
    warning = _pinned_below(core)
    return found | ({"warning": warning} if warning else {})


def _pinned_below(core: str) -> str | None:
    level = kernels.x86_64_level()
    core_level = 4 if core.lower() in _AVX512_CORES else 3 if core.lower() in _AVX2_CORES else 2
    if level < 3 or core == "unknown" or core_level >= level:
        return None
    pinned = os.environ.get("OPENBLAS_CORETYPE")
    reason = f"OPENBLAS_CORETYPE={pinned} pins it; unset it" if pinned else "a newer OpenBLAS may know this processor"
    return f"BLAS runs its {core} core (x86-64 level {core_level}), the processor has level {level}: {reason}"


def show_config() -> None:
    """Print versions, instruction set, threads and BLAS, and a warning where BLAS is pinned below the processor.

    Examples
    --------
    >>> import minidl
    >>> minidl.show_config()
    minidl: ...
    """
    for key, value in config().items():
        print(f"{key}: {value}")
