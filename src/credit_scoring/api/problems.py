"""Errors as the service tells them."""

from pydantic import BaseModel, ConfigDict, Field


class Fault(BaseModel):
    """One fault of a body: where it is (JSON pointer, RFC 6901), its code, and what is expected there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pointer: str
    code: str
    detail: str


class Problem(BaseModel):
    """An error, as RFC 9457 words it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = "about:blank"
    title: str
    status: int = Field(ge=400, le=599)
    code: str = Field(description="stable name of the error; programs branch on it")
    detail: str = Field(description="what is wrong and what to do")
    request_id: str
    errors: list[Fault] | None = Field(None, description="each fault of the body, when it is the body")
