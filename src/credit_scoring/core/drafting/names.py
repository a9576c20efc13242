"""Received names as names of the portfolio's vocabulary."""

import re
import unicodedata
from collections.abc import Collection, Iterable

LONGEST = 64
"""Most characters of a name, as ``portfolio.Name`` has it."""

_NOT_PORTFOLIOS = ("base", "local")
"""Directories of conf/ that Kedro has for something else."""

_SPELT = {"ß": "ss", "æ": "ae", "ø": "o", "đ": "d", "ł": "l", "þ": "th", "%": " percent ", "€": " eur ", "$": " usd "}


def valid_names(received: Iterable[str], reserved: Collection[str]) -> dict[str, str]:
    """Return a valid name for each received one, all different; ``Loan Amount`` becomes ``loan_amount``.

    What has no Latin letter is called by its position. A name of ``reserved`` gets ``_received`` added.
    """
    names: dict[str, str] = {}
    taken = set(reserved)
    for position, source in enumerate(received, start=1):
        name = normalised(source) or f"column_{position}"
        wanted = f"{name[: LONGEST - 9]}_received" if name in reserved else name
        name, copies = wanted, 1
        while name in taken:
            copies += 1
            name = f"{wanted[: LONGEST - 5]}_{copies}"
        taken.add(name)
        names[source] = name
    return names


def portfolio_name(text: str) -> str:
    """Return ``text``, such as a file's name, as the name of a portfolio."""
    name = normalised(text) or "portfolio"
    return f"{name}_portfolio" if name in _NOT_PORTFOLIOS else name


def normalised(text: str) -> str:
    """Return ``text`` in lower case Latin letters, digits and underscores; empty if nothing of it is either."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text) if not text.isupper() else text
    spelt = "".join(_SPELT.get(character, character) for character in split.lower())
    plain = unicodedata.normalize("NFKD", spelt).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    if name and not name[0].isalpha():
        name = f"column_{name}"
    return name[:LONGEST].rstrip("_")
