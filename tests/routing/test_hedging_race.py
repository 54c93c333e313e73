"""Races whose calls end at moments chosen by hand: everything that can happen in one instant."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from routing.fakes import deployment, play

from simsla.routing import Request, ServerError, Timeouts
from simsla.routing.hedging.policy import FixedHedge
from simsla.routing.progress import Progress
from simsla.routing.router.clock import LoopClock
from simsla.routing.router.hedging import Hedged
from simsla.routing.selection.chains import Candidate

NAMES = "abc"
LAUNCHED_S = {"a": 1000.0, "b": 1001.0, "c": 1002.0}
HOW = {"answers": None, "fails": ServerError, "errs": LookupError}


class Tickets:
    def __init__(self, given):
        self.given = given

    def admit(self, progress, now):
        self.given.append(object())
        return self.given[-1]


class Plan:
    def __init__(self):
        self.tickets = []
        self.all = [
            Candidate(
                deployment(name),
                asked="standard",
                chain="standard",
                timeouts=Timeouts(),
                health=Tickets(self.tickets),
            )
            for name in NAMES
        ]

    def candidates(self, request, now):
        return self.all

    def after(self, error, failed, remaining):
        return remaining


class Course:
    """A race between a, the primary, and its hedges b after 1 s and c after 2 s; each ends when told to.

    Those in `stubborn` need a second to let themselves be cancelled, and then end as they were told to, if
    they were.
    """

    def __init__(self, stubborn=""):
        self.stubborn = stubborn
        self.ends = {name: asyncio.get_running_loop().create_future() for name in NAMES}
        self.called = []
        self.tickets = []
        self.running = set()
        self.returned = []
        self.cleaned_up = []
        self.discarded = []
        self.progress = Progress(Request(1), 2000.0)
        self.progress.begun_s = 1000.0
        self.plan = Plan()
        policy = FixedHedge(budget={"ratio": 1.0}, delay_s=1.0, max_hedges=2)
        self.race = Hedged(self.call, self.discard, lambda name: 1, policy.build(), self.plan, 6, LoopClock())
        self.task = asyncio.create_task(self.run())

    async def run(self):
        primary = self.plan.all[0]
        ticket = primary.health.admit(self.progress, 1000.0)
        result = await self.race(self.progress, primary, ticket, Timeouts())
        # No cancellation of the race's own is left for later.
        assert self.task.cancelling() == 0 or "a" in self.stubborn
        return result

    async def call(self, progress, candidate, ticket, timeouts):
        name = candidate.deployment.name
        progress.attempts += 1
        self.called.append(name)
        self.tickets.append(ticket)
        self.running.add(name)
        end = self.ends[name]
        try:
            await asyncio.wait([end])
        except asyncio.CancelledError:
            if name in self.stubborn:
                await asyncio.sleep(1)
            self.cleaned_up.append(name)
            if name not in self.stubborn or not end.done():
                raise
        finally:
            self.running.remove(name)
        end.result()
        self.returned.append(name)
        progress.answered_by = candidate
        return name

    async def discard(self, progress, candidate, name):
        assert candidate.deployment.name == name
        await asyncio.sleep(0)
        self.discarded.append(name)

    def tell(self, name, how):
        if name == "caller":
            self.task.cancel()
        elif not self.ends[name].done():
            error = HOW[how]
            if error is None:
                self.ends[name].set_result(None)
            else:
                self.ends[name].set_exception(error())
                self.ends[name].exception()

    async def outcome(self):
        await asyncio.wait([self.task])
        assert self.running == set()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        if self.task.cancelled():
            return "cancelled"
        error = self.task.exception()
        return self.task.result() if error is None else type(error)


events = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.0, 0.1, 1.5]),
        st.sampled_from([*NAMES, "caller"]),
        st.sampled_from(sorted(HOW)),
    ),
    max_size=6,
)


@settings(max_examples=500, deadline=None)
@given(events, st.sampled_from(["", "", "a", "b", "ab", "abc"]), st.sampled_from([0.55, 1.55, 2.55]))
def test_each_race_has_one_outcome_and_loses_nothing(told, stubborn, begin_s):
    async def main():
        course = Course(stubborn)
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(begin_s)
        answers_s = {}
        cancelled = False
        for wait_s, name, how in told:
            if wait_s:
                await asyncio.sleep(wait_s)
            if name == "caller":
                cancelled |= not course.task.done()
            elif not course.ends[name].done() and how == "answers":
                answers_s[name] = max(clock(), LAUNCHED_S[name])
            course.tell(name, how)
        await asyncio.sleep(3)
        for name in NAMES:
            course.tell(name, "fails")
        return course, await course.outcome(), answers_s, cancelled

    course, outcome, answers_s, cancelled = play(main())

    won = outcome in list(NAMES)
    assert sorted(course.discarded + [outcome] * won) == sorted(course.returned)
    # Each ticket given is in the hands of one call, which hands it back.
    assert course.tickets == course.plan.tickets
    assert course.progress.attempts == len(course.called) == len(set(course.called))
    if won:
        assert course.progress.answered_by.deployment.name == outcome
    if won and not cancelled:
        assert answers_s[outcome] == min(at_s for name, at_s in answers_s.items() if name in course.called)
    if cancelled and ("a" not in stubborn or all(name != "a" for _, name, _ in told)):
        assert outcome == "cancelled"
    assert cancelled or outcome != "cancelled"


def course(main, stubborn=""):
    """What became of a race 2.5 s after its start, all calls running, when ``main`` has been at it."""

    async def whole():
        made = Course(stubborn)
        await asyncio.sleep(2.5)
        await main(made)
        return await made.outcome(), made

    return play(whole())


@pytest.mark.parametrize("order", ["ab", "ba", "bca", "cab"])
def test_of_several_answers_in_one_instant_one_is_kept(order):
    async def main(made):
        for name in order:
            made.tell(name, "answers")

    outcome, made = course(main)
    assert outcome in order
    assert sorted([*made.discarded, outcome]) == sorted(made.returned)


def test_an_answer_that_arrives_with_the_callers_cancellation_is_discarded():
    async def main(made):
        made.tell("b", "answers")
        await asyncio.sleep(0)
        made.tell("caller", None)

    outcome, made = course(main)
    assert (outcome, made.discarded) == ("cancelled", ["b"])


def test_the_callers_cancellation_while_a_loser_ends():
    async def main(made):
        made.tell("a", "answers")
        await asyncio.sleep(0.5)
        assert made.running == {"b"}
        made.tell("caller", None)

    outcome, made = course(main, stubborn="b")
    assert (outcome, made.discarded) == ("cancelled", ["a"])


def test_a_hedge_does_not_disturb_how_the_primary_lets_itself_be_cancelled():
    async def main(made):
        made.tell("caller", None)
        await asyncio.sleep(0.5)
        made.tell("b", "answers")

    outcome, made = course(main, stubborn="a")
    assert (outcome, made.discarded) == ("cancelled", ["b"])
    assert "a" in made.cleaned_up


def test_no_hedge_is_launched_for_a_caller_who_has_left():
    async def whole():
        made = Course(stubborn="a")
        await asyncio.sleep(0.5)
        made.tell("caller", None)
        return await made.outcome(), made

    outcome, made = play(whole())
    assert (outcome, made.called) == ("cancelled", ["a"])


def test_a_mistake_beside_an_answer_is_told_to_the_loop():
    told = []

    async def main(made):
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        made.tell("b", "answers")
        made.tell("c", "errs")

    outcome, _ = course(main)
    assert outcome == "b"
    assert [type(context["exception"]) for context in told] == [LookupError]
