"""What code that nobody wrote for simsla finds around it: clocks, HTTP, locks, luck; and what is refused."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from simsla.integrations.litellm_state import litellm_set_aside
from simsla.simulation.luck import seeded_luck
from simsla.virtualtime.blocking import blocking_calls
from simsla.virtualtime.busy import busy_loops_ended
from simsla.virtualtime.clock import virtual_clocks
from simsla.virtualtime.errors import VirtualTimeError
from simsla.virtualtime.guards import sealed
from simsla.virtualtime.http import answered_by
from simsla.virtualtime.worker_threads import worker_threads_inline
from simsla.world.endpoint import Endpoint, keys_in_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simsla.routing import Transport
    from simsla.scenario.deployments import DeploymentSpec
    from simsla.simulation.policies import Handle, Policy
    from simsla.virtualtime import SimEventLoop

Fidelity = Literal["transport", "blocking transport", "http", "blocking http", "third-party router"]
"""How close to production the code ran that decided:

- `transport`: asyncio code called the world through `Transport`, as the built-in router does.
- `blocking transport`: blocking code did.
- `http`: asyncio code called it with HTTP clients of its own, so that the SDK's limits of time, retries and
  connections are the real ones, too.
- `blocking http`: blocking code did, one greenlet for each request.
- `third-party router`: a router of somebody else, whole and unmodified, decided.
"""

FIDELITIES: Final[tuple[Fidelity, ...]] = (
    "transport",
    "blocking transport",
    "http",
    "blocking http",
    "third-party router",
)

# Libraries keep things for the whole process, so such runs take turns; in one process Python would, anyway.
_ONE_AT_A_TIME: Final = threading.RLock()


class Surroundings:
    """What surrounds the policy of one run, and what it did there."""

    def __init__(self, loop: SimEventLoop) -> None:
        self._loop = loop
        self.endpoint: Endpoint | None = None
        self.refused: VirtualTimeError | None = None
        """The first thing that it did and must not do."""
        self.fail: Callable[[BaseException], None] | None = None
        """Ends the run with an error, once there is something to end."""

    @contextlib.contextmanager
    def entered(
        self,
        transport: Transport,
        specs: Sequence[DeploymentSpec],
        start: datetime,
        begin_s: float,
        seed: int,
        replication: int,
    ) -> Iterator[None]:
        """Surround the factory and the run; the loop's time is 0 at `begin_s` seconds after the date `start`.

        Clocks, sleeps, locks and thread-locals are virtual, HTTP clients are answered by the world, keys that
        are not set are made up, the global generators of `random` and `numpy.random` are seeded, and sockets,
        processes and threads refused. All of it is as before at the end, whatever happens.
        """
        loop = self._loop
        loop.on_refusal = self._refused
        with contextlib.ExitStack() as stack:
            stack.enter_context(_ONE_AT_A_TIME)
            stack.enter_context(seeded_luck(seed, replication))
            stack.enter_context(litellm_set_aside())
            stack.enter_context(virtual_clocks(loop, start, begin_s))
            stack.enter_context(worker_threads_inline())
            stack.enter_context(blocking_calls(loop))
            stack.enter_context(keys_in_environment(transport.deployments))
            self.endpoint = Endpoint(transport, specs)
            stack.enter_context(answered_by(self.endpoint))
            stack.enter_context(sealed(loop.refuse))
            stack.enter_context(busy_loops_ended(loop))
            yield

    def identified(self, handle: Handle) -> Callable[[Any], Awaitable[Any]]:
        """`handle`, whose calls over HTTP are known to be made for its request. Raises what was refused."""
        if self.refused is not None:
            # The factory went on all the same.
            raise self.refused
        assert self.endpoint is not None
        return self.endpoint.identified(handle)

    def _refused(self, error: VirtualTimeError) -> None:
        if self.refused is None:
            self.refused = error
        if self.fail is not None:
            self.fail(error)


def fidelity_of(factory: Policy, seen: Fidelity, endpoint: Endpoint | None) -> Fidelity:
    """How close to production a run was, of whose `handle` only `seen` is known: whether it blocks."""
    while isinstance(factory, functools.partial):
        factory = factory.func
    if (getattr(factory, "__module__", None) or "").startswith("simsla.integrations."):
        return "third-party router"
    if endpoint is None or not (endpoint.calls or endpoint.complaints):
        return seen
    return "blocking http" if seen == "blocking transport" else "http"
