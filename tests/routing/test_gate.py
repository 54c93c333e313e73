from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from simsla.routing import BreakerPolicy, Reply, Request, ServerError
from simsla.routing.health.gate import Gate
from simsla.routing.progress import Progress

NOBODY = Progress(Request(0))
REPLY = Reply("", "a", "m", 1, 1, 0.1, 0.2)
ERROR = ServerError()


class Part:
    """Counts what it is asked and told."""

    def __init__(self, refusal="", at=0.0):
        self.refusal = refusal
        self.at = at
        self.asked = 0
        self.out = []
        self.told = []

    def admit(self, progress, now):
        self.asked += 1
        if self.refusal:
            return None
        ticket = object()
        self.out.append(ticket)
        return ticket

    def _end(self, ticket, what):
        self.out.remove(ticket)
        self.told.append(what)

    def succeeded(self, ticket, now, reply):
        self._end(ticket, "succeeded")

    def failed(self, ticket, now, error):
        self._end(ticket, "failed")

    def released(self, ticket, now, error=None):
        self._end(ticket, "released")

    def available_at(self, now):
        return max(now, self.at)


def end(gate, ticket, outcome, now=0.0):
    if outcome == "released":
        gate.released(ticket, now)
    else:
        getattr(gate, outcome)(ticket, now, REPLY if outcome == "succeeded" else ERROR)


def test_every_part_hears_of_an_attempt_once():
    for outcome in ("succeeded", "failed", "released"):
        parts = [Part(), Part(), Part()]
        gate = Gate(parts[:2], parts[2:])
        end(gate, gate.admit(NOBODY, 0.0), outcome)
        assert [part.told for part in parts] == [[outcome]] * 3


def test_a_later_refusal_gives_back_what_was_admitted():
    first, second, third = Part(), Part("no room"), Part()
    gate = Gate([first], [second, third])
    assert gate.admit(NOBODY, 0.0) is None
    assert gate.refusal == "no room"
    assert (first.told, second.told, third.asked) == (["released"], [], 0)


def test_the_refusal_is_that_of_the_part_that_refuses_now():
    first, second = Part("open"), Part("full")
    gate = Gate([first], [second])
    gate.admit(NOBODY, 0.0)
    assert gate.refusal == "open"
    first.refusal = ""
    gate.admit(NOBODY, 0.0)
    assert gate.refusal == "full"


def test_a_verdict_can_be_set_aside_and_then_hears_nothing():
    breaker, limit = Part("open"), Part()
    gate = Gate([breaker], [limit])
    ticket = gate.admit_anyway(NOBODY, 0.0)
    assert ticket is not None
    end(gate, ticket, "failed")
    assert (breaker.asked, breaker.told, limit.told) == (0, [], ["failed"])


def test_a_limit_cannot_be_set_aside():
    breaker, first, second = Part("open"), Part(), Part("full")
    gate = Gate([breaker], [first, second])
    assert gate.admit_anyway(NOBODY, 0.0) is None
    assert gate.refusal == "full"
    assert (first.told, breaker.told) == (["released"], [])


def test_without_limits_it_can_still_be_overridden():
    gate = Gate([Part("open")], [])
    ticket = gate.admit_anyway(NOBODY, 0.0)
    assert ticket  # the Router asks for its truth
    end(gate, ticket, "succeeded")


def test_it_is_available_when_the_last_part_is():
    assert Gate([Part(at=3.0)], [Part(at=7.0), Part()]).available_at(5.0) == 7.0
    assert Gate([Part(at=3.0)], [Part()]).available_at(5.0) == 5.0
    assert Gate([Part(at=math.inf)], [Part()]).available_at(5.0) == math.inf


def test_a_probe_that_a_limit_stops_is_not_lost():
    breaker = BreakerPolicy(failures=1, open_s=10.0).build()
    breaker.failed(breaker.admit(NOBODY, 0.0), 0.0, ERROR)
    limit = Part("full")
    gate = Gate([breaker], [limit])
    assert gate.admit(NOBODY, 10.0) is None
    limit.refusal = ""
    gate.succeeded(gate.admit(NOBODY, 11.0), 12.0, REPLY)
    assert breaker.state == "closed"


@given(
    st.lists(
        st.tuples(
            st.lists(st.booleans(), min_size=4, max_size=4),
            st.booleans(),
            st.sampled_from(["succeeded", "failed", "released"]),
        ),
        max_size=20,
    )
)
def test_every_ticket_is_handed_back_exactly_once(steps):
    parts = [Part() for _ in range(4)]
    gate = Gate(parts[:2], parts[2:])
    for refusing, anyway, outcome in steps:
        for part, refuses in zip(parts, refusing, strict=True):
            part.refusal = "no" if refuses else ""
        ticket = gate.admit_anyway(NOBODY, 0.0) if anyway else gate.admit(NOBODY, 0.0)
        assert (ticket is None) == any(refusing[2:] if anyway else refusing)
        if ticket is not None:
            end(gate, ticket, outcome)
        assert all(part.out == [] for part in parts)
