"""The naive code as a FastAPI app."""

from typing import Any

import pandas as pd
from fastapi import FastAPI
from naive import decided
from pydantic import BaseModel

app = FastAPI()


class Rows(BaseModel):
    """The body: rows by column."""

    rows: list[dict[str, float | None]]


@app.get("/readyz")
def ready() -> None:
    """Answer that it runs."""


@app.post("/decide")
def decide(body: Rows) -> list[dict[str, Any]]:
    """Return a score and reasons for each row."""
    return decided(pd.DataFrame(body.rows))
