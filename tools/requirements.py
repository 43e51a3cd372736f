"""Print what pyproject.toml requires of the build, of the package, and of the extras named (for the Makefile)."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
extras = project["project"]["optional-dependencies"]
wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
for extra in sys.argv[1:]:
    wanted += extras[extra]
print("\n".join(dict.fromkeys(wanted)))
