"""Where a hedge goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from simsla.routing.hedging.hedges import Hedges
from simsla.routing.progress import Progress
from simsla.routing.protocols import Selector
from simsla.routing.selection.chains import Candidate


class Choice(NamedTuple):
    """Where a hedge goes, or why there is none."""

    candidate: Candidate | None
    ticket: object = None
    """What the candidate's health gave."""
    refusal: str = ""


def choose(
    selector: Selector,
    hedges: Hedges,
    max_attempts: int,
    progress: Progress,
    called: Sequence[Candidate],
    now: float,
) -> Choice:
    """Choose for a hedge that begins now, and pay; ``called`` are the primary and the hedges so far."""
    if progress.attempts >= max_attempts:
        return Choice(None, refusal="max_attempts reached")
    if not hedges.affords:
        return Choice(None, refusal="hedge budget spent")
    for candidate in _eligible(selector, hedges, progress, called, now):
        if not hedges.in_time(progress, candidate, now):
            continue
        health = candidate.health
        ticket = None if health is None else health.admit(progress, now)
        if health is None or ticket is not None:
            hedges.pay()
            return Choice(candidate, ticket)
        progress.refused(now, candidate.deployment.name, health.refusal)
    return Choice(None, refusal="no deployment for it may be called")


def _eligible(
    selector: Selector, hedges: Hedges, progress: Progress, called: Sequence[Candidate], now: float
) -> Iterator[Candidate]:
    """The plan of now within the primary's tier, without those that failed this request: where it is not yet,
    then, if allowed, where it is.
    """
    plan = selector.candidates(progress.request, now)
    for error in progress.errors:
        failed = next((each for each in plan if each.deployment.name == error.deployment), None)
        if failed is not None:
            plan = selector.after(error, failed, [each for each in plan if each is not failed])
    names = {each.deployment.name for each in called}
    tier = [each for each in plan if each.chain == called[0].chain]
    yield from (each for each in tier if each.deployment.name not in names)
    if hedges.to_same:
        yield from (each for each in tier if each.deployment.name in names)
