"""Clients who stop waiting and ask again by themselves."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from simulation.policies import patient
from simulation.runs import digest
from simulation.scenarios import deployment, exp, scenario, traffic, varied

import simsla
from simsla.records import OUTCOMES
from simsla.records.intents import first_requests, intents, retry_ordinals
from simsla.routing import Shed
from simsla.simulation import run_one

NOW = {"base": 0, "cap": 0}


def world(client, *, rate=2.0, horizon=1000.0, errors=None, latency=None, **others):
    """One deployment, and clients."""
    serving = {} if errors is None else {"errors": errors}
    if latency is not None:
        serving["latency"] = {"total": latency}
    limits = {name: others.pop(name) for name in ("max_concurrency", "queue_limit") if name in others}
    changes = {name: others.pop(name) for name in ("patience", "deadline", "topics") if name in others}
    if client is not None:
        changes["client"] = client
    return scenario(
        {"a": deployment(**serving, **limits)}, {"chat": traffic(rate, **changes)}, horizon=horizon, **others
    )


def outcomes(run):
    return [OUTCOMES[code] for code in run.requests["outcome"]]


@pytest.mark.parametrize(("retries", "share"), [(1, 0.5), (3, 0.5), (3, 0.2), (5, 0.8)])
def test_load_grows_by_the_closed_form(retries, share):
    """(1 - p^(r+1)) / (1 - p) requests per intent, of which a share p^(r+1) stays without an answer."""
    run = run_one(world({"retries": retries, "backoff": NOW}, rate=8, errors={500: share}), patient)
    found = intents(run.requests)
    n = len(found["request"])
    assert n > 7000
    truth = (1 - share ** (retries + 1)) / (1 - share)
    spread = found["requests"].std() / np.sqrt(n)
    assert found["requests"].mean() == pytest.approx(truth, abs=4 * spread)
    lost = share ** (retries + 1)
    assert 1 - found["good"].mean() == pytest.approx(lost, abs=4 * np.sqrt(lost / n))
    assert found["requests"].sum() == len(run.requests["request"])
    assert found["attempts"].sum() == len(run.attempts["request"])


def test_without_hope_every_retry_is_made():
    run = run_one(world({"retries": 3, "backoff": NOW}, errors={500: 1.0}), patient)
    found = intents(run.requests)
    assert set(found["requests"]) == {4}
    assert not found["good"].any()


def test_a_retry_is_a_request_of_its_own_that_the_policy_cannot_tell():
    seen = []

    def policy(transport):
        async def handle(request):
            seen.append((request.id, request.parent_id, request.prompt, request.deadline))
            raise ValueError

        return handle

    run = run_one(world({"retries": 1, "backoff": NOW}, horizon=5, topics={"count": 50}), policy)
    numbers = run.requests["request"]
    assert len(set(numbers)) == len(numbers) == len(seen) >= 6
    assert [parent for _, parent, *_ in seen] == [None] * len(seen)
    by_id = {request: rest for request, *rest in seen}
    for number in numbers[retry_ordinals(numbers) == 1]:
        first = int(first_requests(numbers)[numbers == number][0])
        assert first != number
        assert by_id[first][1] == by_id[number][1]  # the same question


def test_delays_are_those_of_the_back_off():
    client = {"retries": 3, "backoff": {"base": "2s", "cap": "5s", "jitter": "none"}}
    run = run_one(world(client, errors={500: 1.0}, horizon=50), patient)
    frame = run.log.requests_frame().sort_values(["request"])
    frame["first"] = first_requests(frame["request"].to_numpy())
    for _, rows in frame.groupby("first"):
        rows = rows.sort_values("arrival_s")
        waits = rows["arrival_s"].to_numpy()[1:] - rows["end_s"].to_numpy()[:-1]
        assert waits == pytest.approx([2, 4, 5])


@pytest.mark.parametrize(("jitter", "least"), [("full", 0.0), ("equal", 2.0)])
def test_jitter_is_uniform(jitter, least):
    client = {"retries": 1, "backoff": {"base": "4s", "jitter": jitter}}
    run = run_one(world(client, errors={500: 1.0}), patient)
    frame = run.log.requests_frame().sort_values(["request"])
    frame["first"] = first_requests(frame["request"].to_numpy())
    pairs = frame.groupby("first")
    waits = (pairs["arrival_s"].last() - pairs["end_s"].first()).to_numpy()
    assert waits.min() == pytest.approx(least, abs=0.05)
    assert waits.max() == pytest.approx(4, abs=0.05)
    assert waits.mean() == pytest.approx((least + 4) / 2, rel=0.05)


def test_only_what_is_listed_is_tried_again():
    def policy(transport):
        async def handle(request):
            match request.id % 3:
                case 0:
                    raise Shed("full")
                case 1:
                    raise TimeoutError
                case _:
                    raise ValueError

        return handle

    for name in ("shed", "timeout", "error"):
        run = run_one(world({"retries": 2, "on": [name], "backoff": NOW}, horizon=50), policy)
        found = intents(run.requests)
        repeated = found["requests"] > 1
        ends = np.array([OUTCOMES[code] for code in found["outcome"]])
        assert repeated.sum() > 5
        first = run.log.requests_frame().set_index("request").loc[found["request"], "outcome"].astype(str)
        assert ((first == name).to_numpy() == repeated).all()
        assert (ends[~repeated] != name).all()


def test_a_client_times_out_and_tells_the_service():
    run = run_one(world({"timeout": 0.5}, latency=2.0), patient)
    assert set(outcomes(run)) == {"timeout"}
    assert (run.requests["end_s"] - run.requests["arrival_s"]) == pytest.approx(0.5)
    assert run.attempts["cancelled"].all()


def test_a_service_that_is_not_told_works_on():
    run = run_one(world({"timeout": 0.5, "cancels": False}, latency=2.0), patient)
    assert set(outcomes(run)) == {"timeout"}
    done = run.attempts["start_s"] < run.end_s - 3
    assert not run.attempts["cancelled"][done].any()
    assert (run.attempts["end_s"] - run.attempts["start_s"])[done] == pytest.approx(2)
    # The work is credited to the request that nobody waits for.
    assert run.requests["attempts"].max() == 1


def test_the_deadline_holds_where_the_client_would_wait_longer():
    run = run_one(world({"timeout": 50}, latency=20.0, deadline=5, horizon=100), patient)
    assert set(outcomes(run)) == {"timeout"}
    assert (run.requests["end_s"] - run.requests["arrival_s"]) == pytest.approx(5)


def test_patience_is_that_of_the_intent():
    """Retries at 1 s and 3 s; the one at 7 s would come after the patience of 6 s."""
    client = {"retries": 9, "backoff": {"base": 1, "cap": 100, "jitter": "none"}}
    failing = deployment(errors={500: 1.0}, error_latency=0)
    patient_ones = scenario({"a": failing}, {"chat": traffic(2, client=client, patience=6)}, horizon=60)
    assert set(intents(run_one(patient_ones, patient).requests)["requests"]) == {3}

    def hang(transport):
        async def handle(request):
            await asyncio.sleep(4)
            raise ValueError

        return handle

    # It ends while the second request is open: that one is abandoned, and there is no third.
    run = run_one(patient_ones, hang)
    found = intents(run.requests)
    assert set(found["requests"]) == {2}
    assert {OUTCOMES[code] for code in found["outcome"]} == {"abandoned"}
    assert (found["end_s"] - found["arrival_s"]) == pytest.approx(6)


def test_the_run_waits_for_retries_after_the_horizon():
    client = {"retries": 2, "backoff": {"base": "1min", "cap": "1min", "jitter": "none"}}
    run = run_one(world(client, errors={500: 1.0}, horizon=30), patient)
    found = intents(run.requests)
    assert set(found["requests"]) == {3}
    assert found["end_s"].max() > 120
    assert found["arrival_s"].max() < 30


def test_retries_meet_new_luck_of_their_own():
    """Nothing that was met comes again, and the same happens in every run."""
    chancy = world({"retries": 4, "backoff": NOW}, errors={500: 0.5})
    run = run_one(chancy, patient)
    frame = run.log.attempts_frame()
    frame["first"] = first_requests(frame["request"].to_numpy())
    assert not frame.duplicated(["first", "deployment", "ordinal", "purpose"]).any()
    assert digest(run) == digest(run_one(chancy, patient))
    assert digest(run) != digest(run_one(chancy, patient, seed=2))


def test_a_client_moves_no_draw_of_others():
    def with_client(data):
        data["traffic"]["chat"]["client"] = {"retries": 3, "backoff": {"base": "1s"}}
        return data

    plain = run_one(varied(200), patient)
    retried = run_one(varied().from_dict(with_client(varied(200).to_dict())), patient)
    first = retry_ordinals(retried.requests["request"]) == 0
    ours = {name: column[first] for name, column in retried.requests.items()}
    order, other = np.argsort(ours["request"]), np.argsort(plain.requests["request"])
    for name in ("request", "arrival_s", "end_s", "outcome", "prompt_tokens", "output_tokens"):
        assert (ours[name][order] == plain.requests[name][other]).all(), name
    assert not first.all()


def test_a_window_meets_the_same_retries():
    chancy = world({"retries": 3, "timeout": exp(3), "backoff": {"base": "1s"}}, latency=exp(2))
    full, part = run_one(chancy, patient), run_one(chancy, patient, window=(400.0, 100.0))
    whole, found = intents(full.requests), intents(part.requests)
    chosen = (whole["arrival_s"] >= 400) & (whole["arrival_s"] < 500)
    assert found["request"].tolist() == whole["request"][chosen].tolist()
    for name in ("requests", "outcome", "attempts"):
        assert (found[name] == whole[name][chosen]).all(), name
    np.testing.assert_allclose(found["end_s"] + 400, whole["end_s"][chosen], atol=1e-6)


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5])
def test_a_budget_bounds_the_load_without_hope(ratio):
    client = {"retries": 3, "backoff": NOW, "budget": {"ratio": ratio, "burst": 20}}
    found = intents(run_one(world(client, rate=10, errors={500: 1.0}), patient).requests)
    extra = found["requests"].sum() - len(found["request"])
    assert extra == pytest.approx(20 + ratio * len(found["request"]), abs=2)


def test_a_retry_storm_outlives_its_trigger():
    """A flash crowd of half a minute fills the queue; clients wait 5 s, and the service works on for nobody.

    Bound (validation.md): with r retries a storm can sustain itself once rho > 1 / (1 + r), here 1/4.
    """

    def goodput(retries, rho, factor, **more):
        client = {"retries": retries, "timeout": 5, "backoff": {"base": 1, "cap": 2}, "cancels": False} | more
        arrivals = {
            "kind": "poisson",
            "rate": 10 * rho,
            "surges": [{"at": 300, "for": 30, "factor": factor}],
        }
        crowded = scenario(
            {"a": deployment(latency={"total": exp(1)}, max_concurrency=10)},
            {"chat": traffic(arrivals=arrivals, client=client, deadline=60)},
            horizon=1500,
        )
        found = intents(run_one(crowded, patient).requests)
        late = (found["arrival_s"] >= 1200) & (found["arrival_s"] < 1450)
        return found["good"][late].mean()

    assert goodput(0, 0.8, 5) > 0.9
    assert goodput(3, 0.8, 5) < 0.3
    assert goodput(3, 0.8, 1) > 0.99  # without the trigger
    assert goodput(3, 0.1, 20) > 0.99
    # A budget of a tenth moves the bound to 1 / 1.1.
    assert goodput(3, 0.6, 6) < 0.3
    assert goodput(3, 0.6, 6, budget={"ratio": 0.1}) > 0.95


def test_the_metrics_of_intents():
    """Three tries in four fail: of intents with two retries (3/4)^3 do."""
    chancy = world({"retries": 2, "backoff": NOW}, rate=20, errors={500: 0.75}, horizon=300, warmup=100)
    result = simsla.simulate(chancy, "simulation.policies:patient", replications=4, seed=3)
    metrics = result.metrics
    lost = 0.75**3
    assert metrics["intent_availability"].value == pytest.approx(1 - lost, abs=0.02)
    assert metrics["intent_availability"].unit == "share"
    assert metrics["requests_per_intent"].value == pytest.approx((1 - lost) / 0.25, abs=0.04)
    assert metrics["availability"].value == pytest.approx(0.25, abs=0.015)
    assert metrics["amplification"].value == 1
    assert metrics["requests_per_day"].value == pytest.approx(20 * 86_400 * (1 - lost) / 0.25, rel=0.04)


def test_without_retries_an_intent_is_a_request():
    metrics = simsla.simulate(
        world(None, errors={500: 0.3}), "simulation.policies:patient", replications=2
    ).metrics
    assert metrics["intent_availability"].value == metrics["availability"].value
    assert metrics["requests_per_intent"].value == 1
