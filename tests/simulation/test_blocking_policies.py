"""A policy whose `handle` is a plain function runs as blocking code in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import signal
import traceback

import pytest
from simulation import blocking_policies, policies
from simulation.runs import digest
from simulation.scenarios import deployment, scenario, traffic, varied

from simsla.routing import Timeouts
from simsla.simulation import PolicyFactoryError, run_one
from simsla.virtualtime import DeadlockError, LeakedTasksError
from simsla.virtualtime.blocking import sleep, wait


def blocking(script):
    """The policy of a blocking `script(transport, request)`."""

    def factory(transport):
        return functools.partial(script, transport)

    return factory


def send(transport, request, number=0):
    return wait(transport.send(request, transport.deployments[number], timeouts=Timeouts()))


@pytest.mark.parametrize(
    "policy",
    [
        "simulation.blocking_policies:naive",
        blocking_policies.AsObject,
        lambda transport: blocking_policies.AsObject(transport).__call__,
        lambda transport: functools.partial(
            lambda handle, request: handle(request), blocking_policies.naive(transport)
        ),
        # What only returns a coroutine is no blocking code, and works as well.
        lambda transport: functools.partial(
            lambda handle, request: handle(request), policies.naive(transport)
        ),
    ],
    ids=["name", "object", "method", "partial", "returns a coroutine"],
)
def test_blocking_code_gives_the_same_run_as_the_asyncio_code_it_is(policy):
    assert digest(run_one(varied(60), policy)) == digest(run_one(varied(60), policies.naive))


def test_a_factory_may_wait():
    def factory(transport):
        sleep(5)
        return functools.partial(send, transport)

    run = run_one(scenario(horizon=20), factory)
    # Requests arrive once there is somebody to answer them.
    assert run.requests["arrival_s"].min() >= 5
    assert set(run.log.requests_frame()["outcome"]) == {"ok"}


def test_a_factory_that_waits_for_ever_is_named_with_its_place():
    def factory(transport):
        wait(asyncio.get_running_loop().create_future())

    with pytest.raises(PolicyFactoryError, match=r"test_blocking_policies\.py:\d+ in .*factory") as caught:
        run_one(scenario(horizon=20), factory)
    assert isinstance(caught.value.__cause__, DeadlockError)


def test_a_request_is_ended_at_its_deadline_and_its_call_with_it():
    world = scenario({"a": deployment()}, {"chat": traffic(deadline=1.5)}, horizon=50)
    run = run_one(world, blocking_policies.careful)
    requests = run.log.requests_frame()
    # The pause before the attempt, the attempt of 1.1 s and the pause after it do not fit.
    assert set(requests["outcome"]) == {"timeout"}
    assert set(requests["attempts"]) == {0, 1}
    attempts = run.log.attempts_frame()
    assert set(attempts["outcome"].astype(str)) == {"ok", "cancelled"}


def test_the_clients_patience_ends_a_call_too():
    world = scenario(
        {"a": deployment()}, {"chat": traffic(patience={"kind": "constant", "value": 0.5})}, horizon=50
    )
    run = run_one(world, blocking(send))
    assert set(run.log.requests_frame()["outcome"]) == {"abandoned"}
    assert set(run.log.attempts_frame()["outcome"].astype(str)) == {"cancelled"}


def test_a_thousand_calls_at_once_are_each_credited_to_their_own_request():
    def script(transport, request):
        for _ in range(request.id % 4):
            sleep(request.id % 7)
            send(transport, request)
        sleep(50)
        return send(transport, request)

    run = run_one(scenario(None, {"chat": traffic(100.0)}, horizon=10), blocking(script))
    requests = run.log.requests_frame()
    assert len(requests) > 900
    assert requests["arrival_s"].max() < requests["end_s"].min()
    assert (requests["attempts"] == requests["request"] % 4 + 1).all()
    assert run.unowned == 0


def test_what_a_blocking_policy_raises_is_counted_and_says_where():
    kept = []

    def script(transport, request):
        send(transport, request)
        try:
            raise KeyError("a mistake")
        except KeyError as error:
            kept.append(error)
            raise

    run = run_one(scenario(horizon=10), blocking(script))
    assert set(run.log.requests_frame()["outcome"]) == {"error"}
    assert run.failures["KeyError"].first == "'a mistake'"
    places = [frame.name for frame in traceback.extract_tb(kept[0].__traceback__)]
    assert places[0] == "_answer"
    assert places[-1] == "script"


def test_a_lock_that_is_never_released_fails_those_who_wait_for_it():
    run = run_one(scenario(horizon=30), blocking_policies.forgetful)
    requests = run.log.requests_frame().sort_values("arrival_s")
    assert list(requests["outcome"][:3]) == ["ok"] * 3
    assert set(requests["outcome"][3:]) == {"error"}
    assert re.search(
        r"deadlock: blocking call '.*handle' at .*blocking_policies\.py:\d+ waits for ever for a "
        r"threading\.Lock.*has ended without releasing it",
        run.failures["DeadlockError"].first,
        re.DOTALL,
    )


def test_ctrl_c_ends_a_run_of_blocking_code():
    def script(transport, request):
        sleep(5)
        signal.raise_signal(signal.SIGINT)
        return send(transport, request)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_one(scenario(horizon=60), blocking(script))
    finally:
        signal.signal(signal.SIGINT, before)
    assert digest(run_one(varied(20), blocking_policies.naive)) == digest(run_one(varied(20), policies.naive))


def test_calls_that_would_not_end_are_an_error_that_says_where_they_stand():
    def script(transport, request):
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                sleep(1e9)

    world = scenario({"a": deployment()}, {"chat": traffic(0.5, deadline=5)}, horizon=20)
    with pytest.raises(
        LeakedTasksError, match=r"test_blocking_policies\.py:\d+ in .*script, awaiting sleep"
    ) as caught:
        run_one(world, blocking(script))
    # What happened until then is kept.
    assert set(caught.value.partial.log.requests_frame()["outcome"]) == {"timeout"}
