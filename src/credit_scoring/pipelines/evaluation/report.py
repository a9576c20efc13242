"""The evaluation report: one HTML text for the model validator, with every image inside it."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from credit_scoring.core.bundles import digest, to_files
from credit_scoring.core.discrimination import Estimate
from credit_scoring.core.evaluation import CandidateEvaluation, Evaluation
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.scorecard_table import FeatureRows, scorecard_table
from credit_scoring.core.scoring import ModelBundle

_TEMPLATE = "report.html.jinja"
_ABSENT = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
_SPACE = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Subject:
    """One candidate as the template shows it."""

    title: str
    bundle: ModelBundle
    digest: str
    judged: CandidateEvaluation
    table: tuple[FeatureRows, ...]


@dataclass(frozen=True)
class SummaryRow:
    """One line of the summary: a measure of both candidates, and which is better (None where neither can be)."""

    measure: str
    note: str
    values: tuple[str, ...]
    better: int | None = None


def render(
    portfolio: Portfolio, bundles: tuple[ModelBundle, ModelBundle], evaluation: Evaluation, drawn: Mapping[str, str]
) -> str:
    """Return the report of two candidates.

    Args:
        portfolio: The declaration, for title and citation.
        bundles: Both candidates, in the order of the columns.
        evaluation: What was found on the holdout.
        drawn: The plots as SVG texts by name.
    """
    subjects = tuple(_subject(bundle, evaluation) for bundle in bundles)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "fixed": fixed, "count": count, "signed": signed}
    return environment.get_template(_TEMPLATE).render(
        portfolio=portfolio,
        evaluation=evaluation,
        subjects=subjects,
        summary=_summary(subjects),
        ranking=ranking_sentence(evaluation),
        calibrations=[calibration_sentence(subject.title, subject.judged) for subject in subjects],
        images={name: _data_uri(svg) for name, svg in drawn.items()},
    )


def candidate_title(candidate: str) -> str:
    """Return a candidate's name for people: ``boosted_trees`` is 'Boosted trees'."""
    return candidate.replace("_", " ").capitalize()


def ranking_sentence(evaluation: Evaluation) -> str:
    """Return DeLong's comparison in plain words."""
    first, second = (f"the {candidate_title(name).lower()}" for name in evaluation.candidates)
    found, p_value = evaluation.comparison.difference, evaluation.comparison.p_value
    told = f"p{_SPACE}<{_SPACE}0.001" if p_value < 0.001 else f"p{_SPACE}={_SPACE}{p_value:.3f}"
    if found.low <= 0 <= found.high:
        return (
            f"These {evaluation.applicants:,} applicants do not show that {first} and {second} rank differently: the "
            f"AUC of {second} less that of {first} is {signed(found.value, 4)}, and its 95 % interval, "
            f"{signed(found.low, 4)} to {signed(found.high, 4)}, includes zero ({told})."
        )
    better, worse = (second, first) if found.value > 0 else (first, second)
    low, high = sorted((abs(found.low), abs(found.high)))
    return (
        f"On the same {evaluation.applicants:,} applicants the AUC of {better} is higher than that of {worse} by "
        f"{abs(found.value):.4f} (95 % interval {low:.4f} to {high:.4f}; {told}). If both ranked equally well, a "
        f"difference as large would hardly arise by chance."
    )


def calibration_sentence(title: str, judged: CandidateEvaluation) -> str:
    """Return what slope, intercept and ECE say of one candidate's probabilities."""
    line, ece = judged.calibration, judged.ece
    slope = "consistent with 1" if line.slope.low <= 1 <= line.slope.high else "not 1"
    chance = "no more than" if ece.observed <= ece.chance_95 else "more than"
    side = "above" if line.bias > 0 else "below"
    return (
        f"{title}: the slope of {interval(line.slope, 2)} is {slope}; the mean probability lies "
        f"{100 * abs(line.bias):.1f} percentage points {side} the bad rate; the calibration error of "
        f"{ece.observed:.4f} is {chance} chance would show in 19 of 20 samples for a perfect model "
        f"({ece.chance_95:.4f})."
    )


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share as a percentage."""
    return _ABSENT if share is None else f"{100 * share:.{digits}f}{_SPACE}%"


def fixed(number: float | None, digits: int = 4) -> str:
    """Return a number with a fixed number of decimals, a real minus sign before negative ones."""
    return _ABSENT if number is None else f"{number:.{digits}f}".replace("-", _MINUS)


def signed(number: float, digits: int = 1) -> str:
    """Return a number with its sign; what rounds to zero has none."""
    text = f"{number:+.{digits}f}"
    return f"{0:.{digits}f}" if float(text) == 0 else text.replace("-", _MINUS)


def count(number: int | None) -> str:
    """Return a whole number with groups of thousands."""
    return _ABSENT if number is None else f"{number:,}"


def interval(estimate: Estimate, digits: int) -> str:
    """Return a number with its 95 % interval."""
    low, high = fixed(estimate.low, digits), fixed(estimate.high, digits)
    return f"{fixed(estimate.value, digits)} ({low} to {high})"


def _subject(bundle: ModelBundle, evaluation: Evaluation) -> Subject:
    return Subject(
        title=candidate_title(bundle.candidate),
        bundle=bundle,
        digest=digest(to_files(bundle)),
        judged=evaluation.candidates[bundle.candidate],
        table=scorecard_table(bundle),
    )


def _summary(subjects: tuple[Subject, ...]) -> list[SummaryRow]:
    judged = [subject.judged for subject in subjects]
    average = fixed(judged[0].brier_of_average)
    return [
        _row(
            "AUC", "95 % interval; 0.5 is chance", [interval(j.auc, 4) for j in judged], [j.auc.value for j in judged]
        ),
        _row("Gini", "twice the AUC, less 1", [interval(j.gini, 4) for j in judged], [j.gini.value for j in judged]),
        _row("KS", "largest distance of bads from goods", [fixed(j.ks) for j in judged], [j.ks for j in judged]),
        _row(
            "Brier score",
            f"lower is better; {average} if all got the bad rate",
            [fixed(j.brier) for j in judged],
            [-j.brier for j in judged],
        ),
        _row("Log-loss", "lower is better", [fixed(j.log_loss) for j in judged], [-j.log_loss for j in judged]),
        _row("Calibration slope", "95 % interval; 1 is right", [interval(j.calibration.slope, 3) for j in judged]),
        _row(
            "Calibration intercept", "95 % interval; 0 is right", [interval(j.calibration.intercept, 3) for j in judged]
        ),
        _row("Calibration error (ECE)", "lower is better; see next line", [fixed(j.ece.observed) for j in judged]),
        _row(
            "ECE of a perfect model",
            "by chance: mean, and 95th percentile",
            [f"{fixed(j.ece.chance_mean)}; {fixed(j.ece.chance_95)}" for j in judged],
        ),
        _row("Would be approved", "at the declared cut-off", [percent(j.approved) for j in judged]),
        _row("Bad rate of those", "if all of them were booked", [percent(j.approved_bad_rate) for j in judged]),
    ]


def _row(measure: str, note: str, values: list[str], merit: list[float] | None = None) -> SummaryRow:
    """One line; ``merit`` orders the candidates, higher better, where one of them can be called better."""
    best = None if merit is None or len(set(values)) == 1 else merit.index(max(merit))
    return SummaryRow(measure, note, tuple(values), best)


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
