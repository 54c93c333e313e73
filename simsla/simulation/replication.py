"""`run_one`: one replication of a scenario under a policy."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simsla.records import ColumnRecorder, Log, Recorder
from simsla.records.log import Columns
from simsla.simulation.clients import source_kind
from simsla.simulation.harness import Failures, Harness
from simsla.simulation.interrupts import interruptible
from simsla.simulation.policies import Policy, handle_of, resolve_policy
from simsla.virtualtime import SimEventLoop, running_loop_set_aside
from simsla.world.assembly import transport_of
from simsla.world.environment import Environment
from simsla.world.faults import draw_environment
from simsla.world.gateway.pool import Pool
from simsla.world.gateway.usage import GatewayUsage
from simsla.world.serving import servers_of
from simsla.world.streams import Stream
from simsla.world.traffic import ClassTraffic, since_monday_s

if TYPE_CHECKING:
    from simsla.scenario import Scenario

# Background tasks that outlive the requests are cancelled, and have so much virtual time to end.
_GRACE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Replication:
    """What one run left behind.

    `log` holds both logs, warm-up included; it is empty where another recorder kept them. Its times are on
    the run's clock, which is 0 at the absolute time `epoch_s`; requests that arrived in [start_s, end_s) of
    that clock are the measured ones. `unowned` counts the attempts that belonged to no request, `failures`
    what the policy raised, by type, and `leftover_tasks` the background tasks that would not end when
    cancelled.
    """

    seed: int
    replication: int
    epoch_s: float
    start_s: float
    end_s: float
    log: Log
    environment: Environment
    unowned: int = 0
    failures: Mapping[str, Failures] = field(default_factory=dict)
    leftover_tasks: int = 0
    gateway: GatewayUsage | None = None
    """The gateway's pods over time, and what their autoscaler saw; None without pods."""

    @property
    def requests(self) -> Columns:
        """The request log: name to column (see `Log`)."""
        return self.log.requests

    @property
    def attempts(self) -> Columns:
        """The attempt log: name to column (see `Log`)."""
        return self.log.attempts


def run_one(
    scenario: Scenario,
    policy: Policy | str | None = None,
    seed: int = 1,
    replication: int = 0,
    *,
    environment: Environment | None = None,
    window: tuple[float, float] | None = None,
    recorder: Recorder | None = None,
) -> Replication:
    """Run one replication: a pure function of its arguments.

    `policy` is a factory or its name, by default the scenario's own. `environment` is drawn unless given.
    `window` is an absolute start and a length in seconds, measured after a warm-up before it; by default the
    whole horizon after the warm-up. The luck of a request does not depend on the window. `recorder` receives
    the logs in place of the columns of the result.

    Raises PolicyError for a policy that is none, PolicyFactoryError for one whose factory fails, and
    VirtualTimeError where virtual time cannot go on.
    """
    factory = resolve_policy(scenario.routing if policy is None else policy)
    if window is None:
        begin_s, start_s, end_s = 0.0, scenario.warmup_s, scenario.horizon_s
    else:
        start_s, end_s = window[0], window[0] + window[1]
        begin_s = max(0.0, start_s - scenario.warmup_s)
    # Requests in flight drain for at most their deadline, and then the retries of their clients.
    drained_s = end_s + max(spec.longest_s for spec in scenario.traffic.values())
    if environment is None:
        environment = draw_environment(scenario, seed, replication, drained_s)
    columns = recorder if isinstance(recorder, ColumnRecorder) else ColumnRecorder()
    if recorder is None:
        recorder = columns
    specs = list(scenario.deployments.values())
    servers = servers_of(scenario, environment, seed, replication, begin_s, drained_s)
    week_s = since_monday_s(scenario.start)
    traffic = [
        ClassTraffic(spec, seed, replication, len(specs), week_s) for spec in scenario.traffic.values()
    ]
    deployments = [spec.to_deployment(scenario.start.date()) for spec in specs]
    generator = random.Random(int(Stream(seed, replication, "policy").generator().integers(1 << 62)))
    with _virtual_loop() as loop:
        pool = None
        if scenario.gateway is not None:
            pool = Pool(scenario.gateway, loop, seed, replication, begin_s, drained_s)
        transport = transport_of(
            scenario, pool, loop, deployments, servers, recorder, generator, seed, replication
        )

        async def main() -> tuple[Harness, int]:
            handle = handle_of(factory, transport)
            harness = Harness(loop, transport, recorder, handle, traffic, source_kind)
            await harness.run(begin_s, end_s)
            leftover = await _end_background_tasks()
            await loop.shutdown_asyncgens()
            return harness, leftover

        harness, leftover = loop.run_until_complete(main())
    return Replication(
        seed,
        replication,
        begin_s,
        start_s - begin_s,
        end_s - begin_s,
        columns.log(tuple(scenario.traffic), tuple(scenario.deployments)),
        environment,
        transport.unowned,
        dict(harness.failures),
        leftover,
        None if pool is None else pool.usage(),
    )


@contextlib.contextmanager
def _virtual_loop() -> Iterator[SimEventLoop]:
    """A loop for one run, which leaves nothing behind, whatever happens in it."""
    loop = SimEventLoop()
    thresholds = gc.get_threshold()
    # Requests make no cycles of garbage; looking for them at every 700th object costs time and finds none.
    gc.set_threshold(50_000, 20, 50)
    try:
        # In a notebook cell another loop is running in this thread.
        with running_loop_set_aside(), interruptible(loop):
            yield loop
    finally:
        gc.set_threshold(*thresholds)
        for task in asyncio.all_tasks(loop):
            # An interrupted run leaves tasks on purpose; asyncio need not report each. Private: not in stubs.
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()


async def _end_background_tasks() -> int:
    """Cancel what the policy left running; how many tasks would not end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if not others:
        return 0
    for task in sorted(others, key=hash):
        task.cancel()
    _, pending = await asyncio.wait(others, timeout=_GRACE_S)
    return len(pending)
