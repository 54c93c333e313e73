"""`run_one`: one replication of a scenario under a policy."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from simsla.records import ColumnRecorder, Log, Recorder
from simsla.records.log import Columns
from simsla.routing import RoutingPolicy
from simsla.simulation.clients import source_kind
from simsla.simulation.harness import Failures, Harness
from simsla.simulation.interrupts import interruptible
from simsla.simulation.policies import (
    Handle,
    Policy,
    PolicyFactoryError,
    exited,
    handle_of,
    is_blocking,
    name_of,
    resolve_policy,
)
from simsla.simulation.surroundings import Fidelity, Surroundings, fidelity_of
from simsla.virtualtime import (
    DeadlockError,
    LeakedTasksError,
    SimEventLoop,
    blocking,
    running_loop_set_aside,
)
from simsla.virtualtime.waiting import describe, readable_time
from simsla.world.assembly import transport_of
from simsla.world.cache_store import CacheStore, StoreConditions
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
    that clock are the measured ones. `unowned` counts the attempts that belonged to no request and `failures`
    what the policy raised, by type.

    Of a run that ended with an error, `partial` of that error holds what was recorded until then: requests
    that had ended, and `end_s` no later than the error. Where the warm-up had not ended, it is measured.
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
    gateway: GatewayUsage | None = None
    """The gateway's pods over time, and what their autoscaler saw; None without pods."""
    fidelity: Fidelity = "transport"
    """How close to production the code ran that decided."""
    http_calls: int = 0
    """The attempts that were made by HTTP clients of the policy's own."""
    sdk_retries: int = 0
    """Those of them that an SDK made by itself, underneath the policy, because its last one had failed."""
    complaints: Mapping[str, int] = field(default_factory=dict)
    """HTTP calls that reached no deployment: how often, by what was wrong with them."""

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

    A policy other than a RoutingPolicy is code of anybody's: for its time the process has virtual clocks, its
    HTTP clients are answered by the world, and blocking code suspends (see `surroundings`).

    Raises PolicyError for a policy that is none, PolicyFactoryError for one whose factory fails or never
    returns, and VirtualTimeError where virtual time cannot go on: the policy stops the event loop, reaches
    for the real world, or leaves tasks that cannot be ended. Each has the attribute `partial`, the
    Replication up to then.
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
        if scenario.cache is not None:
            met = StoreConditions(scenario, environment, seed, replication, begin_s, drained_s)
            transport.cache_store = partial(CacheStore, met)
        around: Surroundings | None = None
        surrounded: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        # The built-in policy reads the loop's clock and draws from the generator it is given: it needs none.
        if not isinstance(factory, RoutingPolicy):
            around = Surroundings(loop)
            surrounded = around.entered(factory, transport, specs, scenario.start, begin_s, seed, replication)
        harness: Harness | None = None
        fidelity: Fidelity = "transport"

        async def main() -> None:
            nonlocal harness, fidelity
            # A factory may wait, as for a list of models, and need not be a coroutine for it.
            handle: Handle = await blocking.run(handle_of, factory, transport)
            if is_blocking(handle):
                fidelity = "blocking transport"
                if around is not None:
                    around.look_everywhere()
            harness = Harness(
                loop,
                transport,
                recorder,
                handle if around is None else around.identified(handle),
                traffic,
                source_kind,
            )
            if around is not None:
                around.fail = harness.fail
            await harness.run(begin_s, end_s)
            await _end_background_tasks(factory)
            await loop.shutdown_asyncgens()

        def recorded(until_s: float) -> Replication:
            # A warm-up that has not ended is all there is to keep.
            measured_s = start_s if until_s > start_s else begin_s
            endpoint = None if around is None else around.endpoint
            return Replication(
                seed,
                replication,
                begin_s,
                measured_s - begin_s,
                min(end_s, until_s) - begin_s,
                columns.log(tuple(scenario.traffic), tuple(scenario.deployments)),
                environment,
                transport.unowned,
                {} if harness is None else dict(harness.failures),
                None if pool is None else pool.usage(),
                fidelity_of(factory, fidelity, endpoint),
                0 if endpoint is None else endpoint.calls,
                0 if endpoint is None else endpoint.sdk_retries,
                {} if endpoint is None else dict(endpoint.complaints),
            )

        try:
            try:
                with surrounded:
                    loop.run_until_complete(main())
            except asyncio.CancelledError:
                # The factory was stopped, as it computed for ever.
                if around is None or around.refused is None:
                    raise
                raise around.refused from None
            except SystemExit as error:
                raise exited(error) from None
            except DeadlockError as error:
                if harness is not None:
                    raise
                raise PolicyFactoryError(
                    f"policy {name_of(factory)}: its factory never returns: {error}"
                ) from error
        except Exception as error:
            error.partial = recorded(begin_s + loop.time())  # type: ignore[attr-defined]
            raise
        return recorded(end_s)


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


async def _end_background_tasks(factory: Policy) -> None:
    """Cancel what the policy left running. Raises LeakedTasksError for tasks that would not end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if not others:
        return
    for task in sorted(others, key=hash):
        task.cancel()
    _, pending = await asyncio.wait(others, timeout=_GRACE_S)
    if pending:
        raise LeakedTasksError(
            f"policy {name_of(factory)} leaks tasks: {len(pending):,} did not end within "
            f"{readable_time(_GRACE_S)} of virtual time after they were cancelled; a task must let "
            "asyncio.CancelledError through",
            tuple(describe(task) for task in sorted(pending, key=hash)),
        )
