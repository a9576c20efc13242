"""Many applications in one request, and their answers."""

from typing import Annotated

from pydantic import Field

from credit_scoring.api.decisions import Answer, Decision
from credit_scoring.api.problems import Problem

MOST_APPLICATIONS = 10_000
"""Most applications of one batch."""


class BatchResult(Answer):
    """What became of one application: a decision or a problem."""

    decision: Annotated[Decision | None, Field(description="the answer; null when there is a problem")] = None
    problem: Annotated[Problem | None, Field(description="why it was not decided; null when it was")] = None


class BatchResults(Answer):
    """What became of each application, in the order in which they were sent."""

    decided: Annotated[int, Field(ge=0, description="how many results are decisions", examples=[1])]
    failed: Annotated[int, Field(ge=0, description="how many results are problems", examples=[0])]
    results: Annotated[
        tuple[BatchResult, ...], Field(description="one of each application, in the order in which they were sent")
    ]
