"""Saves a booster as an MLflow model: the model's file, the target, and 'frame' or 'tensor' for what it takes."""

import sys

import mlflow.xgboost
import numpy as np
import xgboost as xgb
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

file, target, takes = sys.argv[1:]
booster = xgb.Booster(model_file=file)
tensor = Schema([TensorSpec(np.dtype("float32"), (-1, booster.num_features()))])
# A frame needs no signature; checking one column by column would only make it slower.
signature = ModelSignature(inputs=tensor) if takes == "tensor" else None
mlflow.xgboost.save_model(booster, target, pip_requirements=[], signature=signature)
