import json
from datetime import date
from pathlib import Path

import jsonschema
import pytest
import yaml

from credit_scoring.core.portfolio import Portfolio

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs" / "portfolio.schema.json"


def test_the_published_schema_is_that_of_the_declaration(request: pytest.FixtureRequest):
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Portfolio.model_json_schema()}
    if request.config.getoption("--regenerate-golden"):
        SCHEMA.write_text(json.dumps(schema, indent=1) + "\n", encoding="utf-8")
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == schema, "Run this test with --regenerate-golden."


def test_an_editor_that_goes_by_the_schema_accepts_the_shipped_declaration_and_marks_a_slip():
    as_json = _typed(yaml.safe_load((ROOT / "conf/taiwan_cards/portfolio.yml").read_text(encoding="utf-8")))
    assert isinstance(as_json, dict)
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.validate(as_json, schema)
    with pytest.raises(jsonschema.ValidationError, match="scal"):
        jsonschema.validate({**as_json, "scal": {}}, schema)
    as_json["applicants"]["columns"]["sex"]["values"] = ["male", "female"]
    jsonschema.validate(as_json, schema)


def _typed(node: object) -> object:
    """What an editor sees: keys and dates as text."""
    if isinstance(node, dict):
        return {str(key): _typed(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_typed(value) for value in node]
    return node.isoformat() if isinstance(node, date) else node
