import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from credit_scoring.core.evaluation import EvaluationOptions
from credit_scoring.core.lineage import lineage
from credit_scoring.core.samples import select_holdout
from credit_scoring.core.splitting import assign_parts
from credit_scoring.core.tables import outcome_table
from credit_scoring.pipelines.evaluation import create_pipeline
from credit_scoring.pipelines.evaluation.nodes import draw_plots, evaluate_candidates, render_report
from credit_scoring.pipelines.evaluation.report import fixed, ranking_sentence, signed

pytestmark = [
    # shap 0.51 sets up its colour maps by methods that matplotlib 3.11 is about to deprecate.
    pytest.mark.filterwarnings("ignore:The set_.* function will be deprecated:PendingDeprecationWarning"),
    # Candidates are namespaces, and here both are read by one node.
    pytest.mark.filterwarnings("ignore:One or more dataset names contain:UserWarning"),
]

OPTIONS = EvaluationOptions(chance_draws=100, explained_applicants=200)
PLOTS = {"roc", "ks", "calibration", "distribution", "shap_scorecard", "shap_boosted_trees"}


@pytest.fixture(scope="module")
def inputs(taiwan, taiwan_features, taiwan_checked, scorecard_bundle, boosted_trees_bundle):
    return {
        "portfolio": taiwan,
        "features_applicants": taiwan_features,
        "features_description": lineage(taiwan, "sha256:received"),
        "features_parts": assign_parts(taiwan_features.select("applicant_id"), taiwan.split),
        "validated_outcomes": outcome_table(taiwan_checked.valid, taiwan).collect(),
        "scorecard.model_bundle": scorecard_bundle,
        "boosted_trees.model_bundle": boosted_trees_bundle,
        "params:evaluation": OPTIONS,
    }


def run(inputs):
    catalog = DataCatalog({name: MemoryDataset(value, copy_mode="assign") for name, value in inputs.items()})
    catalog["evaluation_results"] = MemoryDataset(copy_mode="assign")
    catalog["evaluation_holdout"] = MemoryDataset(copy_mode="assign")
    released = SequentialRunner().run(create_pipeline(), catalog)
    return {name: dataset.load() for name, dataset in released.items()}


@pytest.fixture(scope="module")
def outputs(inputs):
    return run(inputs)


class Loads(HTMLParser):
    """Collects everything that a browser would fetch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):  # noqa: ARG002 - the signature is HTMLParser's
        self.found += [value for name, value in attributes if name in {"src", "href", "srcset", "data", "action"}]


def test_the_pipeline_gives_a_report_metrics_scores_and_plots(outputs):
    assert outputs.keys() == {"evaluation_report", "evaluation_metrics", "evaluation_scores", "evaluation_plots"}
    assert outputs["evaluation_plots"].keys() == PLOTS
    assert (
        outputs["evaluation_scores"]["scorecard.auc"]
        == (outputs["evaluation_metrics"]["candidates"]["scorecard"]["auc"]["value"])
    )


def test_the_report_loads_nothing_from_outside(outputs):
    parser = Loads()
    parser.feed(outputs["evaluation_report"])
    assert len(parser.found) == len(PLOTS)
    assert all(value.startswith("data:") for value in parser.found)
    assert not re.search(r"https?://|url\(|@import|<script", outputs["evaluation_report"])


def test_the_report_names_what_it_judged(outputs, taiwan, scorecard_bundle):
    report = outputs["evaluation_report"]
    for told in (taiwan.title, "Yeh, I.-C. and Lien", scorecard_bundle.plan.version, "4,427"):
        assert told in report


def test_the_report_shows_no_applicant(outputs, inputs):
    text = re.sub(r"data:[^\"]*", "", outputs["evaluation_report"])
    assert inputs["features_applicants"]["applicant_id"][0] not in re.findall(r"[\w-]{12,}", text)


def test_two_runs_give_the_same_report_and_leave_the_global_generator_alone(inputs, outputs):
    np.random.seed(11)  # what a careless neighbour may do must not show
    before = np.random.get_state()[1].copy()
    assert run(inputs) == outputs
    np.testing.assert_array_equal(before, np.random.get_state()[1])


def test_only_the_holdout_counts(inputs, outputs):
    others = inputs["features_parts"].filter(inputs["features_parts"]["part"] != "holdout")
    elsewhere = inputs["features_applicants"]["applicant_id"].is_in(others["applicant_id"].to_list())
    blinded = inputs["features_applicants"].filter(~elsewhere)
    assert run(inputs | {"features_applicants": blinded})["evaluation_scores"] == outputs["evaluation_scores"]


def test_identical_candidates_are_said_not_to_differ(inputs, outputs, scorecard_bundle):
    twin = replace(scorecard_bundle, candidate="boosted_trees")
    holdout = select_holdout(inputs["features_applicants"], inputs["features_parts"], inputs["validated_outcomes"])
    results, _, _ = evaluate_candidates(scorecard_bundle, twin, holdout, OPTIONS)
    assert "do not show" in ranking_sentence(results)
    report, drawn = render_report(
        inputs["portfolio"], scorecard_bundle, twin, results, draw_plots(scorecard_bundle, twin, holdout, OPTIONS)
    )
    assert drawn.keys() == PLOTS
    assert 'class="better"' not in report


def test_numbers_are_written_with_a_real_minus_sign_and_no_signed_zero():
    assert fixed(-0.25, 2) == "\N{MINUS SIGN}0.25"
    assert signed(-0.04, 1) == "0.0"
    assert signed(0.26, 1) == "+0.3"
    assert fixed(None) == "\N{EN DASH}"
