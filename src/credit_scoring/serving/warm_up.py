"""Decides the declared example before the first request, so that whatever is made when first needed is made by then."""

import orjson

from credit_scoring.core.callers import Caller
from credit_scoring.core.errors import CreditScoringError, InvalidApplicationError
from credit_scoring.core.owners import DEFAULT_TENANT
from credit_scoring.core.records import content_of
from credit_scoring.serving.bodies import checked
from credit_scoring.serving.request_bodies import RequestBodies
from credit_scoring.serving.schemas import Sender, example_body, to_application
from credit_scoring.usecases.decide_applications import Decider

TIMES = 20
_NOBODY = Sender(Caller("warm-up", DEFAULT_TENANT, "warm-up", frozenset()), "warm-up")


def warm_up(decider: Decider, bodies: RequestBodies) -> None:
    """Have ``decider`` do all that an inline application needs; nothing is read, recorded, counted or told.

    An example that the portfolio's own features or models cannot take leaves the service as warm as it gets: whoever
    asks for such a decision is told then.
    """
    content = orjson.dumps(example_body(bodies.declared[0]))
    for _ in range(TIMES):
        try:
            sent = checked(content, bodies.application, InvalidApplicationError.code)
            found = decider.rehearsed([to_application(sent.body, sent.received, _NOBODY)])
        except CreditScoringError:
            return
        for record in found:
            if not isinstance(record, CreditScoringError):
                content_of(record)
                record.answer.model_dump_json()
