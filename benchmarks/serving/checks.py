"""That what was counted were answers: samples have the right content, and the records are as many as the answers."""

import http.client
import json
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from credit_scoring.core.boosted_trees import BoostedTrees
from credit_scoring.core.scoring import score
from serving.ours import recorded
from serving.processes import Server, ServerError
from serving.variants import Variant
from serving.workload import Workload

SAMPLES = 60
LEAST_WITH_REASONS = 0.9
"""An applicant whom nothing costs points has none."""
LEAST_FROM = 0.95
"""Share of samples whose features come from where the variant says, of a service with one worker."""
AGREES_WITHIN = 1e-4
SETTLES_S = 0.5
"""How long requests may be in hand after the load tool left."""


class Checker:
    """Compares samples of each variant with the models' own figures."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._place = {applicant: place for place, applicant in enumerate(workload.ids)}
        by_algorithm = {one.classifier.algorithm: one for one in workload.package.bundles.values()}
        scored = {name: score(workload.features, bundle) for name, bundle in by_algorithm.items()}
        versions = {
            ref.version: ref.algorithm for ref in (workload.package.roles.holder(r) for r in ("champion", "challenger"))
        }
        self._ours = {version: scored[algorithm].prob_default for version, algorithm in versions.items()}
        classifier = workload.trees.classifier
        assert isinstance(classifier, BoostedTrees)  # noqa: S101 - for the type
        self._plain = 1 / (1 + np.exp(-classifier.margin(workload.features)))

    def sample(self, variant: Variant, server: Server) -> dict[str, Any]:
        """Ask a few times and return what the answers were like.

        Raises:
            ServerError: If an answer is not what the models say, or records are not as many as answers.
        """
        before = None if variant.filled is None else _settled(variant)
        lines = _first_lines(variant.bodies, SAMPLES)
        answers = [_asked(variant, server, line) for line in lines]
        if variant.filled is not None and before is not None:
            _require(recorded(variant.filled.url) - before == SAMPLES, variant, "records are not as many as answers")
            return self._ours_told(variant, lines, answers)
        if variant.name.startswith("floor"):
            return {}
        for place, answer in enumerate(answers):
            _require(abs(_probability(answer) - self._plain[place]) < AGREES_WITHIN, variant, f"answers {answer}")
        return {"agrees_within": AGREES_WITHIN}

    def _ours_told(self, variant: Variant, lines: list[str], answers: list[Any]) -> dict[str, Any]:
        for line, answer in zip(lines, answers, strict=True):
            expected = self._ours[answer["model"]["version"]][self._place[json.loads(line)["applicant_id"]]]
            _require(abs(answer["prob_default"] - expected) < AGREES_WITHIN, variant, f"{answer} is not {expected}")
        shares = {
            "with_reasons": _share([bool(answer["reasons"]) for answer in answers]),
            "from_" + variant.features_from: _share([a["features_from"] == variant.features_from for a in answers]),
            "decided_by_challenger": _share([answer["decider"] == "challenger" for answer in answers]),
        }
        _require(shares["with_reasons"] >= LEAST_WITH_REASONS, variant, f"{shares}")
        if variant.passes == 1:  # which worker a sample's own connection gets is chance
            _require(shares["from_" + variant.features_from] >= LEAST_FROM, variant, f"{shares}")
        return shares


def require_recorded(variant: Variant, answers: int, in_hand: int) -> int:
    """Return how many records there are: of all answers, and at most of what was in hand when the load tool left.

    Raises:
        ServerError: If they are fewer or more.
    """
    found = _settled(variant)
    _require(answers <= found <= answers + in_hand, variant, f"{answers} answers, {found} records")
    return found


def _settled(variant: Variant) -> int:
    """Count the records when none are added any more."""
    if variant.filled is None:
        raise TypeError(f"{variant.name} has no records.")
    found, earlier = recorded(variant.filled.url), -1
    while found != earlier:
        time.sleep(SETTLES_S)
        found, earlier = recorded(variant.filled.url), found
    return found


def _asked(variant: Variant, server: Server, line: str) -> Any:
    head = variant.head.read_bytes().decode().split("\r\n")[1:]
    headers = dict(text.split(": ", 1) for text in head if text)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("POST", variant.path, line.replace("@", uuid4().hex, 1).encode(), headers)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    _require(answer.status == 200, variant, f"{answer.status} {content[:300]!r}")
    return json.loads(content)


def _probability(answer: Any) -> float:
    """Find the score in a peer's answer."""
    if isinstance(answer, list):
        return float(answer[0]["prob_default"])
    if "predictions" in answer:
        return float(answer["predictions"][0])
    return float(answer["outputs"][0]["data"][0])


def _first_lines(file: Path, most: int) -> list[str]:
    with file.open(encoding="utf-8") as lines:
        return [line.rstrip("\n") for _, line in zip(range(most), lines, strict=False)]


def _share(holds: list[bool]) -> float:
    return round(sum(holds) / len(holds), 3)


def _require(holds: bool, variant: Variant, what: str) -> None:
    if not holds:
        raise ServerError(f"{variant.name}: {what}.")
