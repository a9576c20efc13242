"""The boosted trees: an XGBoost model on encoded features, explained by TreeSHAP against a declared reference."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from credit_scoring.core.encoder import Encoder, Floats, Matrix
from credit_scoring.core.errors import BundleError
from credit_scoring.core.xgboost_trees import XGBoostTrees, with_covers_of
from table_treeshap import CompilationError, TreeExplainer, UnsupportedModelError


@dataclass(frozen=True)
class BoostedTrees:
    """Classifier on an XGBoost model whose covers were recounted on the reference sample.

    Path-dependent TreeSHAP (Lundberg et al. 2020, Nature Machine Intelligence 2, algorithm 1) weighs the
    branches of a tree by their covers. Counting these on the reference makes the bias the reference's
    expected margin, and leaves every prediction as it was.
    """

    encoder: Encoder
    model: bytes
    """The model as UBJSON."""

    algorithm = "boosted_trees"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Features of the plan in the order of the matrix's columns."""
        return self.encoder.inputs

    @cached_property
    def explainer(self) -> TreeExplainer:
        """The trees tabulated, which takes about 0.1 s; the only source of margins and contributions."""
        return TreeExplainer.of(self.model)

    @property
    def bias(self) -> float:
        """Expected margin of the reference sample, as the trees' covers state it."""
        return self.explainer.bias

    def margin(self, features: Matrix) -> Floats:
        """Return the log-odds of bad before calibration, ``(n,)``, for ``(n, p)`` features."""
        return self.explainer.margin(self.encoder.encode(features))

    def contributions(self, features: Matrix) -> Floats:
        """Return ``(n, p)`` contributions to the margin; rows add up to margin - bias within 1e-9."""
        return self.encoder.by_feature(self.explainer.contributions(self.encoder.encode(features)))

    def explained(self, features: Matrix) -> tuple[Floats, Floats]:
        """Return ``margin`` and ``contributions`` of ``(n, p)`` features, which are encoded once."""
        margin, contributions = self.explainer.explained(self.encoder.encode(features))
        return margin, self.encoder.by_feature(contributions)

    def under(self, scorer_version: str) -> XGBoostTrees:  # noqa: ARG002 - only version 1 came before
        """Return these trees as version 1 of the scorer scored and explained them: by XGBoost itself."""
        return self.native

    @cached_property
    def native(self) -> XGBoostTrees:
        """These trees as XGBoost itself scores and explains them."""
        return XGBoostTrees(self.encoder, self.model)

    def with_reference(self, reference: Matrix) -> "BoostedTrees":
        """Return the same trees with covers recounted on ``reference``, ``(m, p)``."""
        return BoostedTrees(self.encoder, with_covers_of(self.model, self.encoder.encode(reference)))

    def to_files(self) -> dict[str, bytes]:
        """Return the classifier as files by name."""
        return {"model.ubj": self.model, "encoder.json": self.encoder.model_dump_json(indent=1).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "BoostedTrees":
        """Read what ``to_files`` wrote, and tabulate the trees, so that no request waits for that.

        Raises:
            BundleError: If the model is none that can be explained, or nothing here can compile what explains it.
        """
        trees = cls(Encoder.model_validate_json(files["encoder.json"]), files["model.ubj"])
        try:
            trees.explainer  # noqa: B018 - made when it is first asked for
        except (UnsupportedModelError, CompilationError) as exc:
            raise BundleError(f"The trees of a bundle cannot be explained here: {exc}") from exc
        return trees
