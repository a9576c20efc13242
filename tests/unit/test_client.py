import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_scoring.api.batches import MOST_APPLICATIONS
from credit_scoring.client import (
    AsyncCreditScoringClient,
    CreditScoringClient,
    CreditScoringClientError,
    ForbiddenError,
    NotFoundError,
    Patience,
    ProblemError,
    RateLimitedError,
    ReusedError,
    ServiceUnavailableError,
    Surroundings,
    UnauthenticatedError,
    UnexpectedAnswerError,
    UnknownApplicantError,
    UnusableArgumentError,
    ValidationProblemError,
)
from credit_scoring.client import bodies as client_bodies
from credit_scoring.client.patience import http_date, retry_after_s
from credit_scoring.serving.bodies import LARGEST_BATCH_BYTES

URL = "http://service.example"
KEY = "cs_key_secret"
VALUE_SENT = "an-applicants-value"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DECISION = {
    "decision_id": "d-1",
    "application_id": "a-1",
    "applicant_id": "p-1",
    "points": 600,
    "points_exact": 600.25,
    "prob_default": 0.02,
    "band": "A",
    "recommendation": "approve",
    "reasons": [{"code": "R1", "text": "t", "feature": "f", "points_lost": 3.5}],
    "model": {"name": "m", "version": 1, "role": "champion"},
    "arm": "champion",
    "arm_probability": 0.9,
    "decider": "champion",
    "fallback": False,
    "policy_version": "p",
    "feature_set": "f",
    "scorer_version": "s",
    "features_from": "store",
    "as_of": "2005-10-01T00:00:00Z",
    "request_id": "r",
}

Answer = httpx.Response | type[Exception]


def problem(status: int, code: str, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    told = {"title": "t", "status": status, "code": code, "detail": "Told.", "request_id": "r-1"} | more
    return httpx.Response(status, json=told, headers=headers)


def decided(**changes: Any) -> httpx.Response:
    return httpx.Response(200, json=DECISION | changes)


class Wire:
    """What is sent and waited, and the answers, in their order; time passes by waiting alone. The last one stays."""

    def __init__(self, *answers: Answer) -> None:
        self.sent: list[httpx.Request] = []
        self.waits: list[float] = []
        self._answers = list(answers)
        ids = iter(f"id-{number}" for number in range(1000))
        keys = iter(f"key-{number}" for number in range(1000))
        self.surroundings = Surroundings(
            lambda: sum(self.waits), lambda: NOW, lambda: 0.5, lambda: next(ids), lambda: next(keys)
        )

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def client(self, **options: Any) -> CreditScoringClient:
        given = {"key": KEY, "transport": self.transport(), "sleep": self.waits.append}
        return CreditScoringClient(URL, surroundings=self.surroundings, **(given | options))

    def body(self, number: int = 0) -> Any:
        return json.loads(self.sent[number].content)

    def headers(self, name: str) -> list[str | None]:
        return [request.headers.get(name) for request in self.sent]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, httpx.Response):
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        raise answer("broken", request=request)  # type: ignore[call-arg]


patiences = st.builds(
    Patience,
    timeout_s=st.floats(0.1, 60),
    deadline_s=st.floats(0.1, 600),
    retries=st.integers(0, 2000),
    first_wait_s=st.floats(0, 10),
    longest_wait_s=st.floats(0, 60),
)
draws = st.floats(0, 1, exclude_max=True)
asked = st.none() | st.floats(0, 1000)


@given(patience=patiences, failed=st.integers(1, 2001), elapsed_s=st.floats(0, 700), draw=draws, asked_s=asked)
def test_a_wait_is_what_the_service_asked_for_and_a_part_of_the_step_and_ends_before_the_deadline(
    patience, failed, elapsed_s, draw, asked_s
):
    wait_s = patience.wait_s(failed, elapsed_s, draw, asked_s)
    if wait_s is None:
        longest = (asked_s or 0) + patience.longest_wait_s
        assert failed > patience.retries or elapsed_s + longest >= patience.deadline_s
        return
    assert failed <= patience.retries
    assert (asked_s or 0) <= wait_s <= (asked_s or 0) + patience.longest_wait_s
    assert elapsed_s + wait_s < patience.deadline_s


@given(patience=patiences, failed=st.integers(1, 2000), low=draws, high=draws)
def test_waits_grow_with_the_draw_and_with_the_attempts(patience, failed, low, high):
    patience = replace(patience, retries=2001, deadline_s=1e9)
    low, high = sorted((low, high))
    steps = [patience.wait_s(failed, 0, low), patience.wait_s(failed, 0, high), patience.wait_s(failed + 1, 0, high)]
    assert steps == sorted(steps)
    assert patience.wait_s(failed, 0, 0.0) == 0


@given(patience=patiences, draws_=st.lists(draws, min_size=50, max_size=50), asked_s=asked)
def test_all_waits_together_are_shorter_than_the_deadline(patience, draws_, asked_s):
    waited_s, failed = 0.0, 0
    for draw in draws_:
        failed += 1
        wait_s = patience.wait_s(failed, waited_s, draw, asked_s)
        if wait_s is None:
            break
        waited_s += wait_s
    assert waited_s < patience.deadline_s
    assert failed <= patience.retries + 1


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf")])
def test_patience_that_is_no_time_is_refused(wrong):
    with pytest.raises(UnusableArgumentError, match="'timeout_s'"):
        Patience(timeout_s=wrong)
    with pytest.raises(UnusableArgumentError, match="'deadline_s'"):
        Patience(deadline_s=0)


@given(seconds=st.integers(0, 10**6))
def test_retry_after_is_read_as_seconds_and_as_a_date(seconds):
    assert retry_after_s(f" {seconds} ", NOW) == seconds
    later = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert retry_after_s(later, NOW) == seconds
    assert retry_after_s(later, NOW + timedelta(days=30)) == 0


@given(text=st.none() | st.text())
def test_a_retry_after_that_says_nothing_asks_for_nothing(text):
    found = retry_after_s(text, NOW)
    assert found is None or found >= 0
    assert retry_after_s("9" * 5000, NOW) == 999_999_999
    assert http_date("Thu, 01 Jan 99999 00:00:00 GMT") is None


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError,
        httpx.ReadError,
        httpx.RemoteProtocolError,
        httpx.ReadTimeout,
        httpx.ConnectTimeout,
        problem(409, "request_in_progress"),
        problem(429, "rate_limited"),
        problem(503, "overloaded"),
        problem(504, "timeout"),
        httpx.Response(502, text="<html>Bad gateway</html>"),
    ],
    ids=str,
)
def test_what_may_pass_is_tried_again_as_the_same_request(failure):
    wire = Wire(failure, failure, decided())
    assert wire.client().decide("a-1", "p-1", application={"limit": 1}).decision_id == "d-1"
    assert wire.waits == [0.1, 0.2]
    assert len({request.content for request in wire.sent}) == 1
    assert wire.headers("x-request-id") == ["id-0", "id-0-2", "id-0-3"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (problem(401, "unauthenticated"), UnauthenticatedError),
        (problem(403, "forbidden"), ForbiddenError),
        (problem(404, "unknown_decision"), NotFoundError),
        (problem(404, "unknown_applicant"), UnknownApplicantError),
        (problem(409, "contradicting_events"), ProblemError),
        (problem(413, "body_too_large"), ProblemError),
        (problem(422, "invalid_application"), ValidationProblemError),
        (problem(422, "application_reused"), ReusedError),
        (problem(422, "idempotency_key_reused"), ReusedError),
        (problem(500, "internal_error"), ProblemError),
    ],
    ids=lambda case: case.__name__ if isinstance(case, type) else str(case.json()["code"]),
)
def test_a_refusal_is_told_by_its_kind_and_not_tried_again(answer, error):
    wire = Wire(answer)
    with pytest.raises(ProblemError) as raised:
        wire.client().decide("a-1", "p-1")
    told = answer.json()
    assert type(raised.value) is error
    assert (raised.value.status, raised.value.code, raised.value.request_id) == (told["status"], told["code"], "r-1")
    assert (len(wire.sent), wire.waits) == (1, [])


def test_faults_are_told_with_their_pointers_and_the_message_stays_short():
    faults = [{"pointer": f"/events/{number}", "code": "missing", "detail": "is required"} for number in range(50)]
    wire = Wire(problem(422, "invalid_application", errors=faults))
    with pytest.raises(ValidationProblemError) as raised:
        wire.client().decide("a-1", "p-1")
    assert [fault.pointer for fault in raised.value.errors] == [fault["pointer"] for fault in faults]
    assert "/events/4: is required; and 45 more" in str(raised.value)


def test_a_service_that_stays_unavailable_is_told_with_its_last_problem():
    wire = Wire(httpx.ConnectError, problem(503, "records_unavailable"))
    with pytest.raises(ServiceUnavailableError, match="6 attempt") as raised:
        wire.client().decide("a-1", "p-1")
    assert raised.value.problem is not None
    assert (raised.value.problem.code, raised.value.attempts, len(wire.sent)) == ("records_unavailable", 6, 6)


def test_a_service_that_cannot_be_reached_is_told_with_the_cause():
    wire = Wire(httpx.ConnectError)
    with pytest.raises(ServiceUnavailableError) as raised:
        wire.client(patience=Patience(retries=0)).decide("a-1", "p-1")
    assert raised.value.problem is None
    assert isinstance(raised.value.__cause__, httpx.ConnectError)


def test_what_the_service_asks_to_wait_is_waited():
    wire = Wire(problem(429, "rate_limited", headers={"Retry-After": "7"}), decided())
    wire.client().decide("a-1", "p-1")
    assert wire.waits == [7.1]


def test_a_date_to_wait_for_is_read_beside_the_services_own_clock():
    skewed = datetime(2031, 1, 1, tzinfo=UTC)
    headers = {name: format_datetime(at, usegmt=True) for name, at in (("Date", skewed), ("Retry-After", skewed))}
    later = format_datetime(skewed + timedelta(seconds=3), usegmt=True)
    wire = Wire(problem(503, "overloaded", headers=headers | {"Retry-After": later}), decided())
    wire.client().decide("a-1", "p-1")
    assert wire.waits == [3.1]


def test_a_wait_beyond_the_deadline_is_not_begun():
    wire = Wire(problem(429, "rate_limited", headers={"Retry-After": "3600"}))
    with pytest.raises(RateLimitedError) as raised:
        wire.client().decide("a-1", "p-1")
    assert (raised.value.retry_after_s, wire.waits) == (3600, [])


def test_attempts_take_no_longer_than_what_is_left_of_the_deadline():
    wire = Wire(problem(503, "overloaded", headers={"Retry-After": "6"}), decided())
    wire.client(patience=Patience(timeout_s=8, deadline_s=10)).decide("a-1", "p-1")
    first, second = (request.extensions["timeout"]["read"] for request in wire.sent)
    assert first == 8
    assert second == pytest.approx(10 - 6.1)


def test_a_batch_may_take_longer_than_the_service_gives_itself():
    wire = Wire(httpx.Response(200, json={"decided": 0, "failed": 0, "results": []}))
    wire.client().decide_batch([{"application_id": "a", "applicant_id": "p"}])
    assert wire.sent[0].extensions["timeout"]["read"] > 55


def test_an_application_is_its_own_idempotency_key_unless_another_is_given():
    wire = Wire(decided())
    wire.client().decide("a-1", "p-1")
    wire.client().decide("a-1", "p-1", idempotency_key="own")
    assert wire.headers("idempotency-key") == [None, "own"]


def test_other_posts_have_one_new_key_for_all_their_attempts():
    wire = Wire(httpx.ReadTimeout, httpx.Response(200, json={}))
    client = wire.client()
    client.request("POST", "/v1/anything", json={"a": 1})
    client.request("post", "/v1/anything", headers={"idempotency-key": "own"})
    client.request("GET", "/v1/anything")
    assert wire.headers("idempotency-key") == ["key-0", "key-0", "own", None]
    assert wire.body(1) == {"a": 1}


ROUTES: dict[str, tuple[Callable[[CreditScoringClient], object], str, str, object, str | None]] = {
    "replay": (lambda c: c.replay("d/1"), "POST", "/v1/decisions/d%2F1/replay", None, "key-0"),
    "put": (lambda c: c.put_applicant("p-1", {"a": None}), "PUT", "/v1/applicants/p-1", {"a": None}, None),
    "events": (lambda c: c.add_events("p-1", {"t": []}), "POST", "/v1/applicants/p-1/events", {"t": []}, "key-0"),
    "events by key": (
        lambda c: c.add_events("é", {}, idempotency_key="own"),
        "POST",
        "/v1/applicants/%C3%A9/events",
        {},
        "own",
    ),
    "profile": (
        lambda c: c.profile("p-1", cursor="x"),
        "GET",
        "/v1/applicants/p-1/profile?limit=20&cursor=x",
        None,
        None,
    ),
    "roles": (lambda c: c.roles(), "GET", "/v1/roles", None, None),
    "roles then": (lambda c: c.roles(NOW), "GET", "/v1/roles?at=2026-01-02T03%3A04%3A05%2B00%3A00", None, None),
    "models": (lambda c: c.models(), "GET", "/v1/models", None, None),
    "card": (lambda c: c.model_card(3), "GET", "/v1/models/3/card", None, None),
}


@pytest.mark.parametrize(("ask", "method", "path", "content", "key"), ROUTES.values(), ids=ROUTES)
def test_each_method_asks_its_route_again_as_the_same_request(ask, method, path, content, key):
    wire = Wire(httpx.ReadTimeout, problem(404, "not_found"))
    with pytest.raises(NotFoundError):
        ask(wire.client())
    first, second = wire.sent
    assert (first.method, first.url.raw_path.decode(), first.headers.get("idempotency-key")) == (method, path, key)
    assert (json.loads(first.content) if first.content else None) == content
    assert (second.url, second.content, second.headers.get("idempotency-key")) == (first.url, first.content, key)


def test_an_empty_key_is_refused_and_not_taken_for_none():
    with pytest.raises(UnusableArgumentError, match="128 printable"):
        Wire(decided()).client().add_events("p-1", {}, idempotency_key="")


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 129, "a\nb"])
def test_an_idempotency_key_that_cannot_be_sent_is_refused(key):
    with pytest.raises(UnusableArgumentError, match="128 printable"):
        Wire(decided()).client().decide("a-1", "p-1", idempotency_key=key)


def test_a_body_has_what_was_given_and_moments_with_their_offset():
    wire = Wire(decided())
    rows = [{"occurred_at": NOW, "on": date(2026, 1, 2), "amount": None}]
    wire.client().decide("a-1", "p-1", application={"name": "Zoë"}, events={"payments": rows}, as_of=NOW)
    assert wire.body() == {
        "application_id": "a-1",
        "applicant_id": "p-1",
        "application": {"name": "Zoë"},
        "events": {"payments": [{"occurred_at": "2026-01-02T03:04:05+00:00", "on": "2026-01-02", "amount": None}]},
        "as_of": "2026-01-02T03:04:05+00:00",
    }
    wire.client().decide("a-1", "p-1")
    assert wire.body(1) == {"application_id": "a-1", "applicant_id": "p-1"}


CIRCULAR: dict[str, Any] = {}
CIRCULAR["itself"] = CIRCULAR


@pytest.mark.parametrize(
    ("field", "told"),
    [
        (float("nan"), "NaN"),
        (CIRCULAR, "refers to itself"),
        ("\ud800" + VALUE_SENT, "surrogate"),
        (object(), "a object"),
        (datetime(2026, 1, 1), "no offset"),
    ],
    ids=["NaN", "circular", "surrogate", "object", "no offset"],
)
def test_what_json_has_not_is_refused_without_its_value(field, told):
    wire = Wire(decided())
    with pytest.raises(UnusableArgumentError, match=told) as raised:
        wire.client().decide("a-1", "p-1", application={"field": field, "other": VALUE_SENT})
    assert (raised.value.__cause__, raised.value.__context__, wire.sent) == (None, None, [])
    assert VALUE_SENT not in str(raised.value)


def test_fields_that_a_later_version_added_are_passed_over():
    later = DECISION | {"appeal_until": "2030-01-01", "model": DECISION["model"] | {"age_days": 3}}  # type: ignore[operator]
    later["reasons"] = [{**DECISION["reasons"][0], "hint": "x"}]  # type: ignore[index]
    found = Wire(httpx.Response(200, json=later)).client().decide("a-1", "p-1")
    assert found == Wire(decided()).client().decide("a-1", "p-1")
    refused = Wire(problem(404, "unknown_applicant", help_url="x", errors=[])).client()
    with pytest.raises(UnknownApplicantError):
        refused.decide("a-1", "p-1")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (decided(points=VALUE_SENT), r"no Decision: /points \(int_parsing\)"),
        (httpx.Response(200, text=f"<p>{VALUE_SENT}</p>"), "json_invalid"),
        (httpx.Response(307, headers={"Location": "http://elsewhere"}), "307"),
        (httpx.Response(204), "json_invalid"),
    ],
    ids=["wrong type", "no JSON", "redirect", "nothing"],
)
def test_an_answer_of_another_shape_is_told_without_its_values(answer, told):
    with pytest.raises(UnexpectedAnswerError, match=told) as raised:
        Wire(answer).client().decide("a-1", "p-1")
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)
    assert VALUE_SENT not in str(raised.value)
    assert raised.value.request_id == "id-0"


def test_a_refusal_of_something_between_is_a_problem_without_its_text():
    with pytest.raises(ProblemError) as raised:
        Wire(httpx.Response(413, text=VALUE_SENT)).client().decide("a-1", "p-1")
    assert (raised.value.code, raised.value.request_id) == ("no_problem_document", "id-0")
    assert VALUE_SENT not in str(raised.value)


def batch_of(request: httpx.Request) -> httpx.Response:
    sent = json.loads(request.content)["applications"]
    results = [
        {"decision": DECISION | {"application_id": one["application_id"]}}
        if one["applicant_id"] == "known"
        else {"problem": problem(404, "unknown_applicant").json()}
        for one in sent
    ]
    return httpx.Response(200, json={"decided": 0, "failed": 0, "results": results})


def batch_client(sizes: list[int]) -> CreditScoringClient:
    def answer(request: httpx.Request) -> httpx.Response:
        response = batch_of(request)
        sizes.append(len(response.json()["results"]))
        return response

    return CreditScoringClient(URL, key=KEY, transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    ("most", "count", "sizes"),
    [(3, 0, []), (3, 1, [1]), (3, 3, [3]), (3, 8, [3, 3, 2]), (MOST_APPLICATIONS, 10_001, [10_000, 1])],
)
def test_a_batch_is_split_where_the_service_takes_no_more_and_keeps_its_order(monkeypatch, most, count, sizes):
    monkeypatch.setattr(client_bodies, "MOST_APPLICATIONS", most)
    sent: list[int] = []
    known = [number % 3 != 0 for number in range(count)]
    applications: Any = (
        {"application_id": f"a-{number}", "applicant_id": "known" if is_known else "other"}
        for number, is_known in enumerate(known)
    )
    found = batch_client(sent).decide_batch(applications)
    assert sent == sizes
    assert (found.decided, found.failed) == (sum(known), count - sum(known))
    told = [result.decision.application_id if result.decision else None for result in found.results]
    assert told == [f"a-{number}" if is_known else None for number, is_known in enumerate(known)]


def test_a_batch_is_split_before_it_is_larger_than_the_service_takes(monkeypatch):
    assert client_bodies.LARGEST_BATCH_BYTES + 100 < LARGEST_BATCH_BYTES
    monkeypatch.setattr(client_bodies, "LARGEST_BATCH_BYTES", 200)
    sent: list[int] = []
    applications: Any = [{"application_id": f"a-{number}", "applicant_id": "known"} for number in range(10)]
    assert batch_client(sent).decide_batch(applications).decided == 10
    assert (sum(sent), max(sent)) == (10, 4)


def test_pages_are_fetched_as_they_are_needed():
    pages = [{"decisions": [DECISION, DECISION], "next": "c d"}, {"decisions": [DECISION], "next": None}]
    wire = Wire(*[httpx.Response(200, json=page) for page in pages])
    found = wire.client().decisions(applicant_id="p-1", since=NOW, page_size=2)
    assert wire.sent == []
    next(found)
    assert len(wire.sent) == 1
    assert len(list(found)) == 2
    own = {"applicant_id": "p-1", "since": "2026-01-02T03:04:05+00:00", "limit": "2"}
    assert [dict(request.url.params) for request in wire.sent] == [own, own | {"cursor": "c d"}]


@pytest.mark.parametrize(
    ("identifier", "path"), [("a/../b?c#d", "/v1/decisions/a%2F..%2Fb%3Fc%23d"), ("..", "/v1/decisions/%2E%2E")]
)
def test_an_id_is_one_part_of_the_path_whatever_it_has(identifier, path):
    wire = Wire(problem(404, "unknown_decision"))
    with pytest.raises(NotFoundError):
        wire.client().decision(identifier)
    assert wire.sent[0].url.raw_path.decode() == path


def test_an_empty_id_is_refused():
    with pytest.raises(UnusableArgumentError, match="empty"):
        Wire(decided()).client().decision("")


@pytest.mark.parametrize("path", ["http://elsewhere.example/v1", "//elsewhere.example/v1", "v1", "", "/v1\n"])
def test_the_key_is_sent_nowhere_else(path):
    wire = Wire(decided())
    with pytest.raises(UnusableArgumentError, match="path"):
        wire.client().request("GET", path)
    assert wire.sent == []


def test_every_request_has_the_key_and_says_who_asks():
    wire = Wire(decided())
    wire.client().decide("a-1", "p-1")
    assert wire.headers("authorization") == [f"Bearer {KEY}"]
    assert str(wire.headers("user-agent")[0]).startswith("credit-scoring-client/")
    assert wire.headers("content-type") == ["application/json"]


def test_address_and_key_come_from_arguments_or_a_file_or_the_environment(monkeypatch, tmp_path):
    wire = Wire(decided())
    monkeypatch.setenv("CREDIT_SCORING_URL", "http://from-environment/prefix/")
    monkeypatch.setenv("CREDIT_SCORING_KEY", "from-environment")
    file = tmp_path / "own.key"
    file.write_text("from-file\n")
    for options in ({}, {"key_file": file}, {"key": "given"}):
        CreditScoringClient(transport=wire.transport(), **options).decide("a-1", "p-1")  # type: ignore[arg-type]
    assert wire.headers("authorization") == ["Bearer from-environment", "Bearer from-file", "Bearer given"]
    assert str(wire.sent[0].url) == "http://from-environment/prefix/v1/decisions"


@pytest.mark.parametrize(
    ("url", "options", "told"),
    [
        (None, {"key": KEY}, "CREDIT_SCORING_URL"),
        (URL, {}, "CREDIT_SCORING_KEY"),
        (URL, {"key": "two words"}, "blanks"),
        (URL, {"key": "sécret"}, "non-ASCII"),
        (URL, {"key": KEY, "key_file": "x"}, "one of them"),
        (URL, {"key_file": "/nowhere/at/all"}, "FileNotFoundError"),
        ("ftp://service", {"key": KEY}, "base_url"),
        ("service:3000", {"key": KEY}, "base_url"),
        ("http://name:secret@service", {"key": KEY}, "base_url"),
        ("http://service:port", {"key": KEY}, "base_url"),
    ],
)
def test_an_address_or_key_that_cannot_be_used_is_refused_without_telling_it(monkeypatch, url, options, told):
    monkeypatch.delenv("CREDIT_SCORING_URL", raising=False)
    monkeypatch.delenv("CREDIT_SCORING_KEY", raising=False)
    with pytest.raises(UnusableArgumentError, match=told) as raised:
        CreditScoringClient(url, **options)
    assert not any(secret in str(raised.value) for secret in (KEY, "two words", "sécret", "secret@"))


def shown_on_the_way(error: BaseException) -> Iterator[str]:
    """What a report of an error with the variables of all frames shows."""
    trace = error.__traceback__
    while trace is not None:
        yield from map(repr, trace.tb_frame.f_locals.values())
        trace = trace.tb_next


def test_no_repr_and_no_report_of_an_error_shows_the_key():
    with pytest.raises(UnauthenticatedError) as raised, Wire(problem(401, "unauthenticated")).client() as client:
        client.decide("a-1", "p-1")
    shown = [*shown_on_the_way(raised.value), repr(client), *map(repr, vars(client).values()), str(raised.value)]
    assert len(shown) > 10
    assert not any(KEY in text for text in shown)


def methods_of(kind: type) -> dict[str, list[str]]:
    public = inspect.getmembers(kind, inspect.isfunction)
    return {name: list(inspect.signature(method).parameters) for name, method in public if not name.startswith("_")}


def test_both_clients_have_the_same_methods_and_tell_what_they_do():
    assert methods_of(CreditScoringClient) == methods_of(AsyncCreditScoringClient)
    assert all(inspect.getdoc(getattr(CreditScoringClient, name)) for name in methods_of(CreditScoringClient))


ASKED: dict[str, tuple[Callable[[Any], Any], httpx.Response]] = {
    "decide": (lambda client: client.decide("a-1", "p-1", as_of=NOW), decided()),
    "decision": (lambda client: client.decision("d-1"), problem(404, "unknown_decision")),
    "request": (lambda client: client.request("POST", "/v1/x", json=1), httpx.Response(200, json={})),
    **{name: (ask, problem(404, "not_found")) for name, (ask, *_) in ROUTES.items()},
    "batch": (
        lambda client: client.decide_batch([{"application_id": "a", "applicant_id": "p"}]),
        httpx.Response(200, json={"decided": 0, "failed": 0, "results": []}),
    ),
}


@pytest.mark.parametrize(("ask", "answer"), ASKED.values(), ids=ASKED)
def test_both_clients_send_the_same_and_wait_the_same(ask, answer):
    blocking, other = Wire(httpx.ReadTimeout, answer), Wire(httpx.ReadTimeout, answer)

    async def pause(seconds: float) -> None:
        other.waits.append(seconds)

    async def awaited() -> object:
        options: Any = {"key": KEY, "transport": other.transport(), "surroundings": other.surroundings}
        async with AsyncCreditScoringClient(URL, sleep=pause, **options) as client:
            return await ask(client)

    def told(work: Callable[[], object]) -> object:
        try:
            return str(work())
        except CreditScoringClientError as exc:
            return (type(exc), str(exc))

    with blocking.client() as client:
        first = told(lambda: ask(client))
    assert told(lambda: anyio.run(awaited)) == first
    assert blocking.waits == other.waits
    asked = [[(r.method, str(r.url), r.content, dict(r.headers)) for r in wire.sent] for wire in (blocking, other)]
    assert asked[0] == asked[1]
