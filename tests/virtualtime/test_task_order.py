"""Sets of tasks are in one order in every process, whatever the hash seed and the memory's layout."""

import asyncio
import subprocess
import sys

from simsla.virtualtime import run_in_virtual_time

PROGRAM = """
import asyncio, random, sys
from simsla.virtualtime import run_in_virtual_time

layout = random.Random(int(sys.argv[1]))
garbage = [bytearray(layout.randrange(1, 2000)) for _ in range(layout.randrange(20_000))]
keep = [object() for _ in range(layout.randrange(1_000))]

async def job(number, log, seconds):
    try:
        await asyncio.sleep(seconds)
    finally:
        log.append(number)

async def first_completed(log):
    tasks = [asyncio.create_task(job(n, log, 5 + n % 3)) for n in range(50)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    log.append([int(task.get_name()[5:]) - int(tasks[0].get_name()[5:]) for task in done])
    for task in pending:
        task.cancel()
    await asyncio.wait(pending)

async def abort(log):
    async def fail():
        await asyncio.sleep(1)
        raise LookupError
    try:
        async with asyncio.TaskGroup() as group:
            for n in range(50):
                group.create_task(job(n, log, 100))
                layout.random() < .5 and garbage.append(bytearray(layout.randrange(2000)))
            group.create_task(fail())
    except* LookupError:
        pass

async def timed_out(log):
    tasks = [asyncio.create_task(job(n, log, n)) for n in range(20)]
    done, pending = await asyncio.wait(tasks, timeout=9.5)
    for task in [*pending]:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)

async def as_completed(log):
    tasks = [asyncio.create_task(job(n, log, 1)) for n in range(20)]
    for future in asyncio.as_completed(tasks):
        await future

async def leftovers(log):
    # Numbers so far apart collide in a set, whose order then depends on what it held before.
    for n in range(5_000):
        task = asyncio.create_task(job(n, log, 1 if n % 512 else 1e6))
        if n % 512 == 0:
            kept.append(task)
        await asyncio.sleep(1)

async def crowd():
    await asyncio.gather(*(asyncio.sleep(1) for _ in range(int(sys.argv[1]) % 2 * 20_000)))

kept, log = [], []
run_in_virtual_time(crowd())  # what ran in this process before must not matter either
for program in (first_completed, abort, timed_out, as_completed, leftovers):
    run_in_virtual_time(program(log))
print(log)
"""


def test_tasks_stand_in_one_order_in_every_process(child_environment):
    outputs = set()
    for seed in ("0", "1", "2024"):
        outputs.add(
            subprocess.run(
                [sys.executable, "-c", PROGRAM, seed],
                env=child_environment | {"PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
    (output,) = outputs
    assert len(output) > 1_000


def test_tasks_hash_in_the_order_of_their_creation():
    async def main():
        tasks = [asyncio.create_task(asyncio.sleep(1)) for _ in range(100)]
        return [hash(task) for task in tasks]

    hashes = run_in_virtual_time(main())
    assert hashes == list(range(hashes[0], hashes[0] + 100))
