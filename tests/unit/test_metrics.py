import re
from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from credit_scoring.ports import Stage
from credit_scoring.serving.metrics import OTHER, ServiceMetrics


def told(metrics: ServiceMetrics) -> dict[tuple[str, ...], float]:
    """Every sample by its name and labels."""
    content, kind = metrics.render()
    assert kind.startswith("text/plain")
    families = text_string_to_metric_families(content.decode())
    samples = (sample for family in families for sample in family.samples)
    return {(sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value for sample in samples}


def test_decisions_are_counted_by_arm_decider_recommendation_and_fallback():
    metrics = ServiceMetrics()
    metrics.decided(1, arm="challenger", decider="champion", recommendation="refer", fallback=True)
    labels = ("arm=challenger", "decider=champion", "fallback=true", "recommendation=refer")
    assert told(metrics)[("credit_decisions_total", *labels)] == 1


@pytest.mark.parametrize("stage", get_args(Stage))
def test_every_stage_is_timed_also_when_it_fails(stage):
    metrics = ServiceMetrics()
    with pytest.raises(ValueError, match="broken"), metrics.stage(stage):
        raise ValueError("broken")
    assert told(metrics)["credit_stage_seconds_count", f"stage={stage}"] == 1


def test_words_that_are_not_known_share_one_label():
    metrics = ServiceMetrics()
    for made_up in ("applicant-1", "applicant-2"):
        metrics.cache_failed(made_up)
        metrics.features_from(made_up, 1)
        metrics.auth_refused(made_up)
        metrics.bundle_loaded(made_up)
    samples = told(metrics)
    assert not [name for name in samples if "applicant" in str(name)]
    assert samples["credit_feature_cache_failures_total", f"kind={OTHER}"] == 2


def test_a_challenger_either_hangs_or_fails_by_an_error_of_whatever_name():
    metrics = ServiceMetrics()
    for kind in ("hung", "ValueError", "ErrorOfAPythonFeature"):
        metrics.challenger_failed(kind)
    samples = told(metrics)
    assert samples["credit_challenger_failures_total", "kind=hung"] == 1
    assert samples["credit_challenger_failures_total", "kind=error"] == 2


def test_what_has_not_failed_yet_is_told_as_zero():
    assert told(ServiceMetrics())["credit_feature_cache_failures_total", "kind=rubbish"] == 0


def test_roles_queue_and_turns_are_told():
    metrics = ServiceMetrics()
    metrics.roles_followed({"champion": 3, "challenger": 4})
    metrics.swapped(done=False)
    metrics.queue_depth(7)
    metrics.turn(5)
    metrics.waited(0.2)
    metrics.repeated()
    metrics.rate_limited("/v1/decisions")
    samples = told(metrics)
    assert samples["credit_role_version", "role=champion"] == 3
    assert samples["credit_role_swaps_total", "outcome=failed"] == 1
    assert samples[("credit_decision_queue_depth",)] == 7
    assert samples["credit_decision_batch_size_sum",] == 5
    assert samples["credit_stage_seconds_sum", "stage=queue"] == pytest.approx(0.2)
    assert samples["credit_decisions_repeated_total",] == 1
    assert samples["credit_rate_limited_total", "route=/v1/decisions"] == 1


def test_every_metric_is_ours_by_its_name():
    names = re.findall(r"^# TYPE (\S+)", ServiceMetrics().render()[0].decode(), re.MULTILINE)
    assert len(names) >= 15
    assert all(name.startswith("credit_") for name in names)
