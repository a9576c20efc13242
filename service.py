"""The service that BentoML loads; what it does is in ``credit_scoring.serving``."""

import sys
from pathlib import Path

# A Bento brings its own sources; they win over an installed package, which may be another version.
_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE / "src"))

import bentoml  # noqa: E402

from credit_scoring.adapters.bento_package import STAGE  # noqa: E402
from credit_scoring.serving.bootstrap import DecisionService, bento_name  # noqa: E402
from credit_scoring.serving.request_ids import RequestIds  # noqa: E402

decision_service = DecisionService(_HERE / STAGE)


@bentoml.service(
    name=bento_name(_HERE / STAGE),
    traffic={"timeout": 10},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(decision_service, path="/")
class CreditScoring:
    """Decides applications; every route is in ``credit_scoring.serving.app``."""

    def __init__(self) -> None:
        decision_service.open()

    async def __is_ready__(self) -> bool:
        return decision_service.is_ready


CreditScoring.add_asgi_middleware(RequestIds)  # type: ignore[attr-defined]
