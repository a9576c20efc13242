"""Compute decisions again from their records."""

from typing import Annotated

from fastapi import FastAPI
from fastapi.responses import Response
from starlette.requests import Request

from credit_scoring.api.replays import Replay
from credit_scoring.core.callers import Caller
from credit_scoring.serving.endpoints import DecisionId, admitted, described, in_thread
from credit_scoring.serving.http_errors import answer
from credit_scoring.serving.resources import Resources


def add_replay_routes(app: FastAPI, resources: Resources) -> None:
    """Add ``POST /v1/decisions/{decision_id}/replay``."""
    read = admitted(resources.guard, "read")

    @app.post(
        "/v1/decisions/{decision_id}/replay",
        response_model=Replay,
        **described(
            "read",
            "Compute a decision again from its record, by the bundles that decided",
            "unknown_decision",
            "bundle_unavailable",
            told="Computes features, scores and reasons from what is on record, and lists what differs. Nothing is "
            "changed or recorded.",
        ),
    )
    async def replay(request: Request, caller: Annotated[Caller, read], decision_id: DecisionId) -> Response:
        return answer(request, await in_thread(resources.replayer.replay, resources.owner(caller), decision_id))
