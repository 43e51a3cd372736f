"""`python tests/fuzzing`; see the package's docstring."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from fuzzing.run import main  # noqa: E402

main()
