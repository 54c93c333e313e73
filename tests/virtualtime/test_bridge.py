"""One calendar: tasks await SimPy events, and SimPy processes yield tasks."""

import asyncio

import pytest
import simpy

from simsla.virtualtime import SimEventLoop, TaskCancelledError, VirtualTimeError, run_in_virtual_time


def this_loop() -> SimEventLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimEventLoop)
    return loop


# A task awaits an event


def test_a_task_awaits_a_simpy_timeout():
    async def main():
        env = this_loop().env
        value = await env.timeout(3.0, value="done")
        return value, env.now

    assert run_in_virtual_time(main()) == ("done", 3.0)


def test_a_task_awaits_a_process_and_gets_what_it_returns():
    def process(env):
        yield env.timeout(2.0)
        return 42

    async def main():
        env = this_loop().env
        return await env.process(process(env)), env.now

    assert run_in_virtual_time(main()) == (42, 2.0)


def test_an_event_that_is_processed_is_awaited_at_once():
    async def main():
        event = this_loop().env.timeout(1.0, value="kept")
        await asyncio.sleep(5.0)
        return await event, this_loop().time()

    assert run_in_virtual_time(main()) == ("kept", 5.0)


def test_any_number_of_tasks_await_one_event():
    async def main():
        event = this_loop().env.event()

        async def waiter():
            return await event, this_loop().time()

        tasks = [asyncio.create_task(waiter()) for _ in range(3)]
        await asyncio.sleep(1.0)
        event.succeed("go")
        return await asyncio.gather(*tasks)

    assert run_in_virtual_time(main()) == [("go", 1.0)] * 3


def test_events_are_awaitables_to_asyncios_functions():
    async def main():
        env = this_loop().env
        values = await asyncio.gather(env.timeout(1.0, value="a"), env.timeout(2.0, value="b"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(env.event(), 3.0)
        return values, env.now

    assert run_in_virtual_time(main()) == (["a", "b"], 5.0)


def test_a_task_gets_the_exception_of_a_failed_event():
    def process(env):
        yield env.timeout(1.0)
        raise LookupError("nothing there")

    async def main():
        env = this_loop().env
        with pytest.raises(LookupError, match="nothing there"):
            await env.process(process(env))
        failed = env.event()
        failed.fail(KeyError("k"))
        with pytest.raises(KeyError):
            await failed
        with pytest.raises(KeyError):
            await failed
        return env.now

    assert run_in_virtual_time(main()) == 1.0


def test_a_cancelled_task_leaves_the_event_to_others():
    async def main():
        event = this_loop().env.timeout(10.0, value="fired")

        async def waiter():
            return await event

        leaves, stays = asyncio.create_task(waiter()), asyncio.create_task(waiter())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(leaves, 2.0)
        assert len(event.callbacks) == 1
        return await stays, this_loop().time()

    assert run_in_virtual_time(main()) == ("fired", 10.0)


def test_a_resource_is_shared_by_tasks_and_processes():
    order = []

    def process(env, resource):
        with resource.request() as request:
            yield request
            order.append(("process", env.now))
            yield env.timeout(2.0)

    async def customer(resource):
        with resource.request() as request:
            await request
            order.append(("task", this_loop().time()))
            await asyncio.sleep(3.0)

    async def main():
        env = this_loop().env
        resource = simpy.Resource(env, 1)
        first = asyncio.create_task(customer(resource))
        await asyncio.sleep(1.0)
        env.process(process(env, resource))
        await asyncio.gather(first, customer(resource))
        return resource.count

    assert run_in_virtual_time(main()) == 0
    assert order == [("task", 0.0), ("process", 3.0), ("task", 5.0)]


def test_a_task_cancelled_in_a_simpy_queue_leaves_the_queue():
    async def main():
        env = this_loop().env
        resource = simpy.Resource(env, 1)
        resource.request()

        async def customer():
            with resource.request() as request:
                await request

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(customer(), 1.0)
        return len(resource.queue)

    assert run_in_virtual_time(main()) == 0


def test_an_event_of_another_environment_cannot_be_awaited():
    elsewhere = simpy.Environment()

    async def main():
        with pytest.raises(VirtualTimeError, match="does not run its environment"):
            await elsewhere.timeout(1.0)

    run_in_virtual_time(main())
    asyncio.run(main())


def test_an_event_that_fails_with_nobody_to_handle_it_ends_the_run():
    def process(env):
        yield env.timeout(1.0)
        raise LookupError("a bug in a process")

    async def main():
        env = this_loop().env
        env.process(process(env))
        try:
            await asyncio.sleep(10.0)
        finally:
            cleaned.append(env.now)

    cleaned = []
    with pytest.raises(LookupError, match="a bug in a process"):
        run_in_virtual_time(main())
    assert cleaned == [1.0]


def test_an_event_that_fails_as_its_only_task_is_cancelled_ends_the_run():
    async def main():
        event = this_loop().env.event()

        async def waiter():
            await event

        task = asyncio.create_task(waiter())
        await asyncio.sleep(1.0)
        event.fail(LookupError("for nobody"))
        task.cancel()
        await asyncio.sleep(1.0)

    with pytest.raises(LookupError, match="for nobody"):
        run_in_virtual_time(main())


# A process yields a task


def test_a_process_yields_a_task():
    async def work():
        await asyncio.sleep(2.0)
        return "answer"

    def process(env, loop):
        value = yield loop.create_task(work())
        return value, env.now

    async def main():
        env = this_loop().env
        return await env.process(process(env, this_loop()))

    assert run_in_virtual_time(main()) == ("answer", 2.0)


def test_a_process_yields_a_task_that_is_done():
    async def work():
        return "answer"

    def process(task):
        first = yield task
        second = yield task
        return first, second

    async def main():
        task = asyncio.create_task(work())
        await task
        return await this_loop().env.process(process(task))

    assert run_in_virtual_time(main()) == ("answer", "answer")


def test_a_process_gets_the_exception_of_a_task():
    async def work():
        await asyncio.sleep(1.0)
        raise LookupError("no")

    def process(task):
        try:
            yield task
        except LookupError as error:
            return str(error)

    async def main():
        return await this_loop().env.process(process(asyncio.create_task(work())))

    assert run_in_virtual_time(main()) == "no"


def test_a_process_sees_a_cancelled_task():
    def process(env, task):
        try:
            yield task
        except TaskCancelledError:
            return env.now

    async def main():
        task = asyncio.create_task(asyncio.sleep(100.0))
        process_done = this_loop().env.process(process(this_loop().env, task))
        await asyncio.sleep(4.0)
        task.cancel()
        return await process_done

    assert run_in_virtual_time(main()) == 4.0


def test_a_process_that_waits_for_a_task_can_be_interrupted():
    def process(env, task):
        try:
            yield task
        except simpy.Interrupt as interrupt:
            return interrupt.cause, env.now

    async def main():
        task = asyncio.create_task(asyncio.sleep(10.0, "slept"))
        waiting = this_loop().env.process(process(this_loop().env, task))
        await asyncio.sleep(3.0)
        waiting.interrupt("enough")
        return await waiting, await task, this_loop().time()

    assert run_in_virtual_time(main()) == (("enough", 3.0), "slept", 10.0)


def test_tasks_take_part_in_simpys_conditions():
    def process(env, quick, slow):
        first = yield env.any_of([quick, slow, env.timeout(50.0)])
        assert quick in first
        assert slow not in first
        assert first[quick] == "quick"
        both = yield env.all_of([quick, slow])
        return [both[quick], both[slow]], env.now

    async def main():
        quick = asyncio.create_task(asyncio.sleep(1.0, "quick"))
        slow = asyncio.create_task(asyncio.sleep(2.0, "slow"))
        return await this_loop().env.process(process(this_loop().env, quick, slow))

    assert run_in_virtual_time(main()) == (["quick", "slow"], 2.0)


def test_as_event_lets_a_process_wait_for_any_awaitable():
    async def work():
        await asyncio.sleep(2.0)
        return "coroutine"

    def process(loop, future):
        first = yield loop.as_event(work())
        second = yield loop.as_event(future)
        third = yield loop.as_event(asyncio.gather(work(), work()))
        return first, second, third, loop.time()

    async def main():
        future = this_loop().create_future()
        this_loop().call_later(1.0, future.set_result, "future")
        return await this_loop().env.process(process(this_loop(), future))

    assert run_in_virtual_time(main()) == ("coroutine", "future", ["coroutine"] * 2, 4.0)


@pytest.mark.parametrize("someone_waits", [True, False])
def test_the_failure_of_a_task_is_reported_once(someone_waits):
    """By the process that waits, or by asyncio when nobody ever looked."""
    reports = []

    async def work():
        await asyncio.sleep(1.0)
        raise LookupError("lost")

    def process(task, patience):
        try:
            yield patience.env.any_of([task, patience])
        except LookupError:
            return "handled"
        return "gave up"

    async def main():
        this_loop().set_exception_handler(lambda _, context: reports.append(context["exception"]))
        task = asyncio.create_task(work())
        env = this_loop().env
        outcome = await env.process(process(task, env.timeout(2.0 if someone_waits else 0.5)))
        await asyncio.sleep(5.0)
        return outcome

    outcome = run_in_virtual_time(main())
    assert outcome == ("handled" if someone_waits else "gave up")
    assert [str(report) for report in reports] == ([] if someone_waits else ["lost"])
