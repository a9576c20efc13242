"""What comes out when a decision is computed again from its record."""

from typing import Annotated

from pydantic import Field, JsonValue

from credit_scoring.api.decisions import Answer, DecisionId
from credit_scoring.api.fields import told


class ReplayDifference(Answer):
    """Something that does not come out as it is on record; null where there is nothing."""

    name: Annotated[str, told("what differs", "scores.champion.points")]
    recorded: Annotated[JsonValue, told("as it is on record; null where there is nothing", 532)]
    recomputed: Annotated[JsonValue, told("as it comes out now; null where there is nothing", 531)]


class NotReplayed(Answer):
    """Something that was not computed again, and why."""

    name: Annotated[str, told("what was not computed again", "features.fs-a9e021a8221d.facts")]
    why: Annotated[str, told("the reason", "the features came from the store, not the request")]


class Replay(Answer):
    """A decision computed again from its record, by the bundles that are on record."""

    decision_id: DecisionId
    matches: Annotated[bool, told("whether nothing differs", True)]
    exact: Annotated[
        bool,
        told(
            "true: compared bit for bit, under the scorer version on record. False: the service does not have that "
            "version, so probabilities may differ by 1e-6 and points by 1",
            True,
        ),
    ]
    scorer_version: Annotated[str, told("the version that decided", "1")]
    present_scorer_version: Annotated[str, told("the version that decides now", "2")]
    link_valid: Annotated[bool, told("whether the record fits its hash and the record before it", True)]
    checked: Annotated[tuple[str, ...], told("what was computed again and compared", ["as_of", "points"])]
    not_checked: Annotated[tuple[NotReplayed, ...], Field(description="what was not, and why")]
    differences: Annotated[tuple[ReplayDifference, ...], Field(description="what differs; empty when it matches")]
