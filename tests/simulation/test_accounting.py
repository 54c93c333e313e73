"""What is opened is closed, what is taken is given back, what is spent adds up."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulation.policies import ALL, careless, first_only, hedging, naive, stubborn
from simulation.scenarios import deployment, exp, scenario, traffic

from simsla.records import ATTEMPT_OUTCOMES, OUTCOMES
from simsla.routing import ConnectError
from simsla.simulation import replication, run_one
from simsla.virtualtime import LeakedTasksError, SimEventLoop
from simsla.virtualtime.handles import SimTimerHandle


@pytest.fixture(autouse=True, scope="module")
def few_objects():
    """A run looks for locks among all objects; those of other tests hold none that matter here."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class Watched:
    """A policy, and what the world looked like when its run was over."""

    def __init__(self, policy):
        self.policy = policy

    def __call__(self, transport):
        self.transport = transport
        return self.policy(transport)

    def run(self, world, **options):
        timers = self.timers = []

        class Loop(SimEventLoop):
            def close(self):
                timers.extend(
                    event
                    for *_, event in self.env._queue
                    if type(event) is SimTimerHandle and event[0] is not None
                )
                super().close()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(replication, "SimEventLoop", Loop)
            return run_one(world, self, **options)


class Strict:
    """A recorder that refuses a request which is opened or closed twice, or closed unopened."""

    def __init__(self):
        self.open, self.closed, self.attempts = set(), {}, []

    def open_request(self, request, request_class, arrival_s):
        assert request not in self.open
        assert request not in self.closed
        self.open.add(request)

    def attempt(self, *row):
        self.attempts.append(row)

    def close_request(self, request, *row):
        self.open.remove(request)
        self.closed[request] = row


def busy_most(attempts, code):
    """The most attempts that a deployment served at once, from the log: +1 and -1 at their ends.

    Refused connections and 429s never had a slot; where one ends another may begin.
    """
    turned_away = [ATTEMPT_OUTCOMES.index(name) for name in ("connect", "rate_limited", "context_length")]
    mine = (attempts["deployment"] == code) & ~np.isin(attempts["outcome"], turned_away)
    begin = (attempts["start_s"] + attempts["queued_s"])[mine]
    end = attempts["end_s"][mine]
    served = end - begin > 1e-9
    begin, end = begin[served], end[served]
    moments = np.concatenate([np.round(begin, 7), np.round(end, 7)])
    change = np.concatenate([np.ones(len(begin)), -np.ones(len(end))])
    order = np.lexsort((change, moments))
    return int(np.cumsum(change[order]).max(initial=0))


def in_turn(attempts, code):
    """Whether those that waited and were served began in the order in which they came."""
    mine = attempts["deployment"] == code
    served = mine & np.isin(attempts["outcome"], [ATTEMPT_OUTCOMES.index(n) for n in ("ok", "server_error")])
    begin = (attempts["start_s"] + attempts["queued_s"])[served]
    # Those that came in one instant may be served in any order.
    order = np.lexsort((begin, attempts["start_s"][served]))
    return bool((np.diff(begin[order]) >= -1e-9).all())


latencies = st.sampled_from(
    [
        {"total": 0.5},
        {"total": exp(0.7)},
        {"first_token": 0.2, "per_token": exp(0.005)},
        {"first_token": exp(0.4), "per_token": 0.02},
    ]
)
deployments = st.fixed_dictionaries(
    {"latency": latencies},
    optional={
        "errors": st.sampled_from([{500: 0.3}, {"hang": 0.2}, {"connect": 0.5, "hang": 0.1}]),
        "billing": st.sampled_from(
            [{"cancelled": "full", "timed_out": "none"}, {"cancelled": "none", "timed_out": "full"}]
        ),
        "context_window": st.sampled_from([500, 1020, 2000]),
        "service": st.sampled_from(
            [
                {"kind": "processor_sharing", "servers": 1},
                {"kind": "processor_sharing", "servers": 3},
                {"kind": "batch", "growth": 0.2, "knee": 2},
            ]
        ),
        "account": st.just("team"),
        "rpm": st.sampled_from([60, 200]),
    },
)
limits = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {"max_concurrency": st.integers(1, 3)}, optional={"queue_limit": st.integers(0, 3)}
    ),
)
classes = st.fixed_dictionaries(
    {"rate": st.sampled_from([0.5, 2.0, 6.0]), "deadline": st.sampled_from([0.3, 1.0, 5.0])},
    optional={"patience": st.sampled_from([0.3, 1.0, exp(1.0)]), "max_tokens": st.integers(1, 120)},
)


@st.composite
def worlds(draw):
    specs = {name: draw(deployments) | draw(limits) for name in ("a", "b")[: draw(st.integers(1, 2))]}
    kinds = {name: draw(classes) for name in ("chat", "batch")[: draw(st.integers(1, 2))]}
    faults = draw(
        st.sampled_from(
            [
                [],
                [{"kind": "outage", "gap": exp(10), "repair": exp(3)}],
                [{"kind": "hang", "severity": 0.5, "uptime": exp(10), "repair": exp(5)}],
                [{"kind": "slowdown", "severity": 4, "schedule": [{"start": 5, "duration": 10}]}],
            ]
        )
    )
    return scenario(
        # Errors come at once: in the log a slow one that is broken off looks like an attempt with a slot.
        {name: deployment(components=["g"], error_latency=0, **spec) for name, spec in specs.items()},
        {name: traffic(**kind, tier="standard") for name, kind in kinds.items()},
        components={"g": {"faults": faults}},
        accounts={"team": draw(st.sampled_from([{}, {"max_concurrency": 3}, {"tpm": 100_000}]))},
        horizon=20,
    )


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(world=worlds(), policy=st.sampled_from(ALL), seed=st.integers(0, 10_000))
def test_the_books_balance(world, policy, seed):
    watched, strict = Watched(policy), Strict()
    run = watched.run(world, seed=seed, recorder=(recorder := Both(strict)))
    log = recorder.log(world)

    # Nothing is left behind.
    assert watched.transport.in_flight == 0
    for server in watched.transport._servers.values():
        assert (server.busy, server.in_flight, len(server.waiting)) == (0, 0, 0)
        assert server.sharing is None or server.sharing.sharers == 0
        if server.gate is not None:
            assert not server.gate._inside
            assert server.gate._account is None or server.gate._account.in_progress == 0
    assert watched.transport.open == {}
    assert watched.timers == []

    # Every request ended once, in one outcome.
    assert strict.open == set()
    assert len(strict.closed) == len(log.requests["request"]) == len(set(log.requests["request"].tolist()))
    counts = np.bincount(log.requests["outcome"], minlength=len(OUTCOMES))
    assert len(counts) == len(OUTCOMES)
    assert counts.sum() == len(strict.closed)

    # Nobody's attempts included, every attempt and every cent is somebody's.
    nobody = log.attempts["request"] < 0
    assert nobody.sum() == run.unowned
    assert log.requests["attempts"].sum() + nobody.sum() == len(log.attempts["request"])
    assert log.requests["cost_usd"].sum() + log.attempts["cost_usd"][nobody].sum() == pytest.approx(
        log.attempts["cost_usd"].sum()
    )

    # Time and slots.
    attempts = log.attempts
    assert (attempts["end_s"] >= attempts["start_s"] + attempts["queued_s"] - 1e-9).all()
    assert (log.requests["end_s"] >= log.requests["arrival_s"]).all()
    late = log.requests["end_s"] - log.requests["arrival_s"] - log.requests["deadline_s"]
    assert (late <= 1e-9).all()
    for code, spec in enumerate(world.deployments.values()):
        if spec.max_concurrency is not None:
            assert busy_most(attempts, code) <= spec.max_concurrency
            assert in_turn(attempts, code)


class Both:
    """Two recorders: one that keeps rows, one that looks at them."""

    def __init__(self, strict):
        from simsla.records import ColumnRecorder

        self.columns, self.strict = ColumnRecorder(), strict

    def open_request(self, *row):
        self.strict.open_request(*row)

    def attempt(self, *row):
        self.columns.attempt(*row)
        self.strict.attempt(*row)

    def close_request(self, *row):
        self.columns.close_request(*row)
        self.strict.close_request(*row)

    def log(self, world):
        return self.columns.log(tuple(world.traffic), tuple(world.deployments))


def test_slots_are_used_to_the_full():
    """The bound on busy slots above is reached, so the test of it could fail."""
    world = scenario({"a": deployment(max_concurrency=2)}, {"chat": traffic(3)})
    run = run_one(world, first_only)
    assert busy_most(run.attempts, 0) == 2
    assert (run.attempts["queued_s"] > 0).any()


def test_the_losers_of_hedges_are_cancelled_and_paid_by_their_request():
    world = scenario({"a": deployment(latency={"total": exp(1)}), "b": deployment(latency={"total": exp(1)})})
    run = run_one(world, hedging)
    frame = run.log.attempts_frame()
    assert set(run.log.requests_frame()["attempts"]) == {2}
    assert (frame["outcome"] == "cancelled").mean() > 0.3
    assert (frame.loc[frame["outcome"] == "cancelled", "cost_usd"] == 0.001).all()


def test_background_work_is_ended_after_the_drain():
    run = run_one(scenario({"a": deployment(errors={"hang": 0.3})}, {"chat": traffic(deadline=5)}), careless)
    frame = run.log.attempts_frame()
    background = frame[frame["purpose"] == "check"]
    # Each request's own call is paid for by it, even where it ends after the request did.
    assert len(background) == len(run.requests["request"])
    assert (background["request"] >= 0).all()
    assert set(background["outcome"]) == {"ok", "cancelled"}


def test_a_policy_that_ignores_its_cancellation_still_ends():
    world = scenario({"a": deployment(latency={"total": 3})}, {"chat": traffic(deadline=2)})
    run = run_one(world, stubborn)
    requests = run.log.requests_frame()
    assert set(requests["outcome"]) == {"timeout"}
    assert list(requests["attempts"]) == [2] * len(requests)


def test_tasks_that_will_not_end_are_an_error_that_keeps_the_logs():
    def immortal(transport):
        async def forever():
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    if stop:
                        raise

        async def handle(request):
            tasks.append(asyncio.ensure_future(forever()))

        return handle

    stop, tasks = [], []
    with pytest.raises(LeakedTasksError, match=r"immortal leaks tasks: \d+ did not end") as caught:
        run_one(scenario(horizon=3), immortal)
    requests = caught.value.partial.requests["request"]
    assert len(caught.value.waiting) == len(requests) > 0
    assert f"{__file__}:" in str(caught.value)
    stop.append(True)


def test_a_run_drains_what_is_in_flight_at_the_horizon():
    world = scenario({"a": deployment(latency={"total": 30})}, horizon=10)
    run = run_one(world, naive_without_limits)
    frame = run.log.requests_frame()
    assert (frame["arrival_s"] < 10).all()
    assert set(frame["outcome"]) == {"ok"}
    assert frame["end_s"].max() > 30


def naive_without_limits(transport):
    async def handle(request):
        return await transport.send(request, transport.deployments[0])

    return handle


def test_a_run_without_a_single_arrival():
    run = run_one(scenario(classes={"chat": traffic(1e-9)}), naive)
    assert len(run.requests["request"]) == len(run.attempts["request"]) == 0
    assert list(run.log.requests_frame()["outcome"]) == []
    assert list(run.log.attempts_frame()["relation"]) == []


def test_a_policy_that_retries_without_end_is_stopped_by_the_deadline():
    """Thousands of calls to one deployment by one request cost time and memory in proportion, no more."""

    def furious(transport):
        async def handle(request):
            while True:
                with contextlib.suppress(ConnectError):
                    return await transport.send(request, transport.deployments[0])

        return handle

    world = scenario(
        {"a": deployment(errors={"connect": 1}, error_latency=0.001)},
        {"chat": traffic(0.5, deadline=40)},
        horizon=8,
    )
    run = run_one(world, furious, seed=1)
    frame = run.log.requests_frame()
    assert set(frame["outcome"]) == {"timeout"}
    assert frame["attempts"].to_numpy() == pytest.approx(40_000, abs=2)
