"""``python benchmarks/serving``: finds the package and what it shares with the other benchmarks."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # not the package itself, whose modules have plain names

from serving.command import main  # noqa: E402 - found by the path above

main()
