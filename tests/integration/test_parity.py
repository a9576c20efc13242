import polars as pl
import pytest
from service_package import decider

from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.core.features.feature_set import to_matrix
from credit_scoring.core.owners import Owner
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.records import ApplicationKey
from credit_scoring.core.scoring import ModelBundle, score
from credit_scoring.core.splitting import assign_parts
from credit_scoring.core.table_checks import CheckedTables
from credit_scoring.core.tables import application_table, event_tables
from credit_scoring.usecases.applications import Application
from credit_scoring.usecases.decide_applications import Decider

OWNER = Owner("default", "taiwan_cards")


@pytest.fixture(scope="module")
def holdout(taiwan_features: pl.DataFrame, taiwan: Portfolio) -> pl.DataFrame:
    """Features of every applicant of the holdout part, computed as one batch with everybody else."""
    parts = assign_parts(taiwan_features.select("applicant_id"), taiwan.split).filter(pl.col("part") == "holdout")
    return taiwan_features.join(parts, on="applicant_id", how="semi", maintain_order="left")


@pytest.fixture(scope="module")
def online(
    taiwan: Portfolio,
    taiwan_checked: CheckedTables,
    scorecard_bundle: ModelBundle,
    boosted_trees_bundle: ModelBundle,
    tmp_path_factory: pytest.TempPathFactory,
) -> Decider:
    """The deciding core on the real facts store, filled as the first ``make serve`` fills it."""
    engine = open_database(f"sqlite:///{tmp_path_factory.mktemp('facts') / 'facts.db'}")
    store = FactsRepository(engine)
    valid = taiwan_checked.valid
    events = {table: rows.collect() for table, rows in event_tables(valid, taiwan).items()}
    store.replace_all(OWNER, "parity", application_table(valid, taiwan).collect(), events)
    ids = (f"d{number}" for number in range(10**6))
    models = {"champion": scorecard_bundle, "challenger": boosted_trees_bundle}
    return decider(models, facts=store, new_id=lambda: next(ids))


def test_online_points_equal_batch_points_for_every_row_of_the_holdout(
    online: Decider, holdout: pl.DataFrame, scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle
):
    bundles = {"champion": scorecard_bundle, "challenger": boosted_trees_bundle}
    batch = {role: score(to_matrix(holdout, b.plan.names), b).points_exact for role, b in bundles.items()}
    assert holdout.height > 4_000
    differing = []
    for row, applicant_id in enumerate(holdout["applicant_id"]):
        online.decide(Application(applicant_id, applicant_id, {}, "parity"))
        [recorded] = online.decisions.held([ApplicationKey(OWNER, applicant_id)])
        assert recorded is not None
        differing += [
            (applicant_id, role) for role in bundles if recorded.scores[role].points_exact != batch[role][row]
        ]
    assert differing == []
