from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from analysis.logs import log_of, random_log

from simsla.analysis import (
    METRICS,
    EnvironmentLaw,
    FewEpisodesWarning,
    Metrics,
    NoFailuresWarning,
    SingleReplicationWarning,
    UnattributedAttemptsWarning,
    UnstableQueueWarning,
    WarmupWarning,
    estimate_metrics,
    ratio_interval,
    share_interval,
    summarise,
)
from simsla.world.environment import Environment

DAY = 86_400.0


def by_hand(latencies, failed=0, cost_usd=1.0):
    """A summary of one day: answered requests of chat with these latencies, and failed ones of batch."""
    rows = [{"latency_s": s, "ttft_s": s / 2} for s in latencies]
    rows += [{"request_class": "batch", "outcome": "error", "deployment": -1, "latency_s": 9}] * failed
    calls = [
        {"request": i, "cost_usd": cost_usd, "latency_s": row["latency_s"], "deployment": 0}
        for i, row in enumerate(rows)
    ]
    calls += [
        {"request": i, "cost_usd": 0, "deployment": 1, "outcome": "rate_limited"}
        for i, row in enumerate(rows)
        if "outcome" in row
    ]
    return summarise(log_of(rows, calls), start_s=0, end_s=DAY)


def caught(summaries, **options):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        estimate_metrics(summaries, **options)
    return {w.category: str(w.message) for w in found}


@pytest.fixture
def metrics():
    return Metrics([by_hand([1, 2, 3, 4], failed=1), by_hand([5, 6, 7, 8, 9], failed=2)])


def test_every_metric_is_there(metrics):
    assert list(metrics.all()) == list(METRICS)
    for name, estimate in metrics.all().items():
        assert json.dumps(estimate.to_dict(), allow_nan=False)
        # Nothing came out of a cache, nobody said how good answers are, and no fault was told of.
        if (
            name in ("cache_false_hit_share", "quality_mean", "satisfaction", "detected_share")
            or "time_to" in name
        ):
            assert estimate.n == 0, name
        # The slowest request of all is one replication's.
        elif name.startswith("tail_"):
            assert estimate.n == 1, name
        else:
            assert estimate.n == 2, name
            assert estimate.ci_low <= estimate.value <= estimate.ci_high, name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("availability", 9 / 12),
        ("ok_share", 9 / 12),
        ("error_share", 3 / 12),
        ("shed_share", 0),
        ("latency_mean_s", 5),
        ("latency_p50_s", 5),
        ("latency_p99_s", 9),
        ("latency_p10_s", 1),
        ("latency_all_mean_s", (45 + 3 * 120) / 12),
        ("latency_all_p50_s", 6),
        ("latency_all_p95_s", 120),
        ("ttft_mean_s", 2.5),
        ("ttft_p50_s", 2.5),
        ("cost_usd_per_day", 6),
        ("cost_usd_per_1k_requests", 1000),
        ("cost_usd_per_good_request", 12 / 9),
        ("amplification", 15 / 12),
        ("requests_per_day", 6),
        ("tokens_in_per_day", 75),
        ("tokens_out_per_day", 37.5),
    ],
)
def test_values_by_hand(metrics, name, value):
    assert metrics.estimate(name).value == pytest.approx(value)


def test_intervals_are_those_of_the_replications(metrics):
    def ends(estimate):
        return estimate.value, estimate.ci_low, estimate.ci_high

    good, valid = np.array([4.0, 5.0]), np.array([5.0, 7.0])
    assert ends(metrics.estimate("availability")) == share_interval(good, valid)
    assert ends(metrics.estimate("amplification")) == ratio_interval(np.array([6.0, 9.0]), valid)
    assert ends(metrics.estimate("cost_usd_per_day")) == ratio_interval(valid, np.ones(2))


def test_latency_takes_any_level(metrics):
    assert metrics.latency(0.99) == metrics.estimate("latency_p99_s")
    assert metrics.latency(1 / 3).value == 3
    for p in (0, 1, 50):
        with pytest.raises(ValueError, match="p must be in"):
            metrics.latency(p)


def test_units(metrics):
    estimates = metrics.all()
    assert estimates["availability"].unit == "share"
    assert estimates["latency_p99_s"].unit == "s"
    assert estimates["cost_usd_per_day"].unit == "usd"


def test_each_replication_alone(metrics):
    assert metrics.per_replication("availability").tolist() == [4 / 5, 5 / 7]
    assert metrics.per_replication("latency_p50_s").tolist() == [2, 7]
    assert metrics.per_replication("cost_usd_per_day").tolist() == [5, 7]


def test_outcomes(metrics):
    assert metrics.outcomes["ok"] == 9
    assert metrics.outcomes["error"] == 3
    assert sum(metrics.outcomes.values()) == 12


def test_unknown_names_are_refused(metrics):
    two_ways = (
        "latency_p5_s",
        "latency_p100_s",
        "ttft_p990_s",
    )  # the 5th or the 50th percentile, the 10th or all
    for bad in ("availabilty", "latency_p0_s", "latency_p99", *two_ways):
        with pytest.raises(KeyError, match="no metric"):
            metrics.estimate(bad)
    with pytest.raises(KeyError, match="no request class 'video'; there are chat, batch"):
        metrics.estimate("availability", "video")
    with pytest.raises(ValueError, match=r"one of request_class, .* got 'regoin'; did you mean 'region'"):
        metrics.by("regoin")
    with pytest.raises(ValueError, match="region: these metrics are not told"):
        metrics.by("region")
    with pytest.raises(ValueError, match="at least one replication"):
        Metrics([])


def test_by_request_class(metrics):
    frame = metrics.by("request_class")
    assert list(frame.columns) == ["request_class", "metric", "value", "ci_low", "ci_high", "n"]
    value = frame.set_index(["request_class", "metric"]).value
    assert value["chat", "availability"] == 1
    assert value["batch", "availability"] == 0
    assert value["chat", "latency_p50_s"] == 5
    assert value["batch", "latency_all_p50_s"] == 120
    assert np.isnan(value["batch", "latency_p50_s"])
    assert value["batch", "cost_usd_per_day"] == 1.5
    for metric in ("requests_per_day", "cost_usd_per_day", "tokens_in_per_day"):
        assert value["chat", metric] + value["batch", metric] == metrics.estimate(metric).value


def test_by_deployment(metrics):
    frame = metrics.by("deployment")
    assert list(frame.columns) == ["deployment", "metric", "value", "ci_low", "ci_high", "n"]
    value = frame.set_index(["deployment", "metric"]).value
    assert value["near", "traffic_share"] == 1
    assert value["far", "traffic_share"] == 0
    assert value["near", "attempts_per_day"] == 6
    assert value["far", "error_share"] == value["far", "rate_limited_share"] == 1
    assert value["near", "error_share"] == 0
    assert value["near", "cost_usd_per_day"] == 6
    assert value["near", "latency_p50_s"] == 6
    assert np.isnan(value["far", "latency_p50_s"])


def test_nothing_answered_leaves_latency_undefined():
    metrics = Metrics([by_hand([], failed=2), by_hand([], failed=1)])
    assert metrics.estimate("availability").value == 0
    assert str(metrics.estimate("latency_p99_s")) == "undefined"
    assert str(metrics.estimate("cost_usd_per_good_request")) == "undefined"


def test_one_replication_warns_and_has_no_interval():
    with pytest.warns(SingleReplicationWarning, match="One replication gives no interval"):
        estimates = estimate_metrics([by_hand([1, 2], failed=1)])
    for name, estimate in estimates.items():
        assert np.isnan(estimate.ci_low), name
    assert str(estimates["latency_p50_s"]) == "1.000 s, no interval (one replication)"


def test_no_failures_warn_and_leave_a_bound():
    assert "None of 5 requests failed" in caught([by_hand([1, 2]), by_hand([1, 2, 3])])[NoFailuresWarning]
    assert Metrics([by_hand([1, 2]), by_hand([1, 2])]).estimate("availability").ci_low < 1


def test_attempts_of_nobody_are_paid_and_warned_about():
    log = log_of([{}], [{"request": 0, "cost_usd": 1}, {"request": -1, "cost_usd": 5}])
    summaries = [summarise(log, start_s=0, end_s=DAY)] * 2
    assert "2 attempts belong to no request" in caught(summaries)[UnattributedAttemptsWarning]
    metrics = Metrics(summaries)
    assert metrics.estimate("cost_usd_per_day").value == 6
    assert metrics.estimate("cost_usd_per_day", "chat").value == 1
    assert metrics.estimate("amplification").value == 1


def replications(latency, failing=0.01, count=2000, n=6):
    rng = np.random.default_rng(4)

    def shaped(rng, size):
        return latency(np.linspace(0, 1, size)) * rng.lognormal(0, 0.1, size)

    return [summarise(random_log(rng, count, 1000, failing, shaped), start_s=0, end_s=1000) for _ in range(n)]


def test_stationary_latency_passes_without_a_warning():
    assert caught(replications(lambda t: 1 + 0 * t)) == {}


def test_a_warm_up_that_is_not_over_is_noticed():
    cold = replications(lambda t: np.where(t < 0.1, 0.5, 1.0), failing=0.0005)
    assert "first tenth of the measured time was" in caught(cold)[WarmupWarning]
    assert WarmupWarning not in caught(cold, stationary=False)


def test_a_queue_that_grows_is_noticed():
    found = caught(replications(lambda t: 1 + 5 * t, failing=0.0005))
    assert "higher in the last tenth" in found[UnstableQueueWarning]
    assert WarmupWarning not in found


def provider(*spells):
    return Environment.of([(0, 0, a, b, 1.0, 0) for a, b in spells], ("provider",))


LAW = EnvironmentLaw.from_environment(
    provider(*((d * DAY, d * DAY + 0.02 * DAY) for d in range(1, 5000))), 0, 5000 * DAY
)


def measured(*spells, stray=None):
    """A day of a request every 10 s; those that arrive during the provider's outages fail."""
    environment = provider(*spells)
    rows = [
        {
            "arrival_s": float(t),
            "latency_s": 1 + t / DAY,
            "outcome": "error" if t == stray or any(a <= t < b for a, b in spells) else "ok",
        }
        for t in range(0, int(DAY), 10)
    ]
    return summarise(log_of(rows), start_s=0, end_s=DAY, environment=environment)


def test_few_episodes_warn_with_numbers_and_widen_the_interval():
    summaries = [measured((1000, 2000)), measured(), measured(), measured()]
    message = caught(summaries, law=LAW, stationary=False)[FewEpisodesWarning]
    assert "spells of faults met in 4 replications: 1" in message
    assert "provider (2 % of time, met 1 time)" in message
    assert "availability is 98.000 %" in message
    with_law = Metrics(summaries, LAW).estimate("availability")
    plain = Metrics(summaries).estimate("availability")
    assert with_law.value == plain.value
    # One outage of 1,000 s in four days says 99.7 %; outages take 2 % of all time and fail everything.
    assert with_law.ci_low < 0.981
    assert plain.ci_low > 0.981 or plain.ci_high > with_law.ci_high
    assert "post-stratified" in with_law.method
    assert "t across replications" in plain.method


@pytest.mark.parametrize(
    "name", ["intent_availability", "availability_windows", "availability_time", "availability_weighted"]
)
def test_other_availabilities_are_post_stratified_too(name):
    summaries = [measured((1000, 2000)), measured(), measured(), measured()]
    with_law, plain = (Metrics(summaries, law).estimate(name) for law in (LAW, None))
    assert with_law.value == plain.value == pytest.approx(1 - 1000 / (4 * DAY), rel=1e-3)
    assert with_law.ci_low < 0.981
    assert "post-stratified" in with_law.method
    assert "t across replications" in plain.method


def test_windows_belong_to_the_state_in_their_middle():
    metrics = Metrics([measured((1000, 2000)), measured()], LAW)
    up, windows = metrics.counts("availability_windows")
    # 288 windows; the middles of those from 900 to 2,100 s are at 1,050, 1,350, 1,650 and 1,950 s.
    assert [count.tolist() for count in windows] == [[4, 284], [288]]
    # The first of them has failures in its last 200 s, the last one in its first 200 s: all are bad.
    assert [count.tolist() for count in up] == [[0, 284], [288]]
    up, minutes = metrics.counts("availability_time")
    assert minutes[0].sum() == 1440
    assert (minutes[0] - up[0]).sum() == 16


def test_quantiles_are_post_stratified_too():
    with_law, plain = (
        Metrics([measured(stray=50_000)] * 4, law).estimate("latency_all_p99_s") for law in (LAW, None)
    )
    assert with_law.value == plain.value < 2
    # Outages, 2 % of all time, were never met: requests in them may all fail, and p99 be their deadline.
    assert plain.ci_high < 2
    assert with_law.ci_high == 120


def test_an_end_that_may_lie_beyond_the_largest_value_says_so():
    with_law, plain = (Metrics([measured()] * 4, law).estimate("latency_p99_s") for law in (LAW, None))
    assert "upper end beyond the largest value" in with_law.method
    assert with_law.ci_high == 1 + np.float32((DAY - 10) / DAY)
    assert "beyond" not in plain.method


def test_few_episodes_without_a_law_are_warned_about():
    summaries = [measured((1000, 2000)), measured()]
    message = caught(summaries, stationary=False)[FewEpisodesWarning]
    assert "the law of the environment is not known" in message


def test_the_order_of_replications_does_not_matter():
    summaries = [measured((1000, 2000)), measured(), measured((5, 500), (40_000, 41_000))]
    for name in METRICS:
        a, b = (Metrics(order, LAW).estimate(name) for order in (summaries, summaries[::-1]))
        for field in ("value", "ci_low", "ci_high"):
            assert getattr(a, field) == pytest.approx(getattr(b, field), rel=1e-9, nan_ok=True), name
