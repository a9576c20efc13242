"""A decision on record, with everything it was made of, and as the text that is chained."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson
from pydantic import BaseModel

from credit_scoring.api.decisions import (
    Decision,
    FeaturesUsed,
    GivenReason,
    Json,
    ModelOutput,
    RecordedDecision,
    Role,
)
from credit_scoring.core.owners import Owner


class ApplicationKey(NamedTuple):
    """What makes two requests for a decision one: the application, or the ``Idempotency-Key`` they came with.

    ``idempotency_key`` is None where it is the application's own id.
    """

    owner: Owner
    application_id: str
    idempotency_key: str | None = None


KEY_LIFETIME = timedelta(days=30)
"""How long an ``Idempotency-Key`` is kept; an application's own id is kept for ever."""


class Place(NamedTuple):
    """A record's place in the order of decision."""

    decided_at: datetime
    decision_id: str


@dataclass(frozen=True, slots=True)
class DecisionQuery:
    """Which records are asked for: None asks for all; ``since`` is included, ``until`` and ``before`` are not."""

    application_id: str | None = None
    applicant_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: Place | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A decision with what was received and computed; never changed after it was added.

    ``received`` is the request's body, ``received_digest`` its SHA-256, ``features`` what models read by feature set,
    ``scores`` what each role's model said, ``key_id`` who asked. ``roles_sequence`` is the row of the roles' history
    that held. What was recorded before these were kept has None there.
    """

    owner: Owner
    decided_at: datetime
    answer: Decision
    received: Json
    received_digest: str
    features: Mapping[str, FeaturesUsed]
    scores: Mapping[Role, ModelOutput]
    roles_sequence: int | None = None
    idempotency_key: str | None = None
    key_id: str | None = None

    @property
    def key(self) -> ApplicationKey:
        """What the record is found by when the application comes again."""
        return ApplicationKey(self.owner, self.answer.application_id, self.idempotency_key)

    @property
    def recorded(self) -> RecordedDecision:
        """The record as it is read through the API."""
        return RecordedDecision(
            **dict(self.answer),
            decided_at=self.decided_at,
            received=self.received,
            features=dict(self.features),
            scores=dict(self.scores),
            roles_sequence=self.roles_sequence,
        )


def content_of(record: DecisionRecord) -> str:
    """Return a record as JSON text, the same for the same record: what is stored, and what its hash covers."""
    told = {
        "tenant": record.owner.tenant,
        "portfolio": record.owner.portfolio,
        "decided_at": record.decided_at,
        "answer": record.answer,
        "received": record.received,
        "received_digest": record.received_digest,
        "features": record.features,
        "scores": record.scores,
        "roles_sequence": record.roles_sequence,
        "idempotency_key": record.idempotency_key,
        "key_id": record.key_id,
    }
    return orjson.dumps(told, _parts, orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS).decode()


def _parts(value: object) -> dict[str, Any]:
    """Return what a part of a record holds, by name; frozen models and their dictionaries are not copied for it."""
    if isinstance(value, BaseModel):
        return value.__dict__
    if isinstance(value, GivenReason):
        return {
            "code": value.code,
            "text": value.text,
            "feature": value.feature,
            "points_lost": value.points_lost,
        }
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def record_of(content: str) -> DecisionRecord:
    """Read what ``content_of`` wrote; a ValueError when it is something else."""
    told: dict[str, Any] = orjson.loads(content)
    return DecisionRecord(
        owner=Owner(told["tenant"], told["portfolio"]),
        decided_at=datetime.fromisoformat(told["decided_at"]),
        answer=Decision.model_validate(told["answer"]),
        received=told["received"],
        received_digest=told["received_digest"],
        features={name: FeaturesUsed.model_validate(used) for name, used in told["features"].items()},
        scores={role: ModelOutput.model_validate(output) for role, output in told["scores"].items()},
        roles_sequence=told["roles_sequence"],
        idempotency_key=told["idempotency_key"],
        key_id=told["key_id"],
    )
