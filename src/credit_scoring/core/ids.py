"""What may name an application, an applicant or a decision."""

import re

LONGEST_ID = 128
"""Most characters of an id."""

ID_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"
"""No control characters and no line separators: they do not belong into names, logs and addresses."""

_ID = re.compile(ID_PATTERN)


def is_id(text: str) -> bool:
    """Return whether ``text`` may be an id."""
    return len(text) <= LONGEST_ID and _ID.fullmatch(text) is not None
