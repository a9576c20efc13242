"""The plots of the evaluation report, each as one SVG text; the same data give the same text."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from credit_scoring.core.calibration_checks import calibration_groups
from credit_scoring.core.discrimination import Labels, cumulative_shares
from credit_scoring.core.evaluation import EvaluationOptions
from credit_scoring.core.scoring import Explanation, Matrix, ModelBundle, Scores

COLOURS = ("#0072b2", "#d55e00")
"""First and second candidate: blue and vermilion of Okabe and Ito (2008), told apart by every kind of colour vision."""

_GOODS, _BADS, _INK = "#56a0c8", "#b3430a", "#2b2f36"
_LINES = ("-", "--")
_SHOWN_FEATURES = 12
_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#8a9099",
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",  # ships with matplotlib, so every machine draws the same
    "font.size": 9.5,
    "grid.color": "#e3e6ea",
    "legend.frameon": False,
    "savefig.dpi": 160,  # of the rastered dots of the SHAP summary
    "svg.fonttype": "path",
    "svg.hashsalt": "credit_scoring",
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


@dataclass(frozen=True)
class Scored:
    """One candidate with its scores of the holdout's ``(n,)`` applicants; ``title`` is its name for people."""

    title: str
    bundle: ModelBundle
    scores: Scores


def roc_plot(candidates: tuple[Scored, ...], is_bad: Labels) -> str:
    """Return the ROC curves of all candidates in one plot."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#8a9099", lw=1, ls=":", label="no discrimination")
        for candidate, colour, line in zip(candidates, COLOURS, _LINES, strict=False):
            curve = cumulative_shares(is_bad, -candidate.scores.points_exact)
            axes.plot(curve.goods, curve.bads, color=colour, ls=line, lw=1.8, label=candidate.title)
        axes.set(xlabel="share of goods turned away", ylabel="share of bads turned away", aspect="equal")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.legend(loc="lower right")

    return _svg(draw, (5.2, 4.9))


def ks_plot(candidates: tuple[Scored, ...], is_bad: Labels) -> str:
    """Return the cumulative distributions of points by outcome, with their largest distance, per candidate."""

    def draw_one(axes: Axes, candidate: Scored) -> None:
        curve = cumulative_shares(is_bad, -candidate.scores.points_exact)
        points = -curve.risk[1:]
        axes.plot(points, curve.bads[1:], color=_BADS, lw=1.8, label="bads")
        axes.plot(points, curve.goods[1:], color=_GOODS, lw=1.8, ls="--", label="goods")
        widest = int(np.argmax(np.abs(curve.bads - curve.goods)[1:]))
        low, high = sorted((curve.goods[1:][widest], curve.bads[1:][widest]))
        axes.vlines(points[widest], low, high, color=_INK, lw=1.2)
        axes.annotate(
            f"KS {high - low:.3f}\nat {points[widest]:.0f} points",
            (points[widest], (low + high) / 2),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
        )
        axes.set(xlabel="points", ylabel="cumulative share")
        axes.legend(loc="upper left")

    return _side_by_side(candidates, draw_one)


def calibration_plot(candidates: tuple[Scored, ...], is_bad: Labels, options: EvaluationOptions) -> str:
    """Return bad rate against mean probability by group, with the band that chance explains, per candidate."""

    def draw_one(axes: Axes, candidate: Scored) -> None:
        groups = calibration_groups(
            is_bad,
            candidate.scores.prob_default,
            groups=options.calibration_groups,
            draws=options.chance_draws,
            seed=options.seed,
        )
        expected = groups.mean_prob_default
        end = 1.05 * max(expected.max(), groups.bad_rate.max(), groups.high.max())
        axes.plot([0, end], [0, end], color="#8a9099", lw=1, ls=":", label="perfect calibration")
        axes.fill_between(
            expected, groups.low, groups.high, color="#c9d3dd", lw=0, label="95 % of what chance gives a perfect model"
        )
        axes.plot(expected, groups.bad_rate, color=_BADS, marker="o", ms=4.5, lw=1, label="observed")
        axes.set(xlabel="mean probability of default", ylabel="bad rate", xlim=(0, end), ylim=(0, end))
        axes.legend(loc="upper left")

    return _side_by_side(candidates, draw_one)


def distribution_plot(candidates: tuple[Scored, ...], is_bad: Labels) -> str:
    """Return the distribution of points by outcome with the policy's cut-offs, per candidate."""

    def draw_one(axes: Axes, candidate: Scored) -> None:
        points = candidate.scores.points
        bins = list(range(int(points.min()) // 5 * 5, int(points.max()) + 6, 5))
        for outcome, colour, name in ((0, _GOODS, "goods"), (1, _BADS, "bads")):
            rows = points[is_bad == outcome]
            shares = np.full(len(rows), 1 / len(rows))
            axes.hist(rows, bins=bins, weights=shares, color=colour, alpha=0.35, lw=0)
            axes.hist(rows, bins=bins, weights=shares, color=colour, histtype="step", lw=1.5, label=name)
        top = axes.get_ylim()[1] * 1.12
        policy = candidate.bundle.portfolio.policy
        for cut, name in ((policy.refer_from, "refer"), (policy.approve_from, "approve")):
            axes.axvline(cut, color=_INK, lw=1, ls=":")
            axes.text(cut + 1, top * 0.96, f"{name} from {cut}", rotation=90, va="top", fontsize=8.5)
        axes.set(xlabel="points", ylabel="share of the outcome's applicants", ylim=(0, top))
        axes.legend(loc="upper left")

    return _side_by_side(candidates, draw_one)


def shap_plot(bundle: ModelBundle, features: Matrix, explanation: Explanation, seed: int) -> str:
    """Return the SHAP summary of one candidate, in points.

    Args:
        bundle: The candidate.
        features: ``(m, p)`` features of the explained applicants, NaN where missing.
        explanation: Their contributions; features that contribute nothing to anybody are left out.
        seed: Seed of the dots' scatter.
    """
    import shap  # noqa: PLC0415 - takes seconds, and only this plot needs it

    used = np.flatnonzero(np.abs(explanation.points).sum(axis=0) > 0)
    declared = bundle.portfolio.features
    names = [declared[name].description or name for name in bundle.plan.names]
    shown = shap.Explanation(
        values=explanation.points[:, used],
        base_values=np.full(len(features), explanation.base),
        data=features[:, used].astype(np.float64),
        feature_names=[names[position] for position in used],
    )
    colours = LinearSegmentedColormap.from_list("low_high", [COLOURS[0], "#c8ccd2", COLOURS[1]])

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        with _seeded(seed):
            shap.plots.beeswarm(
                shown, max_display=_SHOWN_FEATURES + 1, color=colours, ax=axes, show=False, plot_size=None, s=9
            )
        axes.set_xlabel("points against the reference", fontsize=9.5)
        axes.tick_params(labelsize=9)
        colour_bar = figure.axes[-1]
        colour_bar.tick_params(labelsize=9)
        colour_bar.yaxis.label.set_fontsize(9)

    return _svg(draw, (9.8, 5.2))


def _side_by_side(candidates: tuple[Scored, ...], draw_one: Callable[[Axes, Scored], None]) -> str:
    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(candidates), sharex=True, sharey=True, squeeze=False)[0]
        for axes, candidate in zip(panels, candidates, strict=True):
            axes.set_title(candidate.title)
            draw_one(axes, candidate)
            axes.label_outer()

    return _svg(draw, (9.8, 4.1))


def _svg(draw: Callable[[Figure], None], inches: tuple[float, float]) -> str:
    """SVG of what ``draw`` puts on a figure: text as paths, ids by a fixed salt, no date."""
    written = io.BytesIO()
    with rc_context(_STYLE):
        figure = Figure(figsize=inches)
        draw(figure)
        figure.savefig(written, format="svg", metadata={"Date": None})
    return written.getvalue().decode()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """SHAP scatters its dots by NumPy's global generator; lend it a seed and put the old state back."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)
