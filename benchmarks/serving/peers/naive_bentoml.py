"""The naive code as a BentoML service with BentoML's defaults."""

from typing import Any

import bentoml
import pandas as pd


@bentoml.service
class Naive:
    """Scores and explains a frame."""

    def __init__(self) -> None:
        from naive import decided  # noqa: PLC0415 - the model is loaded by the worker alone

        self._decided = decided

    @bentoml.api
    def decide(self, rows: pd.DataFrame) -> list[dict[str, Any]]:
        """Return a score and reasons for each row."""
        return self._decided(rows)
