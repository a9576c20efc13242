"""Options of catalog entries, checked where the catalog is read."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from credit_scoring.adapters.sources.compression import MAX_BYTES, Compression
from credit_scoring.adapters.sources.text import known_encoding
from credit_scoring.core.errors import ContractError, nearest

Options = TypeVar("Options", bound=BaseModel)


class FileOptions(BaseModel):
    """What may be said of any file of text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    compression: Compression = "infer"
    max_bytes: int = Field(default=MAX_BYTES, gt=0)


class JsonLinesOptions(FileOptions):
    """``load_args`` of a file of JSON lines."""

    encoding: Annotated[str, AfterValidator(known_encoding)] = "utf-8"


class NoOptions(BaseModel):
    """``load_args`` where there is nothing to say."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def checked(kind: type[Options], given: Mapping[str, Any] | None, where: str) -> Options:
    """Return ``given`` as options of a catalog entry, which ``where`` names.

    Raises:
        ContractError: If a key is unknown or its value not allowed; it says which, and the nearest word.
    """
    try:
        return kind.model_validate(dict(given or {}))
    except ValidationError as exc:
        fault = exc.errors(include_url=False)[0]
        key = ".".join(map(str, fault["loc"]))
        if fault["type"] == "extra_forbidden":
            allowed = list(kind.model_fields)
            told = f"there is no such key, only {', '.join(allowed)}.{nearest(key, allowed)}"
        else:
            told = fault["msg"].removeprefix("Value error, ")
        stop = "" if told.endswith(("?", ".")) else "."
        named = f"'{key}': " if key else ""
        raise ContractError(f"{where} cannot be used: {named}{told}{stop} Correct the catalog.") from exc
