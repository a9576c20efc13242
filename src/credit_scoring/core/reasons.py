"""Reason codes: what cost points against the reference, in the words of the declaration."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from credit_scoring.api.decisions import GivenReason
from credit_scoring.core.declaration_checks import MISSING_SUFFIX
from credit_scoring.core.portfolio import Portfolio

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

MATERIAL_POINTS = 0.05
"""Below this a loss would be told as 0.0 points, so it is no reason."""


class _Words(NamedTuple):
    """What is told of a feature under a code."""

    code: str
    text: str
    feature: str


@dataclass(frozen=True, slots=True)
class ReasonTable:
    """The reasons of a declaration for its p scored features, made once.

    Codes have numbers: one for a known and the next for a missing value of the same declared code.

    Attributes:
        codes: ``(p,)``, number of each feature's code when its value is known.
        members: Features, by position, of each number.
        words: What is told of each feature when its value is known, and when it is missing.
        most: How many reasons are given.
    """

    codes: npt.NDArray[np.intp]
    members: tuple[tuple[int, ...], ...]
    words: tuple[tuple[_Words, _Words], ...]
    most: int

    @classmethod
    def of(cls, portfolio: Portfolio, names: Sequence[str]) -> "ReasonTable":
        """Return the reasons of features ``names``, in declared order."""
        declared = [str(portfolio.features[name].reason) for name in names]
        numbers = {code: 2 * number for number, code in enumerate(dict.fromkeys(declared))}
        members = [tuple(p for p, code in enumerate(declared) if code == own) for own in numbers]
        return cls(
            codes=np.asarray([numbers[code] for code in declared], dtype=np.intp),
            members=tuple(own for own in members for _ in range(2)),
            words=tuple(_words(name, code, portfolio) for name, code in zip(names, declared, strict=True)),
            most=portfolio.policy.max_reasons,
        )

    def reasons(self, features: Matrix, contributions: Floats) -> list[tuple[GivenReason, ...]]:
        """Return at most ``most`` reasons of each applicant, the costliest first.

        Args:
            features: ``(n, p)`` features, NaN where missing.
            contributions: ``(n, p)`` points that each feature adds against the reference.

        Contributions are added up per code first, so a code is given only when all of its features together
        cost at least ``MATERIAL_POINTS``; equal losses keep the declared order of features.
        """
        codes = self.codes + np.isnan(features)
        rows = zip(codes.tolist(), contributions.tolist(), self._totals(codes, contributions).tolist(), strict=True)
        return [tuple(self._told(*row)) for row in rows]

    def _totals(self, codes: npt.NDArray[np.intp], contributions: Floats) -> Floats:
        """Points of each number, ``(n, numbers)``; those of one are added in the order of features."""
        size = len(self.members)
        places = codes + np.arange(0, len(codes) * size, size)[:, None]
        totals = np.bincount(places.ravel(), contributions.ravel(), len(codes) * size)
        return np.asarray(totals, dtype=np.float64).reshape(len(codes), size)

    def _told(self, codes: list[int], points: list[float], totals: list[float]) -> Iterator[GivenReason]:
        lost = [code for code in dict.fromkeys(codes) if totals[code] <= -MATERIAL_POINTS]
        for code in sorted(lost, key=totals.__getitem__)[: self.most]:
            costliest = min([p for p in self.members[code] if codes[p] == code], key=points.__getitem__)
            yield GivenReason(*self.words[costliest][code % 2], -totals[code])


def reasons(features: Matrix, contributions: Floats, names: Sequence[str], portfolio: Portfolio) -> list[GivenReason]:
    """Return the reasons of one applicant, ``(p,)``; see ``ReasonTable``, which a bundle keeps for many."""
    [found] = ReasonTable.of(portfolio, names).reasons(features[None], contributions[None])
    return list(found)


def _words(name: str, code: str, portfolio: Portfolio) -> tuple[_Words, _Words]:
    reason, described = portfolio.reasons[code], portfolio.features[name].description or name
    missing = reason.missing_text or f"{reason.text}: not known ({described})"
    return _Words(code, reason.text, name), _Words(code + MISSING_SUFFIX, missing, name)
