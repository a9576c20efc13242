"""Faults of a run in one message: what is wrong, which file or field, what to do."""

from collections.abc import Iterator

import polars as pl
from kedro.io import DatasetError
from kedro.validation.exceptions import ParameterValidationError

from credit_scoring.core.errors import CreditScoringError


def told(exc: BaseException) -> str | None:
    """Return the message for a fault that a user can mend; None for one that is ours, which shows its trace."""
    for cause in _causes(exc):
        worded = _worded(cause)
        if worded is not None:
            return worded
    return str(exc) if isinstance(exc, DatasetError) else None


def _worded(cause: BaseException) -> str | None:
    match cause:
        case CreditScoringError():
            told = str(cause)
        case FileNotFoundError():
            told = (
                f"A file that the run reads is absent: '{cause.filename or cause}'. Put it there, correct 'filepath' "
                f"in conf/base/catalog_*.yml, or run the pipeline that writes it ('kedro run' runs all in order)."
            )
        case OSError():
            told = f"The run cannot read or write '{cause.filename}': {cause.strerror}. Mend that, then run again."
        case ParameterValidationError():
            told = f"A parameter is not as declared; correct it in conf/*/parameters_*.yml or --params.\n{cause}"
        case pl.exceptions.PolarsError():
            told = f"A table cannot be read ({cause}). It is damaged; run the pipeline that writes it again."
        case _:
            return None
    return told


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__
