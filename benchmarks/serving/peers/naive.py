"""What most people write first: a frame, the scikit-learn wrapper, and ``shap.TreeExplainer`` built once."""

import os
from typing import Any

import pandas as pd
import shap
import xgboost as xgb

model = xgb.XGBClassifier()
model.load_model(os.environ["MODEL"])
explainer = shap.TreeExplainer(model)


def decided(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the probability of default of each row, and the four columns that raise it most."""
    frame = frame.astype("float32")
    probabilities = model.predict_proba(frame)[:, 1]
    contributions = explainer.shap_values(frame)
    answers = []
    for probability, row in zip(probabilities, contributions, strict=True):
        worst = row.argsort()[::-1][:4]
        reasons = [{"feature": frame.columns[place], "contribution": float(row[place])} for place in worst]
        answers.append({"prob_default": float(probability), "reasons": reasons})
    return answers
