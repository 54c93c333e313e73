"""Classification on a request's way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from simsla.routing.classification.classifier import Classifier, Verdict
from simsla.routing.progress import Progress
from simsla.routing.protocols import NOTHING_SPENT
from simsla.routing.router.guard import Guard
from simsla.routing.router.subordinate import Ask, Subordinate
from simsla.routing.types import Reply, Request

_PART: Final = "classify"


class ClassifyStage:
    """A `Stage` that gives a tier to a request without one; `counts` says which, or "none".

    A classifier that fails or takes too long gives no verdict: the complexity of the request or the default
    tier decides, as they would without it. What its call cost is part of what the request spent.
    """

    part = "classify"
    spent_usd = NOTHING_SPENT

    def __init__(self, classifier: Classifier, call: Ask, guard: Guard, clock: Callable[[], float]) -> None:
        self._classifier = classifier
        self._call = call
        self._guard = guard
        self._clock = clock
        self.counts: Counter[str] = Counter()

    async def enter(self, request: Request, progress: Progress) -> Request:
        """The request, with a tier where there is a verdict."""
        if request.tier is not None or request.purpose != "answer":
            return request
        limit_s = self._classifier.limit_s
        reply = None
        if limit_s is not None:
            left_s = max(0.0, progress.deadline - self._clock())
            asked = self._ask(request, progress)
            reply = await self._guard.run(_PART, asked, None, min(limit_s, left_s))
        verdict = self._guard.call(
            _PART, self._classifier.read, request, reply, default=Verdict(None, "failed")
        )
        self.counts[verdict.tier or "none"] += 1
        progress.explain(self._clock(), _PART, verdict.tier or "", verdict.why)
        return request if verdict.tier is None else request.replace(tier=verdict.tier)

    async def _ask(self, request: Request, progress: Progress) -> Reply | None:
        asked = self._classifier.ask(request)
        if asked is None:
            return None
        return await Subordinate(asked, progress.deadline, progress).reply_within(self._call)

    def leave(self, request: Request, progress: Progress, reply: Reply | None) -> None:
        """Nothing is left to do."""

    async def close(self) -> None:
        """Nothing goes on in the background."""
