"""The service that BentoML loads; what it does is in ``credit_scoring.serving``."""

import sys
from pathlib import Path

# A Bento brings its own sources; they win over an installed package, which may be another version.
_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE / "src"))

import bentoml  # noqa: E402

from credit_scoring.adapters.bento_stage import STAGE  # noqa: E402
from credit_scoring.serving.http_protocol import Direct, serve_with  # noqa: E402
from credit_scoring.serving.observed import Observed  # noqa: E402
from credit_scoring.serving.plain_paths import PlainPaths  # noqa: E402
from credit_scoring.serving.request_ids import RequestIds  # noqa: E402
from credit_scoring.serving.worker import Worker, bento_name, listen_together, worker_count  # noqa: E402

worker = Worker(_HERE / STAGE)
# BentoML's worker imports this before it makes its uvicorn server.
serve_with(Direct("/v1/decisions", RequestIds(Observed(worker, telemetry=lambda: worker.telemetry))))
listen_together()


@bentoml.service(
    name=bento_name(_HERE / STAGE),
    workers=worker_count(),
    traffic={"timeout": 100},  # a body may take 30 s (SLOWEST_BODY_S), and a batch 55 s (BATCH_DEADLINE_S) after it
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)
@bentoml.asgi_app(worker, path="/")
class CreditScoring:
    """Decides applications; every route is in ``credit_scoring.serving.app``."""

    def __init__(self) -> None:
        worker.open()

    async def __is_ready__(self) -> bool:
        return worker.is_ready

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Send what is still held back."""
        worker.close()


# The first one added is the outermost.
CreditScoring.add_asgi_middleware(RequestIds)  # type: ignore[attr-defined]
CreditScoring.add_asgi_middleware(Observed, telemetry=lambda: worker.telemetry)  # type: ignore[attr-defined]
CreditScoring.add_asgi_middleware(PlainPaths)  # type: ignore[attr-defined]
