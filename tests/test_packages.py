"""The sdist and the wheel: what is in them, and that they install into an empty environment."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow

SMOKE = """
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
minidl.show_config()
print(minidl.__file__)
"""


def run(*command: object, cwd: Path | None = None) -> str:
    # Nothing of the checkout may be seen.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist of the last commit and a wheel that was built from it."""
    if not (ROOT / ".git").exists():
        pytest.skip("the sdist is made from a git checkout")
    folder = tmp_path_factory.mktemp("packages")
    checkout = folder / "checkout"
    run("git", "clone", "--quiet", ROOT, checkout)
    environment = folder / "build"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "build")
    run(python, "-m", "build", "--outdir", folder / "dist", cwd=checkout)
    return folder / "dist"


def test_the_sdist_has_sources_and_tests_and_nothing_made(packages: Path) -> None:
    (sdist,) = packages.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    for wanted in (
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "meson.build",
        "tests/test_ops.py",
        "minidl/_ext/conv.pyx",
    ):
        assert wanted in names
    unwanted = (".c", ".so", ".o", ".gz", ".safetensors", "-ubyte")
    kept = [*(ROOT / "minidl" / "_ext").glob("*.c"), *(ROOT / "tests" / "files" / "old").iterdir()]
    written = {path.relative_to(ROOT).as_posix() for path in kept}
    assert [
        name for name in names
        if name not in written and name.endswith(unwanted) or ".venv" in name or name.startswith("build/")
    ] == []  # fmt: skip


def test_the_wheel_has_the_package_only(packages: Path) -> None:
    (wheel,) = packages.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "minidl/py.typed" in names and any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.startswith("minidl/_ext/conv_") and name.endswith(".so") for name in names)
    assert not any("debug" in name or name.endswith((".c", ".pyx", ".pxd", ".h", "meson.build")) for name in names)
    folder = wheel.name.split("-cp")[0] + ".dist-info"
    assert {name.partition("/")[0] for name in names} == {"minidl", "pytest_minidl.py", folder}
    sources = [*(ROOT / "minidl").rglob("*.py"), ROOT / "pytest_minidl.py"]
    assert {name for name in names if name.endswith(".py")} == {path.relative_to(ROOT).as_posix() for path in sources}
    entry_points = zipfile.ZipFile(wheel).read(f"{folder}/entry_points.txt").decode()
    assert "[pytest11]\npytest_minidl = pytest_minidl" in entry_points


def test_the_wheel_installs_into_an_empty_environment(packages: Path, tmp_path: Path) -> None:
    """It was built from the sdist, which installs by building it."""
    (package,) = packages.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", package)
    printed = run(python, "-c", SMOKE, cwd=tmp_path)
    assert str(tmp_path) in printed.splitlines()[-1]
    assert f"python: {'.'.join(map(str, sys.version_info[:3]))}" in printed
