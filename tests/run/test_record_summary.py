"""`record="summary"`: no logs, and the same numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from analysis.logs import log_of
from simulation.policies import naive
from simulation.scenarios import deployment, exp, scenario, scheduled, traffic

import simsla
from simsla.analysis import RELATIVE_ERROR, streaming
from simsla.analysis import summary as summary_of_a_log
from simsla.analysis.costs import COST_PARTS
from simsla.analysis.definitions import QUANTILE
from simsla.analysis.streaming import SummaryRecorder
from simsla.analysis.summary import Reducer, summarise
from simsla.records import recorder
from simsla.routing import Request, Timeouts

pytestmark = pytest.mark.filterwarnings("ignore::simsla.SimslaWarning")

TIERS = {"standard": ["a", "b"], "economy": ["b", "a"]}


def in_small_pieces(patch):
    """Runs of tests are short: reduce them by the hundred, so that there are many pieces."""
    patch.setattr(recorder, "_ROWS_PER_BLOCK", 64)
    patch.setattr(streaming, "ENOUGH", 128)
    for module in (streaming, summary_of_a_log):
        patch.setattr(module, "TYPICAL_ROWS", 200)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    in_small_pieces(monkeypatch)


def busy(**others):
    """Everything that a summary counts happens: faults, retries, queues, clients, regions, classes."""
    return scenario(
        {
            "a": deployment(
                provider="P",
                region="east",
                errors={503: 0.05, "hang": 0.01},
                max_concurrency=8,
                latency={"first_token": exp(0.3), "per_token": exp(0.01)},
            ),
            "b": deployment(tier="economy", region="west", latency={"total": exp(1.5)}),
        },
        {
            "chat": traffic(
                2,
                output_tokens={"kind": "lognormal", "median": 100, "p99": 900},
                deadline=20,
                patience=exp(60),
                tier="standard",
                region={"east": 2, "west": 1},
            ),
            "batch": traffic(
                0.7,
                deadline=6,
                client={"retries": 2, "backoff": {"base": 1}},
                region={"south": 1},
                tier="economy",
            ),
        },
        horizon=600,
        warmup=50,
        components={
            "P": {"kind": "provider", "faults": [{"kind": "outage", "uptime": exp(120), "repair": exp(15)}]}
        },
        regions={"east": {}, "west": {}, "south": {}},
        routing={
            "tiers": TIERS,
            "max_attempts": 4,
            "hedge": {"delay_s": 2.0, "budget": {"ratio": 0.5}},
            "timeouts": {"total_s": 5.0},
        }
        | others.pop("routing", {}),
        **others,
    )


def both(world, policy=None, replications=3, **changes):
    full = simsla.simulate(world, policy, seed=4, replications=replications, **changes)
    return full, simsla.simulate(
        world, policy, seed=4, replications=replications, record="summary", **changes
    )


def differences(full, summary, names=None):
    """The metrics that are not as they should be."""
    wrong = []
    for name in names or full.metrics:
        a, b = full.estimate(name).value, summary.estimate(name).value
        error = RELATIVE_ERROR if QUANTILE.fullmatch(name) else 1e-12
        if not (math.isnan(a) and math.isnan(b)) and abs(a - b) > error * abs(a):
            wrong.append((name, a, b))
    return wrong


@pytest.fixture(scope="module")
def results():
    with pytest.MonkeyPatch.context() as patch:
        in_small_pieces(patch)
        return both(busy())


def test_the_world_has_everything_in_it(results):
    full, _ = results
    costs = full.costs()["usd_per_day"]
    assert (costs[["useful", "retry", "hedge", "cancelled", "unused"]] >= 0).all()
    assert (costs[["useful", "cancelled"]] > 0).all()
    assert full.metrics["requests_per_intent"].value > 1
    assert full.metrics["degraded_share"].value > 0
    assert len(full.episodes) > 2
    assert sum(map(bool, full.outcomes.values())) >= 4


def test_every_metric_is_the_same(results):
    full, summary = results
    assert differences(full, summary) == []
    others = [
        f"{kind}_p{digits}_s"
        for kind in ("latency", "latency_all", "ttft")
        for digits in ("01", "25", "75", "97")
    ]
    per = [f"cost_{part}_usd_per_1k_requests" for part in COST_PARTS]
    assert (
        differences(full, summary, [*others, *per, "tail_p90_failover_share", "tail_p50_queueing_share"])
        == []
    )


def close(estimate):
    """The same numbers, up to the order in which they were added up, and the same method."""
    return {
        key: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
        for key, value in estimate.items()
    }


def test_so_are_intervals_of_what_is_no_quantile_and_all_words(results):
    full, summary = (result.to_dict() for result in results)
    for name, estimate in full["metrics"].items():
        if not QUANTILE.fullmatch(name):
            assert summary["metrics"][name] == close(estimate), name
    for key in ("scenario", "requests", "attempts", "outcomes", "failures", "warnings", "objectives"):
        assert summary[key] == full[key], key


def test_intervals_hold_their_values_and_say_how_exact_they_are(results):
    _, summary = results
    for name, estimate in summary.metrics.items():
        if QUANTILE.fullmatch(name):
            assert estimate.ci_low <= estimate.value <= estimate.ci_high
            assert estimate.method.endswith("values within 0.4 %") or "upper end" in estimate.method


@pytest.mark.parametrize(
    "dimension", ["request_class", "deployment", "tier", "region", "asked_tier", "client_region"]
)
def test_every_breakdown_is_the_same(results, dimension):
    full, summary = (result.by(dimension) for result in results)
    assert full[[dimension, "metric"]].equals(summary[[dimension, "metric"]])
    a, b = full["value"].to_numpy(), summary["value"].to_numpy()
    quantile = full["metric"].str.fullmatch(QUANTILE.pattern).to_numpy()
    same = np.isclose(a, b, rtol=1e-12, atol=0, equal_nan=True)
    assert same[~quantile].all()
    assert (same | np.isclose(b, a, rtol=RELATIVE_ERROR, atol=0)).all()


def test_episodes_and_the_tail_are_the_same(results):
    full, summary = results
    assert full.episodes.equals(summary.episodes)
    assert summary.tail(0.95)["share"].to_numpy() == pytest.approx(full.tail(0.95)["share"].to_numpy())
    assert summary.per_replication("cost_usd_per_day") == pytest.approx(
        full.per_replication("cost_usd_per_day")
    )


def test_there_are_no_logs(results):
    _, summary = results
    assert summary.runs == ()
    with pytest.raises(RuntimeError, match="requests were not kept"):
        _ = summary.requests
    assert len(summary.sample()) == sum(summary.outcomes[name] for name in ("ok", "degraded", "cached"))


def test_what_a_policy_leaves_running_is_paid_for():
    """Calls that end long after their requests are credited to the classes of these all the same."""

    def factory(transport):
        import asyncio

        near, far = transport.deployments
        running = set()

        async def handle(request):
            task = asyncio.ensure_future(transport.send(request, far, timeouts=Timeouts()))
            running.add(task)
            task.add_done_callback(running.discard)
            return await transport.send(request, near, timeouts=Timeouts())

        return handle

    slow = deployment(latency={"first_token": 30.0, "per_token": 0.01})
    classes = {"chat": traffic(1, deadline=5), "batch": traffic(0.5, deadline=5)}
    full, summary = both(scenario({"a": deployment(), "b": slow}, classes, horizon=600), factory)
    assert full.metrics["amplification"].value == pytest.approx(2, rel=0.1)
    of_parts = {f"cost_{part}_usd_per_day" for part in ("hedge", "unused")}
    assert differences(full, summary, [n for n in full.metrics if n not in of_parts]) == []
    # Whether an attempt was a hedge cannot be told any more when its request is forgotten.
    parts = [
        [r.metrics[f"cost_{part}_usd_per_day"].value for part in ("unused", "hedge")] for r in (full, summary)
    ]
    assert sum(parts[1]) == pytest.approx(sum(parts[0]))
    assert parts[1][0] > parts[0][0]
    mine = [
        result.by("request_class").set_index(["request_class", "metric"])["value"]
        for result in (full, summary)
    ]
    for request_class in classes:
        for metric in ("cost_usd_per_day", "tokens_out_per_day", "amplification"):
            assert mine[1][request_class, metric] == pytest.approx(mine[0][request_class, metric])


def test_nobodys_attempts_are_counted():
    def factory(transport):
        async def handle(request):
            near = transport.deployments[0]
            stray = Request(id=10**15, prompt_tokens=100, request_class="chat")
            await transport.send(stray, near, timeouts=Timeouts())
            return await transport.send(request, near, timeouts=Timeouts())

        return handle

    full, summary = both(scenario(classes={"chat": traffic(1)}, horizon=400), factory)
    assert differences(full, summary) == []
    assert summary.metrics["cost_nobody_usd_per_day"].value > 0


def test_a_run_without_a_request():
    quiet = scenario(classes={"chat": traffic(1e-9)}, horizon=10)
    full, summary = both(quiet)
    assert differences(full, summary) == []
    assert summary.to_dict()["requests"] == 0


def test_a_run_with_one_replication_and_a_fault_in_the_warm_up():
    world = scenario(
        {"a": deployment(provider="P")},
        {"chat": traffic(2, client={"retries": 3, "backoff": {"base": 5}})},
        horizon=300,
        warmup=100,
        components={"P": {"kind": "provider", "faults": [scheduled("outage", 80, 30)]}},
    )
    full, summary = both(world, naive, replications=1)
    assert differences(full, summary) == []
    assert full.metrics["requests_per_intent"].value > 1


def test_memory_does_not_grow_with_requests():
    """Rows that are kept, and buckets of latency, after some requests and after eight times as many."""

    def kept(count):
        reducer = Reducer(("chat", "batch"), ("near", "far"), start_s=0, end_s=1000, longest_s=1e6)
        keeper = SummaryRecorder(reducer, hold_s=2.0)
        rng = np.random.default_rng(1)
        for number in range(count):
            arrival_s = 1000 * number / count
            took_s = rng.uniform(0.5, 1.5)
            end_s = arrival_s + took_s if number % 7 else arrival_s + 1.5
            keeper.attempt(number, 0, 0, 0, arrival_s, 0.0, arrival_s, end_s, 0, 10, 5, 1e-3, False)
            keeper.close_request(number, number % 2, arrival_s, end_s, 0, 0, arrival_s, 10, 5, 9.0, True, 0)
        rows = len(keeper._requests.columns()["request"]) + len(keeper._attempts.columns()["request"])
        summary = keeper.finished()
        assert summary.requests.requests.sum() == count
        return rows, len(summary.latency.values)

    few, many = kept(1_000), kept(8_000)
    assert many[0] < 5 * few[0]
    assert many[1] < 1.5 * few[1]


def test_another_kind_of_record_is_refused():
    with pytest.raises(ValueError, match="record: expected 'full' or 'summary', got 'sumary'"):
        simsla.simulate(busy(), record="sumary")


def test_a_log_reduced_at_once_or_in_pieces():
    rng = np.random.default_rng(2)
    requests = [
        {"arrival_s": float(i), "latency_s": float(rng.lognormal()), "ttft_s": 0.1, "cache_hit": "none"}
        | ({"outcome": "error", "deployment": -1} if i % 9 == 0 else {})
        for i in range(300)
    ]
    log = log_of(requests, [{"request": i, "start_s": float(i), "cost_usd": 0.1} for i in range(300)])
    whole = summarise(log, start_s=50, end_s=250)
    reducer = Reducer(log.request_classes, log.deployments, start_s=50, end_s=250, longest_s=1e6)
    part = reducer.finished(reducer.reduce(log))
    assert part.latency.sizes(1).tolist() == whole.latency.sizes(1).tolist()
    assert part.valid.tolist() == whole.valid.tolist()
    assert part.costs == pytest.approx(whole.costs)
