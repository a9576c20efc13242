"""The scorecard as people read it: what each bin held, and the points it gives."""

from dataclasses import dataclass
from itertools import pairwise

from credit_scoring.core.feature_bins import FeatureBins
from credit_scoring.core.scorecard import Scorecard
from credit_scoring.core.scoring import ModelBundle, factor


@dataclass(frozen=True, slots=True)
class BinRow:
    """One bin on the development part.

    ``points`` is what the bin adds against the bundle's reference; ``bad_rate`` is None where it held nobody.
    """

    label: str
    goods: int
    bads: int
    bad_rate: float | None
    woe: float
    points: float


@dataclass(frozen=True, slots=True)
class FeatureRows:
    """The bins of one feature; ``spread`` is the largest number of points that it can make a difference of."""

    feature: str
    description: str
    reason: str
    spread: float
    bins: tuple[BinRow, ...]


def scorecard_table(bundle: ModelBundle) -> tuple[FeatureRows, ...]:
    """Return every feature of a scorecard, the weightiest first; empty for a model that has no bins.

    The points of an applicant's bins and the base of ``core.scoring.explain`` add up to ``points_exact``.
    """
    classifier = bundle.classifier
    if not isinstance(classifier, Scorecard):
        return ()
    per_margin = -factor(bundle.portfolio.scale) * bundle.calibration.slope
    weights = zip(classifier.data.bins, classifier.data.coefficients, classifier.data.reference_woe, strict=True)
    rows = [_feature_rows(bundle, bins, per_margin * coefficient, woe) for bins, coefficient, woe in weights]
    return tuple(sorted(rows, key=lambda row: -row.spread))


def _feature_rows(bundle: ModelBundle, bins: FeatureBins, points_per_woe: float, reference_woe: float) -> FeatureRows:
    declared = bundle.portfolio.features[bins.feature]
    counts = zip(_labels(bundle, bins), bins.goods, bins.bads, bins.woe, strict=True)
    rows = tuple(
        BinRow(label, goods, bads, _bad_rate(goods, bads), woe, points_per_woe * (woe - reference_woe))
        for label, goods, bads, woe in counts
    )
    points = [row.points for row in rows if row.bad_rate is not None]
    return FeatureRows(
        feature=bins.feature,
        description=declared.description,
        reason=str(declared.reason),
        spread=max(points) - min(points),
        bins=rows,
    )


def _labels(bundle: ModelBundle, bins: FeatureBins) -> list[str]:
    """Names of the bins: ranges and special values in words."""
    labels = bins.labels(bundle.plan.categories.get(bins.feature, ()))
    if bins.groups is None:
        labels[: bins.regular] = _ranges([_number(edge) for edge in bins.edges], bool(bins.special))
    meaning = bundle.portfolio.features[bins.feature].special
    for position, value in enumerate(bins.special):
        labels[bins.regular + position] = f"{value:g} ({meaning[value]})" if value in meaning else f"{value:g}"
    return labels


def _ranges(edges: list[str], has_special: bool) -> list[str]:
    if not edges:
        return ["any other value" if has_special else "any value"]
    between = [f"{low} to under {high}" for low, high in pairwise(edges)]
    return [f"under {edges[0]}", *between, f"{edges[-1]} and over"]


def _number(edge: float) -> str:
    """An edge to six digits; tiny ones without an exponent, which few readers of a scorecard expect."""
    return f"{edge:.6f}" if 0 < abs(edge) < 1e-4 else f"{edge:,.6g}"


def _bad_rate(goods: int, bads: int) -> float | None:
    return bads / (goods + bads) if goods + bads else None
