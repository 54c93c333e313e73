"""What the article claims for its router over three regions, against closed forms."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from byor import three_regions
from byor.three_regions import REGIONS, faults_of_the_region, simulated
from scipy import stats
from world.endpoint.worlds import Played, play

from simsla.analysis.closed_forms import erlang_b
from simsla.scenario import Scenario
from simsla.simulation import run_one

FAST = {"first_token": 0.02, "per_token": 0.0}
AT_ONCE = {"kind": "constant", "value": 0.005}


def regions(horizon, rate, *, us=None, poison=None, **each):
    """Three regions behind one address, which fail quickly where they fail."""
    usual = {
        "model": "deepseek-v4-flash",
        "base_url": three_regions.GATEWAY,
        "latency": FAST,
        "error_latency": AT_ONCE,
        **each,
    }
    deployments = {name: {**usual, "api_key_env": key} for name, key in REGIONS.items()}
    deployments["us-east-1"] |= us or {}
    traffic = {"arrivals": {"kind": "poisson", "rate": rate}, "prompt_tokens": 10, "output_tokens": 1}
    if poison is not None:
        traffic["poison"] = poison
    return Scenario.from_dict(
        {"name": "regions", "horizon": horizon, "deployments": deployments, "traffic": {"chat": traffic}}
    )


def failures(played):
    """How often the policy raised, by the name of the error."""
    return {name: each.times for name, each in played.run.failures.items()}


def lost_share(played):
    """Of all requests, those that found every region closed."""
    return failures(played).get("NoRegionError", 0) / len(played.outcomes())


def lost_in_windows(played, windows):
    """The same by windows of time after the first: the mean, and the half width of its 99.9 % interval."""
    log = played.run.log.requests_frame()
    window = (log["arrival_s"] * (windows + 1) // played.run.end_s).astype(int)
    lost = (log["attempts"] == 0).groupby(window).mean()[1:]
    assert len(lost) == windows
    return lost.mean(), stats.t.ppf(0.9995, windows - 1) * lost.std() / math.sqrt(windows)


# 13: one error closes a region for 30 s, and nothing asks it before it is opened again


@pytest.mark.parametrize(
    ("offered", "horizon_s"),
    [
        (2.4, 900.0),
        *[pytest.param(offered, 18_000.0, marks=pytest.mark.slow) for offered in (0.6, 1.5, 3.0)],
    ],
)
def test_errors_close_all_regions_as_often_as_the_erlang_formula_says(offered, horizon_s):
    """Claim 13: with independent errors the regions are the three servers of a loss system, each error takes
    one of them for 30 s, and a request that finds none open is lost: ErlangB(3, 30 L e).

    A request that fails in one region fails in the next with the same chance e, which the formula does not
    know: that is the allowance.
    """
    error_share = 0.05
    rate = offered / (three_regions.UNHEALTHY_S * error_share)
    scenario = regions(horizon_s, rate, errors={"500": error_share})
    lost, half = lost_in_windows(play(scenario, three_regions.without_sdk_retries), 10)
    assert abs(lost - erlang_b(3, offered)) < half + error_share * erlang_b(3, offered)
    assert half < (0.3 if horizon_s < 10_000 else 0.08)


def test_at_high_load_the_router_loses_more_than_a_plain_client():
    """Without any router a request fails with the chance of an error, at whatever load."""
    error_share = 0.1
    busy, quiet = (erlang_b(3, 30 * rate * error_share) for rate in (1.0, 0.02))
    assert quiet < 0.001 < 3 * error_share < busy
    played = play(regions(400.0, 1.0, errors={"500": error_share}), three_regions.without_sdk_retries)
    assert lost_share(played) > 2 * error_share
    played = play(regions(6000.0, 0.02, errors={"500": error_share}), three_regions.without_sdk_retries)
    assert lost_share(played) < error_share / 2


# 14: any exception counts as a failure of the region


def poisoned(share, rate, horizon):
    return regions(horizon, rate, poison={"share": share, "status": 400})


def valid_lost_share(played):
    valid = np.asarray(played.run.requests["valid"], dtype=bool)
    ok = np.array([outcome == "ok" for outcome in played.outcomes()])
    return float(np.mean(~ok[valid]))


def test_one_malformed_request_closes_every_region_to_everyone_else():
    """Claim 14: each poisoned request that finds a region open closes all three for 30 s, during which others
    close nothing: of everyone else's requests the share 30 p / (1 + 30 p) is lost, p of them a second.
    """
    share, rate = 0.08, 0.5
    per_30_s = three_regions.UNHEALTHY_S * share * rate
    expected = per_30_s / (1 + per_30_s)
    lost = valid_lost_share(play(poisoned(share, rate, 2400.0), three_regions.as_written))
    assert expected == pytest.approx(0.5455, abs=1e-4)
    # Some 44 cycles, whose open part is exponential: the standard deviation of the share is 0.04.
    assert lost == pytest.approx(expected, abs=0.13)


def test_a_router_that_knows_whose_fault_it_is_loses_none_of_them():
    fixed = simulated(counts=faults_of_the_region)
    played = play(poisoned(0.08, 0.5, 300.0), fixed)
    assert valid_lost_share(played) == 0
    assert set(failures(played)) == {"BadRequestError"}


# 15: retries within retries


@pytest.mark.parametrize(("max_retries", "pauses_s"), [(0, 0.0), (1, 0.4375), (2, 1.3125)])
def test_calls_and_seconds_of_a_request_that_fails(max_retries, pauses_s):
    """Claim 15: three regions times one more than the SDK's retries; and its pauses, 0.5 and 1 s less up to a
    quarter. Requests come so seldom that each finds all regions open again, or all closed.
    """
    attempt_s = 0.4
    error_latency = {"kind": "constant", "value": attempt_s}
    scenario = regions(24_000.0, 1 / 300, errors={"500": 1.0}, error_latency=error_latency)
    played = play(scenario, simulated(max_retries=max_retries))
    log = played.run.log.requests_frame()
    tried = log[log["attempts"] > 0]
    calls = 3 * (max_retries + 1)
    assert set(log["outcome"].astype(str)) == {"error"}
    whole = tried[tried["attempts"] == calls]
    assert len(whole) > 0.9 * len(tried)
    took_s = (whole["end_s"] - whole["arrival_s"]).to_numpy() - calls * attempt_s
    assert np.all((took_s >= 3 * pauses_s * 0.857 - 1e-9) & (took_s <= 3 * pauses_s * 1.143 + 1e-9))
    assert np.mean(took_s) == pytest.approx(3 * pauses_s, abs=4 * 0.15 / math.sqrt(len(whole)))
    assert played.run.sdk_retries == pytest.approx(
        played.run.http_calls * max_retries / (max_retries + 1), abs=1
    )


def test_the_load_of_a_brownout_is_amplified_by_the_sdks_retries():
    """Where half of all calls fail, each region is called 1 + 1/2 + 1/4 times, and 1/8 go on to the next."""
    kept_open = simulated(threshold=10**9)
    scenario = regions(250.0, 1.0, errors={"500": 0.5})
    played = play(scenario, kept_open)
    each = 1 + 1 / 2 + 1 / 4
    expected = each * (1 + 1 / 8 + 1 / 64)
    assert len(played.attempts("request")) / len(played.outcomes()) == pytest.approx(expected, rel=0.15)
    alone = play(scenario, simulated(threshold=10**9, max_retries=0))
    assert len(alone.attempts("request")) / len(alone.outcomes()) == pytest.approx(each, rel=0.15)


# 17: a region hangs


def slow_share(played, at_least_s, after_s):
    """Of the requests that came later than this, those that took so long."""
    later = np.asarray(played.run.requests["arrival_s"]) > after_s
    took_s = np.asarray(played.run.requests["end_s"]) - np.asarray(played.run.requests["arrival_s"])
    return float(np.mean(took_s[later] >= at_least_s))


@pytest.mark.parametrize("probe", [False, True])
def test_how_many_requests_pay_for_a_region_that_hangs(probe):
    """Claim 17: after each 30 s the region is open for the time-out, from the first request that tries it:
    all that come meanwhile wait with it, (1 + 5 L) in each cycle of 1/L + 5 + 30 s. With a probe, one.
    """
    seconds = three_regions.TIMEOUT_S
    rate = 0.5
    scenario = regions(1200.0, rate, us={"errors": {"hang": 1.0}})
    policy = simulated(max_retries=0, probe=probe)
    paying = 1 if probe else 1 + rate * seconds
    expected = paying / (1 + rate * (seconds + three_regions.UNHEALTHY_S))
    measured = slow_share(play(scenario, policy), seconds, after_s=60.0)
    # Some thirty cycles, each of one request and a Poisson number of others.
    assert measured == pytest.approx(expected, rel=0.25)


def test_the_first_request_of_an_outage_waits_for_three_time_outs_of_the_sdk():
    """5 s thrice and the SDK's two pauses, before the next region is asked: 16.3 s on average."""
    scenario = regions(250.0, 1.0, us={"errors": {"hang": 1.0}})
    played = play(scenario, three_regions.as_written)
    took_s = np.asarray(played.run.requests["end_s"]) - np.asarray(played.run.requests["arrival_s"])
    paid_s = took_s[took_s > 1.0]
    assert np.all((paid_s > 15 + 1.125) & (paid_s < 15 + 1.5 + 0.1))
    assert np.mean(paid_s) == pytest.approx(15 + 1.3125 + 0.02, abs=0.05)
    assert np.quantile(took_s, 0.99) > 16
    assert set(played.outcomes()) == {"ok"}


# 18: what one would change


def test_with_a_last_resort_a_request_fails_only_where_all_regions_fail():
    """Then the share that fails is the product of three: e^3, whatever is closed."""
    error_share = 0.4
    scenario = regions(300.0, 1.0, errors={"500": error_share})
    played = play(scenario, simulated(max_retries=0, last_resort=True))
    failed = sum(outcome != "ok" for outcome in played.outcomes())
    assert stats.binomtest(failed, len(played.outcomes()), error_share**3).pvalue > 1e-3
    without = play(scenario, three_regions.without_sdk_retries)
    assert lost_share(without) > 0.3


def test_a_threshold_of_three_keeps_independent_errors_from_closing_anything():
    error_share = 0.02
    scenario = regions(300.0, 1.0, errors={"500": error_share})
    assert lost_share(play(scenario, simulated(max_retries=0, threshold=3))) == 0


def test_the_order_of_regions_decides_who_is_asked():
    """All traffic is the first region's while nothing fails: the others stand by."""
    played = play(regions(60.0, 1.0), three_regions.as_written)
    assert set(played.attempts("deployment")) == {0}


# The shipped playbook


def test_the_router_runs_on_the_shipped_playbook():
    scenario = Scenario.load("playbook").with_values({"horizon": "10m", "warmup": 0})
    played = Played(run_one(scenario, three_regions.as_written))
    assert played.run.fidelity == "http"
    assert played.run.complaints == {}
    assert played.run.unowned == 0
    assert played.outcomes().count("ok") > 0.8 * len(played.outcomes())
    used = {list(scenario.deployments)[code] for code in played.attempts("deployment")}
    assert {"flash-us", "pro-us"} <= used


def test_two_processes_have_the_same_log():
    """The SDK draws its pauses from the global generator, and sets of texts have another order in each."""
    code = (
        "from byor.test_three_regions import *\n"
        "run = run_one(regions(100.0, 1.0, errors={'500': 0.2}), three_regions.as_written)\n"
        "print({name: column.tolist() for name, column in (run.attempts | run.requests).items()})"
    )

    def log(seed):
        folder = Path(__file__).parents[1]
        paths = os.pathsep.join([str(folder), str(folder.parent)])
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": paths}
        ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
        return ran.stdout

    first = log("1")
    assert b"start_s" in first
    assert first == log("2")


def test_the_clients_keys_are_told_apart():
    played = play(regions(60.0, 1.0, us={"errors": {"503": 1.0}}), simulated(max_retries=0))
    assert set(played.attempts("deployment")) == {0, 1}
