"""The tiered client against what can be worked out on paper: claims 15 and 16 of the playbook."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from byor import tiered_client
from byor.tiered_client import ATTEMPTS, FAILOVER_ATTEMPTS, MODELS, backoff_s, described, simulated
from simulation.runs import digest
from simulation.scenarios import deployment, scenario, traffic

import simsla
from simsla.analysis.closed_forms import amplification, nested_amplification
from simsla.simulation import run_one

ERROR_S = 0.05
ANSWER_S = 0.1 + 100 * 0.01
SDK_RETRIES = 2

# The SDK pauses 0.5 s * 2^k, less up to a quarter of it at random.
SDK_PAUSES_S = 0.5 + 1.0
MEAN_SDK_PAUSES_S = 0.875 * SDK_PAUSES_S


def world(rate=0.5, horizon=80.0, deadline=120, changes=None, **failing):
    """The three models behind one address, and a request class for each tier."""
    changes = changes or {}
    return scenario(
        {
            tier: deployment(
                model=model,
                tier=tier,
                base_url=tiered_client.GATEWAY,
                api_key=tiered_client.KEY,
                **(failing | changes.get(tier, {})),
            )
            for tier, model in MODELS.items()
        },
        {tier: traffic(rate, tier=tier, deadline=deadline) for tier in MODELS},
        horizon=horizon,
    )


def frame(run):
    requests = run.log.requests_frame().astype({"request_class": str, "outcome": str})
    requests["took_s"] = requests["end_s"] - requests["arrival_s"]
    return requests


def rounds_s(attempts):
    """What the client itself pauses between so many attempts."""
    return sum(backoff_s(failures) for failures in range(attempts - 1))


def failed_s(attempts, sdk_retries, sdk_pauses_s=MEAN_SDK_PAUSES_S):
    """How long so many failing attempts take."""
    pauses = sdk_pauses_s if sdk_retries else 0.0
    return attempts * ((1 + sdk_retries) * ERROR_S + pauses) + rounds_s(attempts)


# What a healthy world sees


def test_requests_go_by_their_complexity_and_are_answered_in_one_call():
    healthy = scenario(
        {
            tier: deployment(model=model, base_url=tiered_client.GATEWAY, api_key=tiered_client.KEY)
            for tier, model in MODELS.items()
        },
        {"chat": traffic(2.0, complexity={"kind": "uniform", "low": 0, "high": 1})},
        horizon=100.0,
    )
    run = run_one(healthy, simulated)
    requests = frame(run)
    assert set(requests["outcome"]) == {"ok"}
    assert set(requests["attempts"]) == {1}
    np.testing.assert_allclose(requests["took_s"], ANSWER_S)
    shares = run.log.attempts_frame()["deployment"].value_counts(normalize=True)
    assert all(abs(shares[tier] - 1 / 3) < 0.12 for tier in MODELS)


# Claim 15: "retries, circuit breaking and region failover"


@pytest.mark.parametrize("sdk_retries", [SDK_RETRIES, 0])
def test_calls_and_seconds_per_failed_request(sdk_retries):
    """9 calls in 7.5 s, or 15 in 11.4 s for premium, with the SDK's retries underneath; 3 and 5 without."""
    options = {} if sdk_retries == SDK_RETRIES else {"max_retries": sdk_retries}
    run = run_one(world(errors={500: 1.0}), lambda transport: simulated(transport, **options))
    requests = frame(run)
    assert set(requests["outcome"]) == {"error"}
    for tier, attempts in (("economy", 3), ("standard", 3), ("premium", ATTEMPTS + FAILOVER_ATTEMPTS)):
        of_tier = requests[requests["request_class"] == tier]
        assert len(of_tier) > 20
        assert set(of_tier["attempts"]) == {attempts * (1 + sdk_retries)}
        expected_s = failed_s(ATTEMPTS, sdk_retries)
        longest_s = failed_s(ATTEMPTS, sdk_retries, SDK_PAUSES_S)
        if tier == "premium":
            expected_s += failed_s(FAILOVER_ATTEMPTS, sdk_retries)
            longest_s += failed_s(FAILOVER_ATTEMPTS, sdk_retries, SDK_PAUSES_S)
        took_s = of_tier["took_s"]
        if not sdk_retries:
            np.testing.assert_allclose(took_s, expected_s, rtol=1e-9)
            continue
        # Each pause of the SDK is uniform over a quarter of itself.
        deviation_s = math.sqrt(attempts * (0.5**2 + 1.0**2) * 0.25**2 / 12)
        assert abs(took_s.mean() - expected_s) < 4 * deviation_s / math.sqrt(len(took_s))
        assert took_s.max() <= longest_s + 1e-9
        assert took_s.min() >= expected_s - (longest_s - expected_s) - 1e-9


def test_retries_in_two_layers_multiply_the_load_of_a_brown_out():
    """Nine tries in a row, whoever makes them: amplification (1 - p^9) / (1 - p), availability 1 - p^9."""
    p = 0.7
    result = simsla.simulate(world(errors={503: p}), simulated, replications=2)
    calls = result.requests["attempts"]
    for tier, tries in (("economy", 9), ("standard", 9), ("premium", 15)):
        of_tier = calls[result.requests["request_class"].astype(str) == tier]
        expected = amplification(p, tries - 1)
        assert abs(of_tier.mean() - expected) < 4 * of_tier.std() / math.sqrt(len(of_tier))
        failed = p**tries
        lost = (result.requests["outcome"].astype(str) == "error")[of_tier.index]
        assert abs(lost.mean() - failed) < 4 * math.sqrt(failed * (1 - failed) / len(lost)) + 1 / len(lost)
    assert nested_amplification(p, [ATTEMPTS - 1, SDK_RETRIES]) == pytest.approx(amplification(p, 8))
    # Without the SDK's own, the same client asks for less than two thirds of that load.
    assert amplification(p, 2) < 0.7 * amplification(p, 8)


def test_what_the_sdk_does_not_retry_the_client_does():
    run = run_one(world(errors={400: 1.0}), simulated)
    assert set(frame(run).query("request_class == 'economy'")["attempts"]) == {ATTEMPTS}


def test_the_deadline_ends_a_client_in_the_middle_of_a_pause():
    run = run_one(world(errors={500: 1.0}, deadline=3.0), simulated)
    requests = frame(run)
    assert set(requests["outcome"]) == {"timeout"}
    np.testing.assert_allclose(requests["took_s"], 3.0)
    # One round of the SDK takes 1.3 to 1.7 s and is followed by a pause of a second.
    assert set(requests["attempts"]) <= {3, 4, 5}


# Claim 16: as written against as described


def outage(*tiers):
    return {tier: {"errors": {500: 1.0}} for tier in tiers}


def test_only_as_described_does_standard_fall_to_economy():
    """With standard down all it is asked fails as written; as described it is answered, late and degraded."""
    down = world(changes=outage("standard"))
    written, fallen = frame(run_one(down, simulated)), frame(run_one(down, described))
    by_class = {name: set(group["outcome"]) for name, group in written.groupby("request_class")}
    assert by_class == {"economy": {"ok"}, "standard": {"error"}, "premium": {"ok"}}
    by_class = {name: set(group["outcome"]) for name, group in fallen.groupby("request_class")}
    assert by_class == {"economy": {"ok"}, "standard": {"degraded"}, "premium": {"ok"}}
    late = fallen[fallen["request_class"] == "standard"]
    assert set(late["attempts"]) == {10}
    expected_s = failed_s(ATTEMPTS, SDK_RETRIES) + ANSWER_S
    assert late["took_s"].mean() == pytest.approx(expected_s, abs=0.15)


def test_premium_and_standard_down_costs_premium_all_it_asks_for_as_written():
    down = world(changes=outage("standard", "premium"))
    written, fallen = frame(run_one(down, simulated)), frame(run_one(down, described))
    premium = written[written["request_class"] == "premium"]
    assert (set(premium["outcome"]), set(premium["attempts"])) == ({"error"}, {15})
    premium = fallen[fallen["request_class"] == "premium"]
    assert (set(premium["outcome"]), set(premium["attempts"])) == ({"degraded"}, {16})
    expected_s = failed_s(ATTEMPTS, SDK_RETRIES) + failed_s(FAILOVER_ATTEMPTS, SDK_RETRIES) + ANSWER_S
    assert premium["took_s"].mean() == pytest.approx(expected_s, abs=0.2)


def test_the_note_about_the_fall_is_in_the_metadata():
    answers = []

    def noting(transport):
        handle = described(transport)

        def note(request):
            answers.append(handle(request))
            return answers[-1]

        return note

    run_one(world(horizon=60, changes=outage("standard")), noting)
    notes = {(answer.model, answer.metadata.get("degraded")) for answer in answers}
    assert notes == {("flash", None), ("gpt-4o", None), ("flash", "standard answered by economy")}


def test_only_as_described_does_a_rate_limit_make_a_queue():
    """A request fits every two seconds, and more are asked for."""
    limited = world(rate=0.6, horizon=120.0, deadline=600, changes={"economy": {"rpm": 30, "burst": "2s"}})
    written, queued = frame(run_one(limited, simulated)), frame(run_one(limited, described))
    written, queued = (each[each["request_class"] == "economy"] for each in (written, queued))
    assert set(queued["outcome"]) == {"ok"}
    assert 0 < (written["outcome"] == "error").mean() < 0.5
    # A server of one request in 2 s that is offered 0.6 per second.
    answered_s = np.sort((queued["end_s"] - ANSWER_S).to_numpy())
    assert np.all(np.diff(answered_s) > 2 - 1e-6)


# As anywhere


@pytest.mark.slow
def test_two_processes_give_the_same_logs():
    code = (
        "from byor.test_tiered_client import world, simulated, run_one, digest;"
        "print(digest(run_one(world(horizon=60, errors={500: 0.6}), simulated, seed=7)))"
    )
    paths = [str(Path(simsla.__file__).parents[1]), str(Path(__file__).parents[1])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])}
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for seed in ("1", "2")
    }
    assert digests == {digest(run_one(world(horizon=60, errors={500: 0.6}), simulated, seed=7)) + "\n"}
