"""A closed loop: users who think between requests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulation.policies import patient
from simulation.runs import digest
from simulation.scenarios import deployment, exp, scenario, traffic

from simsla.records.intents import intents
from simsla.simulation import run_one


def closed(users=20, think=None, length=5, *, horizon=2000.0, latency=1.0, pause=None, **changes):
    arrivals = {
        "kind": "sessions",
        "users": users,
        "think": exp(9) if think is None else think,
        "requests_per_session": length,
    }
    if pause is not None:
        arrivals["pause"] = pause
    limits = {name: changes.pop(name) for name in ("max_concurrency", "errors") if name in changes}
    return scenario(
        {"a": deployment(latency={"total": latency}, **limits)},
        {"chat": traffic(arrivals=arrivals, **changes)},
        horizon=horizon,
    )


def asked(world, **options):
    """One row per request, by user: session, user, arrival and end."""
    sessions = {}

    def policy(transport):
        handle = patient(transport)

        async def noting(request):
            sessions[request.id] = request.session
            return await handle(request)

        return noting

    run = run_one(world, policy, **options)
    frame = run.log.requests_frame()
    frame["session"] = frame["request"].map(sessions)
    frame["user"] = frame["session"].str.split("-").str[1].astype(int)
    return run, frame.sort_values(["user", "arrival_s"]).reset_index(drop=True)


def gaps(frame):
    """Between the end of a request and the same user's next one, and whether both are of one session."""
    before, after = frame.iloc[:-1], frame.iloc[1:]
    same_user = before["user"].to_numpy() == after["user"].to_numpy()
    wait = after["arrival_s"].to_numpy() - before["end_s"].to_numpy()
    same_session = before["session"].to_numpy() == after["session"].to_numpy()
    return wait[same_user], same_session[same_user]


def test_users_think_after_each_answer():
    _, frame = asked(closed(users=50))
    wait, _ = gaps(frame)
    assert len(wait) > 9000
    assert (wait >= 0).all()
    assert stats.kstest(wait, "expon", args=(0, 9)).pvalue > 1e-3
    assert sorted(frame["user"].unique()) == list(range(50))


def test_a_session_has_its_requests_and_then_comes_the_pause():
    _, frame = asked(closed(think=2, length=4, pause=30))
    wait, same = gaps(frame)
    assert wait[same] == pytest.approx(2)
    assert wait[~same] == pytest.approx(30)
    sizes = frame.groupby("session").size()
    last = frame.groupby("user")["session"].last()
    assert set(sizes.drop(last)) == {4}


def test_throughput_is_that_of_the_interactive_law():
    """X = N / (Z + R) (Denning and Buzen 1978)."""
    _, frame = asked(closed(users=40, horizon=5000))
    late = (frame["arrival_s"] > 500) & (frame["arrival_s"] < 4900)
    assert late.sum() / 4400 == pytest.approx(40 / (9 + 1), rel=0.02)


def test_machine_repair():
    """One slot, exponential service and thinking: the utilisation of M/M/1//N."""
    users, think, service = 6, 5.0, 1.0
    _, frame = asked(
        closed(users, exp(think), horizon=20_000, latency=exp(service), max_concurrency=1, deadline="1h")
    )
    weights = [1.0]
    for n in range(users):
        weights.append(weights[-1] * (users - n) * service / think)
    busy = 1 - weights[0] / sum(weights)
    late = frame["arrival_s"] > 200
    assert late.sum() / 19_800 * service == pytest.approx(busy, rel=0.03)


def test_a_slow_service_is_asked_less_often():
    counts = [len(asked(closed(latency=latency))[1]) for latency in (1, 11)]
    assert counts[0] == pytest.approx(2 * counts[1], rel=0.1)


def test_a_users_request_has_its_number_and_its_luck_whatever_the_answers_took():
    frames = [asked(closed(prompt_tokens=exp(800), latency=latency))[1] for latency in (1, 11)]
    quick, slow = (frame.assign(nth=frame.groupby("user").cumcount()) for frame in frames)
    both = pd.merge(quick, slow, on=["user", "nth"])
    assert len(both) > 1500
    assert (both["request_x"] == both["request_y"]).all()
    assert (both["prompt_tokens_x"] == both["prompt_tokens_y"]).all()
    assert (both["session_x"] == both["session_y"]).all()
    assert quick["request"].is_unique


def test_numbers_are_unique_for_many_users_and_requests():
    _, frame = asked(closed(users=100, think=0.5, latency=0.1, horizon=120))
    assert len(frame) > 15_000
    assert frame["request"].is_unique
    assert frame["prompt_tokens"].notna().all()


def test_runs_are_reproducible_and_more_users_move_nobody():
    assert digest(run_one(closed(), patient)) == digest(run_one(closed(), patient))
    few, many = (asked(closed(users=users, prompt_tokens=exp(800)))[1] for users in (64, 128))
    # Users are numbered in groups of 32, whose pages alternate: what a user asks stays the same.
    first = [frame.groupby("user")["arrival_s"].first() for frame in (few, many)]
    assert (first[0].iloc[:32] == first[1].iloc[:32]).all()


def test_the_loop_is_closed_by_the_last_retry():
    """The next request comes the think time after the client has given up."""
    client = {"retries": 2, "backoff": {"base": 3, "cap": 3, "jitter": "none"}}
    world = closed(think=10, errors={500: 1.0}, client=client)
    run, frame = asked(world)
    found = intents(run.requests)
    assert set(found["requests"]) == {3}
    wait, _ = gaps(frame)
    assert np.unique(np.round(wait, 6)).tolist() == [3, 10]


def test_a_window_begins_with_fresh_users():
    run, frame = asked(closed(), window=(1000.0, 200.0))
    assert run.epoch_s == 1000
    whole = asked(closed())[1]
    assert len(frame) == pytest.approx(len(whole) / 10, rel=0.15)
    assert not set(frame["request"]) & set(whole[whole["arrival_s"] < 700]["request"])
