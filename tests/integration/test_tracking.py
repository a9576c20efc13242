import json

import polars as pl
import pytest
from integration.kedro_project import APPLICANTS, PORTFOLIO, ROWS, received_rows, write_rows

EXPECTED = {
    "ingestion": ("ingestion.max_quarantined_share", "ingestion.rows_in", "ingestion/ingestion_summary.json"),
    "features": ("split.salt", "features.applicants", "features/description.json"),
    "training": ("boosted_trees.fit.rounds", "scorecard.development_auc", "training/scorecard/training_summary.json"),
    "evaluation": ("evaluation.chance_draws", "evaluation.auc_difference", "evaluation/report.html"),
    "monitoring": ("monitoring.drift_from", "monitoring.psi_max", "monitoring/evidently.html"),
}
BROKEN = {
    1: ("AGE", "7", "range"),
    4: ("SEX", "9", "allowed values"),
    9: ("LIMIT_BAL", "much", "type"),
    16: ("LIMIT_BAL", "", "required"),
}
"""Row to the column broken in it, the value put there, and the rule that it breaks."""


@pytest.mark.parametrize("pipeline", EXPECTED)
def test_a_pipeline_leaves_parameters_metrics_and_artifacts_on_its_run(ran, pipeline):
    runs = len(ran.registry("select 1 from runs"))
    finished = ran.run(f"--pipeline={pipeline}")
    assert finished.code == 0, finished.stderr
    assert len(ran.registry("select 1 from runs")) == runs + 1
    tracked = ran.last_run()
    parameter, metric, artifact = EXPECTED[pipeline]
    assert tracked["status"] == "FINISHED"
    assert {"portfolio", "feature_set", parameter} <= tracked["params"].keys()
    assert metric in tracked["metrics"]
    assert artifact in tracked["artifacts"]


def test_broken_rows_are_counted_and_set_aside_with_their_reasons(restored):
    header, *rows = received_rows()
    columns = header.split(",")
    for number, (column, value, _) in BROKEN.items():
        cells = rows[number - 1].split(",")
        cells[columns.index(column)] = value
        rows[number - 1] = ",".join(cells)
    write_rows(restored.root / APPLICANTS, [header, *rows, rows[-1]])

    finished = restored.run("--pipeline=ingestion")

    assert finished.code == 0, finished.stderr
    counted = {name: restored.last_run()["metrics"][f"ingestion.{name}"] for name in ("rows_in", "rows_valid")}
    assert counted == {"rows_in": ROWS + 1, "rows_valid": ROWS - len(BROKEN)}
    assert restored.last_run()["metrics"]["ingestion.rows_quarantined"] == len(BROKEN) + 1
    aside = pl.read_parquet(restored.root / f"data/2_validated/{PORTFOLIO}/quarantine.parquet")
    found = {row["row_number"]: row for row in aside.to_dicts()}
    assert found.keys() == BROKEN.keys() | {ROWS + 1}
    for number, (column, _, rule) in BROKEN.items():
        row = found[number]
        assert (row["row_key"], row["column"], row["rule"]) == (str(number), column, rule)
        assert column in row["reason"]
        assert json.loads(row["received"])["ID"] == str(number)
    assert found[ROWS + 1]["rule"] == "copy"
