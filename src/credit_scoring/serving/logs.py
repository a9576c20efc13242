"""Log lines of the service: one JSON object each on stdout, and no applicant's value in any of them.

Two rules keep values out. Of what is logged by key, only keys in ``KEYS`` are written; the names of others are told in
``withheld``, so that nothing is lost unnoticed. Of an error, its type and where it was raised are written and never its
text, which may quote what was received. Records of other packages go through the same: their text is written where
it is the code's own, which is so when it has arguments (these are left out) or comes from a server that is known not
to quote requests; else only where it was logged.
"""

import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import orjson
import structlog
from structlog.typing import FilteringBoundLogger

_OF_EVERY_LINE = {"timestamp", "level", "event", "logger", "pid", "request_id", "trace_id", "where", "withheld"}
_OF_REQUESTS = {"route", "method", "status", "outcome", "duration_ms", "key_id", "decision_id"}
_OF_FAULTS = {"code", "error", "frames", "reason", "kind", "attempt"}
_OF_WORK = {"role", "model", "version", "stage", "source", "count", "sequence", "seconds"}
KEYS = frozenset(_OF_EVERY_LINE | _OF_REQUESTS | _OF_FAULTS | _OF_WORK)

_OURS = "credit_scoring"
_KNOWN_TEXTS = ("bentoml", "uvicorn", "circus")
_MOST_FRAMES = 8
_MOST_CAUSES = 4

Write = Callable[[bytes], object]
Thrown = tuple[type[BaseException], BaseException, TracebackType | None]


def configure_logs(write: Write | None = None) -> None:
    """Have this process log as JSON lines: what is logged by ``structlog`` and by ``logging``, and errors in threads.

    Args:
        write: Takes one whole line; by default it goes to stdout, and is given up where stdout does not take it.
    """
    lines = _Lines(write or _to_stdout)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _add_error, _Stamp(), only_known_keys, _as_json],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,  # a second configuration, as in tests, holds for everybody
    )
    logging.captureWarnings(True)
    _take_over_logging()
    sys.excepthook = lambda kind, error, trace: _uncaught((kind, error, trace), "process")
    threading.excepthook = _uncaught_in_thread


def logger() -> FilteringBoundLogger:
    """Return what logs: ``logger().info("event_in_snake_case", key=value)`` with keys of ``KEYS``."""
    made: FilteringBoundLogger = structlog.get_logger()
    return made


def only_known_keys(_: object, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Return the line without keys that are not in ``KEYS``; their names are told."""
    withheld = sorted(event.keys() - KEYS)
    if not withheld:
        return event
    known = {key: value for key, value in event.items() if key in KEYS}
    return known | {"withheld": [name for name in withheld if name.isidentifier()]}


def error_fields(error: BaseException) -> dict[str, Any]:
    """Return what may be told of an error: its type, those that caused it, and where it was raised, innermost first."""
    kinds, seen = [], error
    for _ in range(_MOST_CAUSES):
        kinds.append(type(seen).__name__)
        cause = seen.__cause__ or seen.__context__
        if cause is None:
            break
        seen = cause
    frames = reversed(traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:])
    told = [f"{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]
    return {"error": " < ".join(kinds), "frames": told}


class StandardRecords(logging.Handler):
    """Passes records of the standard library's ``logging`` on as lines of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        fields = {"logger": record.name} | _text(record)
        if record.exc_info and record.exc_info[1] is not None:
            fields |= error_fields(record.exc_info[1])
        logger().log(record.levelno, **fields)


def _text(record: logging.LogRecord) -> dict[str, Any]:
    where = f"{record.module}:{record.lineno}"
    package = record.name.partition(".")[0]
    if package == _OURS:
        return {"event": record.getMessage()}
    if record.args and isinstance(record.msg, str):
        return {"event": record.msg, "where": where}
    if package in _KNOWN_TEXTS:
        # One line: a server logs a traceback, with the error's text, as a message.
        return {"event": str(record.msg).strip().partition("\n")[0], "where": where}
    return {"event": "text_withheld", "where": where}


def _take_over_logging() -> None:
    root = logging.getLogger()
    root.handlers = [StandardRecords()]
    root.setLevel(logging.WARNING)
    for name in ("bentoml", "circus", "uvicorn", "uvicorn.error", "py.warnings", _OURS):
        taken = logging.getLogger(name)
        taken.handlers, taken.propagate = [], True
    logging.getLogger(_OURS).setLevel(logging.INFO)
    # Its lines hold raw paths, which name applicants; ours tell the route.
    logging.getLogger("uvicorn.access").disabled = True


def _add_error(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event.update(error_fields(error))
    return event


class _Stamp:
    """Adds time, level and process, and puts first what is read first."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __call__(self, _: object, level: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"timestamp": now, "level": level, "event": event.pop("event", ""), **event, "pid": self._pid}


def _as_json(_: object, __: str, event: Mapping[str, Any]) -> bytes:
    return orjson.dumps(event, default=lambda value: type(value).__name__)


class _Lines:
    """What structlog hands finished lines to."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def msg(self, line: bytes) -> None:
        self._write(line + b"\n")

    debug = info = warning = error = critical = log = msg


def _to_stdout(line: bytes) -> None:
    try:
        os.write(1, line)  # at once: lines of several workers that share a pipe do not mix
    except OSError:
        return  # a full disk or a reader that went away must not fail a request


def _uncaught(thrown: Thrown, where: str) -> None:
    logger().critical("uncaught_error", where=where, exc_info=thrown[1])


def _uncaught_in_thread(given: threading.ExceptHookArgs) -> None:
    if given.exc_value is not None and given.exc_type is not SystemExit:
        _uncaught((given.exc_type, given.exc_value, given.exc_traceback), "thread")
