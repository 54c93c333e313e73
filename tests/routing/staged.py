"""Requests on their way through stages, around an answer that the test gives."""

from __future__ import annotations

import asyncio

from routing.fakes import deployment

from simsla.routing import Reply, Request, Timeouts
from simsla.routing.progress import Progress
from simsla.routing.selection.chains import Candidate

PRICES = {"usd_per_mtok_in": 1.0, "usd_per_mtok_out": 2.0}
TIERS = {tier: deployment(tier, tier, **PRICES) for tier in ("economy", "standard", "premium")}


def asking(text, number=1, **more):
    """A request in words."""
    more.setdefault("prompt_tokens", len(text.split()))
    return Request(number, messages=[{"role": "user", "content": text}], **more)


def candidate(asked, answers):
    return Candidate(TIERS[answers], asked=asked, chain=answers, timeouts=Timeouts(), health=None)


class Answers:
    """What stands behind the stages: each call takes ``after_s`` and is answered by the tier asked for."""

    def __init__(self, text="an answer", after_s=1.0, error=None, finish_reason="stop", degrade=False):
        self.text = text
        self.after_s = after_s
        self.error = error
        self.finish_reason = finish_reason
        self.degrade = degrade
        self.calls = []
        self.in_flight = 0
        self.peak = 0

    async def __call__(self, request, progress):
        self.calls.append(request)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await asyncio.sleep(self.after_s)
        finally:
            self.in_flight -= 1
        if self.error is not None:
            raise self.error
        tier = request.tier or "standard"
        progress.answered_by = candidate(tier, "economy" if self.degrade else tier)
        name = progress.answered_by.deployment.name
        reply = Reply(self.text, name, "model", request.prompt_tokens, 10, 0.1, self.after_s)
        reply.finish_reason = self.finish_reason
        return reply

    def purposes(self):
        return [request.purpose for request in self.calls]


async def through(stages, request, answers, deadline_s=60.0):
    """As the Router does it; the reply and the progress."""
    progress = Progress(request, asyncio.get_running_loop().time() + deadline_s)
    entered, reply = [], None
    try:
        for stage in stages:
            got = await stage.enter(progress.request, progress)
            if isinstance(got, Reply):
                reply = got
                return reply, progress
            progress.request = got
            entered.append((stage, got))
        reply = await answers(progress.request, progress)
        return reply, progress
    finally:
        for stage, entered_with in reversed(entered):
            stage.leave(entered_with, progress, reply)


def now():
    return asyncio.get_running_loop().time()
