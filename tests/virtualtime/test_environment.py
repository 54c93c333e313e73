"""Whose environment it is: the loop alone moves it, and gives it back when it closes."""

import asyncio

import pytest
import simpy
import simpy.rt

from simsla.virtualtime import SimEventLoop, VirtualTimeError, run_in_virtual_time


def ticks(env, seen):
    while True:
        yield env.timeout(10)
        seen.append(env.now)


def test_the_environment_of_a_loop_cannot_be_run_by_others():
    loop = SimEventLoop()
    with pytest.raises(VirtualTimeError, match="run_until_complete"):
        loop.env.run()
    with pytest.raises(VirtualTimeError):
        loop.env.run(until=5)
    with pytest.raises(VirtualTimeError):
        loop.env.step()
    loop.close()


def test_one_environment_has_one_loop_at_a_time():
    env = simpy.Environment()
    loop = SimEventLoop(env)
    with pytest.raises(VirtualTimeError, match="another SimEventLoop"):
        SimEventLoop(env)
    loop.close()
    SimEventLoop(env).close()


def test_a_real_time_environment_is_refused():
    with pytest.raises(VirtualTimeError, match="wall clock"):
        SimEventLoop(simpy.rt.RealtimeEnvironment())


def test_processes_started_before_the_loop_go_on_in_it_and_after_it():
    env, seen = simpy.Environment(), []
    env.process(ticks(env, seen))
    env.run(until=25)
    run_in_virtual_time(asyncio.sleep(20.0), env=env)
    assert seen == [10, 20, 30, 40]
    assert env.now == 45.0
    env.run(until=65)
    assert seen == [10, 20, 30, 40, 50, 60]


def test_a_closed_loop_leaves_none_of_its_timers_in_the_calendar():
    env = simpy.Environment()
    loop = SimEventLoop(env)
    timer = loop.call_later(5.0, pytest.fail, "a timer of a closed loop fired")
    env.timeout(7.0)
    loop.close()
    assert len(env._queue) == 1
    timer.cancel()
    env.run()
    assert env.now == 7.0


def test_a_second_loop_goes_on_where_the_first_stopped():
    env = simpy.Environment()
    run_in_virtual_time(asyncio.sleep(3.0), env=env)
    run_in_virtual_time(asyncio.sleep(4.0), env=env)
    assert env.now == 7.0


def test_an_empty_calendar_looks_empty_to_simpy():
    loop = SimEventLoop()
    assert loop.env.peek() == float("inf")
    loop.close()
    assert loop.env.peek() == float("inf")


def test_a_condition_on_the_environments_clock_needs_no_asyncio():
    """SimPy alone runs in the loop as it does in `Environment.run`."""

    def machine(env, log, name, resource):
        for _ in range(3):
            with resource.request() as request:
                yield request
                log.append((env.now, name))
                yield env.timeout(1.5)

    def model(env):
        log, resource = [], simpy.Resource(env, 2)
        done = env.all_of([env.process(machine(env, log, name, resource)) for name in "abcde"])
        return done, log

    plain = simpy.Environment()
    done, expected = model(plain)
    plain.run(until=done)

    async def main():
        env = asyncio.get_running_loop().env
        done, log = model(env)
        await done
        return log

    assert run_in_virtual_time(main()) == expected
