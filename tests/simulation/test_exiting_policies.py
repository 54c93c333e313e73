"""A policy that would end the process ends the run, in words and with what was recorded."""

from __future__ import annotations

import asyncio
import sys

import pytest
from simulation.policies import naive
from simulation.scenarios import scenario

import simsla
from simsla.simulation import run_one
from simsla.simulation.policies import PolicyExitError


def from_its_factory(transport):
    sys.exit(0)


def at_a_request(transport):
    send = naive(transport)

    async def handle(request):
        if asyncio.get_running_loop().time() > 5:
            sys.exit(0)
        return await send(request)

    return handle


def at_a_request_that_blocks(transport):
    def handle(request):
        sys.exit(0)

    return handle


def in_the_background(transport):
    send, tasks = naive(transport), []

    async def leave():
        await asyncio.sleep(0.01)
        sys.exit(0)

    async def handle(request):
        if not tasks:
            tasks.append(asyncio.create_task(leave()))
        return await send(request)

    return handle


EXITING = [from_its_factory, at_a_request, at_a_request_that_blocks, in_the_background]


@pytest.mark.parametrize("policy", EXITING)
def test_sys_exit_ends_the_run_and_says_where(policy):
    with pytest.raises(PolicyExitError, match=r"sys\.exit\(0\).*test_exiting_policies\.py:\d+ in ") as ended:
        run_one(scenario(horizon=20), policy)
    assert len(ended.value.partial.requests["request"]) == (9 if policy is at_a_request else 0)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_it_ends_a_simulation_too(n_jobs):
    policy = "simulation.test_exiting_policies:at_a_request"
    with pytest.raises(PolicyExitError, match=r"sys\.exit"):
        simsla.simulate(scenario(horizon=20), policy, replications=2, n_jobs=n_jobs, progress=False)


def test_an_error_that_is_no_exception_is_the_requests_failure():
    class Stop(BaseException):
        pass

    def policy(transport):
        async def handle(request):
            await asyncio.sleep(0.1)
            raise Stop("enough")

        return handle

    run = run_one(scenario(horizon=20), policy)
    frame = run.log.requests_frame()
    assert set(frame["outcome"]) == {"error"}
    assert (frame["end_s"] - frame["arrival_s"]).to_numpy() == pytest.approx(0.1)
    assert run.failures["Stop"] == (len(frame), "enough")
