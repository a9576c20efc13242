import copy
from typing import Any

from credit_scoring.serving.api_changes import breaking_changes

BEFORE: dict[str, Any] = {
    "paths": {
        "/v1/things": {
            "post": {
                "parameters": [{"name": "page", "required": False}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Body"}}}},
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}}}
                },
            }
        }
    },
    "components": {
        "schemas": {
            "Body": {
                "properties": {
                    "id": {"type": "string"},
                    "rows": {"anyOf": [{"items": {"$ref": "#/components/schemas/Row"}}, {"type": "null"}]},
                },
                "required": ["id"],
            },
            "Row": {"properties": {"amount": {"type": "number"}}},
            "Answer": {"properties": {"points": {"type": "integer"}, "again": {"$ref": "#/components/schemas/Answer"}}},
        }
    },
}


def changed(change: Any) -> list[str]:
    after = copy.deepcopy(BEFORE)
    change(after, after["components"]["schemas"])
    return breaking_changes(BEFORE, after)


def test_the_same_description_breaks_nothing():
    assert breaking_changes(BEFORE, BEFORE) == []


def test_a_new_optional_field_and_a_new_answer_break_nothing():
    def widen(_after: Any, schemas: Any) -> None:
        schemas["Row"]["properties"]["note"] = {"type": "string"}
        schemas["Answer"]["properties"]["band"] = {"type": "string"}

    assert changed(widen) == []


def test_a_new_required_field_breaks_also_deep_inside():
    def require(_after: Any, schemas: Any) -> None:
        schemas["Row"]["properties"]["currency"] = {"type": "string"}
        schemas["Row"]["required"] = ["currency"]

    assert changed(require) == ["POST /v1/things requires /rows/*/currency"]


def test_an_optional_field_that_becomes_required_breaks():
    assert changed(lambda _after, schemas: schemas["Body"]["required"].append("rows")) == [
        "POST /v1/things requires /rows"
    ]


def test_a_field_that_is_taken_or_answered_no_more_breaks():
    def drop(_after: Any, schemas: Any) -> None:
        del schemas["Row"]["properties"]["amount"]
        del schemas["Answer"]["properties"]["points"]

    assert changed(drop) == [
        "POST /v1/things takes no /rows/*/amount any more",
        "POST /v1/things answers no /points any more",
    ]


def test_a_parameter_that_becomes_required_and_a_route_that_is_gone_break():
    operation = "/v1/things", "post"
    assert changed(lambda after, _: after["paths"][operation[0]]["post"]["parameters"][0].update(required=True)) == [
        "POST /v1/things requires parameter page"
    ]
    assert changed(lambda after, _: after["paths"].pop("/v1/things")) == ["POST /v1/things is gone"]
