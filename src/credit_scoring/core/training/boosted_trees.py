"""Fits boosted trees: codes for categories and states, then XGBoost under the declared directions."""

import numpy as np
import numpy.typing as npt
import xgboost as xgb

from credit_scoring.core.boosted_trees import BoostedTrees
from credit_scoring.core.encoder import EncodedColumn, Encoder, Matrix
from credit_scoring.core.training.development import Development
from credit_scoring.core.training.options import BoostedTreesOptions

_PRIOR_ROWS = 20.0
"""Rows at the average bad rate added to each category, so that rare ones are not coded by chance."""

_DIRECTION = {"riskier": 1, "safer": -1, None: 0}


def fit_boosted_trees(data: Development, options: BoostedTreesOptions) -> BoostedTrees:
    """Fit XGBoost on ``data``; monotone constraints follow the declared directions."""
    encoder = fit_encoder(data)
    columns = xgb.DMatrix(encoder.encode(data.features), label=data.is_bad, nthread=1)
    parameters = options.model_dump(exclude={"algorithm", "rounds"}) | {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "nthread": 1,
        "monotone_constraints": tuple(
            0 if column.codes is not None else _DIRECTION[data.plan.features[column.feature].higher_is]
            for column in encoder.columns
        ),
    }
    booster = xgb.train(parameters, columns, num_boost_round=options.rounds)
    return BoostedTrees(encoder, bytes(booster.save_raw("ubj")))


def fit_encoder(data: Development) -> Encoder:
    """Return the columns for the trees: categories and special states as codes ordered by bad rate."""
    columns = []
    for name, values in zip(data.plan.names, data.features.T, strict=True):
        special = tuple(data.plan.features[name].special)
        if name in data.plan.categories:
            positions = tuple(float(p) for p in range(len(data.plan.categories[name])))
            columns.append(EncodedColumn(feature=name, codes=_codes(values, data.is_bad, positions)))
        else:
            columns.append(EncodedColumn(feature=name, blank=special))
            if special:
                columns.append(EncodedColumn(feature=name, codes=_codes(values, data.is_bad, special)))
    return Encoder(inputs=data.plan.names, columns=tuple(columns))


def _codes(values: Matrix, is_bad: npt.NDArray[np.int8], known: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """Number the known values 0, 1, ... by rising smoothed bad rate; ties by their own order."""
    average = float(is_bad.mean())

    def bad_rate(value: float) -> float:
        rows = values == np.float32(value)
        return float((is_bad[rows].sum() + _PRIOR_ROWS * average) / (rows.sum() + _PRIOR_ROWS))

    return tuple((value, float(code)) for code, value in enumerate(sorted(known, key=bad_rate)))
