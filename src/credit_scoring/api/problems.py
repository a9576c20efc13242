"""Errors as the service tells them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from credit_scoring.api.fields import told


class Fault(BaseModel):
    """One fault of a body: where it is (JSON pointer, RFC 6901), its code, and what is expected there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pointer: Annotated[
        str, told("place in the body, a JSON pointer (RFC 6901); empty for all of it", "/application/limit_twd")
    ]
    code: Annotated[str, told("stable name of the fault", "missing")]
    detail: Annotated[str, told("what is expected there; never what was sent", "is required and absent")]


class Problem(BaseModel):
    """An error, as RFC 9457 words it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Annotated[str, told("always 'about:blank': 'code' says which error it is", "about:blank")] = "about:blank"
    title: Annotated[str, told("the status in words", "Not Found")]
    status: int = Field(ge=400, le=599, description="the status of HTTP", examples=[404])
    code: Annotated[str, told("stable name of the error; programs branch on it", "unknown_applicant")]
    detail: Annotated[
        str,
        told(
            "what is wrong and what to do",
            "No facts are stored for this applicant_id. Send the fields inline under 'application' and 'events', or "
            "ingest the applicant first.",
        ),
    ]
    request_id: Annotated[
        str, told("X-Request-ID of the request; tell it to the operators", "5c0d9e8f7a6b4c3d2e1f0a9b8c7d6e5f")
    ]
    errors: Annotated[
        list[Fault] | None, Field(description="each fault of the body, at most 50, when it is the body")
    ] = None
