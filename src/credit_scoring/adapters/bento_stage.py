"""Where the Bento's package lies and what it is called; kept apart from its models, which take seconds to import."""

import json
from pathlib import Path

from credit_scoring.core.errors import BundleError

MANIFEST = "package.json"
STAGE = Path("build/bento")
"""Where the package is staged, below the project when building and below the Bento's sources when serving."""

COMPILED = Path("src/table_treeshap/build")
"""Where table TreeSHAP looks first for its machine code, below the project and below the Bento's sources."""


def tag_file(bento_name: str) -> Path:
    """Return the file that names the Bento of a name built last from this project; others may build more of it."""
    return Path("build") / f"{bento_name}.tag"


def staged_portfolio(stage: Path) -> str:
    """Return the name of the portfolio that is staged, without loading its models.

    Raises:
        BundleError: If nothing is staged, or not as it was written.
    """
    try:
        return str(json.loads((stage / MANIFEST).read_text(encoding="utf-8"))["portfolio"])
    except FileNotFoundError as exc:
        raise BundleError(f"Nothing is staged for the Bento at '{stage}'. Run 'kedro run' first.") from exc
    except (KeyError, TypeError, ValueError) as exc:
        raise BundleError(f"'{stage / MANIFEST}' is not what was staged. Run 'kedro run' again.") from exc
