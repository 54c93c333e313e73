"""A ranking between its plans and the attempts that a test plays."""

from __future__ import annotations

import random

from routing.fakes import deployment

from simsla.routing import Reply, Request, RoutingPolicy
from simsla.routing.health.gate import Gate
from simsla.routing.progress import Progress
from simsla.routing.selection.chains import ChainSelector
from simsla.routing.selection.ranking import RankedSelector, Watched

NOBODY = Progress(Request(0))
ABC = [deployment(name) for name in "abc"]


class Bench:
    """The ranking of a selection, its selector, and the health of each deployment that it watches."""

    def __init__(self, deployments=ABC, seed=1, breaker=False, affinity=True, **selection):
        policy = RoutingPolicy.from_dict({"selection": selection, "regions": {"affinity": affinity}})
        self.ranking = policy.selection.build(deployments, random.Random(seed))
        inner = {each.name: Gate([policy.breaker.build()], []) if breaker else None for each in deployments}
        self.inner = inner
        self.health = {name: Watched(each, self.ranking, name) for name, each in inner.items()}
        chains = ChainSelector(policy, deployments, self.health)
        self.selector = RankedSelector(chains, self.ranking, affinity)

    def plan(self, now=0.0, **request):
        plan = self.selector.candidates(Request(1, **request), now)
        return [each.deployment.name for each in plan]

    def order(self, now=0.0, **request):
        return "".join(self.plan(now, **request))

    def answer(self, name, start, took_s, tokens_in=0, tokens_out=10, first_token_s=None):
        ticket = self.health[name].admit(NOBODY, start)
        first_token_s = took_s if first_token_s is None else first_token_s
        reply = Reply("", name, "model", tokens_in, tokens_out, first_token_s, took_s)
        self.health[name].succeeded(ticket, start + took_s, reply)

    def fail(self, name, start, took_s, error):
        self.health[name].failed(self.health[name].admit(NOBODY, start), start + took_s, error)
