"""Every metric says what it is."""

from __future__ import annotations

import pytest

from simsla.analysis import METRICS
from simsla.analysis.definitions import BY_CELL, RATIOS
from simsla.analysis.meanings import meaning


@pytest.mark.parametrize("name", sorted({*METRICS, *RATIOS, *BY_CELL}))
def test_every_metric_has_words_of_its_own(name):
    words = meaning(name)
    assert len(words) > 10
    assert [other for other in METRICS if meaning(other) == words and other != name] == []


def test_quantiles_say_what_they_are_of():
    assert meaning("latency_p999_s") == (
        "p99.9 of seconds from arrival to the last token of valid requests that were answered"
    )
    assert "censored" in meaning("latency_all_p99_s")
    assert "however they ended" in meaning("latency_ended_p50_s")
    assert meaning("latency_ended_p50_s").startswith("p50 ")
    assert "waiting" in meaning("tail_p95_queueing_share")


@pytest.mark.parametrize(
    "name", ["latency", "cost_usd", "cost_nothing_usd_per_day", "tail_p99_weather_share", ""]
)
def test_what_is_no_metric_has_no_meaning(name):
    with pytest.raises(KeyError, match="no metric"):
        meaning(name)
