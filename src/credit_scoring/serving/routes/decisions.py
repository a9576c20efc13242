"""Decide applications, and read what was decided."""

from functools import partial
from typing import Annotated

from fastapi import FastAPI, Query
from fastapi.responses import Response
from starlette.requests import Request

from credit_scoring.api.batches import BatchResults
from credit_scoring.api.decisions import Decision, Decisions, RecordedDecision
from credit_scoring.core.callers import Caller
from credit_scoring.core.errors import UnknownDecisionError
from credit_scoring.core.records import DecisionQuery
from credit_scoring.serving.bodies import read_body
from credit_scoring.serving.cursors import cursor_after, place_in
from credit_scoring.serving.decision_batches import BATCH_BODY, decide_batch, is_final, read_batch
from credit_scoring.serving.declared_types import Identifier, Moment
from credit_scoring.serving.direct_routes import direct_route
from credit_scoring.serving.endpoints import (
    BATCH_DEADLINE_S,
    OF_EVERY_BODY,
    DecisionId,
    IdempotencyKey,
    admitted,
    described,
    in_thread,
    in_time,
    with_body,
)
from credit_scoring.serving.http_errors import answer
from credit_scoring.serving.repeated_requests import REPEATABLE, Done, Repeatable, answered_once
from credit_scoring.serving.request_bodies import RequestBodies
from credit_scoring.serving.request_ids import request_id_of
from credit_scoring.serving.resources import Resources
from credit_scoring.serving.schemas import Sender, sent_application

_OF_DECISIONS = ("invalid_application", "overloaded", "idempotency_key_reused", "request_in_progress")

ApplicationId = Annotated[Identifier | None, Query(description="of this application", examples=["application-1"])]
ApplicantId = Annotated[Identifier | None, Query(description="of this applicant", examples=["applicant-1"])]
Limit = Annotated[int, Query(ge=1, le=200, description="most decisions on a page", examples=[50])]
Cursor = Annotated[
    str | None,
    Query(max_length=400, description="'next' of the page before", examples=["WyIyMDA1LTEwLTAxIiwgIjliMmY2Il0"]),
]


def add_decision_routes(app: FastAPI, resources: Resources, bodies: RequestBodies) -> None:
    """Add the routes under ``/v1/decisions``."""
    _add_deciding(app, resources, bodies)
    _add_reading(app, resources)


def _add_deciding(app: FastAPI, resources: Resources, bodies: RequestBodies) -> None:
    decide = admitted(resources.guard, "decide")
    codes = (*OF_EVERY_BODY, *_OF_DECISIONS)

    async def decide_one(
        request: Request, caller: Annotated[Caller, decide], idempotency_key: IdempotencyKey = None
    ) -> Response:
        checked = await read_body(request, bodies.application)
        sender = Sender(caller, request_id_of(request), idempotency_key)
        application = sent_application(checked.body, checked.received, sender)
        return answer(request, await in_time(resources.queue.decide(application)))

    app.router.add_api_route(
        "/v1/decisions",
        decide_one,
        methods=["POST"],
        route_class_override=direct_route(resources.guard, "decide"),
        response_model=Decision,
        openapi_extra=with_body("ApplicationBody"),
        **described(
            "decide",
            "Decide one application",
            *codes,
            "unknown_applicant",
            "application_reused",
            told="Scores an application with the model of the applicant's arm, records the decision, and gives the "
            "reasons. Facts come whole from the request or from the store. The same application_id with the same body "
            "gets its first answer.",
        ),
    )

    @app.post(
        "/v1/decisions/batch",
        response_model=BatchResults,
        openapi_extra=BATCH_BODY,
        **described(
            "decide",
            "Decide many applications",
            *OF_EVERY_BODY,
            *REPEATABLE,
            "invalid_body",
            "overloaded",
            told="Decides up to 10,000 applications. Each gets a decision or a problem of its own, in the order in "
            "which they were sent; a wrong one harms no other.",
            replayed=True,
        ),
    )
    async def decide_many(
        request: Request, caller: Annotated[Caller, decide], idempotency_key: IdempotencyKey = None
    ) -> Response:
        batch = await read_batch(request, bodies.application, Sender(caller, request_id_of(request)))

        async def work() -> Done:
            results = await in_time(decide_batch(batch, resources.queue), BATCH_DEADLINE_S)
            return Done(answer(request, results), is_final=is_final(results))

        asked = Repeatable(request, resources.owner(caller), idempotency_key, batch.received)
        return await answered_once(asked, resources.repeated, work)


def _add_reading(app: FastAPI, resources: Resources) -> None:
    read = admitted(resources.guard, "read")

    @app.get(
        "/v1/decisions",
        response_model=Decisions,
        **described(
            "read",
            "Find decisions by application, applicant and time",
            told="Lists decisions, the newest first, page by page. All filters together have to hold.",
        ),
    )
    async def find(  # noqa: PLR0913, PLR0917 - each is a parameter of the address
        request: Request,
        caller: Annotated[Caller, read],
        application_id: ApplicationId = None,
        applicant_id: ApplicantId = None,
        since: Annotated[
            Moment | None, Query(description="decided then or later", examples=["2005-10-01T00:00:00Z"])
        ] = None,
        until: Annotated[
            Moment | None, Query(description="decided before then", examples=["2005-11-01T00:00:00Z"])
        ] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response:
        query = DecisionQuery(application_id, applicant_id, since, until, place_in(cursor), limit + 1)
        found = await in_thread(partial(resources.decisions.find, resources.owner(caller), query))
        page = tuple(record.answer for record in found[:limit])
        following = cursor_after(found[limit - 1]) if len(found) > limit else None
        return answer(request, Decisions(decisions=page, next=following))

    @app.get(
        "/v1/decisions/{decision_id}",
        response_model=RecordedDecision,
        **described(
            "read",
            "Read a decision and what it was made of",
            "unknown_decision",
            told="Gives the answer with its record: what was received, the features, and what both models said.",
        ),
    )
    async def read_one(request: Request, caller: Annotated[Caller, read], decision_id: DecisionId) -> Response:
        record = await in_thread(resources.decisions.get, resources.owner(caller), decision_id)
        if record is None:
            raise UnknownDecisionError
        return answer(request, record.recorded)
