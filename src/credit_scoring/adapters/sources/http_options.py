"""How an HTTP API is asked page by page, as the catalog says it."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CursorInBody(_Options):
    """The body names the next page at ``path``: by a value for ``param``, or by its URL where there is no ``param``."""

    by: Literal["cursor"]
    path: str
    param: str | None = None


class LinkHeader(_Options):
    """The header ``Link: <url>; rel="next"`` names the next page."""

    by: Literal["link"]


class PageNumber(_Options):
    """Pages are numbered by ``param`` from ``first`` on; an empty one is the last."""

    by: Literal["page"]
    param: str = "page"
    first: int = 1


Paging = Annotated[CursorInBody | LinkHeader | PageNumber, Field(discriminator="by")]


class HttpOptions(_Options):
    """``load_args`` of an HTTP API.

    ``attempts``: how often one page is asked for before giving up. ``reuse_seconds``: for how long a finished fetch
    is read again instead of asking anew.
    """

    timeout_seconds: float = Field(default=30, gt=0)
    attempts: int = Field(default=6, ge=1)
    max_pages: int = Field(default=100_000, ge=1)
    max_page_bytes: int = Field(default=100_000_000, gt=0)
    reuse_seconds: float = Field(default=0, ge=0)


def _without_secrets(url: str) -> str:
    if not re.fullmatch(r"https?://[^/?#@]+(/[^?#]*)?", url):
        raise ValueError("it is http(s)://host/path; a query goes to 'params', a token to 'credentials'")
    return url


class HttpCredentials(_Options):
    """``credentials`` of an HTTP API: the token that is sent as ``Authorization: Bearer``."""

    token: SecretStr | None = None


class HttpRequest(_Options):
    """What is asked for: ``records`` is the dotted path to the list of rows, nothing where the body is the list."""

    url: Annotated[str, AfterValidator(_without_secrets)]
    params: dict[str, str | int | float] = {}
    records: str = ""
    next: Paging | None = None
