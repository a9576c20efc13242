"""Features of applications: computed from what the request brought, cached, or computed from what is stored."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import polars as pl

from credit_scoring.api.decisions import FeaturesUsed, Source
from credit_scoring.core.cached_features import CachedFeatures, FeatureKey
from credit_scoring.core.errors import CreditScoringError
from credit_scoring.core.facts import Facts, KnownFacts
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.owners import Applicant
from credit_scoring.core.scoring import Matrix
from credit_scoring.ports import FactsStore, FeatureCache

ROW_FAILURES = (
    CreditScoringError,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    pl.exceptions.PolarsError,
)
"""How computing the features of one application may fail without harm to others."""


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One application's features, ``(p,)`` float32, NaN where missing; where they came from, and as of when."""

    values: Matrix
    source: Source
    observed_at: datetime

    def used(self, plan: FeatureSet) -> FeaturesUsed:
        """Return the row as it goes on record: every float32 is a JSON number, and missing is null."""
        told = zip(plan.names, self.values.tolist(), strict=True)
        values = {name: None if value != value else value for name, value in told}  # noqa: PLR0124 - NaN alone is not itself
        return FeaturesUsed.model_construct(source=self.source, observed_at=self.observed_at, values=values)


@dataclass(slots=True)
class Subject:
    """Whose features are asked for: facts of the request, or an applicant whose facts are stored.

    ``revision`` is None when the facts came with the request; ``facts`` is None while nobody needed the stored ones.
    """

    applicant: Applicant
    as_of: datetime
    observed_at: datetime
    facts: Facts | None
    revision: str | None
    cached: dict[str, CachedFeatures] = field(default_factory=dict)
    computed: dict[str, FeatureRow] = field(default_factory=dict)

    def key(self, feature_set: str) -> FeatureKey:
        """Return the key under which a feature set's values are cached."""
        return FeatureKey(self.applicant, feature_set, self.as_of)

    def is_known(self, plans: Sequence[FeatureSet]) -> bool:
        """Return whether the row of every plan can be given."""
        return self.facts is not None or all(plan.version in self.cached for plan in plans)

    def row(self, plan: FeatureSet) -> FeatureRow:
        """Return the features of ``plan``, computed at most once; stored facts must have been read by then."""
        held = self.computed.get(plan.version)
        if held is None:
            held = self.computed[plan.version] = self._row(plan)
        return held

    def _row(self, plan: FeatureSet) -> FeatureRow:
        cached = self.cached.get(plan.version)
        if cached is not None:
            return FeatureRow(cached.values, "cache", cached.observed_at)
        if self.facts is None:
            raise LookupError("facts were not read")
        source: Source = "request" if self.revision is None else "store"
        return FeatureRow(plan.compute_one(self.facts, self.as_of)[0], source, self.observed_at)


@dataclass(frozen=True, slots=True)
class FeatureRows:
    """Reads and keeps features of stored facts; those of facts that a request brought are never kept."""

    facts: FactsStore
    cache: FeatureCache | None = None

    def read(self, subjects: Sequence[Subject], plans: Sequence[FeatureSet]) -> None:
        """Have every subject ready to give its row of each plan, with one question to the cache and one to the store.

        A cached value counts only under the revision that the facts have now.

        Raises:
            RecordsError: If stored facts cannot be read.
        """
        stored = [subject for subject in subjects if subject.revision is not None]
        self._read_cached(stored, plans)
        cold = [one for one in stored if any(plan.version not in one.cached for plan in plans)]
        found = self.facts.facts_of([one.applicant for one in cold]) if cold else []
        for subject, known in zip(cold, found, strict=True):
            if known is not None:
                _take(subject, known)

    def keep(self, subjects: Sequence[Subject], plans: Sequence[FeatureSet]) -> None:
        """Write through what was computed from stored facts."""
        if self.cache is None:
            return
        rows = [
            (subject.key(plan.version), CachedFeatures(row.values, row.observed_at, subject.revision))
            for subject in subjects
            for plan in plans
            if subject.revision is not None
            and (row := subject.computed.get(plan.version)) is not None
            and row.source == "store"
        ]
        if rows:
            self.cache.put_many(rows)

    def _read_cached(self, subjects: Sequence[Subject], plans: Sequence[FeatureSet]) -> None:
        if self.cache is None or not subjects:
            return
        asked = [(subject, plan) for subject in subjects for plan in plans]
        found = self.cache.get_many([subject.key(plan.version) for subject, plan in asked])
        for (subject, plan), cached in zip(asked, found, strict=True):
            if cached is not None and _holds(cached, subject, plan):
                subject.cached[plan.version] = cached


def _holds(cached: CachedFeatures, subject: Subject, plan: FeatureSet) -> bool:
    return cached.revision == subject.revision and cached.values.shape == (len(plan.names),)


def _take(subject: Subject, known: KnownFacts) -> None:
    """Facts may have changed since the revision was read; what was cached before then is out of date too."""
    if known.revision != subject.revision:
        subject.cached.clear()
    subject.facts, subject.revision = known.facts, known.revision


def matrix_of(rows: Sequence[FeatureRow], plan: FeatureSet) -> Matrix:
    """Return ``(n, p)`` float32 of the rows, C-contiguous."""
    if not rows:
        return np.empty((0, len(plan.names)), dtype=np.float32)
    return np.ascontiguousarray(np.stack([row.values for row in rows]), dtype=np.float32)
