"""Reads responses: an answer as its model, anything else as the error that tells it."""

from http import HTTPStatus
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from credit_scoring.api.problems import Problem
from credit_scoring.client.errors import UnexpectedAnswerError

Model = TypeVar("Model", bound=BaseModel)

REQUEST_ID = "X-Request-ID"

_FAULTS_TOLD = 3


def read_as(model: type[Model], response: httpx.Response) -> Model:
    """Return the answer as ``model``; fields that a later version of the service added are passed over.

    Raises:
        UnexpectedAnswerError: If it is not what ``model`` says; the message names places and rules, no values.
    """
    try:
        return model.model_validate_json(response.content, extra="ignore")
    except ValidationError as exc:
        found = exc.errors(include_url=False, include_input=False, include_context=False)
    places = [f"/{'/'.join(map(str, fault['loc']))} ({fault['type']})" for fault in found[:_FAULTS_TOLD]]
    # Raised here: Pydantic's own error quotes what was received, and would be shown with this one.
    raise UnexpectedAnswerError(f"The answer is no {model.__name__}: {', '.join(places)}.", request_id_of(response))


def read_problem(response: httpx.Response) -> Problem:
    """Return what a response of 400 or above tells, also when something between client and service sent it."""
    try:
        return Problem.model_validate_json(response.content, extra="ignore")
    except ValidationError:
        return Problem(
            title=response.reason_phrase,
            status=response.status_code,
            code="no_problem_document",
            detail="The response is not one of the service's; something between may have sent it.",
            request_id=request_id_of(response),
        )


def require_success(response: httpx.Response) -> None:
    """Let answers pass.

    Raises:
        UnexpectedAnswerError: If the response is neither an answer nor a problem, such as a redirect.
    """
    if not response.is_success:
        told = f"The service answered {response.status_code} {HTTPStatus(response.status_code).phrase}."
        raise UnexpectedAnswerError(told, request_id_of(response))


def request_id_of(response: httpx.Response) -> str:
    """Return the id under which the service knows the request, as it says or as it was sent."""
    told: str = response.headers.get(REQUEST_ID) or response.request.headers.get(REQUEST_ID, "unknown")
    return told
