"""Clients who act on what they get: they stop waiting, ask again, or think and ask for something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simsla.records import OUTCOMES
from simsla.records.intents import RETRY_BITS
from simsla.simulation.harness import ABANDONED, TIMEOUT, Source
from simsla.world.streams import BLOCK

if TYPE_CHECKING:
    from simsla.routing import Request
    from simsla.simulation.harness import Harness
    from simsla.world.arrivals.sessions import User
    from simsla.world.requests import OpenRequest, SimRequest
    from simsla.world.traffic import Block, ClassTraffic

__all__ = ["source_kind"]

_INF = float("inf")


def source_kind(traffic: ClassTraffic) -> type[Source]:
    """How the requests of a class come: from clients who act, if there are any."""
    if traffic.users is not None:
        return _SessionSource
    return Source if traffic.spec.client is None else _ClientSource


class _Intent:
    """What somebody wants: the first request and its retries."""

    __slots__ = ("asked", "block", "calls", "gives_up_s", "number", "place", "user")

    def __init__(self, block: Block, place: int, number: int, gives_up_s: float, user: User | None) -> None:
        self.block = block
        self.place = place
        self.number = number
        self.gives_up_s = gives_up_s
        self.user = user
        self.asked = 0
        # A retry meets the luck of a further call by the same request: nothing that was met comes again.
        self.calls: dict[Any, int] = {}


class _ClientSource(Source):
    """Requests from outside, whose clients time out and ask again.

    A retry has the place, and so the lengths and the topic, of the request that it repeats; its calls count
    on from those of the tries before.
    """

    def __init__(self, harness: Harness, traffic: ClassTraffic, code: int, classes: int) -> None:
        super().__init__(harness, traffic, code, classes)
        client = self._spec.client
        self._retries = 0 if client is None else client.retries
        self._retried = frozenset() if client is None else frozenset(map(OUTCOMES.index, client.on))
        self._timeout = None if client is None else client.timeout
        self._cancels = client is None or client.cancels
        self._budget = None if client is None else client.budget
        self._account = 0.0 if self._budget is None else self._budget.burst
        self._intents: dict[int, _Intent] = {}  # by the number of the request that is open

    def _admit(self, block: Block, place: int, number: int, patience_s: float) -> SimRequest:
        return self._want(block, place, number, patience_s, None)

    def _want(
        self, block: Block, place: int, number: int, patience_s: float, user: User | None
    ) -> SimRequest:
        """Somebody wants something, and makes the first request for it."""
        if self._budget is not None:
            self._account = min(self._budget.burst, self._account + self._budget.ratio)
        return self._ask(_Intent(block, place, number, self._env._now + patience_s, user))

    def _ask(self, intent: _Intent) -> SimRequest:
        """Make the next request for it."""
        ordinal, block, place = intent.asked, intent.block, intent.place
        number = intent.number + (ordinal << RETRY_BITS)
        intent.asked += 1
        self._intents[number] = intent
        now = self._env._now
        waits_s = intent.gives_up_s - now
        timeout_s = _INF if self._timeout is None else self._traffic.client_luck(block, ordinal)[0][place]
        # One timer is enough: the earlier. Patience that ends at the deadline comes before it, a timeout not.
        times_out = timeout_s < min(waits_s, self._deadline_s)
        request = super()._admit(block, place, number, _INF if times_out else max(0.0, waits_s))
        whose = request._world
        whose.calls = intent.calls
        if intent.user is not None:
            request.client = f"{self._name}-{intent.user.number}"
            request.session = f"{request.client}-{intent.user.session}"
        if times_out:
            whose.patience = self._loop.call_later(
                timeout_s, self._give_up, request, whose, now, TIMEOUT, context=self._context
            )
        return request

    def _abandon(self, request: Request, whose: OpenRequest, arrival_s: float) -> None:
        self._give_up(request, whose, arrival_s, ABANDONED)

    def _give_up(self, request: Request, whose: OpenRequest, arrival_s: float, outcome: int) -> None:
        """The client waits no longer."""
        if not whose.closed:
            self._close(request.prompt_tokens, whose, arrival_s, outcome)
            if self._cancels:
                whose.task.cancel()

    def _close(
        self, prompt_tokens: int, whose: OpenRequest, arrival_s: float, outcome: int, answer: Any = None
    ) -> int:
        harness = self._harness
        # The run is held open until it is known whether this was the last of it.
        harness.waiting += 1
        outcome = super()._close(prompt_tokens, whose, arrival_s, outcome, answer)
        intent = self._intents.pop(whose.number)
        if outcome in self._retried and intent.asked <= self._retries:
            assert self._spec.client is not None
            retry = intent.asked - 1
            u = self._traffic.client_luck(intent.block, retry)[1][intent.place]
            delay_s = self._spec.client.backoff.delay_s(retry, u)
            if self._env._now + delay_s < intent.gives_up_s and self._affords():
                self._loop.call_later(delay_s, self._ask_again, intent, context=self._context)
                return outcome
        self._ended(intent)
        self._no_longer_waiting()
        return outcome

    def _affords(self) -> bool:
        """Whether the budget has a retry left; it is taken."""
        if self._budget is None:
            return True
        if self._account < 1:
            return False
        self._account -= 1
        return True

    def _ask_again(self, intent: _Intent) -> None:
        try:
            self._ask(intent)
            self._harness.waiting -= 1
        except BaseException as error:
            self._harness.fail(error)

    def _no_longer_waiting(self) -> None:
        harness = self._harness
        harness.waiting -= 1
        if harness.draining:
            harness.end_if_drained()

    def _ended(self, intent: _Intent) -> None:
        """Nothing more will be done for it."""


class _SessionSource(_ClientSource):
    """A closed loop: users who think after the end of a request, and then make the next."""

    def start(self, begin_s: float, end_s: float) -> None:
        assert self._traffic.users is not None
        self._users = self._traffic.users
        self._end_s = end_s - begin_s
        for user, first_s in self._users.begin(begin_s):
            self._later(user, first_s)
        self._loop.call_at(self._end_s, self._harness.source_ended, context=self._context)

    def _later(self, user: User, delay_s: float) -> None:
        """The user's next request, unless the time of arrivals is over by then."""
        if self._env._now + delay_s < self._end_s:
            self._loop.call_later(delay_s, self._next_request, user, context=self._context)

    def _next_request(self, user: User) -> None:
        try:
            block, place = self._users.next(user)
            number = (block.index * BLOCK + place) * self._classes + self._code
            patience_s = _INF if block.patience_s is None else block.patience_s[place]
            self._want(block, place, number, patience_s, user)
        except BaseException as error:
            self._harness.fail(error)

    def _ended(self, intent: _Intent) -> None:
        assert intent.user is not None
        self._later(intent.user, self._users.done(intent.user))
