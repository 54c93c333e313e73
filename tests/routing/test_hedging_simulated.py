"""Hedging against its closed form, in simulation: two equal deployments with latencies Exp(1)."""

from __future__ import annotations

import math

import pytest
from simulation.runs import digest
from simulation.scenarios import deployment, exp, scenario, traffic

import simsla
from simsla.simulation import run_one

pytestmark = pytest.mark.filterwarnings("ignore::simsla.analysis.NoFailuresWarning")

P95_S = math.log(20)
AMPLE = {"ratio": 0.2, "reserve": 1000}


def world(hedge, horizon=2000.0, **latency):
    latency = latency or {"total": exp(1.0)}
    same = deployment(latency=latency)
    return scenario(
        {"a": same, "b": same},
        {"chat": traffic(5.0)},
        horizon=horizon,
        routing={"breaker": None, "hedge": hedge},
    )


def simulated(hedge):
    return simsla.simulate(world(hedge), seed=5, replications=8)


def agrees(estimate, expected, within):
    """Within twice the half-width of its interval, which must be narrow enough to mean something."""
    half = (estimate.ci_high - estimate.ci_low) / 2
    assert half < within
    assert abs(estimate.value - expected) < 2 * half


def test_without_hedges_the_quantiles_are_those_of_the_exponential():
    result = simulated(None)
    agrees(result.latency(0.99), 4.6052, within=0.1)
    agrees(result.latency(0.999), 6.9078, within=0.4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "hedge",
    [
        {"kind": "fixed", "delay_s": P95_S, "budget": AMPLE},
        {"kind": "percentile", "percentile": 0.95, "budget": AMPLE},
    ],
    ids=["fixed", "percentile"],
)
def test_hedging_at_p95_costs_five_percent_and_takes_the_tail(hedge):
    result = simulated(hedge)
    # A live percentile of 1000 samples hedges some 0.1 points more: a hedge that won cut its sample short.
    agrees(result.metrics["amplification"], 1.05, within=0.005)
    agrees(result.latency(0.99), 3.8005, within=0.1)
    agrees(result.latency(0.999), 4.9517, within=0.3)


def test_losers_are_cancelled_and_billed_and_hedges_overlap():
    run = run_one(world({"delay_s": P95_S, "budget": AMPLE}), seed=5)
    attempts = run.log.attempts_frame()
    requests = run.log.requests_frame().set_index("request")
    hedges = attempts[attempts["relation"] == "hedge"]
    assert len(hedges) > 300
    assert not (attempts["relation"] == "retry").any()
    assert set(attempts["outcome"]) == {"ok", "cancelled"}
    losers = attempts[attempts["cancelled"]]
    # One of each pair loses; what it had generated when the other ended is billed.
    assert len(losers) == len(hedges)
    assert (losers["cost_usd"] > 0).all()
    ends = requests["end_s"].loc[losers["request"]].to_numpy()
    assert (losers["end_s"].to_numpy() == ends).all()
    assert (losers["outcome"] == "cancelled").all()
    assert (hedges["deployment"] == "b").all()
    begun = attempts[attempts["relation"] == "first"].set_index("request")["start_s"]
    waited_s = hedges["start_s"].to_numpy() - begun.loc[hedges["request"]].to_numpy()
    assert waited_s == pytest.approx(P95_S)


def test_the_budget_caps_the_load_of_a_slow_world():
    # Everything takes ten times as long as the delay expects: all would be hedged.
    result = simsla.simulate(
        world({"delay_s": 1, "budget": {"ratio": 0.1, "reserve": 5}}, total=10.0), seed=5, replications=2
    )
    assert 1.09 < result.metrics["amplification"].value <= 1.1 + 5 / 10_000 + 1e-3


@pytest.mark.parametrize(
    "hedge",
    [
        {"delay_s": P95_S, "budget": AMPLE},
        {"kind": "percentile", "percentile": 0.8, "on": "first_token", "budget": AMPLE},
    ],
    ids=["completion", "first_token"],
)
def test_the_same_seed_is_the_same_run(hedge):
    latency = {"first_token": exp(1.0), "per_token": exp(0.01)}
    runs = [digest(run_one(world(hedge, horizon=300.0, **latency), seed=5)) for _ in range(2)]
    assert runs[0] == runs[1]


def test_on_the_first_token_the_winner_is_read_to_its_end():
    latency = {"first_token": exp(1.0), "per_token": 0.05}
    hedge = {"delay_s": P95_S, "on": "first_token", "budget": AMPLE}
    run = run_one(world(hedge, **latency), seed=5)
    requests = run.log.requests_frame()
    # 100 tokens at 0.05 s each take 5 s: on completion everything would be late.
    first_s = (requests["first_token_s"] - requests["arrival_s"]).to_numpy()
    took_s = (requests["end_s"] - requests["arrival_s"]).to_numpy()
    assert took_s - first_s == pytest.approx(5.0, abs=0.06)
    assert run.requests["attempts"].mean() == pytest.approx(1.05, abs=0.01)
