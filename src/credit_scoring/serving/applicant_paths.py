"""Whose facts an address names: an applicant's id is one segment of it, percent-encoded where it must be."""

from typing import Annotated
from urllib.parse import unquote_to_bytes

from fastapi import Path
from starlette.exceptions import HTTPException
from starlette.requests import Request

from credit_scoring.core.ids import ID_PATTERN, LONGEST_ID, is_id
from credit_scoring.serving.problems import RefusedBodyError

PATH = "/v1/applicants/{applicant_id:path}"
"""Takes every id; what has a slash in it arrives as several segments, because servers decode addresses first."""

ApplicantId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=LONGEST_ID,
        pattern=ID_PATTERN,
        description="percent-encoded in UTF-8 where an address cannot hold them, slashes too",
        examples=["applicant-1"],
    ),
]


def applicant_id_in(request: Request, applicant_id: str, below: str = "") -> str:
    """Return the applicant that an address names, followed by the segment ``below``.

    Args:
        request: Whose address it is.
        applicant_id: The id as the router found it, decoded.
        below: The segment after the id, empty for the last one.

    Raises:
        HTTPException: If the id has a slash that is not encoded: the address is then another one, of no route.
        RefusedBodyError: If it is no text, or has control characters.
    """
    sent = request.scope.get("raw_path") or b""
    segments = sent.partition(b"?")[0].removesuffix(f"/{below}".encode() if below else b"").split(b"/")
    encoded = unquote_to_bytes(segments[-1]) if sent else applicant_id.encode()
    if encoded.decode(errors="replace") != applicant_id:
        raise HTTPException(404)
    try:
        encoded.decode()
    except UnicodeDecodeError as exc:
        raise _unusable() from exc
    if not is_id(applicant_id):
        raise _unusable()
    return applicant_id


def _unusable() -> RefusedBodyError:
    return RefusedBodyError(
        "invalid_parameter", "'applicant_id' must be text in UTF-8 without control characters. Correct the address."
    )
