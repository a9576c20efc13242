"""Compares what is on record with what is computed again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from credit_scoring.api.replays import NotReplayed, Replay, ReplayDifference
from credit_scoring.core.records import DecisionRecord
from credit_scoring.core.scoring import SCORER_VERSION

PROBABILITY_TOLERANCE = 1e-6
"""How far a probability of default may lie from that of a scorer version that this code does not have."""
POINTS_TOLERANCE = 1.0
"""How many points a score may lie from that of a scorer version that this code does not have."""


@dataclass(slots=True)
class Comparison:
    """Collects what was compared; ``exact`` is False when a scorer decided that this code does not have."""

    exact: bool
    checked: dict[str, None] = field(default_factory=dict)
    not_checked: list[NotReplayed] = field(default_factory=list)
    differences: list[ReplayDifference] = field(default_factory=list)

    def same(self, name: str, recorded: Any, recomputed: Any) -> None:
        """Compare bit for bit: as JSON text, in which every float64 has a text of its own."""
        self.checked[name] = None
        if _text(recorded) != _text(recomputed):
            self._differ(name, recorded, recomputed)

    def near(self, name: str, recorded: float | None, recomputed: float | None, within: float) -> None:
        """Compare bit for bit, or within a tolerance when a scorer decided that this code does not have."""
        if self.exact or recorded is None or recomputed is None:
            self.same(name, recorded, recomputed)
            return
        self.checked[name] = None
        if not abs(recorded - recomputed) <= within:
            self._differ(name, recorded, recomputed)

    def same_each(self, name: str, recorded: Mapping[str, Any], recomputed: Mapping[str, Any]) -> None:
        """Compare name by name, so that what differs is told by itself."""
        self.checked[name] = None
        for one in dict.fromkeys([*recorded, *recomputed]):
            pair = recorded.get(one), recomputed.get(one)
            if (one in recorded) != (one in recomputed) or _text(pair[0]) != _text(pair[1]):
                self._differ(f"{name}.{one}", *pair)

    def skip(self, name: str, why: str) -> None:
        """Say that something cannot be compared."""
        self.not_checked.append(NotReplayed(name=name, why=why))

    def replay(self, record: DecisionRecord, *, link_valid: bool) -> Replay:
        """Return what came out."""
        return Replay(
            decision_id=record.answer.decision_id,
            matches=not self.differences,
            exact=self.exact,
            scorer_version=record.answer.scorer_version,
            present_scorer_version=SCORER_VERSION,
            link_valid=link_valid,
            checked=tuple(self.checked),
            not_checked=tuple(self.not_checked),
            differences=tuple(self.differences),
        )

    def _differ(self, name: str, recorded: Any, recomputed: Any) -> None:
        plain = orjson.loads(_text(recorded)), orjson.loads(_text(recomputed))
        self.differences.append(ReplayDifference(name=name, recorded=plain[0], recomputed=plain[1]))


def _text(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
