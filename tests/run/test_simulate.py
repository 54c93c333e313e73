from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from simulation.policies import naive, patient
from simulation.scenarios import deployment, exp, scenario, traffic, varied

import simsla
from simsla.analysis import SimslaWarning

pytestmark = pytest.mark.filterwarnings("ignore::simsla.SimslaWarning")


@pytest.fixture(scope="module")
def result():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return simsla.simulate(varied(120, warmup=20), naive, seed=2, replications=3)


def test_a_result_says_what_was_run(result):
    assert (result.seed, result.replications) == (2, 3)
    assert result.policy == "simulation.policies:naive"
    assert result.scenario.name == "tiny"
    assert len(result.runs) == 3


def test_the_warm_up_is_left_out(result):
    requests = result.requests
    assert requests["arrival_s"].min() >= 20
    assert requests["arrival_s"].max() < 120
    logged = [run.requests["arrival_s"] for run in result.runs]
    assert min(arrival.min() for arrival in logged) < 5
    measured = sum(int((arrival >= 20).sum()) for arrival in logged)
    assert len(requests) == measured == sum(result.outcomes.values())
    assert set(requests["replication"]) == {0, 1, 2}


def test_metrics_are_those_of_the_logs(result):
    requests, attempts = result.requests, result.attempts
    good = requests["outcome"].isin(["ok", "degraded", "cached"])
    assert result.availability.value == pytest.approx(good.mean())
    assert result.availability.ci_low < good.mean() < result.availability.ci_high
    assert result.metrics["amplification"].value == pytest.approx(len(attempts) / len(requests))
    assert result.cost_per_day.value == pytest.approx(attempts["cost_usd"].sum() / 300 * 86_400)
    latency = (requests["end_s"] - requests["arrival_s"])[good]
    assert result.metrics["latency_mean_s"].value == pytest.approx(latency.mean())
    assert result.latency(0.9).value == pytest.approx(
        np.quantile(latency, 0.9, method="inverted_cdf"), rel=0.02
    )
    each = [
        frame["outcome"].isin(["ok", "degraded", "cached"]).mean()
        for _, frame in requests.groupby("replication")
    ]
    assert result.per_replication("availability") == pytest.approx(each)


def test_the_attempts_of_measured_requests_belong_to_them(result):
    owners = set(zip(result.requests["replication"], result.requests["request"], strict=True))
    assert set(zip(result.attempts["replication"], result.attempts["request"], strict=True)) == owners


def test_nobodys_attempts_count_if_they_begin_in_the_measured_time():
    def pinging(transport):
        import asyncio

        from simsla.routing import Request

        async def ping():
            while True:
                await transport.send(Request("ping", prompt_tokens=1), transport.deployments[0])
                await asyncio.sleep(1)

        handle = patient(transport)
        tasks = [asyncio.ensure_future(ping())]

        async def kept(request):
            assert tasks
            return await handle(request)

        return kept

    world = scenario({"a": deployment(latency={"total": 30})}, warmup=20)
    result = simsla.simulate(world, pinging, replications=2)
    attempts = result.attempts
    nobody = attempts[attempts["request"] == -1]
    assert len(nobody) > 2
    assert ((nobody["start_s"] >= 20) & (nobody["start_s"] < 100)).all()
    assert result.cost_per_day.value == pytest.approx(attempts["cost_usd"].sum() / 160 * 86_400)


def test_by_request_class_and_by_deployment(result):
    for dimension, members in (("request_class", {"chat", "batch"}), ("deployment", {"a", "b"})):
        frame = result.by(dimension)
        assert set(frame[dimension]) == members
        assert {"metric", "value", "ci_low", "ci_high", "n"} <= set(frame.columns)
    frame = result.by("request_class").set_index(["request_class", "metric"])
    chat = result.requests[result.requests["request_class"] == "chat"]
    assert frame.loc[("chat", "availability"), "value"] == pytest.approx((chat["outcome"] == "ok").mean())


def test_a_result_as_plain_data(result):
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert data["schema"] == "simsla.result/1"
    assert data["requests"] == len(result.requests)
    assert data["attempts"] == len(result.attempts)
    assert sum(data["outcomes"].values()) == len(result.requests)
    assert set(data["outcomes"]) == {"ok", "degraded", "cached", "error", "timeout", "shed", "abandoned"}
    promised = {
        *(
            "availability",
            "latency_p50_s",
            "latency_p95_s",
            "latency_p99_s",
            "latency_p999_s",
            "latency_mean_s",
        ),
        *("ttft_p99_s", "cost_usd_per_day", "cost_usd_per_1k_requests", "amplification"),
        *("degraded_share", "cache_hit_share"),
    }
    assert promised <= set(data["metrics"])
    for metric in data["metrics"].values():
        assert {"value", "ci_low", "ci_high", "n"} <= set(metric)
    assert set(data["by"]) == {"request_class", "deployment"}


def test_a_result_in_words(result):
    assert "availability" in repr(result)
    page = result._repr_html_()
    assert page.count("<tr>") > 10
    assert "3 replications" in page
    summary = result.summary()
    assert summary.loc["availability", "value"] == result.availability.value


def test_names_are_escaped_in_html():
    world = scenario(horizon=10, name="<b>bold</b>")
    assert "<b>bold" not in simsla.simulate(world, naive, replications=2)._repr_html_()


def test_logs_need_not_be_kept():
    kept, dropped = (
        simsla.simulate(varied(60), naive, replications=2, keep_logs=keep) for keep in (True, False)
    )
    assert dropped.to_dict() == kept.to_dict()
    with pytest.raises(RuntimeError, match="keep_logs"):
        _ = dropped.requests


def test_the_number_of_replications_is_the_scenarios_unless_given():
    world = scenario(horizon=5, replications=3)
    assert simsla.simulate(world, naive).replications == 3
    assert simsla.simulate(world, naive, replications=2).replications == 2
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="replications"):
            simsla.simulate(world, naive, replications=wrong)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_policy_that_cannot_be_used_is_refused(jobs):
    world = scenario(horizon=5)
    with pytest.raises(simsla.PolicyError, match="did you mean 'naive'"):
        simsla.simulate(world, "simulation.policies:niave", n_jobs=jobs)
    with pytest.raises(simsla.PolicyError, match="piece_by_piece"):
        simsla.simulate(world, "simulation.broken_policies:yielding", n_jobs=jobs)


def test_a_scenario_may_be_a_path(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(scenario(horizon=10, replications=2).to_dict()))
    assert simsla.simulate(path, naive).scenario.name == "tiny"
    assert simsla.simulate(str(path), naive).replications == 2


def test_assumptions_that_fail_are_warned_about():
    world = scenario({"a": deployment(errors={500: 0.01})}, {"chat": traffic(5.0)})
    with pytest.warns(SimslaWarning, match="One replication gives no interval"):
        simsla.simulate(world, naive, replications=1)
    with pytest.warns(SimslaWarning, match=r"None of .* requests failed"):
        simsla.simulate(scenario(), patient, replications=2)
    overloaded = scenario(
        {"a": deployment(max_concurrency=1, latency={"total": exp(1)})},
        {"chat": traffic(1.5, deadline=2000)},
        horizon=400,
    )
    with pytest.warns(SimslaWarning, match="Offered load exceeds capacity"):
        simsla.simulate(overloaded, patient, replications=8)


def test_objectives_are_judged():
    world = varied(
        60,
        objectives=[
            {"name": "lenient", "metric": "availability", "target": 0.1},
            {"name": "strict", "metric": "availability", "target": 0.99999},
        ],
    )
    judged = {row["name"]: row for row in simsla.simulate(world, naive, replications=3).objectives}
    assert judged["lenient"]["met"] is True
    assert judged["strict"]["met"] is False


def test_what_a_policy_raised_is_added_up():
    world = scenario({"a": deployment(latency={"total": 0.5})})
    result = simsla.simulate(world, "simulation.policies:raising", replications=2)
    assert result.failures["KeyError"].times == result.outcomes["error"] > 0
