"""The semantic cache on a request's way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from simsla.routing.caching.backend import CacheBackend, CacheEntry
from simsla.routing.caching.index import ROUNDING
from simsla.routing.caching.question import question_of
from simsla.routing.caching.semantic import CachePolicy
from simsla.routing.caching.shelf import Shelf
from simsla.routing.progress import Progress
from simsla.routing.protocols import NOTHING_SPENT
from simsla.routing.router.guard import Background, Guard
from simsla.routing.types import TIERS, Reply, Request

_PART: Final = "cache"

# Answers on their way to a backend that takes its time; further ones are not kept.
_MOST_PUTS: Final = 100

# A backend is asked so many times within `ttl_s` to forget what is too old.
_EXPIRIES: Final = 10


class _Miss(NamedTuple):
    """What was looked for in vain, to be kept with the answer."""

    key: str
    vector: Any
    rest: str


class _Found(NamedTuple):
    entry: CacheEntry
    similarity: float


class CacheStage:
    """A `Stage` that answers from earlier answers; `counts` says how often, and how often rightly.

    A failing or hanging backend is a miss. It looks first for the same words, in this process, then for the
    most similar question, in the backend. Put it before the classification: a hit needs none.
    """

    part = "cache"
    spent_usd = NOTHING_SPENT

    def __init__(
        self,
        policy: CachePolicy,
        backend: CacheBackend[Any],
        guard: Guard,
        clock: Callable[[], float],
        *,
        tier_of: Callable[[Request], str | None] = lambda request: request.tier,
    ) -> None:
        """``tier_of`` is the tier that a request asks for, or None where any is welcome."""
        self._policy = policy
        self._backend = backend
        self._guard = guard
        self._clock = clock
        self._tier_of = tier_of
        self._exact: Shelf[tuple[str, str], CacheEntry] = Shelf(policy.capacity, policy.ttl_s)
        self._missed: dict[Progress, _Miss] = {}
        self._background = Background(guard, _MOST_PUTS)
        self._expire_at = -float("inf")
        self.counts: Counter[str] = Counter()
        """Of "hit" and "miss", and of the hits "true_hit" and "false_hit" where that is known."""

    async def enter(self, request: Request, progress: Progress) -> Request | Reply:
        """The kept answer, or the request."""
        if request.purpose != "answer":
            return request
        now = self._clock()
        limit_s = progress.deadline - now
        if self._policy.timeout_s is not None:
            limit_s = min(limit_s, self._policy.timeout_s)
        try:
            found = await self._guard.run(_PART, self._find(request, progress, now), None, max(0.0, limit_s))
        except BaseException:
            self._missed.pop(progress, None)  # who never entered does not leave
            raise
        reply = None if found is None else self._guard.call(_PART, self._hit, request, progress, found, now)
        if reply is None:
            self.counts["miss"] += 1
            progress.explain(self._clock(), _PART, "miss")
            return request
        return reply

    async def _find(self, request: Request, progress: Progress, now: float) -> _Found | None:
        question = question_of(request)
        if question is None:
            return None
        per = (str(getattr(request, name)) for name in self._policy.per)
        rest = "\x1f".join((question.context, *request.needs, *per))
        scopes = [f"{tier}\x1f{rest}" for tier in self._tiers(request)]
        key = question.key
        for scope in scopes:
            entry = self._exact.get((scope, key), now)
            if entry is not None and _fits(entry, request):
                return _Found(entry, 1.0)
        # Where the backend fails, the answer is kept for the same words at least.
        self._missed[progress] = _Miss(key, None, rest)
        vector = await self._backend.embed(question.text)
        found = None if vector is None else await self._backend.nearest(vector, scopes, now)
        if found is not None:
            entry, similarity = found
            if similarity >= self._policy.threshold - ROUNDING and _fits(entry, request):
                del self._missed[progress]
                return _Found(entry, float(similarity))
        self._missed[progress] = _Miss(key, vector, rest)
        return None

    def _tiers(self, request: Request) -> Sequence[str]:
        """The tiers of answers that will do, the one asked for first."""
        tier = self._tier_of(request)
        if tier not in TIERS:
            return TIERS
        rank = TIERS.index(tier)
        return TIERS[rank:] + (TIERS[:rank] if self._policy.serve_lower_tiers else ())

    def _hit(self, request: Request, progress: Progress, found: _Found, began_s: float) -> Reply:
        entry, similarity = found
        now = self._clock()
        known = request.topic is not None and entry.topic is not None
        true_hit = request.topic == entry.topic if known else None
        told = {
            "similarity": similarity,
            "stored_request": entry.request,
            "age_s": None if entry.at_s is None else now - entry.at_s,
            "topic": entry.topic,
            "true_hit": true_hit,
        }
        took_s = now - began_s
        reply = Reply(entry.text, entry.deployment, entry.model, 0, 0, took_s, took_s, metadata={_PART: told})
        self.counts["hit"] += 1
        if true_hit is not None:
            self.counts["true_hit" if true_hit else "false_hit"] += 1
        progress.explain(now, _PART, "hit", similarity)
        return reply

    def leave(self, request: Request, progress: Progress, reply: Reply | None) -> None:
        """Keep the answer to a question that was not found, if it is whole and of the tier asked for."""
        miss = self._missed.pop(progress, None)
        if miss is not None and reply is not None:
            self._guard.call(_PART, self._keep, miss, request, progress, reply)

    def _keep(self, miss: _Miss, request: Request, progress: Progress, reply: Reply) -> None:
        answered = progress.answered_by
        if answered is None or answered.degraded or reply.finish_reason != "stop" or not reply.text:
            return
        now = self._clock()
        scope = f"{answered.deployment.tier}\x1f{miss.rest}"
        entry = CacheEntry(
            scope,
            miss.key,
            reply.text,
            reply.model,
            reply.deployment,
            reply.tokens_out,
            request.id,
            request.topic,
            now,
        )
        self._exact.put((scope, entry.key), entry, now)
        if miss.vector is not None:
            self._background.start(_PART, partial(self._backend.put, miss.vector, entry, now))
        if now >= self._expire_at:
            self._expire_at = now + self._policy.ttl_s / _EXPIRIES
            self._background.start(_PART, partial(self._backend.expire, now))

    async def close(self) -> None:
        """Give up what is still on its way to the backend."""
        await self._background.close()


def _fits(entry: CacheEntry, request: Request) -> bool:
    """Whether the answer is within the length that is wanted."""
    return request.max_tokens is None or entry.tokens_out <= request.max_tokens
