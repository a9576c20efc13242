"""Take facts of applicants, and tell what is known of one."""

from http import HTTPStatus
from typing import Annotated

import anyio
from fastapi import FastAPI, Query
from fastapi.responses import Response
from starlette.requests import Request

from credit_scoring.api.applicants import ApplicantProfile, KeptApplicant, KeptEvents
from credit_scoring.api.decisions import Json
from credit_scoring.api.problems import Fault
from credit_scoring.core.callers import Caller
from credit_scoring.core.owners import Applicant
from credit_scoring.serving.applicant_bodies import ApplicantBodies, sent_events, sent_fields
from credit_scoring.serving.applicant_paths import PATH, ApplicantId, applicant_id_in
from credit_scoring.serving.bodies import LARGEST_EVENTS_BYTES, checked, content_of, read_body
from credit_scoring.serving.cursors import cursor_after, place_in
from credit_scoring.serving.endpoints import (
    OF_EVERY_BODY,
    IdempotencyKey,
    admitted,
    described,
    in_thread,
    with_body,
)
from credit_scoring.serving.http_errors import answer, pointer
from credit_scoring.serving.problems import MOST_FAULTS, RefusedBodyError
from credit_scoring.serving.repeated_requests import REPEATABLE, Done, Repeatable, answered_once
from credit_scoring.serving.request_bodies import RequestBodies
from credit_scoring.serving.request_ids import request_id_of
from credit_scoring.serving.resources import Resources
from credit_scoring.usecases.accept_facts import AcceptedEvents, FactsIntake
from credit_scoring.usecases.applicant_profile import ProfileReader
from credit_scoring.usecases.idempotency import content_digest

_CODES = (*OF_EVERY_BODY, "invalid_parameter", "invalid_body")
_INVALID = "invalid_body"

Limit = Annotated[
    int,
    Query(ge=1, le=200, description="most decisions on a page, and most events of each table", examples=[20]),
]
Cursor = Annotated[
    str | None,
    Query(max_length=400, description="'next' of the page before", examples=["WyIyMDA1LTEwLTAxIiwgIjliMmY2Il0"]),
]


def add_applicant_routes(app: FastAPI, resources: Resources, bodies: RequestBodies) -> None:
    """Add the routes under ``/v1/applicants``."""
    _add_putting(app, resources, bodies)
    _add_events(app, resources, bodies)
    _add_profile(app, resources, bodies)


def _add_putting(app: FastAPI, resources: Resources, bodies: RequestBodies) -> None:
    ingest = admitted(resources.guard, "ingest")
    details = described(
        "ingest",
        "Replace an applicant's fields",
        *_CODES,
        told="Stores all fields of an applicant in place of those that were there. From the answer on, decisions "
        "without inline facts are made of them.",
    )
    details["responses"][int(HTTPStatus.CREATED)] = {"model": KeptApplicant, "description": "No fields were there"}

    @app.put(PATH, response_model=KeptApplicant, openapi_extra=with_body("ApplicantFields"), **details)
    async def put(request: Request, caller: Annotated[Caller, ingest], applicant_id: ApplicantId) -> Response:
        applicant = Applicant(resources.owner(caller), applicant_id_in(request, applicant_id))
        taken = bodies.applicant
        fields = sent_fields((await read_body(request, taken.fields, _INVALID)).body)
        received_at = resources.clock()
        created = await in_thread(_intake(taken, resources).put, applicant, fields, received_at)
        told = KeptApplicant(applicant_id=applicant_id, received_at=received_at, created=created)
        return answer(request, told, HTTPStatus.CREATED if created else HTTPStatus.OK)


def _add_events(app: FastAPI, resources: Resources, bodies: RequestBodies) -> None:
    ingest = admitted(resources.guard, "ingest")

    @app.post(
        f"{PATH}/events",
        response_model=KeptEvents,
        openapi_extra=with_body("ApplicantEvents"),
        **described(
            "ingest",
            "Add events of an applicant",
            *_CODES,
            *REPEATABLE,
            "contradicting_events",
            told="Stores events, at most 5,000 at once, all of them or none. One that is there already is not stored "
            "again.",
            replayed=True,
        ),
    )
    async def add(
        request: Request,
        caller: Annotated[Caller, ingest],
        applicant_id: ApplicantId,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        applicant = Applicant(resources.owner(caller), applicant_id_in(request, applicant_id, "events"))
        taken, content = bodies.applicant, await content_of(request, LARGEST_EVENTS_BYTES)
        # Large bodies take a while; meanwhile the event loop answers others.
        body = await anyio.to_thread.run_sync(checked, content, taken.events, _INVALID)
        received_at = resources.clock()
        sent = sent_events(body.body, received_at)
        asked: Json = {"applicant_id": applicant_id, "events": body.received}
        sender = _sender(idempotency_key, request_id_of(request), asked)

        async def work() -> Done:
            done = await in_thread(_intake(taken, resources).add, applicant, sent, sender, received_at)
            _require_agreement(done)
            told = KeptEvents(stored=done.stored, copies=done.copies, received_at=received_at)
            return Done(answer(request, told))

        repeatable = Repeatable(request, applicant.owner, idempotency_key, asked)
        return await answered_once(repeatable, resources.repeated, work)


def _add_profile(app: FastAPI, resources: Resources, bodies: RequestBodies) -> None:
    read = admitted(resources.guard, "read")

    @app.get(
        f"{PATH}/profile",
        response_model=ApplicantProfile,
        **described(
            "read",
            "Read an applicant's risk profile",
            "invalid_parameter",
            "unknown_applicant",
            told="Gives the applicant's decisions over time, and the facts that the next decision is made of.",
        ),
    )
    async def profile(
        request: Request,
        caller: Annotated[Caller, read],
        applicant_id: ApplicantId,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> Response:
        applicant = Applicant(resources.owner(caller), applicant_id_in(request, applicant_id, "profile"))
        reader = ProfileReader(bodies.declared, resources.decisions, resources.timed_facts)
        page = await in_thread(reader.read, applicant, place_in(cursor), limit)
        following = None if page.last is None else cursor_after(page.last)
        return answer(request, page.profile.model_copy(update={"next": following}))


def _intake(taken: ApplicantBodies, resources: Resources) -> FactsIntake:
    return FactsIntake(taken.declared, resources.applicants, resources.inbox)


def _sender(idempotency_key: str | None, request_id: str, asked: Json) -> str:
    """Name a request so that events without an id are known again only when the very same is sent again.

    With what is asked for, because a key lives 30 days, and callers may give many requests one id.
    """
    name = {"key": idempotency_key} if idempotency_key else {"request": request_id}
    return content_digest({**name, "asked": asked})


def _require_agreement(done: AcceptedEvents) -> None:
    if not done.contradictions:
        return
    told = "contradicts an event of the same id that came first"
    faults = [Fault(pointer=pointer(place), code="contradicting_event", detail=told) for place in done.contradictions]
    detail = (
        f"{len(faults)} event(s) contradict others of the same 'event_id', so nothing was stored; 'errors' lists them. "
        f"The event that came first stays. Send others under ids of their own."
    )
    raise RefusedBodyError("contradicting_events", detail, faults[:MOST_FAULTS])
