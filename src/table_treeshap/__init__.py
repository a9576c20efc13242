"""Table TreeSHAP: exact explanations of XGBoost's trees from tables."""

from table_treeshap.compiled_code import CompilationError
from table_treeshap.explainer import DEFAULT_MEMORY_BUDGET, TreeExplainer
from table_treeshap.xgboost_model import UnsupportedModelError

__all__ = ["DEFAULT_MEMORY_BUDGET", "CompilationError", "TreeExplainer", "UnsupportedModelError"]
