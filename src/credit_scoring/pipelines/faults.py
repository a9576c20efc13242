"""Faults of a run in one message: what is wrong, which file or field, what to do."""

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import yaml
from alembic.util.exc import CommandError
from kedro.io import DatasetError
from kedro.validation.exceptions import ParameterValidationError
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from credit_scoring.core.errors import CreditScoringError

_WRITE_AGAIN = "run the pipeline that writes it ('kedro run' runs all in order)"
_LONGEST = 400
_NAMES_KIND = re.compile(
    r"^(fit|routing)\.(?:scorecard|boosted_trees|champion_only|shadow|sticky_split|scheduled_ramp)(\.|$)"
)
_NO_KIND = re.compile(r"Unable to extract tag using discriminator '(\w+)'")
_UNKNOWN_KIND = re.compile(r"Input tag '(.*)' found using '(\w+)' does not match any of the expected tags:")
_CHECKS_OPTIONS = ("kedro.framework.session", "kedro.pipeline.pipeline", "kedro.config")
"""Where Kedro raises a bare ValueError about what its user gave: names of pipelines, nodes, tags, keys."""


def told(exc: BaseException) -> str | None:
    """Return the message for a fault that a user can mend; None for one that is ours, which shows its trace."""
    where = _file_of_dataset(exc)
    for cause in _causes(exc):
        worded = _worded(cause, where)
        if worded is not None:
            return worded
    if isinstance(exc, DatasetError):
        reason = _first_line(next((c for c in _causes(exc) if not isinstance(c, DatasetError)), exc))
        return f"{_named(where)} cannot be read or written: {reason}. {_mended()}"
    return None


def _worded(cause: BaseException, where: str | None) -> str | None:
    match cause:
        case CreditScoringError():
            told = str(cause)
        case MlflowException() | SQLAlchemyError() | CommandError():
            told = (
                f"MLflow's tracking store cannot be used: {_store_fault(cause)}. Check MLFLOW_TRACKING_URI and "
                f"conf/base/mlflow.yml, that its server runs, and that its disk is writable and not full. If another "
                f"run was just creating it, run again."
            )
        case FileNotFoundError():
            told = (
                f"A file that the run reads is absent: '{cause.filename or where or cause}'. Put it there, correct "
                f"'filepath' in conf/base/catalog_*.yml, or {_WRITE_AGAIN}."
            )
        case OSError() | EOFError():
            told = _file_fault(cause, where)
        case ParameterValidationError():
            told = _parameter_faults(str(cause))
        case pl.exceptions.ColumnNotFoundError():
            told = f"A table lacks a column that this code reads: {_first_line(cause)}. Run 'kedro run' for new tables."
        case pl.exceptions.PolarsError():
            told = f"{_named(where)} cannot be read as a table: {_first_line(cause)}. {_mended()}"
        case yaml.YAMLError():
            told = f"{_yaml_place(cause)} Correct the indentation or quoting there."
        case ValueError() if _raised_in(cause).startswith(_CHECKS_OPTIONS):
            told = " ".join(str(cause).split())
        case _:
            return None
    return told


def _named(where: str | None) -> str:
    return f"'{where}'" if where else "A file or table"


def _mended() -> str:
    return f"Replace it if it was received; if a pipeline made it, {_WRITE_AGAIN}."


def _store_fault(cause: BaseException) -> str:
    """Return what the database itself said; what is wrapped around it tells of sessions and flushes."""
    said = next((c.orig for c in _causes(cause) if isinstance(c, DBAPIError) and c.orig), cause)
    return _first_line(said)


def _file_fault(cause: OSError | EOFError, where: str | None) -> str:
    named = _named(getattr(cause, "filename", None) or where)
    reason = getattr(cause, "strerror", None) or _first_line(cause)
    return f"{named} cannot be read or written: {reason}. Mend or replace it, or free the disk, then run again."


def _parameter_faults(text: str) -> str:
    """Word what Kedro tells of Pydantic's findings: one line per parameter, and the files that hold them."""
    groups, faults, field = [], [], ""
    for line in text.splitlines()[1:]:
        found = re.match(r"- Parameter '([^']+)': (.*)", line)
        if found:
            groups.append(found[1])
            if not found[2].startswith("Failed to instantiate"):
                faults.append(f"'{found[1]}': {found[2]}")
        elif not line.startswith(" "):
            # Options depend on an algorithm or a strategy, which Pydantic therefore puts into the path.
            field = _NAMES_KIND.sub(r"\1\2", line.strip())
        elif "[type=" in line:
            message, _, rest = line.strip().partition(" [type=")
            given = rest.partition("input_value=")[2].rpartition(", input_type=")[0]
            worded = message.replace("Extra inputs are not permitted", "no such parameter")
            worded = _NO_KIND.sub(r"needs '\1'", _UNKNOWN_KIND.sub(r"there is no \2 '\1'; there are:", worded))
            faults.append(f"'{groups[-1]}.{field}': {worded} (given: {given})")
    return f"A parameter is not as declared; correct it in {_holders(groups)} or --params.\n" + "\n".join(faults)


def _holders(groups: list[str]) -> str:
    """Return the parameter files of the project that set any of ``groups``."""
    tops = "|".join(sorted({re.escape(group.partition(".")[0]) for group in groups}))
    found = [
        str(path)
        for path in sorted(Path("conf").glob("*/parameters*.yml"))
        if re.search(rf"^({tops})\s*:", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    return ", ".join(found) or "conf/*/parameters_*.yml"


def _yaml_place(cause: yaml.YAMLError) -> str:
    named = re.search(r"file (\S+?),", str(cause))
    mark = getattr(cause.__cause__ or cause.__context__ or cause, "problem_mark", None)
    if named is None or mark is None:
        return " ".join(str(cause).split())
    return f"{named[1]} is not valid YAML: line {mark.line + 1}, column {mark.column + 1}."


def _file_of_dataset(exc: BaseException) -> str | None:
    """Return the file that Kedro names in its own error, which the library's error often does not."""
    for cause in _causes(exc):
        found = isinstance(cause, DatasetError) and re.search(r"\bfilepath=(?:\w+\()?'?([^',)]+)", str(cause))
        if found:
            return found[1]
    return None


def _first_line(cause: BaseException) -> str:
    return (str(cause).strip() or type(cause).__name__).splitlines()[0][:_LONGEST].rstrip(".")


def _raised_in(cause: BaseException) -> str:
    """Return the module that raised ``cause``."""
    trace = cause.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return str(trace.tb_frame.f_globals.get("__name__", "")) if trace else ""


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__
