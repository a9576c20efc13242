from pathlib import Path
from typing import Any

import pytest
import yaml

from credit_scoring.environment import Environment

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
OTHERS = {"BENTOML_DO_NOT_TRACK", "PYTHONPATH"}


@pytest.fixture
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    return found


def test_every_variable_of_the_service_is_one_that_it_reads(services):
    read = {f"CREDIT_{name.upper()}" for name in Environment.model_fields}
    assert set(services["service"]["environment"]) <= read | OTHERS


def test_the_service_waits_for_healthy_stores_and_listens_on_this_machine_alone(services):
    assert {name: one["condition"] for name, one in services["service"]["depends_on"].items()} == {
        "postgres": "service_healthy",
        "redis": "service_healthy",
    }
    assert all("healthcheck" in service for service in services.values())
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in published)
