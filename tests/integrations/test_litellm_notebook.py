"""What notebook 07 keeps of litellm.Router is what a run of it gives."""

from __future__ import annotations

import json

import pytest
from clients import litellm_router

KEPT = json.loads(litellm_router.KEPT.read_text(encoding="utf-8"))


def numbers(metrics):
    """Values and ends of intervals, by metric; methods are words."""
    return {
        name: [metric[key] for key in ("value", "ci_low", "ci_high", "n")] for name, metric in metrics.items()
    }


def test_the_first_replication_is_the_one_that_was_kept():
    (run,) = litellm_router.simulated(replications=1).runs
    assert run.fidelity == KEPT["fidelity"]
    assert run.complaints == {}
    assert run.http_calls == KEPT["http_calls_by_replication"][0]
    assert run.sdk_retries == KEPT["sdk_retries_by_replication"][0]


@pytest.mark.slow
def test_all_that_was_kept_is_as_it_was():
    """Counts exactly; sums of floats may differ in their last digits on another computer."""
    made = litellm_router.to_keep(litellm_router.simulated())
    found, kept = numbers(made["metrics"]), numbers(KEPT["metrics"])
    assert set(found) == set(kept)
    for name, expected in kept.items():
        assert found[name] == pytest.approx(expected, rel=1e-6), name
    parts = set(KEPT) - {"metrics", "versions"}
    assert {part: made[part] for part in parts} == {part: KEPT[part] for part in parts}
    assert made["versions"]["litellm"] == KEPT["versions"]["litellm"]
