"""How a delimited file is written, as the catalog says it."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from credit_scoring.adapters.sources.options import FileOptions
from credit_scoring.adapters.sources.text import known_encoding

WHITESPACE = "whitespace"
_SPELT = {"\\t": "\t", "tab": "\t", "\\s+": WHITESPACE, "space": " "}


def _known_delimiter(delimiter: str) -> str:
    found = _SPELT.get(delimiter, delimiter)
    if not found or any(c in found for c in '\r\n\0\x1f"'):
        raise ValueError("it must be text such as ';', '\\t', '||' or 'whitespace' (one or more spaces or tabs)")
    return found


class DelimitedOptions(FileOptions):
    """``load_args`` of a delimited file.

    ``delimiter``: any text, or ``whitespace`` for one or more spaces or tabs. ``quote``: one character, or nothing
    for files without quotes. ``columns``: the names, where ``header`` is false.
    """

    delimiter: Annotated[str, AfterValidator(_known_delimiter)] = ","
    encoding: Annotated[str, AfterValidator(known_encoding)] = "utf-8"
    quote: Annotated[str, Field(max_length=1)] | None = '"'
    header: bool = True
    columns: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.header and self.columns is not None:
            raise ValueError("'columns' names the columns of a file without header: add 'header: false', or remove it")
        if not self.header and not self.columns:
            raise ValueError("a file with 'header: false' needs 'columns: [...]', the names in their order")
        if self.columns and len(set(self.columns)) < len(self.columns):
            raise ValueError("'columns' names one column twice")
        return self
