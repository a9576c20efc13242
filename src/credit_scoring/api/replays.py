"""What comes out when a decision is computed again from its record."""

from typing import Annotated

from pydantic import Field, JsonValue

from credit_scoring.api.decisions import Answer


class ReplayDifference(Answer):
    """Something that does not come out as it is on record; null where there is nothing."""

    name: str
    recorded: JsonValue
    recomputed: JsonValue


class NotReplayed(Answer):
    """Something that was not computed again, and why."""

    name: str
    why: str


class Replay(Answer):
    """A decision computed again from its record, by the bundles that are on record."""

    decision_id: str
    matches: Annotated[bool, Field(description="whether nothing differs")]
    exact: Annotated[
        bool,
        Field(
            description="true: compared bit for bit. False: the record is of another scorer version, so probabilities "
            "may differ by 1e-6 and points by 1"
        ),
    ]
    scorer_version: Annotated[str, Field(description="the version that decided")]
    present_scorer_version: Annotated[str, Field(description="the version that computed again")]
    link_valid: Annotated[bool, Field(description="whether the record fits its hash and the record before it")]
    checked: Annotated[tuple[str, ...], Field(description="what was computed again and compared")]
    not_checked: Annotated[tuple[NotReplayed, ...], Field(description="what was not, and why")]
    differences: Annotated[tuple[ReplayDifference, ...], Field(description="what differs; empty when it matches")]
