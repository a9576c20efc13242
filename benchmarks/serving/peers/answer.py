"""A handler that reads a JSON body and answers as many bytes as a decision has."""

import json
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import Response

DECISION = json.loads(Path(__file__).with_name("decision.json").read_text(encoding="utf-8"))


async def decide(request: Request) -> Response:
    """Read the body, write an answer."""
    orjson.loads(await request.body())
    return Response(orjson.dumps(DECISION), media_type="application/json")
