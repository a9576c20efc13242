"""Names of columns as a file gives them, or the reason why they cannot be names."""

import re
from collections import defaultdict
from collections.abc import Sequence

from credit_scoring.adapters.sources.delimited_options import WHITESPACE
from credit_scoring.core.errors import ContractError

_VALUE = re.compile(
    r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*|nan|null|true|false", re.I
)
_USUAL = (";", "\t", "|", ",")


def checked_header(fields: Sequence[str], source: str, delimiter: str) -> tuple[str, ...]:
    """Return the names without blanks around them.

    Raises:
        ContractError: If they look like values, one is empty or repeated, or the delimiter is another. Names are not
            told: of a file without header they would be an applicant's values.
    """
    names = tuple(name.strip() for name in fields)
    values = sum(bool(_VALUE.fullmatch(name)) for name in names)
    if values > len(names) / 2:
        raise ContractError(
            f"The first row of '{source}' looks like values, not names: {values} of {len(names)} fields are numbers or "
            f"dates. If the file has no header, set 'header: false' and 'columns: [...]' in the catalog."
        )
    other = next((mark for mark in _USUAL if mark not in delimiter and mark in names[0]), None)
    if len(names) == 1 and other:
        raise ContractError(
            f"The header of '{source}' is one column when split by {_told(delimiter)}, and looks split by "
            f"{_told(other)}. Set 'delimiter' in the catalog."
        )
    places = defaultdict(list)
    for place, name in enumerate(names, start=1):
        places[name].append(place)
    if "" in places:
        raise ContractError(
            f"The header of '{source}' has no name for column(s) {_list(places[''])}. Name or drop them."
        )
    twice = next((where for where in places.values() if len(where) > 1), None)
    if twice:
        raise ContractError(f"The header of '{source}' gives columns {_list(twice)} the same name. Rename or drop one.")
    return names


def _list(places: list[int]) -> str:
    return ", ".join(map(str, places))


def _told(delimiter: str) -> str:
    return delimiter if delimiter == WHITESPACE else repr(delimiter)
