"""Puts features of applicants whose facts are stored into the cache that the service reads, by the thousand."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from credit_scoring.core.cached_features import CachedFeatures
from credit_scoring.core.errors import FeatureCacheError
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.owners import Applicant
from credit_scoring.ports import Clock, FactsStore, FeatureCache
from credit_scoring.usecases.feature_rows import FeatureRows, Subject
from credit_scoring.usecases.model_opinions import row_failure


@dataclass(slots=True)
class Materialized:
    """What became of the rows, one for each applicant and feature set.

    ``newer`` were kept already with facts read later; ``removed`` are applicants whose facts went meanwhile; ``failed``
    counts rows that cannot be computed, by the failure's name.
    """

    written: int = 0
    newer: int = 0
    removed: int = 0
    failed: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Materialization:
    """Computes rows of ``plans`` as a decision at ``as_of`` does, by the same classes, and has the cache keep them."""

    plans: Sequence[FeatureSet]
    facts: FactsStore
    cache: FeatureCache
    as_of: datetime
    clock: Clock

    def put(self, applicants: Sequence[Applicant], done: Materialized) -> None:
        """Compute and keep the rows of ``applicants``, and add to ``done`` what became of them.

        Raises:
            FeatureCacheError: If the cache fails, or does not hold what it took.
            RecordsError: If facts cannot be read.
        """
        # Before the facts are read: what changes meanwhile is then newer than the row.
        observed_at = self.clock()
        subjects = [Subject(applicant, self.as_of, observed_at, None, revision="") for applicant in applicants]
        FeatureRows(self.facts).read(subjects, self.plans)
        known = [subject for subject in subjects if subject.facts is not None]
        done.removed += len(subjects) - len(known)
        failures = (row_failure(subject, plan) for subject in known for plan in self.plans)
        done.failed.update(failure for failure in failures if failure)
        FeatureRows(self.facts, self.cache).keep(known, self.plans)
        self._count_kept(known, done)

    def _count_kept(self, subjects: Sequence[Subject], done: Materialized) -> None:
        """Read the rows back: a full cache may take what it does not keep, and keeps a newer row in silence."""
        rows = [(subject, version) for subject in subjects for version in subject.computed]
        kept = self.cache.get_many([subject.key(version) for subject, version in rows])
        lost = 0
        for (subject, _), row in zip(rows, kept, strict=True):
            own = _is_own(subject, row)
            done.written += own
            done.newer += row is not None and not own
            lost += row is None
        if lost:
            raise FeatureCacheError(
                f"The feature cache took {lost:,} of {len(rows):,} rows and does not hold them. Check that Redis has "
                f"memory left for all of them, that its clock and this machine's agree, and that CREDIT_FEATURE_TTL_S "
                f"is longer than a part of the run takes."
            )


def _is_own(subject: Subject, row: CachedFeatures | None) -> bool:
    return row is not None and (row.revision, row.observed_at) == (subject.revision, subject.observed_at)
