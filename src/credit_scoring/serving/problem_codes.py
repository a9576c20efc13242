"""Every code of a problem: its status, what it means, and what its receiver does."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class ProblemCode:
    """What a code tells: the status that goes with it, what happened, and what to do."""

    status: HTTPStatus
    meaning: str
    remedy: str

    @property
    def told(self) -> str:
        """Meaning and remedy, in two sentences or more."""
        return f"{self.meaning} {self.remedy}"


_LATER = "Send the same request again after 'Retry-After' seconds."
_CORRECT = "Correct what 'errors' lists and send it again."
_ADDRESS = "Correct the address."

CODES: Mapping[str, ProblemCode] = {
    "incomplete_body": ProblemCode(
        HTTPStatus.BAD_REQUEST, "The body ended before it was whole.", "Send the request again, all of it."
    ),
    "body_too_slow": ProblemCode(
        HTTPStatus.REQUEST_TIMEOUT, "The body came too slowly.", "Send it again over a better connection."
    ),
    "headers_too_large": ProblemCode(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The request's line and headers have more than 64 KiB or 100 lines.",
        "Send fewer or shorter headers.",
    ),
    "unauthenticated": ProblemCode(
        HTTPStatus.UNAUTHORIZED,
        "The key or token is absent, unknown, expired or revoked.",
        "Send a valid one as 'Authorization: Bearer ...'.",
    ),
    "forbidden": ProblemCode(
        HTTPStatus.FORBIDDEN, "The key lacks the scope of the route.", "Ask the operators for a key with this scope."
    ),
    "not_found": ProblemCode(HTTPStatus.NOT_FOUND, "There is no such route.", _ADDRESS),
    "unknown_applicant": ProblemCode(
        HTTPStatus.NOT_FOUND,
        "No facts are stored for the applicant.",
        "Send the fields inline under 'application' and 'events', or ingest the applicant first.",
    ),
    "unknown_decision": ProblemCode(
        HTTPStatus.NOT_FOUND,
        "No decision is recorded under the id.",
        "Use the 'decision_id' of an earlier answer.",
    ),
    "unknown_model": ProblemCode(
        HTTPStatus.NOT_FOUND,
        "No model of this version is loaded.",
        "Take a version from 'GET /v1/models'.",
    ),
    "no_roles": ProblemCode(
        HTTPStatus.NOT_FOUND, "No model held a role at that moment.", "Ask for a later one, or leave 'at' out."
    ),
    "method_not_allowed": ProblemCode(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "The route does not take this method.",
        "Use one that the header 'Allow' names.",
    ),
    "request_in_progress": ProblemCode(
        HTTPStatus.CONFLICT, "The same request is being answered now.", f"{_LATER} It then gets that answer."
    ),
    "contradicting_events": ProblemCode(
        HTTPStatus.CONFLICT,
        "Events contradict others of the same 'event_id', so nothing was stored.",
        "The event that came first stays: send others under ids of their own.",
    ),
    "body_too_large": ProblemCode(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is larger than the route takes.", "Send less at once."
    ),
    "unsupported_media_type": ProblemCode(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "The body is not sent as JSON.",
        "Send it with 'Content-Type: application/json'.",
    ),
    "malformed_json": ProblemCode(
        HTTPStatus.UNPROCESSABLE_ENTITY, "The body is no JSON.", "Correct it and send it again."
    ),
    "repeated_field": ProblemCode(
        HTTPStatus.UNPROCESSABLE_ENTITY, "An object of the body has a field twice.", "Send each field once."
    ),
    "invalid_application": ProblemCode(
        HTTPStatus.UNPROCESSABLE_ENTITY, "The body is no application that can be decided.", _CORRECT
    ),
    "invalid_body": ProblemCode(HTTPStatus.UNPROCESSABLE_ENTITY, "The body is not what the route takes.", _CORRECT),
    "invalid_parameter": ProblemCode(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "A parameter of the address or a header is not what the route takes.",
        "Correct what 'detail' names and send it again.",
    ),
    "application_reused": ProblemCode(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The application_id was decided before with other content.",
        "Repeat the first request unchanged to read its answer, or use a new application_id.",
    ),
    "idempotency_key_reused": ProblemCode(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The Idempotency-Key came before with other content.",
        "Use a new key for another request.",
    ),
    "rate_limited": ProblemCode(
        HTTPStatus.TOO_MANY_REQUESTS, "More requests came than the limit allows.", "Wait 'Retry-After' seconds."
    ),
    "internal_error": ProblemCode(
        HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed.", "Tell its operators the 'request_id'."
    ),
    "records_unavailable": ProblemCode(
        HTTPStatus.SERVICE_UNAVAILABLE, "The records database does not answer, so nothing was done.", _LATER
    ),
    "bundle_unavailable": ProblemCode(
        HTTPStatus.SERVICE_UNAVAILABLE, "A model bundle that this needs cannot be had now.", _LATER
    ),
    "issuer_unavailable": ProblemCode(
        HTTPStatus.SERVICE_UNAVAILABLE, "The issuer of tokens does not answer, so a token cannot be checked.", _LATER
    ),
    "overloaded": ProblemCode(
        HTTPStatus.SERVICE_UNAVAILABLE, "Too many applications wait already; this one was not decided.", _LATER
    ),
    "not_ready": ProblemCode(HTTPStatus.SERVICE_UNAVAILABLE, "The service has not started.", _LATER),
    "timeout": ProblemCode(
        HTTPStatus.GATEWAY_TIMEOUT,
        "The request took too long; it may have been done all the same.",
        f"{_LATER} Decisions, and what has an Idempotency-Key, are done once.",
    ),
}
"""Every code that the service answers with."""

STATUS: Mapping[str, HTTPStatus] = {name: code.status for name, code in CODES.items()}
"""The status of every code."""
