"""Print the files of a package that an installation takes as they are, one a line (called by meson.build)."""

import sys
from pathlib import Path

root = Path(sys.argv[1])
for path in sorted(root.rglob("*")):
    if path.suffix == ".py" or path.name == "py.typed":
        print(path.relative_to(root).as_posix())
