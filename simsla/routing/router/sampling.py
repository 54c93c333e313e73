"""Quality sampling and shadow traffic, in the background of the requests that they belong to."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from simsla.routing.progress import Progress
from simsla.routing.router.guard import Background, Guard
from simsla.routing.router.subordinate import Ask, Subordinate
from simsla.routing.sampling.quality import QualityPolicy, read_check
from simsla.routing.sampling.shadow import ShadowPolicy
from simsla.routing.types import Reply, Request

Review = Callable[[Request, Reply], Any]
"""Takes an answer for human review, such as the ``put_nowait`` of a queue; it must not block."""

Compare = Callable[[Request, Reply, Reply], Any]
"""Takes a request, the answer to it and that of the shadow; it must not block."""

_QUALITY: Final = "quality"
_SHADOW: Final = "shadow"


class SamplingStage:
    """A `Stage` that samples answers. Put it first, so that it sees those out of a cache as well.

    ``counts``: "human_review", "automated_check", and of the checks "passed", "failed", "unclear" and
    "dropped" where too many were in flight; those left over failed, as the guard counted, or go on.
    ``spent_usd`` is what the two have cost.
    """

    part = "quality"

    def __init__(
        self,
        policy: QualityPolicy,
        call: Ask,
        guard: Guard,
        clock: Callable[[], float],
        rng: random.Random,
        review: Review | None = None,
    ) -> None:
        """Without ``review`` an answer for human review is only counted."""
        self._policy = policy
        self._call = call
        self._guard = guard
        self._clock = clock
        self._rng = rng
        self._review = review
        self._background = Background(guard, policy.max_in_flight)
        self.counts: Counter[str] = Counter()
        self.spent_usd = {"human_review": 0.0, "automated_check": 0.0}

    async def enter(self, request: Request, progress: Progress) -> Request:
        """The request as it is."""
        return request

    def leave(self, request: Request, progress: Progress, reply: Reply | None) -> None:
        """Look at the answer again, or not."""
        if reply is None or request.purpose != "answer":
            return
        sample = self._policy.draw(self._rng)
        if sample is None:
            return
        self.counts[sample] += 1
        if sample == "human_review":
            self.spent_usd[sample] += self._policy.usd_per_review
            if self._review is not None:
                # Later, when the Router has added its notes to the reply and has handed it over.
                later = asyncio.get_running_loop().call_soon
                later(self._guard.call, _QUALITY, self._review, request, reply)
        elif not self._background.start(_QUALITY, partial(self._check, request, progress, reply)):
            self.counts["dropped"] += 1

    async def _check(self, request: Request, progress: Progress, reply: Reply) -> None:
        limit_s = self._policy.timeout_s
        check = self._policy.check(request, reply, self._clock() + limit_s)
        call = Subordinate(check, self._clock() + limit_s, progress)
        answer = await self._guard.run(_QUALITY, call.reply(self._call), None, limit_s)
        self.spent_usd["automated_check"] += call.spent_usd
        if answer is not None:
            self.counts[read_check(answer)] += 1

    async def close(self) -> None:
        """Give up the checks in flight."""
        await self._background.close()


class ShadowStage:
    """A `Stage` that copies answered requests to a deployment.

    ``counts``: "sent", "answered", and "dropped" where too many were in flight; those left over failed, as
    the guard counted, or go on. ``spent_usd`` is what they have cost.
    """

    part = "shadow"

    def __init__(
        self,
        policy: ShadowPolicy,
        call: Ask,
        guard: Guard,
        clock: Callable[[], float],
        rng: random.Random,
        compare: Compare | None = None,
    ) -> None:
        """``call`` sends to the policy's deployment alone, once. ``compare`` gets both answers."""
        self._policy = policy
        self._call = call
        self._guard = guard
        self._clock = clock
        self._rng = rng
        self._compare = compare
        self._background = Background(guard, policy.max_in_flight)
        self.counts: Counter[str] = Counter()
        self.spent_usd = {"shadow": 0.0}

    async def enter(self, request: Request, progress: Progress) -> Request:
        """The request as it is."""
        return request

    def leave(self, request: Request, progress: Progress, reply: Reply | None) -> None:
        """Send a copy of the answered request, or not."""
        if reply is None or request.purpose != "answer" or not self._policy.draw(self._rng):
            return
        sent = self._background.start(_SHADOW, partial(self._send, request, progress, reply))
        self.counts["sent" if sent else "dropped"] += 1

    async def _send(self, request: Request, progress: Progress, reply: Reply) -> None:
        limit_s = self._policy.timeout_s
        copy = self._policy.copy(request, self._clock() + limit_s)
        call = Subordinate(copy, self._clock() + limit_s, progress)
        answer = await self._guard.run(_SHADOW, call.reply(self._call), None, limit_s)
        self.spent_usd["shadow"] += call.spent_usd
        if answer is not None:
            self.counts["answered"] += 1
            if self._compare is not None:
                self._guard.call(_SHADOW, self._compare, request, reply, answer)

    async def close(self) -> None:
        """Give up the copies in flight."""
        await self._background.close()
