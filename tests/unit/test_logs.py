import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from credit_scoring.serving.logs import KEYS, configure_logs, logger

VALUE = "an-applicants-value"
Lines = list[dict[str, Any]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What the process logs meanwhile; its own set-up is put back."""
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook)
    kept = root.handlers[:], root.level, logging.getLogger("uvicorn.access").disabled
    written: Lines = []
    configure_logs(lambda line: written.append(json.loads(line)))
    yield written
    root.handlers, logging.getLogger("uvicorn.access").disabled = kept[0], kept[2]
    root.setLevel(kept[1])
    logging.captureWarnings(False)
    sys.excepthook, threading.excepthook = hooks
    structlog.reset_defaults()


def failing() -> None:
    try:
        {}[VALUE]
    except KeyError as exc:
        raise ValueError(VALUE) from exc


def test_a_line_says_when_what_and_which_process(lines):
    logger().info("roles_followed", role="champion", version=3)
    assert lines[0].keys() == {"timestamp", "level", "event", "role", "version", "pid"}
    assert list(lines[0])[:3] == ["timestamp", "level", "event"]
    assert lines[0]["timestamp"].endswith("Z")


def test_what_is_bound_to_a_request_is_on_its_lines(lines):
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        logger().info("inside")
        logging.getLogger("credit_scoring.anything").warning("inside too")
    logger().info("outside")
    assert [line.get("request_id") for line in lines] == ["r-1", "r-1", None]


def test_keys_that_are_not_known_are_told_by_name_only(lines):
    logger().info("decided", income_eur=VALUE, **{VALUE: 1}, role="champion")
    assert lines[0]["withheld"] == ["income_eur"]
    assert lines[0]["role"] == "champion"
    assert VALUE not in json.dumps(lines)


def test_of_an_error_its_types_and_places_are_told_and_never_its_text(lines):
    for log in (logger(), logging.getLogger("credit_scoring.x"), logging.getLogger("uvicorn.error")):
        try:
            failing()
        except ValueError:
            log.exception("failed")
    assert [line["error"] for line in lines] == ["ValueError < KeyError"] * 3
    assert all(line["frames"][0].endswith(" failing") for line in lines)
    assert VALUE not in json.dumps(lines)


def test_an_uncaught_error_of_a_thread_is_told_without_its_text(lines):
    thread = threading.Thread(target=failing)
    thread.start()
    thread.join()
    assert (lines[0]["event"], lines[0]["error"]) == ("uncaught_error", "ValueError < KeyError")
    assert VALUE not in json.dumps(lines)


@pytest.mark.parametrize(
    ("name", "message", "arguments", "event"),
    [
        ("credit_scoring.serving", "roles %s", ("swapped",), "roles swapped"),
        ("sqlalchemy.pool", "row %r", (VALUE,), "row %r"),
        ("asyncio", f"Task failed: {VALUE}", (), "text_withheld"),
        ("bentoml.serve", "Exception on %s", (f"/v1/applicants/{VALUE}",), "Exception on %s"),
        ("uvicorn.error", f"Traceback:\nValueError: {VALUE}", (), "Traceback:"),
    ],
    ids=["ours", "with arguments", "made beforehand", "a path", "a traceback"],
)
def test_the_text_of_other_packages_is_told_only_where_it_is_the_codes_own(lines, name, message, arguments, event):
    logging.getLogger(name).error(message, *arguments)
    assert (lines[0]["event"], lines[0]["logger"]) == (event, name)
    assert VALUE not in json.dumps(lines)


def test_raw_paths_of_the_server_are_not_logged(lines):
    logging.getLogger("uvicorn.access").error('"GET /v1/applicants/%s"', VALUE)
    assert lines == []


def test_what_cannot_be_written_as_json_is_told_by_its_type(lines):
    logger().info("odd", reason=object())
    assert lines[0]["reason"] == "object"


def test_no_known_key_is_named_like_what_a_request_brings():
    assert not KEYS & {"applicant_id", "application_id", "application", "events", "received", "path", "query", "body"}


def test_a_log_that_cannot_be_written_fails_no_request(monkeypatch):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    kept = logging.getLogger().handlers[:], (sys.excepthook, threading.excepthook)
    monkeypatch.setattr("os.write", full)
    configure_logs()
    logger().info("request")
    logging.getLogger().handlers = kept[0]
    sys.excepthook, threading.excepthook = kept[1]
    logging.captureWarnings(False)
    structlog.reset_defaults()
