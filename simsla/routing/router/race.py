"""A call at one candidate, raced by its hedges."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from simsla.routing.errors import AttemptError, AttemptTimeout
from simsla.routing.hedging.choice import choose
from simsla.routing.progress import Progress
from simsla.routing.router.attempts import cut
from simsla.routing.selection.chains import Candidate
from simsla.routing.types import Timeouts

if TYPE_CHECKING:
    from simsla.routing.router.hedging import Hedged

R = TypeVar("R")


class Success(NamedTuple, Generic[R]):
    """The result of a call, where and when it began."""

    candidate: Candidate
    begun_s: float
    result: R


class Race(Generic[R]):
    """The call at one candidate, the primary, and its hedges.

    The primary runs in the request's own task, so that a call which is not late costs a timer and no task. A
    hedge that wins while the primary runs cancels the request's task and takes the cancellation back, as
    `asyncio.timeout` does. Hedges are tasks; the race awaits the end of each, so none outlives it.

    One is made for every call, and most are not late: what hedges need begins as a default of the class.
    """

    timer: asyncio.TimerHandle | None = None
    primary_runs: bool = True
    launched: int = 0
    """Hedges for which the time came."""
    called: Sequence[Candidate] = ()
    """The primary and the hedges sent."""
    hedges: list[asyncio.Task[Success[R] | None]]
    """Those that run."""
    superseded: bool = False
    """Whether a cancellation of the request's task is the race's own."""
    over: bool = False
    """Whether no further success is wanted."""
    success: Success[R] | None = None
    """The first."""
    late: Sequence[Success[R]] = ()
    """Those after it, or after the end."""
    mistake: BaseException | None = None
    """What a hedge raised that is no `AttemptError`."""
    waiter: asyncio.Future[None] | None = None

    def __init__(self, hedged: Hedged[R], progress: Progress, primary: Candidate) -> None:
        task = asyncio.current_task()
        assert task is not None, "a request is handled in a task"
        self.hedged = hedged
        self.progress = progress
        self.primary = primary
        self.begun_s = progress.begun_s
        self.task = task
        self.cancellations = task.cancelling()  # those from before

    async def run(self, ticket: object, timeouts: Timeouts) -> R:
        """The result of the first success; raises the primary's error where there is none."""
        hedged, progress, primary = self.hedged, self.progress, self.primary
        delay_s = hedged.hedges.begin(progress, primary, self.begun_s)
        if delay_s is not None:
            self.timer = self.task.get_loop().call_later(delay_s, self._launch)
        try:
            try:
                result = await hedged.call(progress, primary, ticket, timeouts)
            except BaseException as error:
                self.primary_runs = False
                # A hurried attempt did not get the time to show that it is late.
                if isinstance(error, AttemptTimeout) and timeouts is primary.timeouts:
                    self._took(None)
                if not self.launched or not await self._rescued(error):
                    raise
            else:
                self.primary_runs = False
                if not self.over:
                    self._took(result)
                if not self.launched:
                    return result
                await self._answered(result)
        finally:
            self._stop()
            # A task may keep an error whose traceback leads here.
            del self.task
        success = self.success
        assert success is not None
        # A loser that succeeded in the same instant has left its name as well.
        progress.answered_by = success.candidate
        progress.begun_s = success.begun_s
        return success.result

    async def _answered(self, result: R) -> None:
        """The primary has a result, and there were hedges."""
        success = Success(self.primary, self.begun_s, result)
        if self.over:
            self.late = [*self.late, success]
        else:
            self.success = success
        won = False
        try:
            self._take_back()
            won = True
        finally:
            await self._end(won)

    async def _rescued(self, error: BaseException) -> bool:
        """The primary raised, and there were hedges: whether one has a result."""
        won = False
        try:
            if isinstance(error, AttemptError):
                failed_s = self.hedged.clock.now()
                while self.hedges and not self.over:
                    await self._next_end()
                won = self.success is not None
                if won:
                    self.progress.failed(failed_s, self.primary.deployment.name, error)
            elif self.superseded and isinstance(error, asyncio.CancelledError):
                self._took(None)
                self._lost(self.primary, self.begun_s)
                won = self.success is not None
            if self.superseded or isinstance(error, AttemptError):
                self._take_back()
        except BaseException:
            won = False
            raise
        finally:
            await self._end(won)
        return won

    def _take_back(self) -> None:
        """Raise what is not the race's own: a cancellation from outside, a hedge's mistake."""
        if self.superseded and self.task.uncancel() > self.cancellations:
            raise asyncio.CancelledError
        if self.mistake is not None:
            mistake, self.mistake = self.mistake, None
            try:
                raise mistake
            finally:
                # Whatever holds the error ties it to its own traceback.
                del mistake

    def _lost(self, candidate: Candidate, begun_s: float) -> None:
        """Say that another call was faster."""
        progress, name = self.progress, candidate.deployment.name
        progress.explain(begun_s, "attempt", name)
        progress.explain(self.hedged.clock.now(), "lost", name)

    def _took(self, result: R | None) -> None:
        """Say how long the primary took; without a result, at least so long."""
        hedged = self.hedged
        if hedged.hedges.learns:
            now = hedged.clock.now()
            tokens = None if result is None else hedged.tokens(result)
            hedged.hedges.took(self.primary, self.progress.request, now, now - self.begun_s, tokens)

    # Hedges

    def _launch(self) -> None:
        """It is time for a hedge; a timer calls."""
        if self.task.cancelling() > self.cancellations:
            return  # nobody waits for the answer any more, the primary is only letting go
        loop, hedges = self.task.get_loop(), self.hedged.hedges
        if not self.launched:
            self.hedges = []
            self.called = (self.primary,)
        self.launched += 1
        if self.launched < hedges.max_hedges:
            delay_s = hedges.further(self.progress, self.primary, self.hedged.clock.now())
            if delay_s is not None:
                self.timer = loop.call_later(delay_s, self._launch)
        task = loop.create_task(self._hedge())
        self.hedges.append(task)
        task.add_done_callback(self._ended)

    async def _hedge(self) -> Success[R] | None:
        """One hedge; None where it fails or there is none.

        Nothing is taken before the task runs, neither a ticket nor a token: a task that is cancelled before
        that never does.
        """
        hedged, progress = self.hedged, self.progress
        now = hedged.clock.now()
        candidate, ticket, refusal = choose(
            hedged.selector, hedged.hedges, hedged.max_attempts, progress, self.called, now
        )
        if candidate is None:
            progress.explain(now, "hedge", "none", refusal)
            return None
        name = candidate.deployment.name
        self.called = (*self.called, candidate)
        progress.explain(now, "hedge", name, now - self.begun_s)
        progress.note("hedged", True)
        progress.note("hedge_won", False)
        timeouts, left_s = candidate.timeouts, progress.deadline - now
        if left_s < candidate.total_s:
            timeouts = cut(timeouts, left_s)
        try:
            result = await hedged.call(progress, candidate, ticket, timeouts)
        except AttemptError as error:
            progress.errors = [*progress.errors, error]
            progress.explain(now, "attempt", name)
            progress.explain(hedged.clock.now(), "failed", name, error.kind)
            return None
        except asyncio.CancelledError:
            self._lost(candidate, now)
            raise
        return Success(candidate, now, result)

    # The end

    def _ended(self, task: asyncio.Task[Success[R] | None]) -> None:
        """A hedge has ended."""
        self.hedges.remove(task)
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)
        if task.cancelled():
            return
        mistake = task.exception()
        success = task.result() if mistake is None else None
        if self.over:
            if success is not None:
                self.late = [*self.late, success]
            elif mistake is not None:
                context = {"message": "a hedge that lost", "exception": mistake, "task": task}
                self.task.get_loop().call_exception_handler(context)
        elif success is not None or mistake is not None:
            self.success, self.mistake = success, mistake
            if success is not None:
                self.progress.note("hedge_won", True)
            self._stop()
            # Not over a cancellation from outside, which would be taken back with it.
            if self.primary_runs and self.task.cancelling() == self.cancellations:
                self.superseded = True
                self.task.cancel()

    def _stop(self) -> None:
        """No further success is wanted: cancel what runs, once."""
        if not self.over:
            self.over = True
            if self.timer is not None:
                self.timer.cancel()
            if self.launched:
                for task in self.hedges:
                    task.cancel()

    async def _next_end(self) -> None:
        """Until a hedge ends."""
        self.waiter = self.task.get_loop().create_future()
        await self.waiter

    async def _end(self, won: bool) -> None:
        """Await the losers, whatever happens meanwhile, and discard what is not wanted."""
        self._stop()
        interrupted = False
        while self.hedges:
            try:
                await self._next_end()
            except asyncio.CancelledError:
                interrupted = True
        for late in self.late:
            interrupted |= await self._interrupts_discarding(late)
        if self.success is not None and (interrupted or not won):
            await self._interrupts_discarding(self.success)
        if interrupted:
            raise asyncio.CancelledError

    async def _interrupts_discarding(self, success: Success[R]) -> bool:
        """Discard it; whether the task was cancelled meanwhile."""
        self._lost(success.candidate, success.begun_s)
        try:
            await self.hedged.discard(self.progress, success.candidate, success.result)
        except asyncio.CancelledError:
            return True
        return False
