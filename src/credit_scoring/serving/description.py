"""The API's description (OpenAPI): made from the routes and from what the models in role declare."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from credit_scoring.api.problems import Problem
from credit_scoring.serving.api_guide import GUIDE
from credit_scoring.serving.documented_answers import HEADERS, REQUEST_HEADERS, headers_of
from credit_scoring.serving.request_bodies import RequestBodies

API_VERSION = "1.0.0"
"""Raised in its first part when callers of the version before would be refused (``serving.api_changes``)."""

AREAS = {
    "Decisions": "Decide applications, read decisions, and compute them again.",
    "Applicants": "Facts of applicants, and what is known of one.",
    "Roles and models": "Which models decide, and what they are.",
}
_AREA_OF = {
    "decisions": "Decisions",
    "applicants": "Applicants",
    "roles": "Roles and models",
    "models": "Roles and models",
}

_FASTAPIS_OWN = ("HTTPValidationError", "ValidationError")


def describe(app: FastAPI, bodies: RequestBodies) -> None:
    """Have ``app`` describe itself under the assignment that holds; its version carries the description's digest."""
    generate = app.openapi
    made: dict[type[BaseModel], dict[str, Any]] = {}

    def openapi() -> dict[str, Any]:
        if bodies.application not in made:
            app.openapi_schema = None
            made.clear()
            made[bodies.application] = _described(generate, bodies)
        return made[bodies.application]

    app.openapi = openapi  # type: ignore[method-assign]


def _described(generate: Callable[[], dict[str, Any]], bodies: RequestBodies) -> dict[str, Any]:
    described = generate()
    schemas = described.setdefault("components", {}).setdefault("schemas", {})
    for name in _FASTAPIS_OWN:
        schemas.pop(name, None)
    models: dict[str, type[BaseModel]] = {Problem.__name__: Problem, **bodies.described}
    for name, model in models.items():
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[name] = schema
    schemas["JsonValue"] = {"description": "Any value that JSON has."} | schemas.get("JsonValue", {})
    described["info"]["description"] = "\n\n".join(filter(None, (described["info"].get("description"), GUIDE)))
    _add_areas(described)
    _add_headers(described)
    described["info"]["version"] = API_VERSION
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    described["info"]["version"] = f"{API_VERSION}+{digest[:12]}"
    return described


def _add_areas(described: dict[str, Any]) -> None:
    described["tags"] = [{"name": name, "description": told} for name, told in AREAS.items()]
    for path, operations in described["paths"].items():
        for operation in operations.values():
            operation["tags"] = [_AREA_OF[path.split("/")[2]]]


def _add_headers(described: dict[str, Any]) -> None:
    described["components"]["headers"] = dict(HEADERS)
    for operation in (one for operations in described["paths"].values() for one in operations.values()):
        operation["parameters"] = [*operation.get("parameters", ()), *REQUEST_HEADERS]
        for status, answer in operation["responses"].items():
            answer["headers"] = {**headers_of(status), **answer.get("headers", {})}
