"""The text of a record is what its hash covers: it must never change, however it is made."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_scoring.api.decisions import DecidingModel, Decision, FeaturesUsed, GivenReason, ModelOutput
from credit_scoring.core.owners import Owner
from credit_scoring.core.records import DecisionRecord, content_of, record_of

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
zones = st.sampled_from([UTC, timezone(timedelta(hours=-3, minutes=-30))])
moments = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=zones)
versions = st.integers(1, 2**31)
roles = st.sampled_from(["champion", "challenger"])
sources = st.sampled_from(["request", "cache", "store"])
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | numbers | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
reasons = st.builds(GivenReason, names, names, names, numbers)
decisions = st.builds(
    Decision,
    decision_id=names,
    application_id=names,
    applicant_id=names,
    points=st.integers(0, 999),
    points_exact=numbers,
    prob_default=numbers,
    band=names,
    recommendation=st.sampled_from(["approve", "refer", "decline"]),
    reasons=st.lists(reasons, max_size=4).map(tuple),
    model=st.builds(DecidingModel, name=names, version=versions, role=roles),
    arm=roles,
    arm_probability=numbers,
    decider=roles,
    fallback=st.booleans(),
    policy_version=names,
    feature_set=names,
    scorer_version=names,
    features_from=sources,
    as_of=moments,
    request_id=names,
)
outputs = st.builds(
    ModelOutput,
    model=names,
    version=versions,
    algorithm=names,
    digest=names,
    feature_set=names,
    points=st.none() | st.integers(0, 999),
    points_exact=st.none() | numbers,
    prob_default=st.none() | numbers,
    base_points=st.none() | numbers,
    failure=st.none() | names,
)
values = st.dictionaries(names, st.none() | numbers, max_size=5)
used = st.builds(FeaturesUsed, source=sources, observed_at=st.none() | moments, values=values)
records = st.builds(
    DecisionRecord,
    owner=st.builds(Owner, names, names),
    decided_at=moments,
    answer=decisions,
    received=st.dictionaries(names, json, max_size=3),
    received_digest=names,
    features=st.dictionaries(names, used, max_size=2),
    scores=st.dictionaries(roles, outputs, max_size=2),
    roles_sequence=st.none() | versions,
    idempotency_key=st.none() | names,
    key_id=st.none() | names,
)


def told_by_pydantic(record: DecisionRecord) -> str:
    """The text as it was made when the first records were chained."""
    told: dict[str, Any] = {
        "tenant": record.owner.tenant,
        "portfolio": record.owner.portfolio,
        "decided_at": record.decided_at,
        "answer": record.answer.model_dump(),
        "received": record.received,
        "received_digest": record.received_digest,
        "features": {name: features.model_dump() for name, features in record.features.items()},
        "scores": {role: output.model_dump() for role, output in record.scores.items()},
        "roles_sequence": record.roles_sequence,
        "idempotency_key": record.idempotency_key,
        "key_id": record.key_id,
    }
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS).decode()


@given(records)
def test_the_text_of_a_record_is_the_same_to_the_byte_as_ever(record):
    assert content_of(record) == told_by_pydantic(record)


@given(records)
def test_a_record_is_read_from_its_text_as_it_was(record):
    assert record_of(content_of(record)) == record


def test_what_is_no_part_of_a_record_is_not_written():
    record = DecisionRecord(
        Owner("t", "p"),
        datetime(2026, 1, 1, tzinfo=UTC),
        Decision.model_construct(points=object()),
        {},
        "",
        {},
        {},
    )
    with pytest.raises(TypeError):
        content_of(record)
