"""What a policy does that no simulation can allow ends the run, says where, and keeps what was recorded."""

from __future__ import annotations

import pickle

import pytest

import simsla
from simsla.simulation import PolicyFactoryError, run_one
from simsla.virtualtime import LeakedTasksError, RealIOError
from simsla.virtualtime.blocking import BlockedLoopError
from simsla.virtualtime.busy import busy_loops_ended

from . import misbehaving_policies as policies
from .scenarios import scenario


@pytest.fixture(autouse=True)
def soon_busy(monkeypatch):
    monkeypatch.setattr(busy_loops_ended.__wrapped__, "__defaults__", (0.4,))


@pytest.mark.parametrize(
    ("policy", "error", "says"),
    [
        (policies.sleeps_for_real, BlockedLoopError, r"time\.sleep\(1\) blocks the event loop with a real"),
        (policies.computes_for_ever, BlockedLoopError, "a busy loop blocks the event loop"),
        (policies.waits_for_the_clock, BlockedLoopError, "a busy loop blocks the event loop"),
        (policies.opens_a_socket, RealIOError, r"socket\.getaddrinfo\('198\.51\.100\.7'\)"),
        (policies.fetches_with_the_standard_library, RealIOError, r"socket\.getaddrinfo\('example\.com'\)"),
        (policies.starts_a_process, RealIOError, r"subprocess\.Popen\('true'\)"),
        (policies.starts_a_thread, RealIOError, "a thread is started for print"),
    ],
)
def test_it_ends_the_run_though_the_policy_catches_the_error(policy, error, says):
    with pytest.raises(error, match=says) as caught:
        run_one(scenario(horizon=60), policy)
    assert f" at {policies.__file__}:" in str(caught.value)
    partial = caught.value.partial
    frame = partial.log.requests_frame()
    assert 9 <= len(frame) <= 11
    assert set(frame["outcome"]) <= {"cached"}
    assert partial.start_s == 0
    assert frame["end_s"].max() <= partial.end_s < 60


def test_asyncio_streams_are_refused_too():
    with pytest.raises(RealIOError, match=r"create_connection\(\) would touch the real world.*misbehaving"):
        run_one(scenario(horizon=60), policies.connects_with_asyncio)


def test_tasks_that_will_not_end_are_named():
    with pytest.raises(LeakedTasksError, match=r"leaks tasks: \d+ did not end") as caught:
        run_one(scenario(horizon=10), policies.leaks_tasks)
    assert f" at {policies.__file__}:" in caught.value.waiting[0]
    assert len(caught.value.partial.requests["request"]) == len(caught.value.waiting)


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (policies.raises_in_its_factory, "its factory raised ValueError: no key for the gateway"),
        (policies.hangs_in_its_factory, r"(?s)its factory never returns: deadlock.*misbehaving_policies\.py"),
        (policies.computes_for_ever_in_its_factory, r"its factory raised BlockedLoopError.*misbehaving"),
    ],
)
def test_a_factory_that_fails_is_named(policy, says):
    with pytest.raises(PolicyFactoryError, match=says) as caught:
        run_one(scenario(horizon=10), policy)
    assert len(caught.value.partial.requests["request"]) == 0


def test_a_factory_that_catches_its_refusal_fails_all_the_same():
    def factory(transport):
        try:
            policies.socket.gethostbyname("example.com")
        except Exception:
            return policies.sleeps_for_real(transport)

    with pytest.raises(RealIOError, match="gethostbyname"):
        run_one(scenario(horizon=10), factory)


@pytest.mark.parametrize("keep_logs", [True, False])
def test_the_error_of_simulate_has_the_result_up_to_then(keep_logs):
    with pytest.raises(BlockedLoopError) as caught:
        simsla.simulate(
            scenario(horizon=60),
            policies.sleeps_for_real,
            replications=3,
            keep_logs=keep_logs,
            progress=False,
        )
    result = caught.value.partial
    assert isinstance(result, simsla.Result)
    assert result.replications == 1
    assert 9 <= sum(result.outcomes.values()) <= 11
    if keep_logs:
        assert len(result.requests) == sum(result.outcomes.values())
    assert result.to_dict()["requests"] == sum(result.outcomes.values())


def test_nothing_is_kept_of_a_factory_that_failed_at_once():
    with pytest.raises(PolicyFactoryError, match="no key for the gateway") as caught:
        simsla.simulate(scenario(horizon=60), policies.raises_in_its_factory, progress=False)
    assert caught.value.partial is None


def test_replications_that_had_ended_are_kept_whole():
    runs = []

    def policy(transport):
        runs.append(1)
        return policies.sleeps_for_real(transport) if len(runs) == 3 else policies._after_ten(int)(transport)

    with pytest.raises(BlockedLoopError) as caught:
        simsla.simulate(scenario(horizon=60), policy, replications=5, progress=False)
    first, second, third = caught.value.partial.runs
    assert (first.end_s, second.end_s) == (60, 60)
    assert third.end_s < 60


def test_a_failure_within_the_warmup_keeps_the_warmup():
    world = scenario(horizon=60).with_values({"warmup": 50})
    with pytest.raises(BlockedLoopError) as caught:
        simsla.simulate(world, policies.sleeps_for_real, replications=1, progress=False)
    assert 9 <= len(caught.value.partial.requests) <= 11


def test_errors_cross_processes_with_what_was_recorded():
    with pytest.raises(RealIOError) as caught:
        run_one(scenario(horizon=60), policies.opens_a_socket)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert len(copy.partial.requests["request"]) == len(caught.value.partial.requests["request"])
    with pytest.raises(LeakedTasksError) as leaked:
        run_one(scenario(horizon=10), policies.leaks_tasks)
    copy = pickle.loads(pickle.dumps(leaked.value))
    assert (str(copy), copy.waiting) == (str(leaked.value), leaked.value.waiting)
